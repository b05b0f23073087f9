//! Making a contradiction small.
//!
//! A search ends with a long list of operations that no order explains. Leaving some out keeps the proof only
//! under one condition: whatever saw a value stays together with everything that may have written it
//! ([`Model::support`]). A linearization of the whole history, restricted to such a **closed** set, is a
//! linearization of the set; so a closed set that has none is a contradiction in the whole. The loop below
//! removes halves, quarters and so on down to single operations, together with what loses its support, as
//! long as the rest is still contradictory. Observers go first: nothing rests on them, so that most of a long
//! history is gone before any support is looked up.
//!
//! The same condition says that nothing is tried twice: what a set cannot do without, no part of it can. So
//! one pass over single operations makes a set minimal, and observers that the first loop could not remove
//! stay.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::check::prepare;
use crate::history::Operation;
use crate::model::{Decision, Model};
use crate::search::Progress;
use crate::stop::Stop;
use crate::verdict::{Options, Reason, Violation};

/// Operations times trials, with the operations looked at for their support, that one contradiction may cost.
const EFFORT: usize = 10_000_000;
/// What a configuration of a trial counts for among these.
const CONFIGURATION: u64 = 50;
/// Configurations one trial may cost.
const TRIAL_CONFIGURATIONS: u64 = 20_000;
const TRIAL_BYTES: u64 = 64 << 20;

/// Sets up to this size are made minimal even where a direct method already named the operations.
const SMALL: usize = 64;

/// The report of a search that found no order for `prefix`, a subset of `part`.
pub(crate) fn explain<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    prefix: &[u32],
    (stuck, placed): (u32, usize),
    options: &Options,
) -> Violation {
    let trial = trial(options);
    let mut closure = Closure::new(model, operations, part, Stop::of(options));
    let until = operations[stuck as usize].returned_at().unwrap_or(u64::MAX);
    let start = closure.past(prefix, until);
    let set = shrink(model, operations, &mut closure, start, &trial);
    describe(model, operations, &set, (stuck, placed), &trial)
}

/// What an attempt may cost: of a direct method as much as anywhere, until the check ends.
fn trial(options: &Options) -> Options {
    let Options { deadline, cancel, .. } = options.clone();
    Options { witness: false, deadline, cancel, ..Options::default() }
}

/// The report of a contradiction of which a direct method knows only some operations.
pub(crate) fn isolate<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    around: &[u32],
    options: &Options,
) -> Violation {
    let stuck = around.last().or(part.last()).copied().unwrap_or_default();
    let trial = trial(options);
    let mut closure = Closure::new(model, operations, part, Stop::of(options));
    if !options.smallest || closure.stop.reached().is_some() {
        return no_order(model, operations, part, stuck, 0);
    }
    let mut start = closure.with_support(around);
    if !is_contradiction(model, operations, &start, &trial, &mut Effort::new(options)) {
        let times = around.iter().map(|&index| {
            let operation = &operations[index as usize];
            operation.returned_at().unwrap_or(operation.call).max(operation.call)
        });
        let until = times.max().unwrap_or(u64::MAX);
        let prefix: Vec<u32> =
            part.iter().copied().filter(|&index| operations[index as usize].call <= until).collect();
        start = closure.past(&prefix, until);
        if !is_contradiction(model, operations, &start, &trial, &mut Effort::new(options)) {
            start = part.to_vec();
        }
    }
    let set = shrink(model, operations, &mut closure, start, &trial);
    let stuck = around.last().or(set.last()).copied().unwrap_or_default();
    describe(model, operations, &set, (stuck, 0), &trial)
}

/// Makes a complete contradiction minimal if it is small enough.
pub(crate) fn refine<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    violation: Violation,
    options: &Options,
) -> Violation {
    let mut set: Vec<u32> =
        violation.operations.iter().chain(&violation.support).map(|&index| index as u32).collect();
    if set.len() > SMALL {
        return told(model, operations, violation);
    }
    set.sort_unstable();
    let all = set.clone();
    let trial = trial(options);
    let mut closure = Closure::new(model, operations, &all, Stop::of(options));
    let small = shrink(model, operations, &mut closure, set, &trial);
    if small.len() == all.len() {
        told(model, operations, violation)
    } else {
        describe(model, operations, &small, (small[0], 0), &trial)
    }
}

/// A contradiction with what is worth telling of what it rests on.
pub(crate) fn told<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    mut violation: Violation,
) -> Violation {
    if let Some(essential) = model.essential(operations, &violation) {
        violation.support = essential;
        violation.support.retain(|operation| violation.operations.binary_search(operation).is_err());
    }
    violation
}

