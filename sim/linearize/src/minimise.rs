//! Making a contradiction small.
//!
//! A search ends with a long list of operations that no order explains. Leaving some out keeps the proof only under one
//! condition: whatever saw a value stays together with everything that may have written it ([`Model::support`]).
//! A linearization of the whole history, restricted to such a **closed** set, is a linearization of the set; so a
//! closed set that has none is a contradiction in the whole. The loop below removes halves, quarters and so on down to
//! single operations, together with what loses its support, as long as the rest is still contradictory.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::prepare;
use crate::history::Operation;
use crate::model::{Decision, Model};
use crate::search::Progress;
use crate::verdict::{Options, Reason, Violation};

/// Operations times trials that one contradiction may cost.
const EFFORT: usize = 4_000_000;
/// Configurations one trial may cost.
const TRIAL_CONFIGURATIONS: u64 = 20_000;
const TRIAL_BYTES: u64 = 64 << 20;

/// The report of a search that found no order for `prefix`, a subset of `part`.
pub(crate) fn explain<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    prefix: &[u32],
    stuck: u32,
    placed: usize,
) -> Violation {
    let mut closure = Closure::new(model, operations, part);
    let start = closure.with_support(prefix);
    let set = shrink(model, operations, &mut closure, start, stuck);
    let reason = Reason::NoOrder { placed, stuck: stuck as usize };
    let sentence = format!(
        "no order of operations {} gives each of them its output; the longest order found stops at operation {stuck}",
        list(&set)
    );
    Violation {
        key: model.partition(&operations[part[0] as usize].input).to_vec(),
        operations: set.iter().map(|&index| index as usize).collect(),
        support: Vec::new(),
        reason,
        sentence,
    }
}

/// Names a few operations in a sentence.
pub(crate) fn list(set: &[u32]) -> String {
    let shown: Vec<String> = set.iter().take(8).map(u32::to_string).collect();
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
    known: BTreeMap<u32, Vec<u32>>,
}

impl<'a, M: Model> Closure<'a, M> {
    pub(crate) fn new(
        model: &'a M,
        operations: &'a [Operation<M::Input, M::Output>],
        part: &'a [u32],
    ) -> Self {
        Closure { model, operations, part, known: BTreeMap::new() }
    }

    fn of(&mut self, operation: u32) -> &[u32] {
        let (model, operations, part) = (self.model, self.operations, self.part);
        self.known.entry(operation).or_insert_with(|| model.support(operations, part, operation))
    }

    /// The smallest closed set around `set`, ascending.
    pub(crate) fn with_support(&mut self, set: &[u32]) -> Vec<u32> {
        let mut closed: BTreeSet<u32> = set.iter().copied().collect();
        let mut queue: Vec<u32> = set.to_vec();
        while let Some(operation) = queue.pop() {
            for &needed in self.of(operation) {
                if closed.insert(needed) {
                    queue.push(needed);
                }
            }
        }
        closed.into_iter().collect()
    }

    /// The largest closed set inside `set`.
    fn supported(&mut self, set: Vec<u32>) -> Vec<u32> {
        let mut set = set;
        loop {
            let before = set.len();
            let snapshot = set.clone();
            set.retain(|&operation| {
                self.of(operation).iter().all(|needed| snapshot.binary_search(needed).is_ok())
            });
            if set.len() == before {
                return set;
            }
        }
    }
}

fn shrink<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    closure: &mut Closure<'_, M>,
    start: Vec<u32>,
    stuck: u32,
) -> Vec<u32> {
    let mut set = start;
    let mut effort = EFFORT;
    let mut chunk = set.len().div_ceil(2);
    while chunk > 0 && effort > 0 {
        let mut end = set.len();
        let mut removed = false;
        while end > 0 && effort > 0 {
            let begin = end.saturating_sub(chunk);
            let rest: Vec<u32> = set[..begin].iter().chain(&set[end..]).copied().collect();
            let rest = closure.supported(rest);
            effort = effort.saturating_sub(set.len() + rest.len());
            if is_contradiction(model, operations, &rest) {
                set = rest;
                removed = true;
            }
            end = begin.min(set.len());
        }
        if chunk > 1 {
            chunk /= 2;
        } else if !removed {
            break;
        }
    }
    debug_assert!(effort == 0 || !set.is_empty(), "operation {stuck} was stuck for no reason");
    set
}

fn is_contradiction<M: Model>(model: &M, operations: &[Operation<M::Input, M::Output>], set: &[u32]) -> bool {
    if set.is_empty() {
        return false;
    }
    let options = Options { witness: false, ..Options::default() };
    match model.decide(operations, set, &options) {
        Decision::Violation(_) => true,
        Decision::Linearizable(_) => false,
        Decision::Open => {
            let mut search = prepare(model, operations, set);
            search.run(TRIAL_CONFIGURATIONS, TRIAL_BYTES) == Progress::Illegal
        }
    }
}
