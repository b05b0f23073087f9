//! For each object, such as a key, the order in which its operations took effect.
//!
//! The order is the checker's witness. An operation is drawn at the earliest moment the order allows: its own
//! call, or that of the latest call before it in the order. If there is no order, the
//! longest beginning of the run for which there is one is shown; beginnings of a history that can be
//! explained can be explained, too, so the end of the longest one is found by bisection.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use linearizability::{History, Model, Operation as Judged, Options, Outcome as Ending, Verdict};

use crate::{
    data::outcome::{End, Operation},
    judges::linearizability::nanoseconds,
    system::{StateOf, System},
};

/// Configurations of one object that the checker may visit for a picture.
const CONFIGURATIONS_MAX: u64 = 1_000_000;

/// The operations on an object in the order in which they took effect.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyHistory {
    /// The object's name, as the model calls it.
    pub key: Bytes,
    /// The operations on it, as indexes into the outcome's.
    pub operations: Vec<usize>,
    /// Each that took effect.
    pub order: Vec<Effect>,
    /// If no order explains everything: until when this one does.
    pub until: Option<Duration>,
}

/// An operation that took effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Index into the outcome's operations.
    pub operation: usize,
    /// The earliest moment that the order allows.
    pub at: Duration,
    /// The state of the object afterwards, in words.
    pub state: String,
}

/// The histories of all objects, in the order of their names.
pub fn histories<S: System>(operations: &[Operation<S>]) -> Vec<KeyHistory> {
    let mut keys: BTreeMap<Bytes, Vec<usize>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        keys.entry(S::object(&operation.input)).or_default().push(index);
    }
    keys.into_iter().map(|(key, places)| explain(key, places, operations)).collect()
}

fn explain<S: System>(key: Bytes, places: Vec<usize>, operations: &[Operation<S>]) -> KeyHistory {
    let (order, until) = match witness(&places, operations, Duration::MAX) {
        Some(order) => (order, None),
        None => {
            let mut ends: Vec<Duration> =
                places.iter().filter_map(|place| operations[*place].end.at()).collect();
            ends.sort_unstable();
            ends.insert(0, Duration::ZERO);
            let good = ends.partition_point(|end| witness(&places, operations, *end).is_some());
            let until = ends[good.saturating_sub(1)];
            (witness(&places, operations, until).unwrap_or_default(), Some(until))
        }
    };
    let order = effects(&order, operations, until.unwrap_or(Duration::MAX));
    KeyHistory { key, operations: places, order, until }
}

/// An order of what had happened until a time.
fn witness<S: System>(places: &[usize], operations: &[Operation<S>], until: Duration) -> Option<Vec<usize>> {
    let mut judged: Vec<Judged<S::Input, S::Output>> = Vec::new();
    let mut own = Vec::new();
    for (process, place) in places.iter().enumerate() {
        let operation = &operations[*place];
        let outcome = match (&operation.end, answer(operation, until)) {
            (End::NotExecuted { .. }, _) => continue,
            (_, Some((at, output))) => Ending::Returned { at: nanoseconds(at), output: output.clone() },
            (End::Open | End::Unknown { .. } | End::Returned { .. }, None) => Ending::Unknown,
        };
        if operation.called <= until {
            // Each a process of its own: that a client does one thing after the other is in the times
            // already.
            let (process, call) = (process as u64, nanoseconds(operation.called));
            judged.push(Judged { process, call, input: operation.input.clone(), outcome });
            own.push(*place);
        }
    }
    let history = History::new(judged).ok()?;
    let mut options = Options::default();
    options.budget.configurations = CONFIGURATIONS_MAX;
    match linearizability::check(&S::Model::default(), &history, &options) {
        Verdict::Linearizable { witness } => Some(witness.into_iter().map(|index| own[index]).collect()),
        Verdict::Violation(_) | Verdict::Undecided(_) => None,
    }
}

/// What an operation was told until a time.
fn answer<S: System>(operation: &Operation<S>, until: Duration) -> Option<(Duration, &S::Output)> {
    match &operation.end {
        End::Returned { at, output } if *at <= until => Some((*at, output)),
        _ => None,
    }
}

fn effects<S: System>(order: &[usize], operations: &[Operation<S>], until: Duration) -> Vec<Effect> {
    let model = S::Model::default();
    let mut at = Duration::ZERO;
    let mut state: StateOf<S> = model.init();
    let mut effects = Vec::new();
    for place in order {
        let operation = &operations[*place];
        at = at.max(operation.called);
        let output = answer(operation, until).map(|(_, output)| output);
        if let Some(after) = model.step(&state, &operation.input, output) {
            state = after;
        }
        effects.push(Effect { operation: *place, at, state: S::state(&state) });
    }
    effects
}
