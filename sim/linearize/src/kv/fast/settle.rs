//! Forgetting what is settled, so that a history can be checked while it grows.
//!
//! Let `horizon` be a time before which no read of the future was called. A block that has an operation
//! returned before the horizon is **dead** if another such block has a later call than the first return of
//! the block: a read called after the horizon would stretch the dead block over the other one. Its operations
//! may go. A later read of its value is then a read of a value that nobody wrote, which is a contradiction
//! all the same.
//!
//! An append that nobody has seen yet is a block only until a read shows where it belongs. It is no other
//! block's death, but it dies by the same rule: it can join neither the other block, whose known operations
//! would all have to come before it, nor any third one, which would then be stretched.
//!
//! No two blocks can be the death of each other, so one with an operation before the horizon always stays,
//! and keeps the initial state from being read again. In the blocks that stay, all versions up to the last
//! one with a return before the horizon can be told from outside only by the value of that version, the
//! earliest return and the latest call: a put and a get that carry these take their place.

use bytes::Bytes;

use super::super::fact::{Fact, fact};
use super::super::{Input, KvOperation, Output};
use super::blocks::block;
use super::versions::{INITIAL, NEVER, NONE, Versions, call};
use super::zones::Zone;
use crate::history::Outcome;

/// An operation that stays.
pub(in super::super) enum Kept {
    /// As it is.
    Same(u32),
    /// One that stands for a settled run; the index is of an operation in that run.
    Instead(u32, KvOperation),
}

/// What must stay of a linearizable history for the rest of it to be judged alike. `None` if the key's values
/// are ambiguous, so that the blocks are not known. Times are shifted as in [`super::versions`].
pub(in super::super) fn settle(operations: &[KvOperation], horizon: u64, now: u64) -> Option<Vec<Kept>> {
    let part: Vec<u32> = (0..operations.len() as u32).collect();
    let mut versions = Versions::new(operations, &part);
    if versions.impossible.is_some() {
        return None;
    }
    let zones = super::plain_zones(&mut versions)?;
    let past = |zone: &&Zone| zone.first_return < horizon;
    let (mut last, mut second): (Option<Zone>, u64) = (None, 0);
    let anchored = |zone: &&Zone| versions.appends.binary_search(&zone.root).is_err();
    for zone in zones.all().filter(past).filter(anchored) {
        match last {
            Some(best) if zone.last_call <= best.last_call => second = second.max(zone.last_call),
            _ => second = last.replace(*zone).map_or(0, |best| best.last_call),
        }
    }
    let last = last?;
    let dead = |zone: &Zone| {
        let other = if zone.root == last.root { second } else { last.last_call };
        zone.first_return < horizon && other > zone.first_return
    };
    let mut kept = Kept::unseen(&versions, &part);
    // For each version, whether its operations stay as they are.
    let mut stays = vec![false; versions.list.len()];
    for zone in zones.all().filter(|zone| !dead(zone)) {
        let block = block(&versions, zone.root);
        let settled = match past(&zone) && anchored(&zone) {
            true => compact(&versions, &block, horizon, now, &mut kept),
            false => 0,
        };
        block[settled..].iter().for_each(|&version| stays[version as usize] = true);
    }
    for (version, _) in stays.iter().enumerate().filter(|(_, stays)| **stays) {
        let write = versions.list[version].write;
        if write != NONE {
            kept.push(Kept::Same(write));
        }
    }
    let reads = versions.reads.iter().filter(|read| read.version != NONE && stays[read.version as usize]);
    kept.extend(reads.map(|read| Kept::Same(read.operation)));
    Some(kept)
}

impl Kept {
    /// Operations outside of every block: still open reads, and writes that nobody has seen and that may not
    /// happen.
    fn unseen(versions: &Versions<'_>, part: &[u32]) -> Vec<Kept> {
        let nothing =
            part.iter().filter(|&&index| fact(&versions.operations[index as usize]) == Fact::Nothing);
        let writes = versions.list.iter().filter(|version| !version.happened).map(|version| version.write);
        nothing.copied().chain(writes).map(Kept::Same).collect()
    }
}

/// Replaces the versions of a block that no read of the future can see but the last; returns how many.
fn compact(versions: &Versions<'_>, block: &[u32], horizon: u64, now: u64, kept: &mut Vec<Kept>) -> usize {
    let entry = |version: u32| &versions.list[version as usize];
    let is_past = |version: &u32| entry(*version).returned.min(entry(*version).first_return) < horizon;
    let Some(last) = block.iter().rposition(is_past) else { return 0 };
    let settled = &block[..=last];
    let first_return =
        settled.iter().map(|&v| entry(v).returned.min(entry(v).first_return)).min().unwrap_or(NEVER);
    let last_call = settled.iter().map(|&v| entry(v).call.max(entry(v).last_call)).max().unwrap_or(0);
    let version = block[last];
    let key = versions.operations.first().map(|operation| operation.input.key().clone()).unwrap_or_default();
    let value = value(versions, version);
    if let Some(value) = &value {
        let input = Input::Put { key: key.clone(), value: value.clone() };
        let times = (first_return.min(last_call), first_return);
        kept.push(Kept::Instead(entry(version).write, instead(input, times, Output::Done)));
    }
    if last_call > first_return {
        let input = Input::Get { key };
        let caller = latest(versions, settled, last_call);
        kept.push(Kept::Instead(
            caller,
            instead(input, (last_call, now.max(last_call)), Output::Value(value)),
        ));
    }
    last + 1
}

fn instead(input: Input, (call, returned): (u64, u64), output: Output) -> KvOperation {
    let outcome = Outcome::Returned { at: returned.saturating_sub(1), output };
    KvOperation { process: 0, call: call.saturating_sub(1), input, outcome }
}

/// The operation of some versions with a given call.
fn latest(versions: &Versions<'_>, settled: &[u32], last_call: u64) -> u32 {
    let writes = settled.iter().map(|&version| versions.list[version as usize].write);
    let reads =
        versions.reads.iter().filter(|read| settled.contains(&read.version)).map(|read| read.operation);
    let mut all = writes.filter(|&write| write != NONE).chain(reads);
    all.find(|&operation| call(&versions.operations[operation as usize]) == last_call)
        .expect("the latest call is one of these")
}

/// What a version held.
fn value(versions: &Versions<'_>, version: u32) -> Option<Bytes> {
    let mut tokens = Vec::new();
    let mut at = version;
    while versions.appends.binary_search(&at).is_ok() {
        tokens.push(versions.list[at as usize].value);
        at = versions.before[at as usize];
    }
    if tokens.is_empty() && at == INITIAL {
        return None;
    }
    let mut value = versions.list[at as usize].value.to_vec();
    tokens.iter().rev().for_each(|token| value.extend_from_slice(token));
    Some(value.into())
}
