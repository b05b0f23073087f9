//! Conflicts between versions, put as conflicts between operations.

use super::super::describe::{describe, show_value};
use super::super::{KvOperation, support};
use super::blocks::{Conflict, block, chain_to};
use super::versions::{INITIAL, NEVER, NONE, Versions, call, returned};
use crate::model::Decision;
use crate::verdict::{Reason, Violation};

/// A contradiction that is complete with the writes that lead to what was seen.
pub(super) fn violation(versions: &Versions<'_>, part: &[u32], conflict: Conflict) -> Decision {
    let mut finding = find(versions, conflict);
    let operations = versions.operations;
    if finding.versions.is_empty() || matches!(conflict, Conflict::Circle { .. }) {
        // That an operation of unknown outcome took part at all is proved by others, further down its chain.
        if finding.operations.iter().any(|&named| operations[named as usize].output().is_none()) {
            return Decision::Contradiction { around: finding.operations };
        }
    } else {
        add_evidence(versions, &mut finding);
    }
    let mut support: Vec<u32> = match conflict {
        Conflict::Clash { .. } | Conflict::Backwards { .. } | Conflict::Circle { .. } => {
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
    Decision::Violation(Box::new(Violation {
        key: operations[part[0] as usize].input.key().to_vec(),
        operations: wide(named),
        support: wide(support),
        reason: finding.reason,
        sentence: finding.sentence,
    }))
}

/// A contradiction whose operations are only a part of the proof, because others rule out what else could be meant.
pub(super) fn suspicion(versions: &Versions<'_>, conflict: Conflict) -> Decision {
    Decision::Contradiction { around: find(versions, conflict).operations }
}

/// An operation that no state allows.
pub(super) fn impossible(operations: &[KvOperation], operation: u32) -> Decision {
    let named = &operations[operation as usize];
    Decision::Violation(Box::new(Violation {
        key: named.input.key().to_vec(),
        operations: vec![operation as usize],
        support: Vec::new(),
        reason: Reason::Impossible { operation: operation as usize },
        sentence: format!("operation {operation}, {}, has an answer that no state allows", describe(named)),
    }))
}

struct Finding {
    operations: Vec<u32>,
    /// The version that each of these operations wrote or read, where that matters.
    versions: Vec<u32>,
    reason: Reason,
    sentence: String,
}

/// An operation of a block.
#[derive(Clone, Copy)]
struct Member {
    operation: u32,
    version: u32,
}

fn find(versions: &Versions<'_>, conflict: Conflict) -> Finding {
    let says = |operation: u32| describe(&versions.operations[operation as usize]);
    let finding = |operations: Vec<u32>, reason, sentence| Finding {
        operations,
        versions: Vec::new(),
        reason,
        sentence,
    };
    match conflict {
        Conflict::NeverWritten(read) => finding(
            vec![read],
            Reason::NeverWritten { read: read as usize },
            format!("operation {read}, {}, saw a value that nobody wrote", says(read)),
        ),
        Conflict::Overwritten(read) => finding(
            vec![read],
            Reason::NeverWritten { read: read as usize },
            format!("operation {read}, {}, saw a value that was overwritten before", says(read)),
        ),
        Conflict::Forked { one, other } => {
            let (one, other) = (versions.list[one as usize].write, versions.list[other as usize].write);
            fork(versions, one, other)
        }
        Conflict::Split { one, other } => fork(versions, one, other),
        Conflict::SeenTwice { version, one, other } => {
            let write = versions.list[version as usize].write;
            let mut reads = vec![one as usize, other as usize];
            reads.sort_unstable();
            reads.dedup();
            let sentence = format!(
                "operation {write}, {}, shows up twice: in operation {one}, {}, and in operation {other}, {}",
                says(write),
                says(one),
                says(other)
            );
            finding(vec![one, other, write], Reason::SeenTwice { reads, write: write as usize }, sentence)
        }
        Conflict::Backwards { version } => backwards(versions, version),
        Conflict::Circle { version } => {
            let circle = chain_to(versions, version);
            let operations: Vec<u32> = circle.iter().map(|&v| versions.list[v as usize].write).collect();
            let wide = operations.iter().map(|&index| index as usize).collect();
            let sentence = format!(
                "operation {}, {}, found a value that only came after its own",
                operations[0],
                says(operations[0])
            );
            Finding { operations, versions: circle, reason: Reason::Circle { operations: wide }, sentence }
        }
        Conflict::Clash { outer, inner } => clash(versions, outer, inner),
    }
}

fn fork(versions: &Versions<'_>, one: u32, other: u32) -> Finding {
    let says = |operation: u32| describe(&versions.operations[operation as usize]);
    Finding {
        operations: vec![one, other],
        versions: Vec::new(),
        reason: Reason::Forked { one: one as usize, other: other as usize },
        sentence: format!(
            "operation {one}, {}, and operation {other}, {}, continue the same value in two ways",
            says(one),
            says(other)
        ),
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
    let says = |member: Member| describe(&versions.operations[member.operation as usize]);
    let (first, second) = (earlier.operation as usize, later.operation as usize);
    let clock = format!(
        "operation {second}, {}, returned at {} before operation {first}, {}, was called at {}",
        says(later),
        returned(&versions.operations[second]) - 1,
        says(earlier),
        versions.operations[first].call
    );
    let (reason, sentence) = if earlier.version == at {
        (
            Reason::FromTheFuture { read: second, write: first },
            format!("{clock}, although it saw what that one wrote"),
        )
    } else {
        (
            Reason::WrongOrder { earlier: first, later: second },
            format!("{clock}, although the values seen prove the opposite order"),
        )
    };
    Finding {
        operations: vec![earlier.operation, later.operation],
        versions: vec![earlier.version, later.version],
        reason,
        sentence,
    }
}

fn clash(versions: &Versions<'_>, outer: u32, inner: u32) -> Finding {
    let ends = |root: u32| {
        let members = members(versions, &block(versions, root));
        let first = if root == INITIAL { None } else { first_return(versions, members.iter().copied()) };
        let last = latest_call(versions, members.into_iter());
        (first, last.expect("a block in conflict has an operation"))
    };
    let (outer_first, outer_last) = ends(outer);
    let (inner_first, inner_last) = ends(inner);
    let inner_first = inner_first.expect("the initial version comes first, so it is never the inner one");
    let all = [outer_first, Some(outer_last), Some(inner_first), Some(inner_last)];
    let named: Vec<Member> = all.into_iter().flatten().collect();
    let call_of = |member: Member| versions.operations[member.operation as usize].call;
    let return_of = |member: Member| returned(&versions.operations[member.operation as usize]) - 1;
    let say = |member: Member| {
        format!(
            "operation {} ({})",
            member.operation,
            describe(&versions.operations[member.operation as usize])
        )
    };
    let held = match outer_first {
        Some(first) => {
            format!(
                "{} was in place from the return of {} at {}",
                value(versions, first),
                say(first),
                return_of(first)
            )
        }
        None => "the key was absent from the start".to_owned(),
    };
    let sentence = format!(
        "{held} to the call of {} at {}, but {} returned at {} and {} was called at {}, in between and with another value",
        say(outer_last),
        call_of(outer_last),
        say(inner_first),
        return_of(inner_first),
        say(inner_last),
        call_of(inner_last)
    );
    let index = |member: Member| member.operation as usize;
    Finding {
        operations: named.iter().map(|member| member.operation).collect(),
        versions: named.iter().map(|member| member.version).collect(),
        reason: Reason::TwoValuesAtOnce {
            first: (outer_first.map(index), index(outer_last)),
            second: (index(inner_first), index(inner_last)),
        },
        sentence,
    }
}

/// Adds, for each write that no named read shows, the read or swap nearest to it that does: without that, the write might
/// have happened anywhere or, if its outcome is unknown, never.
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

fn value(versions: &Versions<'_>, member: Member) -> String {
    match super::super::fact::fact(&versions.operations[member.operation as usize]) {
        super::super::fact::Fact::Read(value) => show_value(value),
        _ => format!("what operation {} wrote", member.operation),
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
