//! What is kept of finished runs: sums and findings.

use super::Findings;
use crate::{
    exit,
    outcome::{Class, Outcome, Stats},
    trace::TraceHash,
};

/// What became of a seed. The outcome itself is kept for failures only.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub class: Class,
    /// Fingerprint of the trace.
    pub trace: TraceHash,
    /// Numbers.
    pub stats: Stats,
    /// Everything, if it failed.
    pub failure: Option<Box<Outcome>>,
}

impl Report {
    /// Takes from an outcome what an exploration wants to know.
    pub fn new(seed: u64, outcome: Outcome) -> Self {
        let (class, trace, stats) = (outcome.class(), outcome.trace_hash, outcome.stats.clone());
        Self { seed, class, trace, stats, failure: (class != Class::Ok).then(|| Box::new(outcome)) }
    }
}

/// All runs so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many ended,
    pub runs: u64,
    /// and how many of them not well.
    pub failed: u64,
    /// The sums of their numbers.
    pub stats: Stats,
    /// What failed.
    pub findings: Findings,
    gravest: Option<Class>,
}

impl Tally {
    /// Takes a finished run.
    pub fn add(&mut self, report: Report) {
        self.runs += 1;
        self.stats.add(&report.stats);
        self.gravest = Some(self.gravest.map_or(report.class, |gravest| gravest.min(report.class)));
        if let Some(outcome) = report.failure {
            self.failed += 1;
            self.findings.add(report.seed, outcome);
        }
    }

    /// The exit code: that of the gravest failure.
    pub fn code(&self) -> u8 {
        self.gravest.map_or(exit::OK, exit::code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Panic, Stall};

    fn panic() -> Outcome {
        let panic = Panic { at: Default::default(), node: "s1".into(), message: "no".into() };
        Outcome { panic: Some(panic), ..Outcome::default() }
    }

    fn stall() -> Outcome {
        let stall = Stall { at: Default::default(), waiting: vec![], cluster: vec![] };
        Outcome { stall: Some(stall), ..Outcome::default() }
    }

    #[test]
    fn the_gravest_failure_decides_the_exit_code() {
        let mut tally = Tally::default();
        assert_eq!(tally.code(), exit::OK);
        for (seed, outcome, code) in [
            (0, Outcome::default(), exit::OK),
            (1, stall(), exit::LIVENESS),
            (2, panic(), exit::PANIC),
            (3, stall(), exit::PANIC),
        ] {
            tally.add(Report::new(seed, outcome));
            assert_eq!(tally.code(), code, "after seed {seed}");
        }
        assert_eq!((tally.runs, tally.failed), (4, 3));
    }
}
