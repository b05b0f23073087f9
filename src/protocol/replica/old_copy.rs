//! A server whose disk is an older copy of itself (R22): a snapshot of its machine was restored, or a backup
//! of its folder.
//!
//! It has forgotten operations that it acknowledged and views that it adopted, and it says that it holds what
//! others count on. Alone it cannot know that: the view service can, if it heard the server in between. Until
//! that has accepted a life, the server obeys no primary: one that was replaced since could be acknowledged
//! what a later view does not hold.

use super::{Effect, Notice, Replica, Role};
use crate::protocol::{
    identity::{DataId, OpNumber, Position},
    log::Write,
};

impl Replica {
    /// What this server holds is an older copy of contents that others count on. It keeps what it holds, as
    /// contents of another identity: it is a stranger, and nothing is lost that may be the last of its kind.
    pub(super) fn on_stale_data(&mut self, stale: DataId, effects: &mut Vec<Effect>) {
        if self.core.data != Some(stale) {
            return;
        }
        self.step_down(effects);
        self.set_role(Role::Idle, effects);
        let (end, generation) = (self.core.log.end(), self.core.generation);
        effects.push(Effect::Notice(Notice::OldCopy { end }));
        let data = DataId { boot: self.core.boot, nonce: self.core.nonce ^ generation.nonce };
        self.core.data = Some(data);
        self.core.staging = None;
        self.core.write(Write::Data { data, generation });
        if self.core.log.base() != Position::default() {
            self.core.write(Write::Install(self.core.log.snapshot().clone()));
        }
        let entries: Vec<_> = self.core.log.entries_from(OpNumber(0)).cloned().collect();
        entries.into_iter().for_each(|entry| self.core.write(Write::Entry(entry)));
        self.core.outbox.hold_until_written();
        self.core.pinger.wanted = true;
    }
}
