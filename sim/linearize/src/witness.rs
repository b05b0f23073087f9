//! Linearizations: from orders of single objects to one of the whole history, and back to a proof.
//!
//! Each operation of an order gets the earliest **point** its place allows: its own call, or the point of the
//! operation before it if that is later. If every point lies before the operation's return, the order
//! respects the clock, and orders of independent objects merge by their points (the proof of locality, run as
//! a program).

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{History, Operation};
use crate::model::Model;

/// Merges orders of independent objects by their earliest points.
///
/// A point is always the call of some operation, so it is counted by that operation's rank in the order of
/// calls: the cost is linear if the history lists operations in that order, as most do.
pub(crate) fn merge<I, O>(operations: &[Operation<I, O>], orders: &[Vec<u32>]) -> Vec<usize> {
    if let [order] = orders {
        return order.iter().map(|&index| index as usize).collect();
    }
    let ranks = ranks(operations);
    let rank = |index: u32| ranks.as_ref().map_or(index, |ranks| ranks[index as usize]);
    // How many operations have their point at or before a rank; then, where the next one of that point goes.
    let mut places = vec![0u32; operations.len() + 1];
    for order in orders {
        let mut point = 0;
        for &index in order {
            point = point.max(rank(index));
            places[point as usize + 1] += 1;
        }
    }
    for point in 1..places.len() {
        places[point] += places[point - 1];
    }
    let mut merged = vec![0; orders.iter().map(Vec::len).sum()];
    for order in orders {
        let mut point = 0;
        for &index in order {
            point = point.max(rank(index));
            let place = &mut places[point as usize];
            merged[*place as usize] = index as usize;
            *place += 1;
        }
    }
    merged
}

/// The place of each operation in the order of calls; `None` if they are listed in that order.
fn ranks<I, O>(operations: &[Operation<I, O>]) -> Option<Vec<u32>> {
    if operations.is_sorted_by_key(|operation| operation.call) {
        return None;
    }
    let mut by_call: Vec<u32> = (0..operations.len() as u32).collect();
    by_call.sort_by_key(|&index| operations[index as usize].call);
    let mut ranks = vec![0; operations.len()];
    by_call.into_iter().enumerate().for_each(|(rank, index)| ranks[index as usize] = rank as u32);
    Some(ranks)
}

/// Why an order is not a linearization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refutation {
    /// The order names an operation that does not exist, or one twice.
    NotAnOrder(usize),
    /// An operation that returned is missing.
    Missing(usize),
    /// The first returned before the second was called, but stands after it.
    AgainstTheClock {
        /// Stands later in the order.
        first: usize,
        /// Stands earlier in the order.
        second: usize,
    },
    /// The operation's output is not the one the object gives at this place.
    Illegal(usize),
}

impl fmt::Display for Refutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refutation::NotAnOrder(index) => write!(f, "operation {index} is unknown or listed twice"),
            Refutation::Missing(index) => write!(f, "operation {index} returned but is not in the order"),
            Refutation::AgainstTheClock { first, second } => {
                write!(f, "operation {first} returned before {second} was called, but stands after it")
            }
            Refutation::Illegal(index) => write!(f, "operation {index} cannot give its output at its place"),
        }
    }
}

impl std::error::Error for Refutation {}

/// Replays an order on the model: proof that a history is linearizable, in linear time.
pub fn replay<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    order: &[usize],
) -> Result<(), Refutation> {
    let operations = history.operations();
    let mut listed = vec![false; operations.len()];
    let mut states: BTreeMap<M::Key<'_>, M::State> = BTreeMap::new();
    let mut latest: Option<usize> = None;
    for &index in order {
        if index >= operations.len() || std::mem::replace(&mut listed[index], true) {
            return Err(Refutation::NotAnOrder(index));
        }
        let operation = &operations[index];
        in_time(operations, &mut latest, index)?;
        let state = states.entry(model.partition(&operation.input)).or_insert_with(|| model.init());
        *state = model.step(state, &operation.input, operation.output()).ok_or(Refutation::Illegal(index))?;
    }
    let missing = (0..operations.len()).find(|&index| !listed[index] && operations[index].output().is_some());
    missing.map_or(Ok(()), |index| Err(Refutation::Missing(index)))
}

/// Whether an order of one independent object's operations is a linearization of them. It lists none twice.
pub(crate) fn stands<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    order: &[u32],
) -> bool {
    let is_answered = |index: &&u32| operations[**index as usize].output().is_some();
    if part.iter().filter(is_answered).count() != order.iter().filter(is_answered).count() {
        return false;
    }
    let mut state = model.init();
    let mut latest: Option<usize> = None;
    order.iter().all(|&index| {
        let operation = &operations[index as usize];
        let next = in_time(operations, &mut latest, index as usize)
            .ok()
            .and_then(|()| model.step(&state, &operation.input, operation.output()));
        next.map(|next| state = next).is_some()
    })
}

/// Whether the next operation of an order did not return before one that stands earlier was called. `latest`
/// is the one of them that was called last.
fn in_time<I, O>(
    operations: &[Operation<I, O>],
    latest: &mut Option<usize>,
    index: usize,
) -> Result<(), Refutation> {
    let operation = &operations[index];
    if latest.is_none_or(|latest| operations[latest].call < operation.call) {
        *latest = Some(index);
    }
    match *latest {
        Some(second) if operation.precedes(&operations[second]) => {
            Err(Refutation::AgainstTheClock { first: index, second })
        }
        _ => Ok(()),
    }
}
