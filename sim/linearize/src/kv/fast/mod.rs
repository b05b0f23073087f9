//! The fast path: one key decided in nearly linear time. The crate's documentation explains the rule.
//!
//! | step | file |
//! | --- | --- |
//! | writes become versions, by value | [`versions`] |
//! | reads and swaps find their version | [`sources`] (whole values), [`decode`] (values built by appends) |
//! | linked versions become blocks, checked inside and given zones | [`blocks`] |
//! | zones are laid out on the line of time | [`zones`] |
//! | what a value was not is checked on the finished order | [`refusals`] |
//! | conflicts become reports | [`report`] |
//! | a growing history forgets what is settled | [`mod@settle`] |

mod blocks;
mod decode;
mod refusals;
mod report;
mod settle;
mod sources;
mod versions;
mod zones;

use bytes::Bytes;

use super::KvOperation;
use super::fact::{Fact, fact};
use crate::model::Decision;
use crate::verdict::Options;
use blocks::Conflict;
use decode::Failure;
use sources::{Source, Sources};
use versions::{NONE, Versions, call, returned};
use zones::Zones;

pub(super) use settle::{Kept, settle};

/// See [`crate::Model::decide`].
pub(super) fn decide(operations: &[KvOperation], part: &[u32], options: &Options) -> Decision {
    let mut versions = match Versions::new(operations, part) {
        Ok(versions) => versions,
        Err(operation) => return report::impossible(operations, operation),
    };
    if !versions.appends.is_empty() {
        return with_appends(&mut versions, part, options);
    }
    let sources = Sources::new(&versions);
    if !sources.ambiguous() {
        let outcome = assign(&mut versions, &sources, Doubt::Skip).and_then(|_| judge(&versions));
        return match outcome {
            Ok(zones) => accept(&versions, part, &zones, options),
            Err(conflict) => report::violation(&versions, part, conflict),
        };
    }
    let doubts = match assign(&mut versions, &sources, Doubt::Skip).and_then(|doubts| {
        judge(&versions)?;
        Ok(doubts)
    }) {
        Ok(doubts) => doubts,
        Err(conflict) => return report::suspicion(&versions, conflict),
    };
    if doubts > 0 {
        versions.reset();
    }
    let zones = match doubts {
        0 => judge(&versions),
        _ => assign(&mut versions, &sources, Doubt::Latest).and_then(|_| judge(&versions)),
    };
    match zones {
        Ok(zones) => accept_if_legal(&versions, part, &zones),
        Err(_) => Decision::Open,
    }
}

fn with_appends(versions: &mut Versions<'_>, part: &[u32], options: &Options) -> Decision {
    if !versions.repeated.is_empty() || !versions.erasures.is_empty() {
        return Decision::Open;
    }
    match decode_reads(versions) {
        Err(Failure::Ambiguous) => Decision::Open,
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
        assign(versions, &sources, Doubt::Skip).ok()?;
    } else {
        decode_reads(versions).ok()?;
    }
    judge(versions).ok()
}

fn decode_reads(versions: &mut Versions<'_>) -> Result<(), Failure> {
    let operations = versions.operations;
    let reads = std::mem::take(&mut versions.reads);
    let seen = reads.iter().map(|read| (read.operation, value_read(operations, read.operation)));
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

/// Finds the version of every read, and links swaps to the versions they continue. Returns how many had several.
fn assign(versions: &mut Versions<'_>, sources: &Sources, doubt: Doubt) -> Result<usize, Conflict> {
    let mut doubts = 0;
    let mut choose = |source: Source, operation: u32| match source {
        Source::Missing => Err(Conflict::Overwritten(operation)),
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
        let version = choose(sources.resolve(first, call(entry), returned(entry)), operation)?;
        versions.reads[index].version = version;
        if version != NONE {
            versions.note_read(operation, version);
        }
    }
    let mut queue: Vec<u32> = versions.swaps.clone();
    while let Some(swap) = queue.pop() {
        let Versions { list, before, .. } = &*versions;
        let version = list[swap as usize];
        if !version.happened || before[swap as usize] != NONE {
            continue;
        }
        let Some(expected) = versions.expected(swap) else { continue };
        let first = first_version(versions, version.write, expected)?;
        let from = choose(sources.resolve(first, version.call, version.returned), version.write)?;
        if from == NONE {
            continue;
        }
        versions.link(from, swap).map_err(|one| Conflict::Forked { one, other: swap })?;
        if !std::mem::replace(&mut versions.list[from as usize].happened, true) {
            queue.push(from);
        }
    }
    Ok(doubts)
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

fn accept(versions: &Versions<'_>, part: &[u32], zones: &Zones, options: &Options) -> Decision {
    if versions.negative {
        return accept_if_legal(versions, part, zones);
    }
    let order = if options.witness { blocks::flatten(versions, &zones.order()) } else { Vec::new() };
    Decision::Linearizable(order)
}

/// Replays the order on the store: what the zones do not know (what a value was *not*) is checked here.
fn accept_if_legal(versions: &Versions<'_>, part: &[u32], zones: &Zones) -> Decision {
    let order = blocks::flatten(versions, &zones.order());
    refusals::place(versions.operations, part, order).map_or(Decision::Open, Decision::Linearizable)
}
