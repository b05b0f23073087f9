//! Trying candidates: on all cores, with a result that does not depend on how many there are.
//!
//! Candidates are numbered. Workers take them in order; the *first in order* that fails alike is adopted,
//! not the first to finish. A candidate after that one counts for nothing, even if it was run.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use super::{Aim, Ended, Options, Progress, Size, ddmin::ddmin};
use crate::{
    data::{hash::stable_hash, outcome::Outcome, plan::Plan},
    system::System,
};

/// The smallest plan so far, and the means to find a smaller one.
pub(super) struct Search<S: System, R, P> {
    pub best: Plan<S>,
    pub outcome: Outcome<S>,
    pub aim: Aim<S>,
    pub runs: u64,
    pub ended: Option<Ended>,
    /// How many other seeds are tried for each candidate.
    pub seeds: u64,
    runs_max: u64,
    jobs: usize,
    deadline: Instant,
    /// Candidates that were tried and do not fail alike.
    tried: BTreeSet<u64>,
    /// What was the smallest once, whatever its seed: nothing comes back, so the search ends.
    adopted: BTreeSet<u64>,
    run: R,
    progress: P,
}

/// A change of a plan.
pub(super) type Edit<S> = Box<dyn Fn(&mut Plan<S>)>;

/// Ways to change one value of a plan, the simplest result first.
pub(super) type Knob<S> = Vec<Edit<S>>;

impl<S, R, P> Search<S, R, P>
where
    S: System,
    R: Fn(&Plan<S>) -> Outcome<S> + Sync,
    P: FnMut(&Progress),
{
    pub fn new(
        best: Plan<S>,
        outcome: Outcome<S>,
        aim: Aim<S>,
        options: &Options,
        run: R,
        progress: P,
    ) -> Self {
        let adopted = [name(&Plan { seed: 0, ..best.clone() })].into();
        Self {
            adopted,
            best,
            outcome,
            aim,
            runs: 1,
            ended: None,
            seeds: 0,
            runs_max: options.runs_max,
            jobs: options.jobs.max(1),
            deadline: Instant::now() + options.time_max,
            tried: BTreeSet::new(),
            run,
            progress,
        }
    }

    /// Delta debugging over the parts of a plan: `count` says how many there are, `with` keeps some.
    pub fn subset(
        &mut self,
        pass: &'static str,
        count: impl Fn(&Plan<S>) -> usize,
        with: impl Fn(&Plan<S>, &[usize]) -> Plan<S>,
    ) {
        self.subset_of(pass, self.best.clone(), count, with);
    }

    /// Delta debugging over the parts of `whole`, another form of the smallest plan that does the same.
    pub fn subset_of(
        &mut self,
        pass: &'static str,
        whole: Plan<S>,
        count: impl Fn(&Plan<S>) -> usize,
        with: impl Fn(&Plan<S>, &[usize]) -> Plan<S>,
    ) {
        ddmin(count(&whole), |subsets| {
            self.first(pass, subsets.iter().map(|kept| with(&whole, kept)).collect())
        });
    }

    /// Adopts the first of some alternatives to the whole plan, again and again.
    pub fn each(&mut self, pass: &'static str, alternatives: impl Fn(&Plan<S>, &Outcome<S>) -> Vec<Plan<S>>) {
        while self.first(pass, alternatives(&self.best, &self.outcome)).is_some() {}
    }

    /// Turns each knob of a plan once. Turning one must not change how many there are.
    pub fn knobs(&mut self, pass: &'static str, knobs: impl Fn(&Plan<S>) -> Vec<Knob<S>>) {
        let mut current = knobs(&self.best);
        for place in 0..current.len() {
            let Some(knob) = current.get(place).filter(|_| self.ended.is_none()) else { return };
            let edited = knob.iter().map(|edit| {
                let mut edited = self.best.clone();
                edit(&mut edited);
                edited
            });
            let edited = edited.collect();
            if self.first(pass, edited).is_some() {
                current = knobs(&self.best);
            }
        }
    }

    /// Adopts the first candidate, in their order, that fails alike, and returns its place.
    fn first(&mut self, pass: &'static str, candidates: Vec<Plan<S>>) -> Option<usize> {
        let each = self.seeds + 1;
        let mut numbered = Vec::new();
        for (place, mut candidate) in candidates.into_iter().enumerate() {
            candidate.seed = 0;
            if self.adopted.contains(&name(&candidate)) {
                continue;
            }
            for other in 0..each {
                // Counted on from the current one: what was found with a seed is likely to go on with it.
                let seed = self.best.seed.wrapping_add(other);
                let candidate = Plan { seed, ..candidate.clone() };
                let name = name(&candidate);
                if !self.tried.contains(&name) {
                    numbered.push((place, name, candidate));
                }
            }
        }
        let left = self.runs_max.saturating_sub(self.runs);
        if (numbered.len() as u64) > left {
            numbered.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            self.ended.get_or_insert(Ended::Runs);
        }
        if numbered.is_empty() || Instant::now() >= self.deadline {
            if !numbered.is_empty() {
                self.ended = Some(Ended::Time);
            }
            return None;
        }
        (self.progress)(&Progress { pass, runs: self.runs, size: Size::of(&self.best) });
        let found = self.run_in_order(&numbered);
        let run = found.as_ref().map_or(numbered.len(), |(index, _)| index + 1);
        self.runs += run as u64;
        self.tried.extend(numbered[..run].iter().map(|(_, name, _)| *name));
        let (index, outcome) = found?;
        let (place, _, candidate) = numbered.swap_remove(index);
        self.adopted.insert(name(&Plan { seed: 0, ..candidate.clone() }));
        (self.best, self.outcome) = (candidate, outcome);
        Some(place)
    }

    /// The first candidate that fails alike, with its outcome. The time limit ends the search early.
    fn run_in_order(&mut self, candidates: &[(usize, u64, Plan<S>)]) -> Option<(usize, Outcome<S>)> {
        let (next, first) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        let (run, aim, deadline) = (&self.run, &self.aim, self.deadline);
        let worker = || {
            let mut found = None;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= candidates.len().min(first.load(Ordering::Relaxed)) || Instant::now() >= deadline
                {
                    return found;
                }
                let outcome = run(&candidates[index].2);
                if aim.is_met(&outcome) {
                    first.fetch_min(index, Ordering::Relaxed);
                    // A worker takes ever larger numbers: its first find is its smallest.
                    found.get_or_insert((index, outcome));
                }
            }
        };
        let found = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.min(candidates.len())).map(|_| scope.spawn(worker)).collect();
            let finds = workers.into_iter().filter_map(|worker| worker.join().expect("a run does not panic"));
            finds.min_by_key(|(index, _)| *index)
        });
        if Instant::now() >= deadline {
            self.ended = Some(Ended::Time);
        }
        found
    }
}

/// Stands for the content of a plan.
fn name<S: System>(plan: &Plan<S>) -> u64 {
    stable_hash(plan)
}
