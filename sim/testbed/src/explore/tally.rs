//! What is kept of finished runs: sums and findings.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Findings, Gravity, Job, Kind, findings::Novelty};
use crate::{
    data::{
        exit,
        hash::TraceHash,
        outcome::{Class, Outcome, Stats},
    },
    marks::Counts,
    system::{Numbers, System},
};

/// What became of a job: all that an exploration wants to know of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Report<S: System> {
    /// What was run.
    pub job: Job,
    /// How it ended.
    pub class: Class,
    /// Fingerprint of the trace.
    pub trace: TraceHash,
    /// Numbers.
    pub stats: Stats<S>,
    /// Whether some client was not owed an answer at the end.
    pub is_excused: bool,
    /// How it failed, if it did.
    pub failure: Option<Kind>,
    /// What a second execution showed, if there was one.
    pub recheck: Option<Recheck>,
}

/// What a second execution of a run showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recheck {
    /// The same.
    Same,
    /// Something else.
    Differs {
        /// In which part of which sort of step first.
        kind: Kind,
        /// The step, as both saw it.
        detail: Vec<String>,
    },
}

impl<S: System> Report<S> {
    /// Takes from an outcome what an exploration wants to know.
    pub fn new(job: Job, outcome: Outcome<S>, recheck: Option<Recheck>) -> Self {
        let failure = Kind::of(&outcome);
        Self {
            job,
            class: outcome.class(),
            trace: outcome.trace_hash,
            is_excused: !outcome.excused.is_empty(),
            stats: outcome.stats,
            failure,
            recheck,
        }
    }
}

/// The sums over all runs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Sums<S: System> {
    /// Seeds that ended,
    pub seeds: u64,
    /// regressions that did,
    pub regressions: u64,
    /// and runs of either sort that were made twice.
    pub rechecked: u64,
    /// Runs that failed, in whatever way.
    pub failed: u64,
    /// Runs at whose end some client was not owed an answer: less was demanded of them.
    #[serde(default)]
    pub excused: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Operations that ended,
    pub operations: u64,
    /// those of unknown fate among them.
    pub unknown: u64,
    /// Actions that were drawn, of walks; simulated runs have none.
    #[serde(default)]
    pub actions: u64,
    /// Steps of machines.
    #[serde(default)]
    pub steps: u64,
    /// What the system counts.
    #[serde(flatten)]
    pub own: S::Numbers,
    /// Faults that were executed, by kind.
    pub faults: BTreeMap<String, u64>,
    /// How many runs reached each mark.
    pub marks: Counts<S>,
}

/// All runs so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Tally<S: System> {
    /// Their sums.
    pub sums: Sums<S>,
    /// What failed.
    pub findings: Findings,
    gravest: Option<Gravity>,
}

impl<S: System> Tally<S> {
    /// Takes a finished run; says what is new in how it failed.
    pub fn add(&mut self, report: &Report<S>) -> Vec<(Kind, Novelty)> {
        let sums = &mut self.sums;
        match report.job {
            Job::Seed(_) => sums.seeds += 1,
            Job::Regression(_) => sums.regressions += 1,
        }
        let stats = &report.stats;
        sums.excused += u64::from(report.is_excused);
        sums.virtual_time += stats.virtual_time;
        sums.operations += stats.operations();
        sums.unknown += stats.unknown;
        sums.actions += stats.actions;
        sums.steps += stats.steps;
        sums.own.add(&stats.own);
        for (mark, runs) in &stats.marks {
            *sums.marks.entry(*mark).or_default() += runs;
        }
        for (fault, count) in &stats.faults {
            if let Some(sum) = sums.faults.get_mut(&**fault) {
                *sum += count;
            } else {
                sums.faults.insert(fault.clone().into_owned(), *count);
            }
        }
        sums.rechecked += u64::from(report.recheck.is_some());
        let differs = match &report.recheck {
            Some(Recheck::Differs { kind, detail }) => Some((kind, detail.as_slice())),
            _ => None,
        };
        let failures: Vec<_> =
            report.failure.iter().map(|kind| (kind, [].as_slice())).chain(differs).collect();
        sums.failed += u64::from(!failures.is_empty());
        let fail = |(kind, detail): (&Kind, &[String])| (kind.clone(), self.fail(&report.job, kind, detail));
        failures.into_iter().map(fail).collect()
    }

    /// Takes a run that does not end.
    pub fn hangs(&mut self, job: &Job) -> (Kind, Novelty) {
        let kind = Kind::hang();
        self.sums.failed += 1;
        let novelty = self.fail(job, &kind, &[]);
        (kind, novelty)
    }

