//! I7: no view is activated with a member that had already lost its memory when the view was proposed.
//!
//! Source: section 8. It cannot see a loss that happens between proposal and activation: nobody could
//! have known.

use pbkv::protocol::{identity::ServerId, view::Record};

use super::{Broken, Check, Facts};

#[derive(Default)]
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
        match self.lost.iter().find(|server| view.activated && view.insync.contains_key(*server)) {
            None => Ok(()),
            Some(server) => Err(Broken {
                invariant: "I7",
                promised: "a view is activated only with members that had their memory when it was proposed",
                seen: format!("{} is activated with {server}, which had lost its memory", view.number),
            }),
        }
    }
}
