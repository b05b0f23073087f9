//! What the operations of one key can tell apart.
//!
//! A value is **live** if some operation names it, or one that it can grow into by appends: it was read,
//! found by a swap, or expected by one. No operation can tell two values from each other that are not live:
//! reads of them are illegal, swaps fail, and whatever is appended leaves them as they were, dead. So one of
//! them stands for all.
//!
//! A put of a dead value, and an append of something that is part of no live value, do the same from every
//! state: they leave the dead value behind. All of these are one class, however much their values differ.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::fact::{Fact, fact};
use super::{Input, KvOperation, Output};
use crate::model::Lens;
use crate::parts::hash;

/// See [`crate::Model::lens`].
pub(super) fn lens<'a>(operations: &'a [KvOperation], part: &[u32]) -> Lens<'a, Option<Bytes>> {
    let live = Live::new(operations, part);
    let mut numbers: FxHashMap<Class<'_>, u32> = FxHashMap::default();
    let mut classes = Vec::with_capacity(part.len());
    let mut overwrites = Vec::with_capacity(part.len());
    for &index in part {
        let operation = &operations[index as usize];
        let is_dead = live.leaves_dead(fact(operation));
        let class = if is_dead { Class::Dead } else { Class::Exact(&operation.input, operation.output()) };
        let next = numbers.len() as u32;
        classes.push(*numbers.entry(class).or_insert(next));
        let is_blind = matches!(fact(operation), Fact::Write(_) | Fact::Erase { present: false });
        overwrites.push(is_dead || is_blind);
    }
    Lens { classes, overwrites, representative: Box::new(move |state| live.representative(state)) }
}

#[derive(PartialEq, Eq, Hash)]
enum Class<'a> {
    Dead,
    Exact(&'a Input, Option<&'a Output>),
}

/// The values that can still be named.
pub(super) struct Live<'a> {
    /// Values that are named, ascending, of which none begins another if there are appends.
    named: Vec<&'a [u8]>,
    /// Whether values can grow.
    grows: bool,
    /// Hashes of the appended pieces that are part of a named value.
    pieces: FxHashMap<u64, ()>,
    dead: Bytes,
}

impl<'a> Live<'a> {
    pub(super) fn new(operations: &'a [KvOperation], part: &[u32]) -> Self {
        let mut named: Vec<&[u8]> = Vec::new();
        let mut tokens: Vec<&[u8]> = Vec::new();
        for &index in part {
            let operation = &operations[index as usize];
            match fact(operation) {
                Fact::Read(Some(value)) | Fact::Swap { expected: Some(value), .. } => named.push(value),
                Fact::Differs => {
                    if let Input::CompareAndSwap { expected: Some(value), .. } = &operation.input {
                        named.push(value);
                    }
                }
                Fact::Append(token) => tokens.push(token),
                _ => {}
            }
        }
        named.sort_unstable();
        named.dedup();
        // Longer than every named value, so that it is none and begins none.
        let length = named.iter().map(|value| value.len()).max().unwrap_or(0) + 1;
        let grows = !tokens.is_empty();
        if grows {
            let mut maximal: Vec<&[u8]> = Vec::with_capacity(named.len());
            for value in named.into_iter().rev() {
                if !maximal.last().is_some_and(|longer| longer.starts_with(value)) {
                    maximal.push(value);
                }
            }
            maximal.reverse();
            named = maximal;
        }
        let pieces = pieces(&named, tokens);
        Live { named, grows, pieces, dead: vec![0xff; length].into() }
    }

    /// Whether a value is named, or can grow into one that is.
    fn is_live(&self, value: &[u8]) -> bool {
        let place = self.named.partition_point(|named| *named < value);
        let at_least = self.named.get(place);
        at_least.is_some_and(|named| if self.grows { named.starts_with(value) } else { *named == value })
    }

    /// Whether an operation takes effect in every state and leaves a value that is not live.
    pub(super) fn leaves_dead(&self, fact: Fact<'_>) -> bool {
        match fact {
            Fact::Write(value) => !self.is_live(value),
            Fact::Append(token) => !self.pieces.contains_key(&hash(token)),
            _ => false,
        }
    }

    fn representative(&self, state: Option<Bytes>) -> Option<Bytes> {
        state.map(|value| if self.is_live(&value) { value } else { self.dead.clone() })
    }
}

/// Hashes of the tokens that are part of some value. A collision makes a token look like a part; that is the
/// safe side.
fn pieces(values: &[&[u8]], tokens: Vec<&[u8]>) -> FxHashMap<u64, ()> {
    let mut lengths: Vec<usize> = tokens.iter().map(|token| token.len()).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let mut unseen: FxHashMap<u64, ()> = tokens.iter().map(|token| (hash(token), ())).collect();
    let mut pieces = FxHashMap::default();
    for value in values {
        for length in lengths.iter().copied() {
            for piece in value.windows(length.max(1)) {
                if unseen.remove(&hash(piece)).is_some() {
                    pieces.insert(hash(piece), ());
                }
            }
        }
    }
    // The empty token leaves every value as it is, and absence not even that.
    pieces.insert(hash(&[]), ());
    pieces
}
