//! For each key, the order in which its operations took effect.
//!
//! The order is the checker's witness. An operation is drawn at the earliest moment the order allows: its own
//! call, or that of the latest call before it in the order. If there is no order, the
//! longest beginning of the run for which there is one is shown; beginnings of a history that can be
//! explained can be explained, too, so the end of the longest one is found by bisection.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use linearizability::{History, Operation as Judged, Options, Outcome as Ending, Verdict, kv::Kv};

use crate::{
    data::outcome::{End, Operation},
    judges::history::nanoseconds,
    store::operation::{Input, Output},
};

/// Configurations of one key that the checker may visit for a picture.
const CONFIGURATIONS_MAX: u64 = 1_000_000;

/// The operations of a key in the order in which they took effect.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyHistory {
    /// The key.
    pub key: Bytes,
    /// Each operation, as an index into the outcome's, when it took effect, and the value after it.
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
    /// The value of the key afterwards.
    pub value: Option<Bytes>,
}

/// The histories of all keys, in the order of their names.
pub fn histories(operations: &[Operation]) -> Vec<KeyHistory> {
    let mut keys: BTreeMap<&Bytes, Vec<usize>> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        keys.entry(operation.input.key()).or_default().push(index);
    }
    keys.into_iter().map(|(key, places)| explain(key, &places, operations)).collect()
}

fn explain(key: &Bytes, places: &[usize], operations: &[Operation]) -> KeyHistory {
    let (order, until) = match witness(places, operations, Duration::MAX) {
        Some(order) => (order, None),
        None => {
            let mut ends: Vec<Duration> =
                places.iter().filter_map(|place| operations[*place].end.at()).collect();
            ends.sort_unstable();
            ends.insert(0, Duration::ZERO);
            let good = ends.partition_point(|end| witness(places, operations, *end).is_some());
            let until = ends[good.saturating_sub(1)];
            (witness(places, operations, until).unwrap_or_default(), Some(until))
        }
    };
    KeyHistory { key: key.clone(), order: effects(&order, operations), until }
}

/// An order of what had happened until a time.
fn witness(places: &[usize], operations: &[Operation], until: Duration) -> Option<Vec<usize>> {
    let mut judged: Vec<Judged<Input, Output>> = Vec::new();
    let mut own = Vec::new();
    for (process, place) in places.iter().enumerate() {
        let operation = &operations[*place];
        let outcome = match &operation.end {
            End::NotExecuted { .. } => continue,
            End::Returned { at, output } if *at <= until => {
                Ending::Returned { at: nanoseconds(*at), output: output.clone() }
            }
            End::Open | End::Unknown { .. } | End::Returned { .. } => Ending::Unknown,
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
    match linearizability::check(&Kv, &history, &options) {
        Verdict::Linearizable { witness } => Some(witness.into_iter().map(|index| own[index]).collect()),
        Verdict::Violation(_) | Verdict::Undecided(_) => None,
    }
}

fn effects(order: &[usize], operations: &[Operation]) -> Vec<Effect> {
    let mut at = Duration::ZERO;
    let mut value: Option<Bytes> = None;
    let mut effects = Vec::new();
    for place in order {
        let operation = &operations[*place];
        at = at.max(operation.called);
        value = after(value, operation);
        effects.push(Effect { operation: *place, at, value: value.clone() });
    }
    effects
}

/// The value of a key after an operation.
fn after(before: Option<Bytes>, operation: &Operation) -> Option<Bytes> {
    match &operation.input {
        Input::Get { .. } => before,
        Input::Put { value, .. } => Some(value.clone()),
        Input::Append { value, .. } => Some([before.unwrap_or_default(), value.clone()].concat().into()),
        Input::Delete { .. } => None,
        Input::CompareAndSwap { expected, new, .. } => {
            let swapped = match &operation.end {
                End::Returned { output: Output::Swapped { swapped, .. }, .. } => *swapped,
                _ => before == *expected,
            };
            if swapped { Some(new.clone()) } else { before }
        }
    }
}
