//! Blocks: versions whose order is known, because each continues the one before.

use super::sources::Missing;
use super::versions::{INITIAL, NEVER, NONE, Versions};
use super::zones::{Zone, Zones};

/// Why the versions of one key contradict each other, before it is put into words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conflict {
    /// Nobody wrote what the operation saw.
    NeverWritten(u32),
    /// No version the operation can have seen.
    Missing { read: u32, why: Missing },
    /// The operation found the key absent, or made it so, while a block needed it.
    Within { outer: u32, operation: u32 },
    /// Two versions continue the same one.
    Forked { one: u32, other: u32 },
    /// Two reads continue the same version in two ways.
    Split { one: u32, other: u32 },
    /// Two values show the same append, or one value shows it twice.
    SeenTwice { version: u32, one: u32, other: u32 },
    /// Within a block: the version's write or a read of it returned before something earlier was called.
    Backwards { version: u32 },
    /// A circle of swaps, each after the other.
    Circle { version: u32 },
    /// Two blocks need the same instant.
    Clash { outer: u32, inner: u32 },
}

/// Checks each block on its own, and returns their zones.
pub(super) fn zones(versions: &Versions<'_>) -> Result<Zones, Conflict> {
    zones_of(versions, |_| true)
}

/// The same for blocks of some versions only; each block is of wanted ones or of others.
pub(super) fn zones_of(versions: &Versions<'_>, wanted: impl Fn(u32) -> bool) -> Result<Zones, Conflict> {
    let mut zones = Zones::default();
    let linked = !versions.before.is_empty();
    let mut visited = 0;
    for root in 0..versions.list.len() as u32 {
        let version = &versions.list[root as usize];
        if !version.happened || (linked && versions.before[root as usize] != NONE) || !wanted(root) {
            continue;
        }
        let mut zone = Zone { first_return: NEVER, last_call: 0, root };
        let mut at = root;
        while at != NONE {
            visited += 1;
            extend(&mut zone, versions, at)?;
            at = if linked { versions.after[at as usize] } else { NONE };
        }
        zones.add(zone);
    }
    let happened = (0..).zip(&versions.list).filter(|&(number, version)| version.happened && wanted(number));
    if linked && visited < happened.count() {
        return Err(circle(versions));
    }
    Ok(zones)
}

/// Adds a version to the end of a block. The sweep keeps the latest call of everything before: whatever comes
/// later in the block must not have returned before that.
fn extend(zone: &mut Zone, versions: &Versions<'_>, at: u32) -> Result<(), Conflict> {
    let version = &versions.list[at as usize];
    let before = zone.last_call;
    let written = before.max(version.call);
    if version.returned < before || version.first_return < written {
        return Err(Conflict::Backwards { version: at });
    }
    zone.last_call = written.max(version.last_call);
    zone.first_return = zone.first_return.min(version.returned).min(version.first_return);
    Ok(())
}

/// The chain of versions that ends with `version`, from its root.
pub(super) fn chain_to(versions: &Versions<'_>, version: u32) -> Vec<u32> {
    let mut chain = vec![version];
    let mut at = version;
    while !versions.before.is_empty() && versions.before[at as usize] != NONE {
        at = versions.before[at as usize];
        if at == version {
            break;
        }
        chain.push(at);
    }
    chain.reverse();
    chain
}

/// The versions of the block that begins with `root`.
pub(super) fn block(versions: &Versions<'_>, root: u32) -> Vec<u32> {
    let mut block = vec![root];
    let mut at = root;
    while !versions.after.is_empty() && versions.after[at as usize] != NONE {
        at = versions.after[at as usize];
        block.push(at);
    }
    block
}

fn circle(versions: &Versions<'_>) -> Conflict {
    let mut reached = vec![false; versions.list.len()];
    for root in 0..versions.list.len() as u32 {
        if versions.before[root as usize] == NONE {
            block(versions, root).into_iter().for_each(|version| reached[version as usize] = true);
        }
    }
    let left = (0..versions.list.len() as u32)
        .find(|&version| versions.list[version as usize].happened && !reached[version as usize]);
    Conflict::Circle { version: left.expect("fewer versions visited than happened") }
}

/// All operations of a key in an order of linearization, given an order of its blocks.
pub(super) fn flatten(versions: &Versions<'_>, roots: &[u32]) -> Vec<u32> {
    let mut order = Vec::with_capacity(versions.reads.len() + versions.list.len());
    each_flat(versions, roots, &mut order, |_| {});
    order
}

/// The operations of each block in an order of linearization.
pub(super) fn flatten_each(versions: &Versions<'_>, roots: &[u32]) -> Vec<Vec<u32>> {
    let mut order = Vec::with_capacity(versions.reads.len() + versions.list.len());
    let mut ends = Vec::with_capacity(roots.len());
    each_flat(versions, roots, &mut order, |end| ends.push(end));
    let mut begin = 0;
    let block = |end| order[std::mem::replace(&mut begin, end)..end].to_vec();
    ends.into_iter().map(block).collect()
}

/// Adds the operations of each block, and tells the length after each.
fn each_flat(versions: &Versions<'_>, roots: &[u32], order: &mut Vec<u32>, mut ended: impl FnMut(usize)) {
    let mut starts = vec![0u32; versions.list.len() + 1];
    let seen = |version: u32| (version != NONE).then_some(version as usize);
    for version in versions.reads.iter().filter_map(|read| seen(read.version)) {
        starts[version + 1] += 1;
    }
    for version in 1..starts.len() {
        starts[version] += starts[version - 1];
    }
    let mut readers = vec![NONE; versions.reads.len()];
    let mut free = starts.clone();
    for read in &versions.reads {
        if let Some(version) = seen(read.version) {
            readers[free[version] as usize] = read.operation;
            free[version] += 1;
        }
    }
    let call = |operation: &u32| versions.operations[*operation as usize].call;
    for &root in roots {
        let mut at = root;
        while at != NONE {
            if at != INITIAL {
                order.push(versions.list[at as usize].write);
            }
            let readers = &mut readers[starts[at as usize] as usize..starts[at as usize + 1] as usize];
            if !versions.in_order && !readers.is_sorted_by_key(call) {
                readers.sort_by_key(call);
            }
            order.extend_from_slice(readers);
            at = if versions.after.is_empty() { NONE } else { versions.after[at as usize] };
        }
        ended(order.len());
    }
}
