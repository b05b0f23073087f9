//! What became of each seed, for other programs: a JSON object a line.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use super::Report;
use crate::{minimise::Signature, outcome::Outcome, screen};

/// Who says that a run failed: an invariant by its number, `checker`, `panic`, `liveness` or `undecided`.
pub fn judge(outcome: &Outcome) -> Option<String> {
    Some(match Signature::of(outcome)? {
        Signature::Invariant(number) => number,
        Signature::NotLinearizable(_) => "checker".into(),
        Signature::Panic(_) => "panic".into(),
        Signature::Stall => "liveness".into(),
        Signature::Undecided => "undecided".into(),
    })
}

/// A line of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The seed.
    pub seed: u64,
    trace: String,
    class: String,
    headline: Option<String>,
    judge: Option<String>,
    virtual_ms: u128,
    operations: u64,
    unknown: u64,
    not_executed: u64,
    view_changes: u64,
    promotions: u64,
    transfers: u64,
    messages: u64,
    steps: u64,
    faults: BTreeMap<&'static str, u64>,
}

impl Record {
    /// The line about a run.
    pub fn new(report: &Report) -> Self {
        let stats = &report.stats;
        Self {
            seed: report.seed,
            trace: report.trace.to_string(),
            class: report.class.to_string(),
            headline: report.failure.as_deref().map(screen::headline),
            judge: report.failure.as_deref().and_then(judge),
            virtual_ms: stats.virtual_time.as_millis(),
            operations: stats.operations(),
            unknown: stats.unknown,
            not_executed: stats.not_executed,
            view_changes: stats.view_changes,
            promotions: stats.promotions,
            transfers: stats.transfers,
            messages: stats.messages,
            steps: stats.steps,
            faults: stats.faults.clone(),
        }
    }

    /// Writes the line.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut to, self)?;
        writeln!(to)
    }
}
