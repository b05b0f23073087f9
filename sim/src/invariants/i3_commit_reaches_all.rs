//! I3: what a primary commits in its view, every replica it announced holds durably; and it waits for
//! every replica that may be promoted, as long as its view is the current one and activated.
//!
//! Source: rules R7 and R9. It trusts the primary's own account of the acknowledgements; I4 looks at the
//! disks.

use pbkv::protocol::replica::Replica;

use super::{Broken, Check, Facts};

pub(super) fn check(facts: &Facts, replica: &Replica) -> Check {
    let Some(primary) = replica.as_primary() else { return Ok(()) };
    let broken = |promised, seen| Err(Broken { invariant: "I3", promised, seen });
    let position = replica.log().position(replica.commit());
    let committed_here = position.is_some_and(|position| position.view == replica.view_seen());
    for server in primary.announced() {
        if committed_here && primary.matched(server).is_none_or(|matched| matched < replica.commit()) {
            return broken(
                "an operation is committed when every in-sync replica holds it",
                format!(
                    "{} committed {} and {server} is known to hold {:?}",
                    replica.server(),
                    replica.commit(),
                    primary.matched(server)
                ),
            );
        }
    }
    let Some(view) = &facts.record.view else { return Ok(()) };
    if view.number == replica.view_seen() && view.activated {
        let missing = facts
            .record
            .stable
            .keys()
            .find(|server| *server != replica.server() && !primary.waits_for().contains(*server));
        if let Some(missing) = missing {
            return broken(
                "a primary waits for every replica that may be promoted",
                format!("{} does not wait for {missing} in {}", replica.server(), view.number),
            );
        }
    }
    Ok(())
}