/// Puts a contradictory set into words: as the direct method does, if it can decide the set alone.
fn describe<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    set: &[u32],
    (stuck, placed): (u32, usize),
    trial: &Options,
) -> Violation {
    let wide = |set: &[u32]| set.iter().map(|&index| index as usize).collect::<Vec<usize>>();
    let found = match model.decide(operations, set, trial) {
        Decision::Violation(violation) | Decision::Proof(violation) => Some(*violation),
        Decision::Contradiction { around, why: Some(why) } => {
            let mut named = wide(&around);
            named.sort_unstable();
            named.dedup();
            let key = model.label(&operations[set[0] as usize].input);
            let (reason, sentence) = *why;
            Some(Violation { key, operations: named, support: Vec::new(), reason, sentence })
        }
        _ => None,
    };
    if let Some(mut violation) = found {
        violation.support = wide(set);
        violation.support.retain(|operation| violation.operations.binary_search(operation).is_err());
        return told(model, operations, violation);
    }
    let (stuck, placed) = alone(model, operations, set).unwrap_or((stuck, placed));
    no_order(model, operations, set, stuck, placed)
}

/// Names a set that a search found to have no order.
pub(crate) fn no_order<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    set: &[u32],
    stuck: u32,
    placed: usize,
) -> Violation {
    let named = |index: &u32| match model.describe(&operations[*index as usize]) {
        Some(did) => format!("{index} ({did})"),
        None => index.to_string(),
    };
    let sentence = format!(
        "no order of operations {} gives each of them its output: at most {placed} of the {} can be placed, \
         and operation {} returned before it fits",
        list(set, named),
        set.len(),
        named(&stuck)
    );
    Violation {
        key: model.label(&operations[set[0] as usize].input),
        operations: set.iter().map(|&index| index as usize).collect(),
        support: Vec::new(),
        reason: Reason::NoOrder { placed, stuck: stuck as usize },
        sentence,
    }
}

/// Where a search of a small set gets stuck.
fn alone<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    set: &[u32],
) -> Option<(u32, usize)> {
    let mut search = prepare(model, operations, set);
    (search.run(TRIAL_CONFIGURATIONS, TRIAL_BYTES) == Progress::Illegal).then(|| search.stuck())
}

/// Names a few operations in a sentence.
fn list(set: &[u32], named: impl Fn(&u32) -> String) -> String {
    let shown: Vec<String> = set.iter().take(8).map(named).collect();
    match set.len() {
        0..=8 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 8),
    }
}

/// Support of each operation, computed once.
pub(crate) struct Closure<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    part: &'a [u32],
    stop: Stop,
    known: FxHashMap<u32, Vec<u32>>,
    /// By operation: whether it is in the set in hand. All false in between.
    present: Vec<bool>,
}

impl<'a, M: Model> Closure<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        operations: &'a [Operation<M::Input, M::Output>],
        part: &'a [u32],
        stop: Stop,
    ) -> Self {
        let present = vec![false; operations.len()];
        Closure { model, operations, part, stop, known: FxHashMap::default(), present }
    }

    fn of(&mut self, operation: u32) -> &[u32] {
        let (model, operations, part) = (self.model, self.operations, self.part);
        self.known.entry(operation).or_insert_with(|| model.support(operations, part, operation))
    }

    /// The smallest closed set around `set`, ascending; if it takes too long, the whole part.
    pub(crate) fn with_support(&mut self, set: &[u32]) -> Vec<u32> {
        let mut closed: BTreeSet<u32> = set.iter().copied().collect();
        let mut queue: Vec<u32> = set.to_vec();
        while let Some(operation) = queue.pop() {
            if self.stop.reached().is_some() {
                return self.part.to_vec();
            }
            for &needed in self.of(operation) {
                if closed.insert(needed) {
                    queue.push(needed);
                }
            }
        }
        closed.into_iter().collect()
    }

    /// A closed set around those of `prefix`, the operations called until some time, that had returned by
    /// then.
    ///
    /// Whatever they saw was written by an operation called before. Observers that returned later go: others
    /// do not need them, and they may need what is called later. What else returned later stays, with its
    /// support.
    fn past(&mut self, prefix: &[u32], until: u64) -> Vec<u32> {
        let (model, operations) = (self.model, self.operations);
        let is_late = |index: &u32| operations[*index as usize].returned_at().is_none_or(|at| at > until);
        let (late, mut past): (Vec<u32>, Vec<u32>) = prefix.iter().partition(|index| is_late(index));
        let late: Vec<u32> = late.into_iter().filter(|&index| !observes(model, operations, index)).collect();
        if late.len().saturating_mul(self.part.len()) > EFFORT {
            return self.part.to_vec();
        }
        past.extend(self.with_support(&late));
        past.sort_unstable();
        past.dedup();
        past
    }

    /// The largest closed set inside `set`; `None` if it takes more than `effort`, which is used up.
    fn supported(&mut self, mut set: Vec<u32>, effort: &mut usize) -> Option<Vec<u32>> {
        set.iter().for_each(|&index| self.present[index as usize] = true);
        let mut lost = Vec::new();
        let supported = loop {
            for &operation in &set {
                let known = self.known.len();
                let support = self
                    .known
                    .entry(operation)
                    .or_insert_with(|| self.model.support(self.operations, self.part, operation));
                let is_supported = support.iter().all(|&needed| self.present[needed as usize]);
                let cost = 1 + support.len() + if self.known.len() > known { self.part.len() } else { 0 };
                *effort = effort.saturating_sub(cost);
                if !is_supported {
                    lost.push(operation);
                }
                if self.known.len() > known && self.stop.reached().is_some() {
                    *effort = 0;
                }
                if *effort == 0 {
                    break;
                }
            }
            if *effort == 0 || lost.is_empty() {
                break *effort > 0;
            }
            lost.drain(..).for_each(|index| self.present[index as usize] = false);
            set.retain(|&index| self.present[index as usize]);
        };
        set.iter().for_each(|&index| self.present[index as usize] = false);
        supported.then_some(set)
    }
}

