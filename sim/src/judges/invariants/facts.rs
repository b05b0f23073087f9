//! What an all-knowing observer has seen.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{Hash, Hasher},
};

use pbkv::protocol::{
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
    log::{Durable, Write},
    message::Ping,
    replica::Effect,
    view::{Members, Record, View},
};

/// What is on one server's disk, as far as the invariants care: identities and positions.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The identity of the contents.
    pub data: Option<DataId>,
    /// Their generation.
    pub generation: Generation,
    /// The latest view adopted.
    pub view_seen: ViewNumber,
    base: Position,
    positions: VecDeque<Position>,
}

impl Disk {
    /// Whether the log on disk includes `position`; what is in the snapshot is known by its number only.
    pub fn holds(&self, position: Position) -> bool {
        match position.op.0.checked_sub(self.base.op.0 + 1) {
            None => position.op < self.base.op || position == self.base,
            Some(index) => {
                usize::try_from(index).ok().and_then(|index| self.positions.get(index)) == Some(&position)
            }
        }
    }

    /// The position of the last operation.
    pub fn end(&self) -> Position {
        self.positions.back().copied().unwrap_or(self.base)
    }

    fn apply(&mut self, write: &Write) {
        match write {
            Write::Boot(_) => {}
            Write::ViewSeen(view) => self.view_seen = *view,
            Write::Data { data, generation } => {
                let (data, generation, view_seen) = (Some(*data), *generation, self.view_seen);
                *self = Self { data, generation, view_seen, ..Self::default() };
            }
            Write::Entry(entry) => self.positions.push_back(entry.position),
            Write::Truncate(from) => {
                let keep = from.0.saturating_sub(self.base.op.0 + 1);
                self.positions.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            }
            Write::Checkpoint(snapshot) => {
                while self.positions.front().is_some_and(|position| position.op <= snapshot.at.op) {
                    self.positions.pop_front();
                }
                self.base = snapshot.at;
            }
            Write::Install(snapshot) => {
                self.positions.clear();
                self.base = snapshot.at;
            }
        }
    }
}

/// Every commitment so far: position and fingerprint of each operation, without gaps from the first.
#[derive(Clone, Debug, Default, Hash)]
pub struct Committed {
    positions: Vec<Position>,
}

impl Committed {
    /// How many operations are committed.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The last committed operation.
    pub fn last(&self) -> Option<Position> {
        self.positions.last().copied()
    }

    /// The committed operation at `op`.
    pub fn get(&self, op: OpNumber) -> Option<Position> {
        self.positions.get(usize::try_from(op.0.checked_sub(1)?).ok()?).copied()
    }

    pub(super) fn push(&mut self, position: Position) {
        assert_eq!(position.op.0, self.positions.len() as u64 + 1, "operations are committed in order");
        self.positions.push(position);
    }
}

/// Whom the primary of a view confirmed in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Confirmation {
    view: ViewNumber,
    primary: ServerId,
    boot: Boot,
    members: Members,
}

/// What an all-knowing observer has seen.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The view service's durable record.
    pub record: Record,
    /// Every server's disk, by the process's own name.
    pub disks: BTreeMap<ServerId, Disk>,
    /// The name of the one that has another one's address.
    pub twin: Option<ServerId>,
    /// Every commitment.
    pub committed: Committed,
    /// The latest view whose primary began to acknowledge it.
    pub acknowledged: ViewNumber,
    /// The replicas that hold all the data as long as they have their memory: those of the latest
    /// acknowledgement that was both sent and recorded. Empty as long as there was none.
    pub complete: Members,
    /// What was sent and may still be recorded.
    confirmations: Vec<Confirmation>,
}

impl Hash for Facts {
    /// What is not on a disk, or will be.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.committed, self.acknowledged, &self.complete, &self.confirmations).hash(hasher);
    }
}

impl Facts {
    pub(super) fn disk_read(&mut self, server: &ServerId, durable: &Durable) {
        let disk = Disk {
            data: durable.data,
            generation: durable.generation,
            view_seen: durable.view_seen,
            base: durable.log.base(),
            positions: durable.log.entries_from(OpNumber(0)).map(|entry| entry.position).collect(),
        };
        self.disks.insert(server.clone(), disk);
    }

    pub(super) fn disk_written(&mut self, server: &ServerId, write: &Write) {
        self.disks.entry(server.clone()).or_default().apply(write);
    }

    /// A server took a step, in which it may have acknowledged its view.
    pub(super) fn replica_stepped(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Ping(ping) = effect
                && !ping.confirmed.is_empty()
            {
                self.acknowledged = self.acknowledged.max(ping.view_known);
                self.confirmed(ping);
            }
        }
    }

    fn confirmed(&mut self, ping: &Ping) {
        let is_it = |known: &Confirmation| {
            known.view == ping.view_known
                && known.primary == ping.server
                && known.boot == ping.boot
                && known.members == ping.confirmed
        };
        if !self.confirmations.iter().any(is_it) {
            self.confirmations.push(Confirmation {
                view: ping.view_known,
                primary: ping.server.clone(),
                boot: ping.boot,
                members: ping.confirmed.clone(),
            });
        }
    }

    /// The view service's record became durable. `is_adopted`: the one before was lost, and nothing is known
    /// but what an operator said.
    pub(super) fn recorded(&mut self, record: &Record, is_adopted: bool) {
        if record.generation != self.record.generation {
            self.complete.clear();
            self.confirmations.clear();
        }
        let was_sent = |view: &View| {
            self.confirmations.iter().any(|sent| {
                sent.view == view.number
                    && sent.primary == view.primary
                    && sent.boot == view.primary_boot
                    && sent.members == view.insync
            })
        };
        let activated = record.view.as_ref().filter(|view| view.activated);
        // An acknowledgement and the next view may become durable together.
        let was_passed =
            self.confirmations.iter().any(|sent| sent.view < record.number && sent.members == record.stable);
        if let Some(view) = activated.filter(|view| is_adopted || was_sent(view)) {
            self.complete.clone_from(&view.insync);
        } else if was_passed {
            self.complete.clone_from(&record.stable);
        }
        self.confirmations.retain(|sent| sent.view >= record.number);
        self.record = record.clone();
    }

    /// An old copy is in the place of the record.
    pub(super) fn record_replaced(&mut self) {
        self.complete.clear();
        self.confirmations.clear();
    }

    pub(super) fn disk_lost(&mut self, server: &ServerId) {
        self.disks.insert(server.clone(), Disk::default());
    }

    /// The replicas that hold all the data, by what is on their disks.
    pub fn holders(&self) -> impl Iterator<Item = (&ServerId, DataId)> {
        let last = self.committed.last();
        let holds_all = move |disk: &Disk| last.is_none_or(|last| disk.holds(last));
        let intact = self
            .complete
            .iter()
            .filter(move |(server, data)| self.disk(server, **data).is_some_and(holds_all));
        intact.map(|(server, data)| (server, *data))
    }

    /// The disk with the contents `data` of the server of this name, or of the process that has its address.
    pub fn disk(&self, server: &ServerId, data: DataId) -> Option<&Disk> {
        let with_data = |name: &ServerId| self.disks.get(name).filter(|disk| disk.data == Some(data));
        with_data(server).or_else(|| self.twin.as_ref().and_then(with_data))
    }

    /// Whether `server` still has the contents `data` on its disk.
    pub fn is_intact(&self, server: &ServerId, data: DataId) -> bool {
        self.disk(server, data).is_some()
    }
}
