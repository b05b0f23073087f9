//! Failures of many seeds, as few findings.

use crate::{
    outcome::{Class, Outcome},
    screen,
};

/// A kind of failure and the seeds that show it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What all of them have in common.
    pub headline: String,
    /// How grave it is.
    pub class: Class,
    /// The smallest seed,
    pub seed: u64,
    /// and its run in full.
    pub outcome: Box<Outcome>,
    /// The other seeds.
    pub also: Vec<u64>,
}

/// All kinds of failures.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Takes a failed run.
    pub fn add(&mut self, seed: u64, outcome: Box<Outcome>) {
        let headline = screen::headline(&outcome);
        match self.0.iter_mut().find(|finding| finding.headline == headline) {
            Some(finding) if finding.seed < seed => finding.also.push(seed),
            Some(finding) => {
                finding.also.push(finding.seed);
                (finding.seed, finding.outcome) = (seed, outcome);
            }
            None => {
                let class = outcome.class();
                self.0.push(Finding { headline, class, seed, outcome, also: Vec::new() });
            }
        }
    }

    /// The findings, the gravest first.
    pub fn by_gravity(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| (finding.class, finding.seed));
        for finding in &mut self.0 {
            finding.also.sort_unstable();
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Panic;

    fn panic(message: &str) -> Box<Outcome> {
        let panic = Panic { at: Default::default(), node: "s1".into(), message: message.into() };
        Box::new(Outcome { panic: Some(panic), ..Outcome::default() })
    }

    #[test]
    fn failures_alike_are_one_finding_known_by_its_smallest_seed() {
        let mut findings = Findings::default();
        for (seed, message) in [(7, "no entry 7"), (3, "no entry 3"), (5, "other"), (9, "no entry 9")] {
            findings.add(seed, panic(message));
        }
        let findings = findings.by_gravity();
        let seen: Vec<_> = findings.iter().map(|finding| (finding.seed, finding.also.clone())).collect();
        assert_eq!(seen, [(3, vec![7, 9]), (5, vec![])]);
    }
}
