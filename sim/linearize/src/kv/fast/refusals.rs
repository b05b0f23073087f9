//! Statements about what a value was *not*.
//!
//! A compare-and-swap that failed without saying what it found excludes one value; a delete that found something
//! excludes "absent". The zone rule ignores both, so an order it gives is tried on the store, and each failed swap is
//! put where the value differs from the one it expected.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::fact::{Fact, fact};
use super::super::{Input, Kv, KvOperation};
use crate::model::Model;

/// Adds the failed swaps to an order of everything else, and perhaps of some of them. `None` if the order does not allow them, or is not legal
/// itself; another order may still be.
pub(super) fn place(operations: &[KvOperation], part: &[u32], order: Vec<u32>) -> Option<Vec<u32>> {
    let mut states: Vec<Option<Bytes>> = vec![Kv.init()];
    let mut points: Vec<u64> = vec![0];
    for &index in &order {
        let operation = &operations[index as usize];
        let last = states.len() - 1;
        states.push(Kv.step(&states[last], &operation.input, operation.output())?);
        points.push(points[last].max(operation.call));
    }
    let mut placed: Vec<(usize, u64, u32)> = Vec::new();
    let differs = |index: &u32| fact(&operations[*index as usize]) == Fact::Differs;
    let known: BTreeSet<u32> = order.iter().copied().filter(differs).collect();
    for &index in part.iter().filter(|index| differs(index) && !known.contains(index)) {
        let operation = &operations[index as usize];
        let at = operation.returned_at()?;
        let Input::CompareAndSwap { expected, .. } = &operation.input else { return None };
        // The state at the call, then each one that follows before the return.
        let first = points.partition_point(|&point| point <= operation.call) - 1;
        let place = (first..points.len())
            .take_while(|&place| points[place] <= at)
            .find(|&place| states[place] != *expected)?;
        placed.push((place, points[place].max(operation.call), index));
    }
    if placed.is_empty() {
        return Some(order);
    }
    placed.sort_unstable();
    let mut placed = placed.into_iter().peekable();
    let mut merged = Vec::with_capacity(order.len() + placed.len());
    for place in 0..points.len() {
        if let Some(index) = place.checked_sub(1) {
            merged.push(order[index]);
        }
        while let Some((_, _, index)) = placed.next_if(|&(at, _, _)| at == place) {
            merged.push(index);
        }
    }
    Some(merged)
}
