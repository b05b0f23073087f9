//! I7: no view is acknowledged with a member that had already lost its memory when the view was proposed.
//!
//! Source: rule V-b; the replicas of the view before are given up on the strength of the acknowledgement.
//! A view with the same in-sync replicas as the one before counts as activated from the start: it gives up
//! nobody, so nobody needs to vouch for it. It cannot see a loss that happens between proposal and
//! activation: nobody could have known.

use pbkv::protocol::{identity::ServerId, view::Record};

use super::{Broken, Check, Facts};

#[derive(Clone, Debug, Default)]
pub(super) struct ActivatedWithMemory {
    /// Members of the current view that were without their memory when it was proposed.
    lost: Vec<ServerId>,
}

impl ActivatedWithMemory {
    pub(super) fn check(&mut self, facts: &Facts, record: &Record) -> Check {
        let Some(view) = &record.view else { return Ok(()) };
        if record.number > facts.record.number {
            self.lost = view
                .insync
                .iter()
                .filter(|(server, data)| !facts.is_intact(server, **data))
                .map(|(server, _)| server.clone())
                .collect();
        }
        let is_acknowledged = view.activated && facts.record.number == record.number;
        match self.lost.iter().find(|server| is_acknowledged && view.insync.contains_key(*server)) {
            None => Ok(()),
            Some(server) => Err(Broken {
                invariant: "I7",
                promised: "a view is acknowledged only with members that had their memory when it was proposed",
                seen: format!("{} is acknowledged with {server}, which had lost its memory", view.number),
            }),
        }
    }
}
