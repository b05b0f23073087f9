//! The fast path: one key decided in nearly linear time. The crate's documentation explains the rule.
//!
//! | step | file |
//! | --- | --- |
//! | writes become versions, by value | [`versions`], [`names`] |
//! | reads and swaps find their version | [`sources`] (whole values), [`decode`] (values built by appends) |
//! | linked versions become blocks, checked inside and given zones | [`blocks`] |
//! | zones are laid out on the line of time | [`zones`] |
//! | keys with deletes: when the key was absent | [`presence`] |
//! | what a value was not is checked on the finished order | [`refusals`] |
//! | conflicts become reports | [`report`] |
//! | a growing history forgets what is settled | [`mod@settle`] |

mod blocks;
mod decode;
mod names;
mod presence;
mod refusals;
mod report;
mod settle;
mod sources;
mod versions;
mod zones;

use bytes::Bytes;

use super::fact::{Fact, fact};
use super::{Kv, KvOperation};
use crate::model::{Decision, until_contradiction};
use crate::parts::{Parts, Shard};
use crate::verdict::Options;
use blocks::Conflict;
use decode::Failure;
use names::Recent;
use sources::{Source, Sources};
use versions::{NONE, Read, Versions, call, returned};
use zones::Zones;

pub(super) use settle::{Kept, settle};

/// Histories of so many operations are read in their own order, all keys at once; shorter ones fit into a
/// cache.
const IN_ORDER_FROM: usize = 1 << 15;
/// As long as a key has so many operations on average: the tables of many keys would not fit into a cache
/// themselves.
const IN_ORDER_DENSITY: usize = 16;

/// See [`crate::Model::decide`].
pub(super) fn decide(operations: &[KvOperation], part: &[u32], options: &Options) -> Decision {
    judge_versions(Versions::new(operations, part), part, options)
}

/// See [`crate::Model::decide_all`].
pub(super) fn decide_all(operations: &[KvOperation], options: &Options) -> (Parts, Vec<Decision>) {
    let mut in_order = InOrder::new(operations, operations.len());
    let parts = Parts::new(&Kv, operations, |index, key| in_order.add(index, key));
    let decisions = in_order.decide(parts.iter(), options);
    (parts, decisions)
}

/// See [`crate::Model::decide_shard`].
pub(super) fn decide_shard(
    operations: &[KvOperation],
    shard: &Shard<'_>,
    options: &Options,
) -> Vec<Decision> {
    let mut in_order = InOrder::new(operations, shard.operations());
    if shard.len() > in_order.keys_max {
        return until_contradiction(shard.iter().map(|part| decide(operations, part, options)));
    }
    shard.in_order(|index, key| in_order.add(index, key));
    in_order.decide(shard.iter(), options)
}

/// All keys at once, in the order of the history.
struct InOrder<'a> {
    operations: &'a [KvOperation],
    /// None if there are too many.
    keys: Option<Vec<Versions<'a>>>,
    keys_max: usize,
    recent: Recent,
}

impl<'a> InOrder<'a> {
    /// For keys with so many operations of the history together.
    fn new(operations: &'a [KvOperation], length: usize) -> Self {
        let keys_max = if operations.len() < IN_ORDER_FROM { 0 } else { length / IN_ORDER_DENSITY };
        InOrder { operations, keys: Some(Vec::new()), keys_max, recent: Recent::new(length) }
    }

    /// Adds an operation. Keys are numbered in the order of first appearance.
    #[inline(always)]
    fn add(&mut self, index: u32, key: u32) {
        let Some(keys) = &mut self.keys else { return };
        if key as usize == self.keys_max {
            self.keys = None;
            return;
        }
        if key as usize == keys.len() {
            keys.push(Versions::with_capacity(self.operations, 0));
        }
        keys[key as usize].add(index, key, &mut self.recent);
    }

    /// Decides the keys that were added, or each on its own if there were too many.
    fn decide<'p>(self, parts: impl Iterator<Item = &'p [u32]>, options: &Options) -> Vec<Decision> {
        match self.keys {
            None => until_contradiction(parts.map(|part| decide(self.operations, part, options))),
            Some(keys) => until_contradiction(keys.into_iter().zip(parts).map(|(mut versions, part)| {
                versions.complete();
                judge_versions(versions, part, options)
            })),
        }
    }
}

