//! I7: no view is acknowledged with a member that had already lost its memory when the view was proposed.
//!
//! Source: rule V-b; the replicas of the view before are given up on the strength of the acknowledgement.
//! A view with the same in-sync replicas as the one before counts as activated from the start: it gives up
//! nobody, so nobody needs to vouch for it. It cannot see a loss that happens between proposal and
//! activation: nobody could have known.

use std::collections::BTreeMap;

use pbkv::protocol::{
    identity::{ServerId, ViewNumber},
    view::{Record, View},
};

use super::{Broken, Check, Facts};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct ActivatedWithMemory {
    /// Members of the current view that were without their memory when it was proposed.
    lost: Vec<ServerId>,
    /// The same of views that are not durable yet.
    proposed: BTreeMap<ViewNumber, (View, Vec<ServerId>)>,
}

fn lost(facts: &Facts, view: &View) -> Vec<ServerId> {
    let lost = view.insync.iter().filter(|(server, data)| !facts.is_intact(server, **data));
    lost.map(|(server, _)| server.clone()).collect()
}

impl ActivatedWithMemory {
    /// The view service has its disk write this record.
    pub(super) fn written(&mut self, facts: &Facts, record: &Record) {
        let Some(view) = record.view.as_ref().filter(|_| record.number > facts.record.number) else { return };
        if self.proposed.get(&view.number).is_none_or(|(proposed, _)| proposed != view) {
            self.proposed.insert(view.number, (view.clone(), lost(facts, view)));
        }
    }

    pub(super) fn check(&mut self, facts: &Facts, record: &Record) -> Check {
        let Some(view) = &record.view else { return Ok(()) };
        if record.number > facts.record.number {
            let proposed = self.proposed.remove(&view.number).filter(|(proposed, _)| proposed == view);
            self.lost = proposed.map_or_else(|| lost(facts, view), |(_, lost)| lost);
            self.proposed.retain(|number, _| *number > record.number);
        }
        // Not if nothing of the view is new: another part of the record changed, as when a view service is
        // started again.
        let is_acknowledged = view.activated
            && facts.record.number == record.number
            && facts.record.view.as_ref() != Some(view);
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
