//! Sets that only grow, decided without a search.
//!
//! Let nothing be removed, let no element be added twice, and let none be there at the beginning. Then the
//! reads tell an order: of two reads, one saw all that the other saw. Sort them by what they saw. An element
//! takes effect after the last read that did not see it and before the first that did; an element that no
//! read saw, after all of them. So the history falls into groups, each one after the other: the elements
//! first seen by some reads, then these reads, and so on. It is linearizable if and only if no operation
//! returned before one of an earlier group was called, since inside a group the order is free. An addition of
//! unknown outcome that no read saw is left out.

use std::collections::BTreeSet;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{Action, Input, Output};
use crate::history::Operation;
use crate::model::Decision;
use crate::verdict::{Reason, Violation};

/// What a read saw.
type Seen<'a> = &'a BTreeSet<Bytes>;

/// A part of a history, taken apart.
struct Growth<'a> {
    operations: &'a [Operation<Input, Output>],
    /// Who adds each element.
    added: FxHashMap<&'a Bytes, u32>,
    /// By what they saw, the least first.
    reads: Vec<(Seen<'a>, u32)>,
}

/// Decides a part, or leaves it to the search.
pub(super) fn decide(operations: &[Operation<Input, Output>], part: &[u32]) -> Decision {
    let Some(growth) = Growth::of(operations, part) else { return Decision::Open(0) };
    growth.decide().unwrap_or_else(Decision::Violation)
}

impl<'a> Growth<'a> {
    fn of(operations: &'a [Operation<Input, Output>], part: &[u32]) -> Option<Self> {
        let mut growth = Growth { operations, added: FxHashMap::default(), reads: Vec::new() };
        for &index in part {
            let operation = &operations[index as usize];
            match (&operation.input.action, operation.output()) {
                (Action::Add(item), None | Some(Output::Done)) => {
                    if growth.added.insert(item, index).is_some() {
                        return None;
                    }
                }
                (Action::Read, Some(Output::Items(items))) => growth.reads.push((items, index)),
                (Action::Read, None) => {}
                _ => return None,
            }
        }
        growth.reads.sort_by_key(|(items, index)| (items.len(), *index));
        Some(growth)
    }

