//! How many copies hold what a primary acknowledges (R20).
//!
//! A primary that waits for nobody acknowledges what it alone holds: its death is the loss of it. That is
//! allowed, or a service of two copies would stop when one dies, and so are two copies where three are
//! wanted. But an operator is told when it begins and when it ends, and may forbid it. Then the primary takes
//! no update, and acknowledges none that was under way: whether that one lasts is open until there are enough
//! copies again. Reads go on, and show what was executed.

use std::time::Duration;

use super::{Core, Effect, Notice, Primary};
use crate::protocol::{
    command::{Command, Entry, Refusal, Reply},
    identity::{Generation, SessionId},
    options::ReplicaOptions,
    store::Applied,
};

impl Primary {
    /// How many replicas hold what is committed from now on and may be promoted by the record, this one
    /// included.
    fn copies(&self) -> usize {
        self.view().insync.len()
    }

    /// What is said of an operation that took effect: not that it did, as long as too few copies hold it. A
    /// retry hears it when they are back.
    pub(super) fn acknowledgement(&self, options: &ReplicaOptions, reply: Reply) -> Reply {
        let (copies, copies_min) = (self.copies(), options.copies_min);
        match reply {
            Reply::Opened { .. } | Reply::Closed { .. } | Reply::Executed(_) if copies < copies_min => {
                Reply::Refused(Refusal::TooFewHoldIt { copies, copies_min })
            }
            reply => reply,
        }
    }

    /// Answers those who wait for an entry that was just applied.
    pub(super) fn answer(
        &mut self,
        entry: &Entry,
        applied: &Applied,
        generation: Generation,
        options: &ReplicaOptions,
        effects: &mut Vec<Effect>,
    ) {
        let mut granted = Duration::ZERO;
        match &entry.command {
            Command::Update { session, request, .. } => {
                self.in_flight.remove(&(*session, *request));
            }
            Command::OpenSession { ttl } => {
                granted = *ttl;
                self.opening = self.opening.saturating_sub(1);
            }
            Command::CloseSession { .. } => {}
        }
        self.waiting_bytes = self.waiting_bytes.saturating_sub(entry.bytes() as u64);
        self.remembering.end(entry);
        let op = entry.position.op;
        for ticket in self.waiting.remove(&op).unwrap_or_default() {
            self.waiting_updates -= 1;
            let reply = match applied {
                Applied::Opened => Reply::Opened { session: SessionId(op.0), generation, ttl: granted },
                Applied::Closed => Reply::Closed { revision: op },
                Applied::Executed(executed) => Reply::Executed(executed.clone()),
                Applied::SessionExpired => Reply::Refused(Refusal::SessionExpired),
                Applied::Superseded => Reply::Refused(Refusal::Superseded),
            };
            effects.push(Effect::Reply { ticket, reply: self.acknowledgement(options, reply) });
        }
    }

    /// Whether another operation may be proposed, or why not. A joiner counts once the record says that it
    /// may be promoted.
    pub(super) fn admits(&self, options: &ReplicaOptions) -> Result<(), Refusal> {
        let copies = self.copies();
        if copies < options.copies_min {
            return Err(Refusal::TooFewCopies { copies, copies_min: options.copies_min });
        }
        if self.waiting_bytes >= options.waiting_bytes_max {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Updates are refused, or taken again: whoever operates the cluster need not wait for a client to
    /// complain.
    pub(super) fn note_refusals(&mut self, core: &Core, effects: &mut Vec<Effect>) {
        let (copies, copies_min) = (self.copies(), core.options.copies_min);
        let refuses = copies < copies_min;
        if !self.is_active() || refuses == self.told.refuses_updates {
            return;
        }
        self.told.refuses_updates = refuses;
        effects.push(Effect::Notice(match refuses {
            true => Notice::UpdatesRefused { copies, copies_min },
            false => Notice::UpdatesTaken { copies },
        }));
    }

    /// Operations were just committed if `committed`; others may have joined. The wanted number is the view
    /// service's.
    pub(super) fn note_copies(&mut self, core: &Core, committed: bool, effects: &mut Vec<Effect>) {
        let Some(wanted) = core.cluster.map(|cluster| cluster.replicas) else { return };
        let (waited_for, announced) = (1 + self.waits_for.len(), 1 + self.announced().len());
        // With fewer than are asked for nothing is acknowledged.
        let committed = committed && self.copies() >= core.options.copies_min;
        let few = match self.told.few_copies {
            Some(_) if announced >= wanted => {
                self.told.few_copies = None;
                return effects.push(Effect::Notice(Notice::EnoughCopies { copies: announced }));
            }
            Some(before) if announced > before => announced,
            Some(before) if committed && waited_for < before => waited_for,
            None if committed && waited_for < wanted => waited_for,
            _ => return,
        };
        self.told.few_copies = Some(few);
        effects.push(Effect::Notice(Notice::FewCopies { copies: few, wanted }));
    }
}
