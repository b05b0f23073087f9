//! What there is to tell of a fork: two operations that continue one value in two ways.
//!
//! As a history of its own, a fork needs whatever led to that value, and that can be hundreds of operations.
//! None of them matters. Only what wrote the value does, and what shows that an operation of unknown outcome
//! took place. Of two lists of appends it is the first difference between them.

use bytes::Bytes;

use super::KvOperation;
use super::fact::{Fact, fact};

/// Of the operations `within`, those that say something about the fork of `one` and `other`. `None` if all
/// do.
pub(super) fn essential(
    operations: &[KvOperation],
    within: &[usize],
    one: usize,
    other: usize,
) -> Option<Vec<usize>> {
    let of = |index: usize| fact(&operations[index]);
    let from = match (of(one), of(other)) {
        (Fact::Swap { expected: from, .. }, Fact::Swap { expected: same, .. }) if from == same => from,
        (Fact::Read(Some(_)) | Fact::Swap { .. }, Fact::Read(Some(_)) | Fact::Swap { .. }) => {
            let is_known = [one, other].iter().all(|&index| operations[index].output().is_some());
            return is_known.then(|| parting(operations, within, one, other));
        }
        _ => return None,
    };
    let whole = |&&index: &&usize| matches!(of(index), Fact::Write(new) | Fact::Swap { new, .. } if Some(new) == from);
    let last = |&&index: &&usize| matches!(of(index), Fact::Append(token) if from.is_some_and(|from| from.ends_with(token)));
    let wrote = within.iter().find(whole).or_else(|| within.iter().rfind(last));
    let mut told: Vec<usize> = wrote.into_iter().copied().collect();
    for swap in [one, other].into_iter().filter(|&swap| operations[swap].output().is_none()) {
        let Fact::Swap { new, .. } = of(swap) else { return None };
        let shows = |&&index: &&usize| match of(index) {
            Fact::Read(Some(seen)) | Fact::Swap { expected: Some(seen), .. } => {
                seen.starts_with(new) && operations[index].output().is_some()
            }
            _ => false,
        };
        told.push(*within.iter().find(shows)?);
    }
    told.sort_unstable();
    told.dedup();
    Some(told)
}

/// The appends that made the first difference between what two operations saw.
fn parting(operations: &[KvOperation], within: &[usize], one: usize, other: usize) -> Vec<usize> {
    let value = |index: usize| match fact(&operations[index]) {
        Fact::Read(value) | Fact::Swap { expected: value, .. } => value.map_or(&[][..], Bytes::as_ref),
        _ => &[],
    };
    let values = [value(one), value(other)];
    let common = values[0].iter().zip(values[1]).take_while(|(one, other)| one == other).count();
    let made = |&index: &usize| {
        let Fact::Append(token) = fact(&operations[index]) else { return false };
        // It covers the first byte that differs, in one of the two.
        (common.saturating_sub(token.len().saturating_sub(1))..=common)
            .any(|begin| values.iter().any(|value| value[begin.min(value.len())..].starts_with(token)))
    };
    within.iter().copied().filter(made).collect()
}