fn observes<M: Model>(model: &M, operations: &[Operation<M::Input, M::Output>], index: u32) -> bool {
    let operation = &operations[index as usize];
    operation.output().is_some_and(|output| model.observes(&operation.input, output))
}

/// What may still be spent on a contradiction.
struct Effort {
    left: usize,
    /// Whether a trial ended early: that nothing was found then says nothing about smaller sets.
    gave_up: bool,
    stop: Stop,
}

impl Effort {
    fn new(options: &Options) -> Self {
        Effort { left: EFFORT, gave_up: false, stop: Stop::of(options) }
    }

    fn spend(&mut self, cost: usize) {
        let is_over = self.stop.reached().is_some();
        self.left = if is_over { 0 } else { self.left.saturating_sub(cost) };
    }
}

/// A contradictory set made smaller.
fn shrink<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    closure: &mut Closure<'_, M>,
    start: Vec<u32>,
    trial: &Options,
) -> Vec<u32> {
    let mut effort = Effort { left: EFFORT / 2, ..Effort::new(trial) };
    let (mut observers, mut others): (Vec<u32>, Vec<u32>) =
        start.iter().partition(|&&index| observes(model, operations, index));
    remove(&mut observers, &mut effort, |rest, effort| {
        let all = merged(&rest, &others);
        effort.spend(all.len());
        is_contradiction(model, operations, &all, trial, effort).then_some(rest)
    });
    // Those that are not known to be needed are tried again among the rest.
    if effort.gave_up || effort.left == 0 {
        others = merged(&std::mem::take(&mut observers), &others);
    }
    effort.left += EFFORT / 2;
    remove(&mut others, &mut effort, |rest, effort| {
        let all = closure.supported(merged(&rest, &observers), &mut effort.left)?;
        effort.spend(all.len());
        let (kept, rest): (Vec<u32>, _) =
            all.iter().partition(|index| observers.binary_search(index).is_ok());
        let is_smaller =
            kept.len() == observers.len() && is_contradiction(model, operations, &all, trial, effort);
        is_smaller.then_some(rest)
    });
    merged(&observers, &others)
}

fn merged(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all
}

/// Removes halves, quarters and so on, as long as `try_with` accepts the rest, perhaps smaller still.
fn remove(
    set: &mut Vec<u32>,
    effort: &mut Effort,
    mut try_with: impl FnMut(Vec<u32>, &mut Effort) -> Option<Vec<u32>>,
) {
    let mut chunk = set.len().div_ceil(2);
    while chunk > 0 && effort.left > 0 {
        let mut end = set.len();
        let mut removed = false;
        while end > 0 && effort.left > 0 {
            let begin = end.saturating_sub(chunk);
            let rest: Vec<u32> = set[..begin].iter().chain(&set[end..]).copied().collect();
            effort.spend(set.len());
            if let Some(smaller) = try_with(rest, effort) {
                *set = smaller;
                removed = true;
            }
            end = begin.min(set.len());
        }
        if chunk > 1 {
            chunk /= 2;
        } else if !(removed && effort.gave_up) {
            break;
        }
    }
}

fn is_contradiction<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    set: &[u32],
    trial: &Options,
    effort: &mut Effort,
) -> bool {
    if set.is_empty() {
        return false;
    }
    match model.decide(operations, set, trial) {
        decision if decision.is_contradiction() => true,
        Decision::Open(visited) => {
            let mut search = prepare(model, operations, set).until(effort.stop.clone());
            let progress = search.run(TRIAL_CONFIGURATIONS, TRIAL_BYTES);
            effort.spend(((visited + search.configurations()) * CONFIGURATION) as usize);
            effort.gave_up |= progress == Progress::Paused;
            progress == Progress::Illegal
        }
        _ => false,
    }
}
