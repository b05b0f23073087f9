//! Statements about what a value was *not*.
//!
//! A compare-and-swap that failed without saying what it found excludes one value; a delete that found
//! something excludes "absent". The zone rule ignores both, so an order it gives is tried on the store, and
//! each failed swap is put where the value differs from the one it expected.

use bytes::Bytes;

use super::super::fact::{Fact, fact};
use super::super::{Input, Kv, KvOperation};
use super::versions::NEVER;
use crate::model::Model;

/// A failed swap for which an order has no room.
pub(super) struct Unplaced {
    pub(super) refusal: u32,
    /// The operation that left the value which the swap expected, and which was there all the time; `None` if
    /// the key was absent.
    pub(super) left_by: Option<u32>,
}

/// The failed swaps of a key that do not say what they found.
pub(super) fn refusals(operations: &[KvOperation], part: &[u32]) -> Vec<u32> {
    part.iter().copied().filter(|&index| fact(&operations[index as usize]) == Fact::Differs).collect()
}

/// Adds failed swaps to an order of everything else. An error if the order has no room for some, which are
/// told, or is not legal itself; another order may still be.
pub(super) fn place(
    operations: &[KvOperation],
    refusals: &[u32],
    order: Vec<u32>,
) -> Result<Vec<u32>, Vec<Unplaced>> {
    let slots = Slots::new(operations, &order).ok_or_else(Vec::new)?;
    if refusals.is_empty() {
        return Ok(order);
    }
    let mut placed: Vec<Placed> = Vec::with_capacity(refusals.len());
    let mut left = Vec::new();
    for &index in refusals {
        let refusal = Refusal::of(operations, index).ok_or_else(Vec::new)?;
        match slots.as_early(&refusal) {
            Some(slot) => placed.push(Placed { slot, refusal }),
            None => left.push(refusal),
        }
    }
    let mut unplaced = Vec::new();
    for refusal in left {
        match slots.before(&refusal, &placed) {
            Some(slot) => placed.push(Placed { slot, refusal }),
            None => unplaced.push(slots.unplaced(&refusal, &order)),
        }
    }
    if !unplaced.is_empty() {
        return Err(unplaced);
    }
    placed.sort_unstable_by_key(|Placed { slot, refusal }| (*slot, refusal.call, refusal.index));
    let mut placed = placed.into_iter().peekable();
    let mut merged = Vec::with_capacity(order.len() + placed.len());
    for slot in 0..=order.len() {
        if let Some(index) = slot.checked_sub(1) {
            merged.push(order[index]);
        }
        while let Some(Placed { refusal, .. }) = placed.next_if(|placed| placed.slot == slot) {
            merged.push(refusal.index);
        }
    }
    Ok(merged)
}

struct Refusal<'a> {
    index: u32,
    call: u64,
    returned: u64,
    expected: &'a Option<Bytes>,
}

impl<'a> Refusal<'a> {
    fn of(operations: &'a [KvOperation], index: u32) -> Option<Self> {
        let operation = &operations[index as usize];
        let Input::CompareAndSwap { expected, .. } = &operation.input else { return None };
        Some(Refusal { index, call: operation.call, returned: operation.returned_at()?, expected })
    }
}

struct Placed<'a> {
    slot: usize,
    refusal: Refusal<'a>,
}

/// The places in an order: before its first operation, after its first, and so on.
struct Slots {
    states: Vec<Option<Bytes>>,
    /// The latest call of what stands before each slot: when it begins, if everything happens as early as it
    /// can.
    begins: Vec<u64>,
    /// The earliest return of what stands behind it: when it ends, if everything happens as late as it can.
    ends: Vec<u64>,
}

impl Slots {
    /// `None` if the order is not legal.
    fn new(operations: &[KvOperation], order: &[u32]) -> Option<Self> {
        let mut states: Vec<Option<Bytes>> = vec![Kv.init()];
        let mut begins: Vec<u64> = vec![0];
        for &index in order {
            let operation = &operations[index as usize];
            let last = states.len() - 1;
            states.push(Kv.step(&states[last], &operation.input, operation.output())?);
            begins.push(begins[last].max(operation.call));
        }
        let mut ends = vec![NEVER; order.len() + 1];
        for (slot, &index) in order.iter().enumerate().rev() {
            let returned = operations[index as usize].returned_at().unwrap_or(NEVER);
            ends[slot] = ends[slot + 1].min(returned);
        }
        Some(Slots { states, begins, ends })
    }

    /// The slot at a time, if everything happens as early as it can.
    fn at(&self, time: u64) -> usize {
        self.begins.partition_point(|&begin| begin <= time) - 1
    }

    /// A slot for a refusal if everything happens as early as it can: that of its call, or one that begins
    /// before it returns. These do not disturb each other.
    fn as_early(&self, refusal: &Refusal<'_>) -> Option<usize> {
        (self.at(refusal.call)..self.begins.len())
            .take_while(|&slot| self.begins[slot] <= refusal.returned)
            .find(|&slot| self.states[slot] != *refusal.expected)
    }

    /// An earlier slot: what stands behind it then waits for the call of the refusal.
    fn before(&self, refusal: &Refusal<'_>, placed: &[Placed<'_>]) -> Option<usize> {
        (0..self.at(refusal.call)).rev().take_while(|&slot| self.ends[slot] >= refusal.call).find(|&slot| {
            self.states[slot] != *refusal.expected
                && placed.iter().all(|other| match slot.cmp(&other.slot) {
                    std::cmp::Ordering::Less => refusal.call <= other.refusal.returned,
                    std::cmp::Ordering::Equal => true,
                    std::cmp::Ordering::Greater => other.refusal.call <= refusal.returned,
                })
        })
    }

    fn unplaced(&self, refusal: &Refusal<'_>, order: &[u32]) -> Unplaced {
        let mut slot = self.at(refusal.call);
        while slot > 0 && self.states[slot - 1] == self.states[slot] {
            slot -= 1;
        }
        let left_by = refusal.expected.as_ref().and_then(|_| order.get(slot.checked_sub(1)?).copied());
        Unplaced { refusal: refusal.index, left_by }
    }
}
