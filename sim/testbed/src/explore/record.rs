//! What became of each run, for other programs: a JSON object a line, in the order in which the runs end.
//!
//! The order is not that of the seeds: holding a line back until all smaller seeds have ended takes memory
//! that nothing bounds. Each line names its seed.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use super::{Job, Report};
use crate::{
    marks::Mark,
    system::{Numbers, System},
};

/// A line of `--json`.
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "")]
pub struct Record<'a, S: System> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    only: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    trace: String,
    class: String,
    headline: Option<String>,
    virtual_ms: u128,
    operations: u64,
    unknown: u64,
    not_executed: u64,
    messages: u64,
    steps: u64,
    #[serde(flatten)]
    own: BTreeMap<&'static str, u64>,
    faults: &'a BTreeMap<Cow<'static, str>, u64>,
    marks: Vec<Mark<S>>,
}

impl<'a, S: System> Record<'a, S> {
    /// The line about a run.
    pub fn new(report: &'a Report<S>) -> Self {
        let stats = &report.stats;
        let (seed, plan) = match &report.job {
            Job::Seed(seed) => (Some(seed), None),
            Job::Regression(path) => (None, Some(path.display().to_string())),
        };
        let only = seed.map(|seed| &seed.only).filter(|only| !only.is_empty());
        Self {
            seed: seed.map(|seed| seed.number),
            only: only.map(ToString::to_string),
            plan,
            trace: report.trace.to_string(),
            class: report.class.to_string(),
            headline: report.failure.as_ref().map(ToString::to_string),
            virtual_ms: stats.virtual_time.as_millis(),
            operations: stats.operations(),
            unknown: stats.unknown,
            not_executed: stats.not_executed,
            messages: stats.messages,
            steps: stats.steps,
            own: stats.own.fields().into_iter().collect(),
            faults: &stats.faults,
            marks: stats.marks.keys().copied().collect(),
        }
    }

    /// Writes the line at once, so that whoever reads along sees whole lines only.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        to.write_all(&line)
    }
}
