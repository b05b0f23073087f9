//! Conflicts between versions, put as conflicts between operations.

use super::super::sentence::{saw_what_it_wrote, sentence};
use super::super::{KvOperation, support};
use super::blocks::{Conflict, block, chain_to};
use super::sources::Missing;
use super::versions::{INITIAL, NEVER, NONE, Versions, call, returned};
use crate::model::Decision;
use crate::verdict::{Reason, Violation};

/// A contradiction that is complete with the writes that lead to what was seen.
pub(super) fn violation(versions: &Versions<'_>, part: &[u32], conflict: Conflict) -> Decision {
    let mut finding = find(versions, conflict);
    let operations = versions.operations;
    // What else absence, or a value written again, may have come from has been ruled out.
    let is_proof = !versions.erasures.is_empty() || matches!(conflict, Conflict::Missing { .. });
    // The read alone is enough: whatever wrote the value later is not what it saw.
    if let (true, Reason::FromTheFuture { read, .. }) = (is_proof, &finding.reason) {
        let read = *read;
        finding = Finding {
            operations: vec![read as u32],
            versions: Vec::new(),
            reason: Reason::NeverWritten { read },
        };
    }
    let is_alone = is_proof && matches!(finding.reason, Reason::NeverWritten { .. });
    if finding.versions.is_empty() || matches!(conflict, Conflict::Circle { .. }) {
        // That an operation of unknown outcome took part at all is proved by others, further down its chain.
        if finding.operations.iter().any(|&named| operations[named as usize].output().is_none()) {
            return suspected(versions, finding);
        }
    } else {
        add_evidence(versions, &mut finding);
    }
    let mut support: Vec<u32> = match conflict {
        Conflict::Missing { .. } => Vec::new(),
        _ if is_alone => Vec::new(),
        Conflict::Clash { .. }
        | Conflict::Within { .. }
        | Conflict::Backwards { .. }
        | Conflict::Circle { .. } => {
            finding.versions.iter().flat_map(|&version| writes_to(versions, version)).collect()
        }
        _ => support::closure(operations, part, &finding.operations),
    };
    let mut named = finding.operations;
    named.sort_unstable();
    named.dedup();
    support.sort_unstable();
    support.dedup();
    support.retain(|operation| named.binary_search(operation).is_err());
    let wide = |list: Vec<u32>| list.into_iter().map(|index| index as usize).collect();
    let violation = Box::new(Violation {
        key: operations[part[0] as usize].input.key().to_vec(),
        operations: wide(named),
        support: wide(support),
        sentence: sentence(&finding.reason, |index| &operations[index]),
        reason: finding.reason,
    });
    if is_proof { Decision::Proof(violation) } else { Decision::Violation(violation) }
}

/// A contradiction whose operations are only a part of the proof, because others rule out what else could be
/// meant.
pub(super) fn suspicion(versions: &Versions<'_>, conflict: Conflict) -> Decision {
    suspected(versions, find(versions, conflict))
}

fn suspected(versions: &Versions<'_>, mut finding: Finding) -> Decision {
    if let Reason::NeverWritten { read } = finding.reason {
        finding.operations.extend(forced_by(versions, read as u32));
    }
    let sentence = sentence(&finding.reason, |index| &versions.operations[index]);
    Decision::Contradiction { around: finding.operations, why: Some(Box::new((finding.reason, sentence))) }
}

/// An operation that no state allows.
pub(super) fn impossible(operations: &[KvOperation], operation: u32) -> Decision {
    let reason = Reason::Impossible { operation: operation as usize };
    Decision::Violation(Box::new(Violation {
        key: operations[operation as usize].input.key().to_vec(),
        operations: vec![operation as usize],
        support: Vec::new(),
        sentence: sentence(&reason, |index| &operations[index]),
        reason,
    }))
}

struct Finding {
    operations: Vec<u32>,
    /// The version that each of these operations wrote or read, where that matters.
    versions: Vec<u32>,
    reason: Reason,
}

/// An operation of a block.
#[derive(Clone, Copy)]
struct Member {
    operation: u32,
    version: u32,
}

