//! What may only be said when something is durable.
//!
//! Changes of the durable memory are collected and handed to the disk in batches. An acknowledgement waits
//! until the batch on which it depends is reported durable; operations may leave for the backups while the
//! primary's own disk is still writing. A disk may stall for any time, so what waits is bounded: for each
//! batch, one acknowledgement of a kind to each replica. Nothing else is put off: what is due while nothing
//! may leave is made when it may.

use std::collections::VecDeque;

use super::Effect;
use crate::protocol::{
    identity::{OpNumber, ServerId, WriteNumber},
    log::Write,
    message::{AppendResult, PeerMessage},
};

/// Acknowledgements that wait for one batch. The first one is for the primary whose operations the batch
/// holds, a few are for former ones; other names are made up.
const WAITING_PER_BATCH_MAX: usize = 16;

/// An acknowledgement that waits until a batch is durable.
#[derive(Clone, Hash)]
struct Unsaid {
    after: WriteNumber,
    to: ServerId,
    message: PeerMessage,
}

#[derive(Clone, Hash)]
pub(super) struct Outbox {
    writes: Vec<Write>,
    /// The latest batch handed to the disk, and the latest that is durable.
    written: WriteNumber,
    persisted: WriteNumber,
    /// Nothing at all leaves before this batch is durable: it holds a boot, a store or a view number.
    hold: WriteNumber,
    unsaid: VecDeque<Unsaid>,
    /// The end of the log after each batch that is not durable yet.
    ends: VecDeque<(WriteNumber, OpNumber)>,
    /// The end of the log after the changes collected so far.
    end: OpNumber,
    durable: OpNumber,
}

impl Outbox {
    /// For a replica whose log ends, durably, at `end`.
    pub fn new(end: OpNumber) -> Self {
        Self {
            writes: Vec::new(),
            written: WriteNumber(0),
            persisted: WriteNumber(0),
            hold: WriteNumber(0),
            unsaid: VecDeque::new(),
            ends: VecDeque::new(),
            end,
            durable: end,
        }
    }

    /// Collects a change; `end` is the end of the log after it.
    pub fn write(&mut self, write: Write, end: OpNumber) {
        if let Write::Truncate(from) = &write {
            let last = OpNumber(from.0 - 1);
            self.durable = self.durable.min(last);
            self.ends.iter_mut().for_each(|(_, end)| *end = (*end).min(last));
        }
        self.writes.push(write);
        self.end = end;
    }

    /// The batch that will hold what was collected.
    fn pending(&self) -> WriteNumber {
        if self.writes.is_empty() { self.written } else { self.written.next() }
    }

    /// Nothing leaves before what was collected so far is durable.
    pub fn hold_until_written(&mut self) {
        self.hold = self.pending();
    }

    /// Whether nothing may leave yet.
    pub fn is_held(&self) -> bool {
        self.hold > self.persisted
    }

    /// Whether the disk is to get something.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// How far the log is durable.
    pub fn durable(&self) -> OpNumber {
        self.durable
    }

    /// How many changes were not handed to the disk, how many acknowledgements wait, and how many batches are
    /// being written.
    pub fn load(&self) -> (usize, usize, u64) {
        (self.writes.len(), self.unsaid.len(), self.written.0 - self.persisted.0)
    }

    /// Acknowledges what depends on everything collected so far. Of two acknowledgements that wait for one
    /// batch, the one that says more is kept; beyond [`WAITING_PER_BATCH_MAX`] none. Whoever misses one
    /// repeats itself.
    pub fn acknowledge(&mut self, to: ServerId, message: PeerMessage, effects: &mut Vec<Effect>) {
        let after = self.pending();
        if after <= self.persisted {
            return effects.push(Effect::Send { to, message });
        }
        let kind = std::mem::discriminant(&message);
        let repeated = |unsaid: &Unsaid| unsaid.to == to && std::mem::discriminant(&unsaid.message) == kind;
        let first = self.unsaid.partition_point(|unsaid| unsaid.after < after);
        let waiting = self.unsaid.len() - first;
        match self.unsaid.range_mut(first..).find(|unsaid| repeated(unsaid)) {
            Some(unsaid) => supplement(&mut unsaid.message, message),
            None if waiting < WAITING_PER_BATCH_MAX => {
                self.unsaid.push_back(Unsaid { after, to, message });
            }
            None => {}
        }
    }

    /// A later view was adopted: what waits belongs to an older one.
    pub fn forget_unsaid(&mut self) {
        self.unsaid.clear();
    }

    /// Hands what was collected to the disk.
    pub fn persist(&mut self, effects: &mut Vec<Effect>) {
        if self.writes.is_empty() {
            return;
        }
        self.written = self.written.next();
        self.ends.push_back((self.written, self.end));
        let writes = std::mem::take(&mut self.writes);
        effects.push(Effect::Persist { number: self.written, writes });
    }

    /// The batch `number` and all before it are durable.
    pub fn persisted(&mut self, number: WriteNumber, effects: &mut Vec<Effect>) {
        self.persisted = self.persisted.max(number);
        while let Some((_, end)) = self.ends.pop_front_if(|(batch, _)| *batch <= self.persisted) {
            self.durable = end;
        }
        while let Some(Unsaid { to, message, .. }) = self.unsaid.pop_front_if(|it| it.after <= self.persisted)
        {
            effects.push(Effect::Send { to, message });
        }
    }
}

/// A later acknowledgement joins one of its kind to the same replica. What a replica holds, and has heard, in
/// one view is not taken back, though its messages may overtake each other.
fn supplement(kept: &mut PeerMessage, later: PeerMessage) {
    match (&mut *kept, &later) {
        (PeerMessage::AppendAck(kept), PeerMessage::AppendAck(later)) if later.view < kept.view => {}
        (PeerMessage::ChunkAck(kept), PeerMessage::ChunkAck(later)) if later.view < kept.view => {}
        (PeerMessage::AppendAck(kept), PeerMessage::AppendAck(later)) => {
            let one = (kept.view, kept.data) == (later.view, later.data);
            let (before, round) = (kept.result, kept.round);
            *kept = later.clone();
            if let (true, AppendResult::Match(held), AppendResult::Match(holds)) = (one, before, later.result)
            {
                kept.result = AppendResult::Match(holds.max(held));
                kept.round = round.max(later.round);
            }
        }
        _ => *kept = later,
    }
}
