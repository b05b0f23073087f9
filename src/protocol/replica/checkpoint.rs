//! How long a log is kept: bounded in number and in bytes, but not shorter than a joiner needs (4.4, R20).

use super::{Core, Effect, Primary};
use crate::protocol::{identity::Position, log::Write, store::Snapshot};

impl Core {
    /// The log keeps between one and two checkpoint intervals of entries, in number or in bytes. The older of
    /// two states becomes its snapshot when the younger is due, unless a replica that is catching up still
    /// needs the entries before it.
    pub(super) fn consider_checkpoint(
        &mut self,
        at: Position,
        primary: Option<&mut Primary>,
        effects: &mut Vec<Effect>,
    ) {
        let previous = self.checkpoint.as_ref().map_or(self.log.base(), |checkpoint| checkpoint.at);
        let few = at.op.0 - previous.op.0 < self.options.checkpoint_interval;
        if few && self.bytes_since_checkpoint < self.options.checkpoint_bytes {
            return;
        }
        let base = self.log.base().op;
        let too_long =
            self.log.len() > self.options.log_entries_max || self.log.bytes() > self.options.log_bytes_max;
        if let (Some(primary), Some(older)) = (primary, &self.checkpoint) {
            if too_long {
                primary.leave_behind(base, older.at.op, effects);
            } else if primary.needs_log(base, older.at.op) {
                return;
            }
        }
        self.bytes_since_checkpoint = 0;
        let younger = Snapshot { at, state: self.state.clone() };
        if let Some(older) = self.checkpoint.replace(younger) {
            self.log.compact(older.clone());
            self.write(Write::Checkpoint(older));
        }
    }
}