    fn fail(&mut self, job: &Job, kind: &Kind, detail: &[String]) -> Novelty {
        self.gravest = Some(self.gravest.map_or(kind.gravity, |gravest| gravest.min(kind.gravity)));
        self.findings.add(job, kind, detail)
    }

    /// How many runs ended.
    pub fn runs(&self) -> u64 {
        self.sums.seeds + self.sums.regressions
    }

    /// The exit code: that of the gravest failure.
    pub fn code(&self) -> u8 {
        self.gravest.map_or(exit::OK, Gravity::code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::outcome::{Panic, Stall},
        marks::Mark,
        system::toy::Toy,
    };

    type Outcome = crate::data::outcome::Outcome<Toy>;
    type Tally = super::Tally<Toy>;

    fn panic(words: &str) -> Outcome {
        let panic = Panic { at: Duration::ZERO, node: "s1".into(), message: words.into() };
        Outcome { panic: Some(panic), ..Outcome::default() }
    }

    fn stall() -> Outcome {
        let stall = Stall { at: Duration::ZERO, waiting: vec![], cluster: vec![] };
        Outcome { stall: Some(stall), ..Outcome::default() }
    }

    fn report(seed: u64, outcome: Outcome) -> Report<Toy> {
        Report::new(Job::seed(seed), outcome, None)
    }

    #[test]
    fn a_mark_counts_once_for_each_run_that_reached_it() {
        let mark = Mark::find("read_of_nothing").expect("a mark");
        let mut outcome = Outcome::default();
        outcome.stats.marks.insert(mark, 1);
        let mut tally = Tally::default();
        for seed in 0..3 {
            tally.add(&Report::new(Job::seed(seed), outcome.clone(), None));
        }
        assert_eq!(tally.sums.marks[&mark], 3);
    }

    #[test]
    fn a_run_of_which_less_was_demanded_is_counted() {
        let excused = Outcome { excused: vec!["c1 need not".into()], ..Outcome::default() };
        let mut tally = Tally::default();
        tally.add(&report(0, Outcome::default()));
        tally.add(&report(1, excused));
        assert_eq!((tally.sums.seeds, tally.sums.excused, tally.sums.failed), (2, 1, 0));
    }

    #[test]
    fn the_gravest_failure_decides_the_exit_code() {
        let mut tally = Tally::default();
        assert_eq!(tally.code(), exit::OK);
        for (seed, outcome, code) in [
            (0, Outcome::default(), exit::OK),
            (1, stall(), exit::LIVENESS),
            (2, panic("no"), exit::PANIC),
            (3, stall(), exit::PANIC),
        ] {
            tally.add(&report(seed, outcome));
            assert_eq!(tally.code(), code, "after seed {seed}");
        }
        assert_eq!((tally.runs(), tally.sums.failed), (4, 3));
        let kind = Kind::not_deterministic("time", "vs".into());
        let recheck = Some(Recheck::Differs { kind, detail: vec!["here".into()] });
        tally.add(&Report::new(Job::seed(4), Outcome::default(), recheck));
        assert_eq!(tally.code(), exit::NOT_DETERMINISTIC);
        assert_eq!(tally.findings.by_gravity()[0].detail, ["here"]);
    }

    #[test]
    fn a_run_that_does_not_end_is_a_failure_of_liveness() {
        let mut tally = Tally::default();
        assert_eq!(tally.hangs(&Job::seed(7)).1, Novelty::Kind);
        assert_eq!((tally.runs(), tally.code()), (0, exit::LIVENESS));
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_number_of_failures() {
        let size = |tally: &Tally| serde_json::to_vec(tally).expect("it is data").len();
        let mut tally = Tally::default();
        // Thousands of kinds, in words that are as long as the worst panic's.
        let fail = |seed: u64| {
            let letters: String = seed.to_string().bytes().map(|digit| (digit + 49) as char).collect();
            report(seed, panic(&format!("{letters} {}", "x".repeat(10_000))))
        };
        for seed in 10_000..14_000 {
            tally.add(&fail(seed));
        }
        let early = size(&tally);
        for seed in 10_000..30_000 {
            tally.add(&fail(seed));
        }
        assert!(size(&tally) < early + early / 10 + 20_000, "{early} bytes, then {}", size(&tally));
        assert!(size(&tally) < 100_000, "{} bytes", size(&tally));
        assert_eq!(tally.sums.failed, 24_000);
    }
}
