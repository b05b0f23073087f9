//! I11, the other half of I4: every replica that holds all the data may become primary. These are the members
//! of the latest acknowledgement, as long as they have their memory: who was named in it, and by which
//! primary, is known from the primary itself.
//!
//! Source: rule V-b: only an acknowledgement replaces the stable replicas, and by exactly those that it
//! names. Whatever the record leaves out besides may have been the last copy. It cannot see a replica that
//! the record names and that the view service never promotes.
//!
//! No mutant is caught by it alone: what it forbids ends in a cluster that waits for nobody, which liveness
//! sees, from the same acknowledgements, when the other replicas are gone. (Without it, the first seed that
//! shows a replica left out at a restart is the 65th instead of the 7th.)

use super::{Broken, Check, Facts};

pub(super) fn check(facts: &Facts) -> Check {
    let stable = &facts.record.stable;
    match facts.holders().find(|(server, data)| stable.get(*server) != Some(data)) {
        None => Ok(()),
        Some((server, _)) => Err(Broken {
            invariant: "I11",
            promised: "whoever holds all the data, by the latest acknowledgement, may become primary",
            seen: format!("{server} does, and the record of {} leaves it out", facts.record.number),
        }),
    }
}