    fn at(&self, index: u32) -> &'a Operation<Input, Output> {
        &self.operations[index as usize]
    }

    fn decide(&self) -> Result<Decision, Box<Violation>> {
        let mut ordered = self.ranked()?;
        ordered.sort_by_key(|&(rank, index)| (rank, self.at(index).call));
        // The latest called of all earlier groups.
        let mut latest: Option<u32> = None;
        for group in ordered.chunk_by(|one, other| one.0 == other.0) {
            if let Some(latest) = latest
                && let Some(&(_, early)) =
                    group.iter().find(|(_, index)| self.at(*index).precedes(self.at(latest)))
            {
                return Err(self.wrong_order(latest, early));
            }
            let last = group.last().map(|&(_, index)| index);
            latest = latest.into_iter().chain(last).max_by_key(|&index| self.at(index).call);
        }
        Ok(Decision::Linearizable(ordered.into_iter().map(|(_, index)| index).collect()))
    }

    /// The operations with the numbers of their groups.
    fn ranked(&self) -> Result<Vec<(usize, u32)>, Box<Violation>> {
        let empty = BTreeSet::new();
        let mut ranked = Vec::with_capacity(self.added.len() + self.reads.len());
        let mut before: (Seen<'_>, Option<u32>) = (&empty, None);
        let mut rank = 0;
        for &(items, read) in &self.reads {
            if items != before.0 {
                rank += 2;
            }
            if let (false, (_, Some(other))) = (before.0.is_subset(items), before) {
                return Err(self.violation(
                    vec![other, read],
                    Reason::Forked { one: other as usize, other: read as usize },
                ));
            }
            for item in items.iter().filter(|item| !before.0.contains(*item)) {
                let Some(&addition) = self.added.get(item) else {
                    return Err(self.violation(vec![read], Reason::NeverWritten { read: read as usize }));
                };
                ranked.push((rank, addition));
            }
            ranked.push((rank + 1, read));
            before = (items, Some(read));
        }
        let unseen = self
            .added
            .iter()
            .filter(|(item, index)| !before.0.contains(**item) && self.at(**index).output().is_some());
        ranked.extend(unseen.map(|(_, &index)| (rank + 2, index)));
        // The table of additions has no order.
        ranked.sort_unstable();
        Ok(ranked)
    }

    /// The reads tell that `earlier` comes before `later`, the clock tells otherwise.
    fn wrong_order(&self, earlier: u32, later: u32) -> Box<Violation> {
        let mut named = vec![earlier, later];
        if let (Action::Add(item), Action::Add(_)) =
            (&self.at(earlier).input.action, &self.at(later).input.action)
        {
            // The first read that saw the one did not see the other.
            named.extend(self.reads.iter().find(|(items, _)| items.contains(item)).map(|&(_, read)| read));
        }
        self.violation(named, Reason::WrongOrder { earlier: earlier as usize, later: later as usize })
    }

    fn violation(&self, mut named: Vec<u32>, reason: Reason) -> Box<Violation> {
        named.sort_unstable();
        let saw = named.iter().filter_map(|&index| match self.at(index).output() {
            Some(Output::Items(items)) => Some(items),
            _ => None,
        });
        let support = saw.flatten().filter_map(|item| self.added.get(item).copied());
        let mut support: Vec<usize> =
            support.filter(|index| !named.contains(index)).map(|index| index as usize).collect();
        support.sort_unstable();
        support.dedup();
        Box::new(Violation {
            key: self.at(named[0]).input.key.to_vec(),
            operations: named.iter().map(|&index| index as usize).collect(),
            support,
            sentence: super::sentence(self.operations, &reason),
            reason,
        })
    }
}

/// Why some operations contradict each other.
pub(super) fn sentence<'a>(
    reason: &Reason,
    action: impl Fn(usize) -> &'a Action,
    say: impl Fn(usize) -> String,
) -> String {
    match reason {
        Reason::NeverWritten { read } => match action(*read) {
            Action::Dequeue | Action::Drain { .. } => {
                format!("{} took an item that was never added", say(*read))
            }
            _ => format!("{} saw an element that was never added", say(*read)),
        },
        Reason::SeenTwice { reads, write } => {
            let takers: Vec<String> = reads.iter().map(|&read| say(read)).collect();
            format!("{} both took what {} added once", takers.join(" and "), say(*write))
        }
        Reason::FromTheFuture { read, write } => {
            format!("{} took what {}, only called afterwards, added", say(*read), say(*write))
        }
        Reason::Forked { one, other } => {
            format!("{} and {} each saw an element that the other did not see", say(*one), say(*other))
        }
        Reason::WrongOrder { earlier, later } => match (action(*earlier), action(*later)) {
            (Action::Read, Action::Add(_)) => {
                format!("{} did not see {}, which had returned before", say(*earlier), say(*later))
            }
            (Action::Add(_), Action::Read) => {
                format!("{} saw {}, which was only called afterwards", say(*later), say(*earlier))
            }
            (Action::Enqueue(_), Action::Enqueue(_)) => format!(
                "the item of {} was taken first, but {} had returned before the other was called",
                say(*earlier),
                say(*later)
            ),
            (Action::Read, Action::Read) => {
                format!("{} saw less than {}, which had returned before", say(*earlier), say(*later))
            }
            _ => format!(
                "a read saw {} and did not see {}, which had returned before the other was called",
                say(*earlier),
                say(*later)
            ),
        },
        Reason::NoOrder { placed, stuck } => {
            format!(
                "no order explains every answer: after at most {placed} operations, {} is stuck",
                say(*stuck)
            )
        }
        other => format!("{other:?}"),
    }
}
