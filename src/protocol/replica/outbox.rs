//! What may only be said when something is durable.
//!
//! Changes of the durable memory are collected and handed to the disk in batches. An effect that depends on
//! a change waits until its batch is reported durable; operations may leave for the backups while the
//! primary's own disk is still writing.

use std::collections::VecDeque;

use super::Effect;
use crate::protocol::{
    identity::{OpNumber, WriteNumber},
    log::Write,
};

#[derive(Clone, Hash)]
pub(super) struct Outbox {
    writes: Vec<Write>,
    /// The latest batch handed to the disk, and the latest that is durable.
    written: WriteNumber,
    persisted: WriteNumber,
    /// Nothing at all leaves before this batch is durable: it holds a boot, a store or a view number.
    hold: WriteNumber,
    unsaid: VecDeque<(WriteNumber, Effect)>,
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

    /// How far the log is durable.
    pub fn durable(&self) -> OpNumber {
        self.durable
    }

    /// How many changes were not handed to the disk, how much is unsaid, and how many batches are being written.
    pub fn load(&self) -> (usize, usize, u64) {
        (self.writes.len(), self.unsaid.len(), self.written.0 - self.persisted.0)
    }

    /// How much is unsaid.
    pub fn unsaid(&self) -> usize {
        self.unsaid.len()
    }

    /// Says something that depends on nothing but the identities and the view.
    pub fn say(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        self.say_after(self.hold, effect, effects);
    }

    /// Says something that depends on everything collected so far.
    pub fn say_when_written(&mut self, effect: Effect, effects: &mut Vec<Effect>) {
        self.say_after(self.pending(), effect, effects);
    }

    fn say_after(&mut self, number: WriteNumber, effect: Effect, effects: &mut Vec<Effect>) {
        if number <= self.persisted {
            effects.push(effect);
        } else {
            self.unsaid.push_back((number, effect));
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
        while let Some((_, effect)) = self.unsaid.pop_front_if(|(after, _)| *after <= self.persisted) {
            effects.push(effect);
        }
    }
}