fn find(versions: &Versions<'_>, conflict: Conflict) -> Finding {
    let finding = |operations: Vec<u32>, reason| Finding { operations, versions: Vec::new(), reason };
    let write = |version: u32| versions.list[version as usize].write;
    match conflict {
        Conflict::NeverWritten(read) => finding(vec![read], Reason::NeverWritten { read: read as usize }),
        Conflict::Missing { read, why: Missing::Overwritten { last, by } } => {
            let last = (last != INITIAL).then(|| write(last));
            let reason = Reason::Stale {
                read: read as usize,
                write: last.map(|write| write as usize),
                by: write(by) as usize,
            };
            finding(last.into_iter().chain([write(by), read]).collect(), reason)
        }
        Conflict::Missing { read, why: Missing::Later } => {
            finding(vec![read], Reason::NeverWritten { read: read as usize })
        }
        Conflict::Within { outer, operation } => within(versions, outer, operation),
        Conflict::Forked { one, other } => fork(write(one), write(other)),
        Conflict::Split { one, other } => fork(one, other),
        Conflict::SeenTwice { version, one, other } => {
            let write = write(version);
            let mut reads = vec![one as usize, other as usize];
            reads.sort_unstable();
            reads.dedup();
            finding(vec![one, other, write], Reason::SeenTwice { reads, write: write as usize })
        }
        Conflict::Backwards { version } => backwards(versions, version),
        Conflict::Circle { version } => {
            let circle = chain_to(versions, version);
            let operations: Vec<u32> = circle.iter().map(|&version| write(version)).collect();
            let reason =
                Reason::Circle { operations: operations.iter().map(|&index| index as usize).collect() };
            Finding { operations, versions: circle, reason }
        }
        Conflict::Clash { outer, inner } => clash(versions, outer, inner),
    }
}

fn fork(one: u32, other: u32) -> Finding {
    Finding {
        operations: vec![one, other],
        versions: Vec::new(),
        reason: Reason::Forked { one: one as usize, other: other as usize },
    }
}

fn backwards(versions: &Versions<'_>, at: u32) -> Finding {
    let version = &versions.list[at as usize];
    let chain = chain_to(versions, at);
    let previous = members(versions, &chain[..chain.len() - 1]);
    let before = latest_call(versions, previous.iter().copied());
    let own = Member { operation: version.write, version: at };
    let before_call = before.map_or(0, |member| call(&versions.operations[member.operation as usize]));
    let (earlier, later) = if version.returned < before_call {
        (before.expect("something was called"), own)
    } else {
        let reads = members(versions, &[at]).into_iter().filter(|member| member.operation != own.operation);
        let later = first_return(versions, reads).expect("a read returned");
        let earlier = if version.call >= before_call { own } else { before.expect("something was called") };
        (earlier, later)
    };
    let (first, second) = (earlier.operation as usize, later.operation as usize);
    let reason = if earlier.version == at {
        Reason::FromTheFuture { read: second, write: first }
    } else {
        Reason::WrongOrder { earlier: first, later: second }
    };
    Finding {
        operations: vec![earlier.operation, later.operation],
        versions: vec![earlier.version, later.version],
        reason,
    }
}

/// The operations of a block that return first, if it is not the initial one, and are called last.
fn ends(versions: &Versions<'_>, root: u32) -> (Option<Member>, Member) {
    let members = members(versions, &block(versions, root));
    let first = if root == INITIAL { None } else { first_return(versions, members.iter().copied()) };
    let last = latest_call(versions, members.into_iter());
    (first, last.expect("a block in conflict has an operation"))
}

fn clash(versions: &Versions<'_>, outer: u32, inner: u32) -> Finding {
    let (inner_first, inner_last) = ends(versions, inner);
    let inner_first = inner_first.expect("the initial version comes first, so it is never the inner one");
    two_values(ends(versions, outer), (inner_first, inner_last))
}

/// An operation of absence within the zone of a block.
fn within(versions: &Versions<'_>, outer: u32, operation: u32) -> Finding {
    let member = Member { operation, version: INITIAL };
    two_values(ends(versions, outer), (member, member))
}

fn two_values(
    (outer_first, outer_last): (Option<Member>, Member),
    (inner_first, inner_last): (Member, Member),
) -> Finding {
    let all = [outer_first, Some(outer_last), Some(inner_first), Some(inner_last)];
    let named: Vec<Member> = all.into_iter().flatten().collect();
    let index = |member: Member| member.operation as usize;
    Finding {
        operations: named.iter().map(|member| member.operation).collect(),
        versions: named.iter().map(|member| member.version).collect(),
        reason: Reason::TwoValuesAtOnce {
            first: (outer_first.map(index), index(outer_last)),
            second: (index(inner_first), index(inner_last)),
        },
    }
}

