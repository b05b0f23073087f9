//! I12: one history at a time. A generation is given up by an operator alone; whoever is a member of a view
//! holds operations of that view's history, or none; and a server that holds operations keeps them until an
//! operator empties it, or puts an older copy of its disk in its place.
//!
//! Source: rule R17. What it means for clients is judged where they are answered
//! ([`crate::judges::revisions`]): nothing that is called after data was given up is answered by it, and each
//! client is told once. It cannot see a server that obeys a view of another history without being a member of
//! it; I5 sees what comes of that.

use pbkv::protocol::{
    identity::{Position, ServerId},
    log::Write,
    view::Record,
};

use super::{Broken, Check, Facts};

fn broken(promised: &'static str, seen: String) -> Check {
    Err(Broken { invariant: "I12", promised, seen })
}

/// `is_lost`: there was no record, and an operator may have named a server of another generation.
pub(super) fn check_record(facts: &Facts, record: &Record, is_lost: bool) -> Check {
    let (before, now) = (facts.record.generation, record.generation);
    if before.number != now.number && !is_lost {
        return broken(
            "an operator alone gives data up",
            format!("{} was recorded after {}, and nobody gave that up", now.number, before.number),
        );
    }
    let Some(view) = &record.view else { return Ok(()) };
    for (server, data) in view.insync.iter().chain(&view.joining).chain(&record.stable) {
        let Some(disk) = facts.disk(server, *data) else { continue };
        if disk.generation != now && disk.end() != Position::default() {
            return broken(
                "the members of a view hold operations of its history",
                format!(
                    "{server} is a member of {} of {now}, and holds data of {}",
                    view.number, disk.generation
                ),
            );
        }
    }
    Ok(())
}

pub(super) fn check_write(facts: &Facts, server: &ServerId, write: &Write) -> Check {
    let Write::Data { generation, .. } = write else { return Ok(()) };
    // An older copy of a disk has no identity here: what it holds gets another one.
    let known = facts.disks.get(server).filter(|disk| disk.data.is_some());
    match known.map(|disk| (disk.end(), disk.generation)) {
        Some((end, held)) if end != Position::default() => broken(
            "a server that holds operations keeps them",
            format!("{server} begins anew in {generation}, and held {held} up to {end:?}"),
        ),
        _ => Ok(()),
    }
}
