//! I3: what a primary commits in its view, every replica it announced holds durably, and these are as many as
//! its operator asks for; and it waits for every replica that may be promoted, as long as its view is the
//! current one and activated.
//!
//! Source: rules R7, R9 and R20. It trusts the primary's own account of the acknowledgements; I4 looks at the
//! disks.

use pbkv::protocol::{
    command::Reply,
    identity::{OpNumber, ServerId},
    replica::{Effect, Replica},
};

use super::{Broken, Check, Facts};

fn broken(promised: &'static str, seen: String) -> Check {
    Err(Broken { invariant: "I3", promised, seen })
}

/// Whether all `announced` replicas of the primary `server` are known to hold what it committed.
pub(super) fn all_hold<'a>(
    server: &ServerId,
    commit: OpNumber,
    mut announced: impl Iterator<Item = (&'a ServerId, Option<OpNumber>)>,
) -> Check {
    match announced.find(|(_, matched)| matched.is_none_or(|matched| matched < commit)) {
        None => Ok(()),
        Some((other, matched)) => broken(
            "an operation is committed when every in-sync replica holds it",
            format!("{server} committed {commit} and {other} is known to hold {matched:?}"),
        ),
    }
}

/// Whether what the primary acknowledges has as many copies as are asked for, whenever it was committed.
pub(super) fn check_acknowledged(replica: &Replica, effects: &[Effect], copies_min: usize) -> Check {
    let Some(primary) = replica.as_primary() else { return Ok(()) };
    let copies = primary.view().insync.len();
    let acknowledged = effects.iter().find(|effect| {
        let Effect::Reply { reply, .. } = effect else { return false };
        matches!(reply, Reply::Executed(_) | Reply::Opened { .. } | Reply::Closed { .. })
    });
    match acknowledged.filter(|_| copies < copies_min) {
        None => Ok(()),
        Some(acknowledged) => broken(
            "what a primary acknowledges has as many copies as are asked for",
            format!("{} said {acknowledged:?} with {copies} of {copies_min}", replica.server()),
        ),
    }
}

pub(super) fn check(facts: &Facts, replica: &Replica, copies_min: usize) -> Check {
    let Some(primary) = replica.as_primary() else { return Ok(()) };
    let position = replica.log().position(replica.commit());
    if position.is_some_and(|position| position.view == replica.view_seen()) {
        let announced = primary.announced().iter().map(|server| (server, primary.matched(server)));
        all_hold(replica.server(), replica.commit(), announced)?;
        let copies = 1 + primary.announced().len();
        if copies < copies_min {
            return broken(
                "a primary takes no operation that fewer copies would hold than are asked for",
                format!("{} committed {} with {copies} of {copies_min}", replica.server(), replica.commit()),
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