fn judge_versions(mut versions: Versions<'_>, part: &[u32], options: &Options) -> Decision {
    if let Some(operation) = versions.impossible {
        return report::impossible(versions.operations, operation);
    }
    if !versions.appends.is_empty() {
        return with_appends(&mut versions, part, options);
    }
    let sources = Sources::new(&versions);
    if !sources.ambiguous() {
        return match assign_unique(&mut versions).and_then(|()| judge(&versions)) {
            Ok(zones) => accept(&mut versions, part, &zones, options),
            Err(conflict) => report::violation(&versions, part, conflict),
        };
    }
    let mut attempt = |doubt| {
        let doubts = assign(&mut versions, &sources, doubt)?;
        Ok((doubts, judge(&versions)?))
    };
    let zones = match attempt(Doubt::Skip) {
        Ok((0, zones)) => Ok(zones),
        Ok(_) => attempt(Doubt::Latest).map(|(_, zones)| zones).map_err(|_| ()),
        Err(conflict @ Conflict::Missing { .. }) => return report::violation(&versions, part, conflict),
        Err(_) if versions.repeated.is_empty() => Err(()),
        Err(conflict) => return report::suspicion(&versions, conflict),
    };
    let decision = zones.map_or(Decision::Open(0), |zones| accept_if_legal(&versions, part, &zones));
    if matches!(decision, Decision::Open(_)) && versions.repeated.is_empty() {
        return with_deletes(&mut versions, part, options);
    }
    decision
}

/// Values are unique but for absence. Without deletes, that is a way to look for other orders than that of
/// the zones.
fn with_deletes(versions: &mut Versions<'_>, part: &[u32], options: &Options) -> Decision {
    versions.reset();
    versions.absent_again = true;
    let found = if versions.appends.is_empty() {
        assign_values(versions).map_err(Failure::Conflict)
    } else {
        decode_reads(versions)
    };
    match found {
        Err(Failure::Ambiguous) => Decision::Open(0),
        Err(Failure::Conflict(conflict)) => report::violation(versions, part, conflict),
        Ok(()) => match missing(versions) {
            Some(conflict) => report::violation(versions, part, conflict),
            None => presence::decide(versions, part, options),
        },
    }
}

/// A read of absence that was no longer so, or not yet so again.
fn missing(versions: &Versions<'_>) -> Option<Conflict> {
    let sources = Sources::new(versions);
    versions.reads.iter().filter(|read| read.version == versions::INITIAL).find_map(|read| {
        let operation = &versions.operations[read.operation as usize];
        match sources.resolve(versions::INITIAL, call(operation), returned(operation)) {
            Source::Missing(why) => Some(Conflict::Missing { read: read.operation, why }),
            _ => None,
        }
    })
}

fn with_appends(versions: &mut Versions<'_>, part: &[u32], options: &Options) -> Decision {
    if !versions.repeated.is_empty() {
        return Decision::Open(0);
    }
    if !versions.erasures.is_empty() {
        return with_deletes(versions, part, options);
    }
    match decode_reads(versions) {
        Err(Failure::Ambiguous) => Decision::Open(0),
        Err(Failure::Conflict(conflict)) => report::violation(versions, part, conflict),
        Ok(()) => match judge(versions) {
            Ok(zones) => accept(versions, part, &zones, options),
            Err(conflict) => report::violation(versions, part, conflict),
        },
    }
}

/// The zones of a key whose values are not ambiguous and fit together.
fn plain_zones(versions: &mut Versions<'_>) -> Option<Zones> {
    let sources = Sources::new(versions);
    if versions.negative || sources.ambiguous() {
        return None;
    }
    if versions.appends.is_empty() {
        assign_unique(versions).ok()?;
    } else {
        decode_reads(versions).ok()?;
    }
    judge(versions).ok()
}

fn decode_reads(versions: &mut Versions<'_>) -> Result<(), Failure> {
    versions.reset();
    let operations = versions.operations;
    let reads = std::mem::take(&mut versions.reads);
    let shown = std::mem::take(&mut versions.shown);
    let (before, after) = reads.split_at(reads.len() - shown.len());
    let whole = |read: &Read| (read.operation, value_read(operations, read.operation).map(Bytes::as_ref));
    let seen = before.iter().map(whole).chain(after.iter().map(|read| read.operation).zip(shown));
    decode::decode(versions, seen)
}

fn value_read(operations: &[KvOperation], operation: u32) -> Option<&Bytes> {
    match fact(&operations[operation as usize]) {
        Fact::Read(value) => value,
        other => unreachable!("operation {operation} is {other:?}, not a read"),
    }
}

/// What to do with a read that can have seen several versions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Leave it out: what contradicts without it, contradicts with it.
    Skip,
    /// Take the version written last: whatever order comes out is then replayed.
    Latest,
}

