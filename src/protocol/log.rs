//! The replicated log: a snapshot and the entries after it, and what of it is durable.

use std::{
    collections::VecDeque,
    fmt,
    hash::{Hash, Hasher},
    mem,
};

use super::{
    command::Entry,
    identity::{Boot, DataId, Generation, OpNumber, Position, ViewNumber},
    machine,
    store::Snapshot,
};

/// A change of a replica's durable memory. Changes become durable in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// This life's number.
    Boot(Boot),
    /// A new, empty store was created.
    Data {
        /// Its identity.
        data: DataId,
        /// Its generation.
        generation: Generation,
    },
    /// A view was adopted: nothing older is obeyed any more.
    ViewSeen(ViewNumber),
    /// An entry was added at the end of the log.
    Entry(Entry),
    /// The log ends before this operation.
    Truncate(OpNumber),
    /// The snapshot was replaced by a later one that the log runs through; entries up to it are gone.
    Checkpoint(Snapshot),
    /// A transferred state replaces snapshot and log.
    Install(Snapshot),
}

/// What a replica finds when it starts again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The latest life.
    pub boot: Boot,
    /// The identity of the contents.
    pub data: Option<DataId>,
    /// Their generation.
    pub generation: Generation,
    /// The latest view adopted.
    pub view_seen: ViewNumber,
    /// The log.
    pub log: Log,
}

impl Durable {
    /// Performs a change. A store is this function, made durable.
    pub fn apply(&mut self, write: Write) {
        match write {
            Write::Boot(boot) => self.boot = boot,
            Write::Data { data, generation } => {
                self.data = Some(data);
                self.generation = generation;
                self.log = Log::default();
            }
            Write::ViewSeen(view) => self.view_seen = view,
            Write::Entry(entry) => self.log.push(entry),
            Write::Truncate(from) => self.log.truncate(from),
            Write::Checkpoint(snapshot) => self.log.compact(snapshot),
            Write::Install(snapshot) => self.log = Log::from_snapshot(snapshot),
        }
    }
}

/// A snapshot and the entries after it, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    snapshot: Snapshot,
    entries: VecDeque<Entry>,
    bytes: u64,
    garbage: Garbage,
}

/// Entries that are freed at once.
const FREED_AT_ONCE: usize = 128;

/// What a log dropped, and its owner did not free yet: that takes long, and nobody has to wait for it. It is
/// no part of the log, so all are equal, and none is copied.
#[derive(Default)]
struct Garbage {
    entries: Vec<Entry>,
    snapshot: Option<Snapshot>,
}

impl machine::Garbage for Garbage {
    fn free_part(&mut self) -> bool {
        let kept = self.entries.len().saturating_sub(FREED_AT_ONCE);
        if self.entries.is_empty() {
            self.snapshot = None;
        }
        self.entries.truncate(kept);
        self.snapshot.is_some()
    }
}

impl fmt::Debug for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Garbage")
    }
}

impl Clone for Garbage {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Garbage {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Garbage {}

impl Hash for Garbage {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Log {
    /// A log that begins after `snapshot`.
    pub fn from_snapshot(snapshot: Snapshot) -> Self {
        Self { snapshot, ..Self::default() }
    }

    /// The snapshot the log begins with.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The position of the snapshot: everything up to it is committed.
    pub fn base(&self) -> Position {
        self.snapshot.at
    }

    /// The position of the last entry (of the snapshot, if there is none).
    pub fn end(&self) -> Position {
        self.entries.back().map_or(self.snapshot.at, |entry| entry.position)
    }

    /// How many entries there are after the snapshot.
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// How many bytes these entries weigh.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is no entry after the snapshot.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at `op`, if it is after the snapshot and before the end.
    pub fn entry(&self, op: OpNumber) -> Option<&Entry> {
        let index = op.0.checked_sub(self.base().op.0 + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The position of `op`, if it is known: the snapshot's or an entry's.
    pub fn position(&self, op: OpNumber) -> Option<Position> {
        if op == self.base().op { Some(self.base()) } else { self.entry(op).map(|entry| entry.position) }
    }

    /// The entries from `from` on.
    pub fn entries_from(&self, from: OpNumber) -> impl Iterator<Item = &Entry> {
        let skip = from.0.saturating_sub(self.base().op.0 + 1);
        self.entries.range(usize::try_from(skip).unwrap_or(usize::MAX).min(self.entries.len())..)
    }

    /// The first operation, after the snapshot, of the run of entries around `op` that one view appended.
    pub fn run_start(&self, op: OpNumber) -> OpNumber {
        let Some(view) = self.entry(op).map(|entry| entry.position.view) else { return self.end().op.next() };
        let mut start = op;
        while start.0 > self.base().op.0 + 1 {
            let before = OpNumber(start.0 - 1);
            match self.entry(before) {
                Some(entry) if entry.position.view == view => start = before,
                _ => break,
            }
        }
        start
    }

    /// Adds the entry that follows the last.
    pub fn push(&mut self, entry: Entry) {
        assert_eq!(entry.position.op, self.end().op.next(), "the log has no gaps");
        assert!(entry.position.view >= self.end().view, "views never go back along the log");
        self.bytes += entry.bytes() as u64;
        self.entries.push_back(entry);
    }

    /// Removes `from` and everything after it; committed operations are never removed.
    pub fn truncate(&mut self, from: OpNumber) {
        assert!(from > self.base().op, "the snapshot is committed");
        let keep = from.0 - self.base().op.0 - 1;
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).min(self.entries.len());
        let removed = self.entries.drain(keep..);
        self.bytes -= removed.map(|entry| entry.bytes() as u64).sum::<u64>();
    }

    /// Replaces the snapshot by a later one and drops the entries it includes.
    pub fn compact(&mut self, snapshot: Snapshot) {
        assert_eq!(self.position(snapshot.at.op), Some(snapshot.at), "the log runs through its snapshot");
        let drop = snapshot.at.op.0 - self.base().op.0;
        let drop = usize::try_from(drop).expect("entries fit in memory");
        let entries: Vec<Entry> = self.entries.drain(..drop).collect();
        self.bytes -= entries.iter().map(|entry| entry.bytes() as u64).sum::<u64>();
        self.garbage = Garbage { entries, snapshot: Some(mem::replace(&mut self.snapshot, snapshot)) };
    }

    /// What was dropped since this was asked before, to be freed in good time. What nobody asks for is freed
    /// with the log, or when the next snapshot is replaced.
    pub(super) fn take_garbage(&mut self) -> Option<impl machine::Garbage> {
        self.garbage.snapshot.is_some().then(|| mem::take(&mut self.garbage))
    }
}
