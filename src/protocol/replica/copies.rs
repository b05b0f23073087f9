//! How many copies hold what a primary acknowledges (R20).
//!
//! A primary that waits for nobody acknowledges what it alone holds: its death is the loss of it. That is
//! allowed, or a service of two copies would stop when one dies, and so are two copies where three are wanted. But an
//! operator is told when it begins and when it ends, and may forbid it.

use super::{Effect, Notice, Primary, Replica, Role};
use crate::protocol::{command::Refusal, options::ReplicaOptions};

impl Primary {
    /// Whether another operation may be proposed, or why not. A joiner counts once it may be promoted.
    pub(super) fn admits(&self, options: &ReplicaOptions) -> Result<(), Refusal> {
        let copies = 1 + self.announced().len();
        if copies < options.copies_min {
            return Err(Refusal::TooFewCopies { copies, copies_min: options.copies_min });
        }
        if self.waiting_bytes >= options.waiting_bytes_max {
            return Err(Refusal::Busy);
        }
        Ok(())
    }
}

impl Replica {
    /// Updates are refused, or taken again: whoever operates the cluster need not wait for a client to complain.
    pub(super) fn note_refusals(&mut self, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &self.role else { return };
        let (copies, copies_min) = (1 + primary.announced().len(), self.options.copies_min);
        let refuses = copies < copies_min;
        if !primary.is_active() || refuses == self.refuses_updates {
            return;
        }
        self.refuses_updates = refuses;
        effects.push(Effect::Notice(match refuses {
            true => Notice::UpdatesRefused { copies, copies_min },
            false => Notice::UpdatesTaken { copies },
        }));
    }

    /// Operations were just committed if `committed`; others may have joined. The wanted number is the view service's.
    pub(super) fn note_copies(&mut self, committed: bool, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &self.role else { return };
        let Some(wanted) = self.cluster.map(|cluster| cluster.replicas) else { return };
        let (waited_for, announced) = (1 + primary.waits_for.len(), 1 + primary.announced().len());
        let few = match self.few_copies {
            Some(_) if announced >= wanted => {
                self.few_copies = None;
                return effects.push(Effect::Notice(Notice::EnoughCopies { copies: announced }));
            }
            Some(before) if announced > before => announced,
            Some(before) if committed && waited_for < before => waited_for,
            None if committed && waited_for < wanted => waited_for,
            _ => return,
        };
        self.few_copies = Some(few);
        effects.push(Effect::Notice(Notice::FewCopies { copies: few, wanted }));
    }
}