/// Finds the version of every read, and links swaps to the versions they continue. Every value has one
/// version.
fn assign_unique(versions: &mut Versions<'_>) -> Result<(), Conflict> {
    for index in 0..versions.reads.len() {
        let Read { operation, version } = versions.reads[index];
        if version == NONE {
            let value = value_read(versions.operations, operation);
            let version = first_version(versions, operation, value)?;
            versions.reads[index].version = version;
            versions.note_read(operation, version);
        }
    }
    link_swaps(versions, |first, _, _| Ok(first))
}

/// Finds the version of every read that is not of absence, and links swaps of values.
fn assign_values(versions: &mut Versions<'_>) -> Result<(), Conflict> {
    for index in 0..versions.reads.len() {
        let operation = versions.reads[index].operation;
        let value = value_read(versions.operations, operation);
        let version = first_version(versions, operation, value)?;
        versions.reads[index].version = version;
        versions.note_read(operation, version);
    }
    link_swaps(versions, |first, _, _| Ok(if first == versions::INITIAL { NONE } else { first }))
}

/// Finds the version of every read as far as it can be told, and links swaps. Returns how many had several.
fn assign(versions: &mut Versions<'_>, sources: &Sources, doubt: Doubt) -> Result<usize, Conflict> {
    versions.reset();
    let mut doubts = 0;
    let mut choose = |first, (call, returned), operation| match sources.resolve(first, call, returned) {
        Source::Missing(why) => Err(Conflict::Missing { read: operation, why }),
        Source::One(version) => Ok(version),
        Source::Several(latest) => {
            doubts += 1;
            Ok(if doubt == Doubt::Latest { latest } else { NONE })
        }
    };
    for index in 0..versions.reads.len() {
        let operation = versions.reads[index].operation;
        let entry = &versions.operations[operation as usize];
        let first = first_version(versions, operation, value_read(versions.operations, operation))?;
        let version = choose(first, (call(entry), returned(entry)), operation)?;
        versions.reads[index].version = version;
        if version != NONE {
            versions.note_read(operation, version);
        }
    }
    link_swaps(versions, choose)?;
    Ok(doubts)
}

/// Links each swap that happened to the version it found, which `choose` tells from the first of that value.
fn link_swaps(
    versions: &mut Versions<'_>,
    mut choose: impl FnMut(u32, (u64, u64), u32) -> Result<u32, Conflict>,
) -> Result<(), Conflict> {
    let mut queue: Vec<u32> = versions.swaps.clone();
    while let Some(swap) = queue.pop() {
        let Versions { list, before, .. } = &*versions;
        let version = list[swap as usize];
        if !version.happened || before[swap as usize] != NONE {
            continue;
        }
        let Some(expected) = versions.expected(swap) else { continue };
        let first = first_version(versions, version.write, expected)?;
        let from = choose(first, (version.call, version.returned), version.write)?;
        if from == NONE {
            continue;
        }
        versions.link(from, swap).map_err(|one| Conflict::Forked { one, other: swap })?;
        if !std::mem::replace(&mut versions.list[from as usize].happened, true) {
            queue.push(from);
        }
    }
    Ok(())
}

fn first_version(versions: &Versions<'_>, operation: u32, value: Option<&Bytes>) -> Result<u32, Conflict> {
    match value {
        None => Ok(versions::INITIAL),
        Some(value) => versions.find(value).ok_or(Conflict::NeverWritten(operation)),
    }
}

fn judge(versions: &Versions<'_>) -> Result<Zones, Conflict> {
    let mut zones = blocks::zones(versions)?;
    zones.check().map_err(|clash| Conflict::Clash { outer: clash.outer.root, inner: clash.inner.root })?;
    Ok(zones)
}

fn accept(versions: &mut Versions<'_>, part: &[u32], zones: &Zones, options: &Options) -> Decision {
    if versions.negative {
        // An order of the zones leaves no room for some failed swaps; others may.
        return match accept_if_legal(versions, part, zones) {
            Decision::Open(_) => with_deletes(versions, part, options),
            decision => decision,
        };
    }
    let order = if options.witness { blocks::flatten(versions, &zones.order()) } else { Vec::new() };
    Decision::Linearizable(order)
}

/// Replays the order on the store: what the zones do not know (what a value was *not*) is checked here.
fn accept_if_legal(versions: &Versions<'_>, part: &[u32], zones: &Zones) -> Decision {
    let order = blocks::flatten(versions, &zones.order());
    let refusals = refusals::refusals(versions.operations, part);
    refusals::place(versions.operations, &refusals, order).map_or(Decision::Open(0), Decision::Linearizable)
}
