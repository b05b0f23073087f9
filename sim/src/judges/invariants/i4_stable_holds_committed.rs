//! I4, the key invariant: every replica from which the next primary may be taken, and which still has its
//! memory, holds every committed operation on its disk.
//!
//! Source: rules V-a, V-b, R7 and R9: all of them are for this. It cannot see operations that a primary was
//! about to commit.

use super::{Broken, Check, Facts};

pub(super) fn check(facts: &Facts) -> Check {
    let Some(last) = facts.committed.last() else { return Ok(()) };
    for (server, data) in &facts.record.stable {
        let Some(disk) = facts.disk(server, *data) else { continue };
        if !disk.holds(last) {
            return Err(Broken {
                invariant: "I4",
                promised: "whoever may become primary holds every committed operation",
                seen: format!(
                    "{last:?} is committed, {server} may be promoted from {}, and its disk ends at {:?}",
                    facts.record.number,
                    disk.end()
                ),
            });
        }
    }
    Ok(())
}
