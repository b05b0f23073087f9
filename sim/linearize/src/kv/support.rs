//! Which operations may have written what another one saw.

use bytes::Bytes;

use super::fact::{Fact, fact};
use super::{Kv, KvOperation};
use crate::minimise;
use crate::stop::Stop;

/// See [`crate::Model::support`].
///
/// A value seen needs every operation that can write it or a piece of it. A value that was *not* there, like
/// any statement about an unnamed value, needs every operation that changes the state.
pub(super) fn support(operations: &[KvOperation], part: &[u32], operation: u32) -> Vec<u32> {
    let own = &operations[operation as usize];
    let value = match fact(own) {
        Fact::Nothing | Fact::Impossible | Fact::Write(_) | Fact::Append(_) => return Vec::new(),
        Fact::Erase { present: false } => return Vec::new(),
        Fact::Read(value) | Fact::Swap { expected: value, .. } => Some(value),
        Fact::Differs | Fact::Erase { present: true } => None,
    };
    let is_append = |&other: &u32| matches!(fact(&operations[other as usize]), Fact::Append(_));
    let appends = value.is_some() && part.iter().any(is_append);
    let may_write = |other: &KvOperation| {
        let fact = fact(other);
        fact.changes() && value.is_none_or(|value| may_contribute(fact, value, appends))
    };
    part.iter()
        .copied()
        .filter(|&other| other != operation && may_write(&operations[other as usize]))
        .filter(|&other| !own.precedes(&operations[other as usize]))
        .collect()
}

/// Whether a change can have written `value` or, with appends about, a piece of it.
fn may_contribute(change: Fact<'_>, value: Option<&Bytes>, appends: bool) -> bool {
    match (change, value) {
        (Fact::Erase { .. }, value) => value.is_none() || appends,
        (_, None) => false,
        (Fact::Write(written) | Fact::Swap { new: written, .. }, Some(value)) => {
            if appends {
                value.starts_with(written)
            } else {
                value == written
            }
        }
        (Fact::Append(token), Some(value)) => contains(value, token),
        _ => false,
    }
}

/// See [`crate::Model::may_enable`]: whether a change can be the one that leaves what another operation
/// needs.
pub(super) fn may_enable(change: Fact<'_>, waiting: Fact<'_>) -> bool {
    let value = match waiting {
        Fact::Read(value) | Fact::Swap { expected: value, .. } => value,
        Fact::Differs => return change.changes(),
        Fact::Erase { present: true } => return change.changes() && !matches!(change, Fact::Erase { .. }),
        // Legal always, or never.
        Fact::Nothing | Fact::Impossible | Fact::Write(_) | Fact::Append(_) | Fact::Erase { .. } => {
            return true;
        }
    };
    match (change, value) {
        (Fact::Erase { .. }, value) => value.is_none(),
        (Fact::Write(written) | Fact::Swap { new: written, .. }, Some(value)) => written == value,
        (Fact::Append(token), Some(value)) => value.ends_with(token),
        _ => false,
    }
}

fn contains(text: &[u8], piece: &[u8]) -> bool {
    memchr::memmem::find(text, piece).is_some()
}

/// Everything that a set of operations rests on, with the set itself.
pub(super) fn closure(operations: &[KvOperation], part: &[u32], set: &[u32]) -> Vec<u32> {
    minimise::Closure::new(&Kv, operations, part, Stop::default()).with_support(set)
}

/// See [`crate::Model::unobserved`].
///
/// An unanswered read is never observed. An unanswered change is not if nothing that was called could tell it
/// from silence: no statement about an unnamed value, and no value that it may have contributed to.
pub(super) fn unobserved(operations: &[KvOperation], part: &[u32]) -> Vec<u32> {
    let facts = || part.iter().map(|&index| (index, fact(&operations[index as usize])));
    let mut seen = Vec::new();
    let mut negative = false;
    let mut appends = false;
    for (_, fact) in facts() {
        match fact {
            Fact::Nothing | Fact::Impossible | Fact::Write(_) | Fact::Erase { present: false } => {}
            Fact::Append(_) => appends = true,
            Fact::Read(value) | Fact::Swap { expected: value, .. } => seen.push(value),
            Fact::Differs | Fact::Erase { present: true } => negative = true,
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let is_seen = |change: Fact<'_>| {
        if negative || appends {
            return negative || seen.iter().any(|&value| may_contribute(change, value, true));
        }
        match change {
            Fact::Write(value) | Fact::Swap { new: value, .. } => seen.binary_search(&Some(value)).is_ok(),
            Fact::Erase { .. } => seen.binary_search(&None).is_ok(),
            _ => false,
        }
    };
    facts()
        .filter(|&(index, _)| operations[index as usize].output().is_none())
        .filter(|&(_, fact)| !fact.changes() || !is_seen(fact))
        .map(|(index, _)| index)
        .collect()
}
