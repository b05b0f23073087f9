//! Which version an operation saw, when several have the same value.
//!
//! Values that were written more than once, and "absent" once there are deletes, have several versions. Most
//! cannot be meant: those written after the read returned, and those surely overwritten before it was called.
//! A version is surely overwritten before an instant if some write was called after the version's own write
//! returned, and has itself returned before that instant.

use std::collections::BTreeMap;

use super::versions::{INITIAL, NEVER, Versions};

/// The version an operation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// No version it can have seen.
    Missing(Missing),
    /// Only this one.
    One(u32),
    /// Several; this is the one whose write was called last.
    Several(u32),
}

/// Why a value has no version that can have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// All that came in time, `last` being the one that was called last, were overwritten by this one.
    Overwritten { last: u32, by: u32 },
    /// None came in time.
    Later,
}

/// Resolves values to versions.
pub(super) struct Sources {
    /// By first version of the value: all its versions, in the order of their calls.
    groups: BTreeMap<u32, Vec<Candidate>>,
    /// Returns of the writes that surely happened, ascending, each with the latest call up to there and who
    /// made it.
    overwritten: Vec<(u64, (u64, u32))>,
}

struct Candidate {
    version: u32,
    call: u64,
    returned: u64,
    /// The latest return of this candidate and those called before it.
    latest_return: u64,
}

impl Sources {
    /// Looks for values with several versions.
    pub(super) fn new(versions: &Versions<'_>) -> Self {
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &(first, other) in &versions.repeated {
            members.entry(first).or_insert_with(|| vec![first]).push(other);
        }
        if !versions.erasures.is_empty() {
            members.entry(INITIAL).or_insert_with(|| vec![INITIAL]).extend_from_slice(&versions.erasures);
        }
        if members.is_empty() {
            return Sources { groups: BTreeMap::new(), overwritten: Vec::new() };
        }
        let groups = members.into_iter().map(|(first, group)| (first, candidates(versions, group)));
        Sources { groups: groups.collect(), overwritten: overwritten(versions) }
    }

    /// Whether some value has several versions.
    pub(super) fn ambiguous(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The version seen by an operation with these times, given the first version of the value it saw.
    pub(super) fn resolve(&self, first: u32, call: u64, returned: u64) -> Source {
        let Some(group) = self.groups.get(&first) else { return Source::One(first) };
        let ended = self.overwritten.partition_point(|&(returned, _)| returned < call);
        let (gone_before, by) = ended.checked_sub(1).map_or((0, INITIAL), |last| self.overwritten[last].1);
        let called = group.partition_point(|candidate| candidate.call <= returned);
        let mut found = None;
        for candidate in group[..called].iter().rev() {
            if candidate.latest_return < gone_before {
                break;
            }
            if candidate.returned < gone_before {
                continue;
            }
            match found {
                None => found = Some(candidate.version),
                Some(latest) => return Source::Several(latest),
            }
        }
        found.map_or_else(
            || {
                Source::Missing(match group[..called].last() {
                    Some(last) => Missing::Overwritten { last: last.version, by },
                    None => Missing::Later,
                })
            },
            Source::One,
        )
    }
}

fn candidates(versions: &Versions<'_>, mut group: Vec<u32>) -> Vec<Candidate> {
    group.sort_by_key(|&version| versions.list[version as usize].call);
    let mut latest_return = 0;
    let mut candidate = |version: u32| {
        let entry = &versions.list[version as usize];
        latest_return = entry.returned.max(latest_return);
        Candidate { version, call: entry.call, returned: entry.returned, latest_return }
    };
    group.into_iter().map(&mut candidate).collect()
}

fn overwritten(versions: &Versions<'_>) -> Vec<(u64, (u64, u32))> {
    let certain = (0..).zip(&versions.list).filter(|(_, version)| version.returned != NEVER);
    let mut writes: Vec<(u64, (u64, u32))> =
        certain.map(|(number, version)| (version.returned, (version.call, number))).collect();
    writes.sort_unstable();
    let mut latest = (0, INITIAL);
    for (_, called) in &mut writes {
        latest = latest.max(*called);
        *called = latest;
    }
    writes
}