/// The operations that prove that a swap of unknown outcome took effect: one that saw its value and, if that
/// is of unknown outcome too, one that saw the value of that, and so on.
fn forced_by(versions: &Versions<'_>, swap: u32) -> Vec<u32> {
    let operations = versions.operations;
    let seers = || {
        let reads = versions.reads.iter().map(|read| read.operation);
        let swaps = versions.swaps.iter().map(|&swap| versions.list[swap as usize].write);
        reads.chain(swaps)
    };
    let mut proof: Vec<u32> = Vec::new();
    let mut at = swap;
    while operations[at as usize].output().is_none() {
        let is_next = |seer: &u32| *seer != swap && !proof.contains(seer);
        let saw =
            seers().filter(|seer| saw_what_it_wrote(&operations[*seer as usize], &operations[at as usize]));
        let next =
            saw.filter(is_next).min_by_key(|seer| (operations[*seer as usize].output().is_none(), *seer));
        let Some(next) = next else { break };
        proof.push(next);
        at = next;
    }
    proof
}

/// Adds, for each write that no named read shows, the read or swap nearest to it that does: without that, the
/// write might have happened anywhere or, if its outcome is unknown, never.
fn add_evidence(versions: &Versions<'_>, finding: &mut Finding) {
    let mut reader = vec![NONE; versions.list.len()];
    for read in versions.reads.iter().filter(|read| read.version != NONE) {
        let place = &mut reader[read.version as usize];
        if *place == NONE || finding.operations.contains(&read.operation) {
            *place = read.operation;
        }
    }
    let is_append = |version: u32| versions.appends.binary_search(&version).is_ok();
    for index in 0..finding.versions.len() {
        let (operation, version) = (finding.operations[index], finding.versions[index]);
        let entry = &versions.list[version as usize];
        if entry.write != operation || (entry.returned != NEVER && !is_append(version)) {
            continue;
        }
        let below = block(versions, version);
        let shows = |&at: &u32| {
            let entry = &versions.list[at as usize];
            if reader[at as usize] != NONE {
                Some((reader[at as usize], at))
            } else {
                let swapped = at != version && entry.returned != NEVER && !is_append(at);
                swapped.then_some((entry.write, at))
            }
        };
        let named = below.iter().filter_map(shows).find(|(shown, _)| finding.operations.contains(shown));
        if let (None, Some((shown, at))) = (named, below.iter().find_map(shows)) {
            finding.operations.push(shown);
            finding.versions.push(at);
        }
    }
}

/// The operations that wrote or read some versions; those that continue one belong to the next.
fn members(versions: &Versions<'_>, wanted: &[u32]) -> Vec<Member> {
    let mut is_wanted = vec![false; versions.list.len()];
    wanted.iter().for_each(|&version| is_wanted[version as usize] = true);
    let writes = wanted
        .iter()
        .map(|&version| Member { operation: versions.list[version as usize].write, version })
        .filter(|member| member.operation != NONE);
    let reads = versions
        .reads
        .iter()
        .filter(|read| read.version != NONE && is_wanted[read.version as usize])
        .map(|read| Member { operation: read.operation, version: read.version });
    writes.chain(reads).collect()
}

fn latest_call(versions: &Versions<'_>, members: impl Iterator<Item = Member>) -> Option<Member> {
    members.max_by_key(|member| {
        (call(&versions.operations[member.operation as usize]), u32::MAX - member.operation)
    })
}

fn first_return(versions: &Versions<'_>, members: impl Iterator<Item = Member>) -> Option<Member> {
    members
        .map(|member| (returned(&versions.operations[member.operation as usize]), member))
        .filter(|&(returned, _)| returned != NEVER)
        .min_by_key(|&(returned, member)| (returned, member.operation))
        .map(|(_, member)| member)
}

/// The writes that led to a version.
fn writes_to(versions: &Versions<'_>, version: u32) -> Vec<u32> {
    let writes = chain_to(versions, version).into_iter().map(|version| versions.list[version as usize].write);
    writes.filter(|&write| write != NONE).collect()
}
