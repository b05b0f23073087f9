//! Failures of many runs, as few findings.

use serde::{Deserialize, Serialize};

use super::{Job, Kind};

/// Kinds of failures that are kept apart; runs that fail in further ways are only counted.
pub const KINDS_MAX: usize = 100;
/// Runs of one kind that are named.
pub const JOBS_MAX: usize = 12;

/// A kind of failure and the runs that show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What all of them have in common.
    pub kind: Kind,
    /// How many runs showed it.
    pub count: u64,
    /// The smallest of them, in order: regressions, then seeds.
    pub jobs: Vec<Job>,
    /// What is known of it and cannot be had by running it again.
    pub detail: Vec<String>,
}

impl Finding {
    /// The run by which it is known.
    pub fn first(&self) -> &Job {
        self.jobs.first().expect("a finding begins with a run that shows it")
    }
}

/// All kinds of failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    known: Vec<Finding>,
    /// Failed runs of kinds beyond those that are kept apart.
    beyond: u64,
}

/// What a failed run adds to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// No run failed like this before.
    Kind,
    /// A run failed like this before, but few did, or only later ones.
    Job,
    /// Many did.
    Nothing,
}

impl Findings {
    /// Takes a failed run.
    pub fn add(&mut self, job: &Job, kind: &Kind, detail: &[String]) -> Novelty {
        if let Some(finding) = self.known.iter_mut().find(|finding| finding.kind == *kind) {
            finding.count += 1;
            return finding.remember(job);
        }
        if self.known.len() == KINDS_MAX {
            self.beyond += 1;
            return Novelty::Nothing;
        }
        let (kind, jobs, detail) = (kind.clone(), vec![job.clone()], detail.to_vec());
        self.known.push(Finding { kind, count: 1, jobs, detail });
        Novelty::Kind
    }

    /// How many kinds are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing failed.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Failed runs of kinds beyond those that are kept apart.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// The findings, the gravest first.
    pub fn by_gravity(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.known.iter().collect();
        findings.sort_by_key(|finding| (finding.kind.gravity, finding.first()));
        findings
    }

    /// All runs that are named.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.known.iter().flat_map(|finding| &finding.jobs)
    }

    /// The finding of this kind.
    pub fn get(&self, kind: &Kind) -> Option<&Finding> {
        self.known.iter().find(|finding| finding.kind == *kind)
    }
}

impl Finding {
    fn remember(&mut self, job: &Job) -> Novelty {
        // A run that another session made before it was killed is made again, and counts once more.
        let Err(place) = self.jobs.binary_search(job) else { return Novelty::Nothing };
        if place == JOBS_MAX {
            return Novelty::Nothing;
        }
        self.jobs.insert(place, job.clone());
        self.jobs.truncate(JOBS_MAX);
        Novelty::Job
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::Gravity;

    fn kind(reason: impl ToString) -> Kind {
        Kind { gravity: Gravity::Panic, reason: reason.to_string(), step: None }
    }

    #[test]
    fn failures_alike_are_one_finding_known_by_its_smallest_seed() {
        let mut findings = Findings::default();
        for (seed, reason) in [(7, "lost"), (3, "lost"), (5, "other"), (9, "lost")] {
            findings.add(&Job::seed(seed), &kind(reason), &[]);
        }
        let seen: Vec<_> = findings.by_gravity().into_iter().map(|f| (f.count, f.jobs.clone())).collect();
        assert_eq!(seen, [(3, [3, 7, 9].map(Job::seed).to_vec()), (1, vec![Job::seed(5)])]);
    }

    #[test]
    fn a_thousand_seeds_of_one_bug_are_one_finding_with_its_smallest_seeds() {
        let mut findings = Findings::default();
        for n in 0..1000 {
            // Every residue once, in no order.
            let seed = (n * 389) % 1000;
            findings.add(&Job::seed(seed), &kind("lost"), &[]);
        }
        let [finding] = findings.by_gravity()[..] else { panic!("one finding") };
        assert_eq!(finding.count, 1000);
        assert_eq!(finding.jobs, (0..JOBS_MAX as u64).map(Job::seed).collect::<Vec<_>>());
    }

    #[test]
    fn kinds_beyond_the_limit_are_counted_and_known_ones_still_grow() {
        let mut findings = Findings::default();
        for n in 0..3 * KINDS_MAX as u64 {
            findings.add(&Job::seed(n), &kind(n), &[]);
        }
        assert_eq!((findings.len(), findings.beyond()), (KINDS_MAX, 2 * KINDS_MAX as u64));
        assert_eq!(findings.add(&Job::seed(9999), &kind(0), &[]), Novelty::Job);
        assert_eq!(findings.get(&kind(0)).map(|finding| finding.count), Some(2));
    }

    #[test]
    fn only_what_is_new_is_called_new() {
        let mut findings = Findings::default();
        let mut add = |seed| findings.add(&Job::seed(seed), &kind("lost"), &[]);
        assert_eq!(add(50), Novelty::Kind);
        assert_eq!(add(50), Novelty::Nothing, "the same run again");
        let named = (51..).take(JOBS_MAX - 1).map(&mut add).collect::<Vec<_>>();
        assert!(named.iter().all(|novelty| *novelty == Novelty::Job), "{named:?}");
        assert_eq!(add(90), Novelty::Nothing, "smaller ones are named");
        assert_eq!(add(1), Novelty::Job, "none is smaller");
    }
}
