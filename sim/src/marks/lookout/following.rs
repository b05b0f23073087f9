//! What arrives at a server from its primary, and what its disk holds.

use pbkv::protocol::{
    identity::{OpNumber, WriteNumber},
    log::Write,
    message::{Append, Chunk, TransferId},
    replica::{Replica, RoleName},
};

use super::{super::Situation, Before, Incoming, Lookout};
use crate::data::node::NodeIndex;

/// What is known of a server that follows.
#[derive(Default)]
pub(super) struct Following {
    /// Parts of a transferred state that wait for the rest.
    receiving: Option<Receiving>,
    /// A transferred state was installed and is not durable yet.
    pub(super) installing: bool,
    /// Up to which operation a state was transferred in this life.
    pub(super) transferred: Option<OpNumber>,
    /// The latest write of log entries that is not durable.
    unwritten: Option<WriteNumber>,
    /// The number of parts of the latest transfer.
    parts: u64,
}

#[derive(Clone, Copy)]
struct Receiving {
    transfer: TransferId,
    next_part: u64,
}

impl Following {
    /// A write of log entries was handed to the disk.
    pub(super) fn writes(&mut self, number: WriteNumber) {
        self.unwritten = Some(number);
    }

    /// Writes up to this one are durable.
    pub(super) fn written(&mut self, number: WriteNumber) {
        if self.unwritten.is_some_and(|unwritten| unwritten <= number) {
            self.unwritten = None;
            self.installing = false;
        }
    }

    /// Whether some parts of a state wait for the rest.
    pub(super) fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }
}

impl Lookout {
    pub(super) fn append_arrives(&mut self, machine: &Replica, append: &Append) {
        let Some(data) = machine.data() else { return };
        if append.to_data != data {
            return self.reach(Situation::OtherContents);
        }
        if append.view < machine.view_seen() {
            return self.reach(Situation::StaleAppend);
        }
        let (log, previous) = (machine.log(), append.previous);
        if previous.op > log.base().op {
            match log.position(previous.op) {
                None => self.reach(Situation::Gap),
                Some(position) if position != previous => self.reach(Situation::Conflict),
                Some(_) => {}
            }
        }
        if let Some(last) = append.entries.last().map(|entry| entry.position) {
            let inside = last.op < log.end().op && log.position(last.op) == Some(last);
            self.reach_if(inside, Situation::LateAppendInsideLog);
        }
    }

    pub(super) fn part_arrives(&mut self, node: NodeIndex, machine: &Replica, chunk: &Chunk) {
        let Some(data) = machine.data() else { return };
        if chunk.to_data != data {
            return self.reach(Situation::OtherContents);
        }
        if chunk.view < machine.view_seen() {
            return self.reach(Situation::StalePart);
        }
        if chunk.at.op <= machine.commit() {
            if chunk.at.op < machine.commit() {
                self.reach(Situation::LatePart);
                self.reach_if(chunk.part == 0 && chunk.last, Situation::LateWholeState);
            }
            return;
        }
        let following = &mut self.servers[node].following;
        // A later view empties the stage before its first part is looked at.
        let current = following.receiving.filter(|_| chunk.view == machine.view_seen());
        let situation = match current {
            Some(current) if chunk.transfer < current.transfer => Some(Situation::OlderPart),
            Some(current) if chunk.transfer == current.transfer => {
                let expected = chunk.part == current.next_part;
                if expected {
                    following.receiving = Some(Receiving { next_part: chunk.part + 1, ..current });
                }
                (chunk.part < current.next_part).then_some(Situation::PartTwice)
            }
            other if chunk.part == 0 => {
                following.receiving = Some(Receiving { transfer: chunk.transfer, next_part: 1 });
                other.map(|_| Situation::NewerTransfer)
            }
            _ => Some(Situation::PartWithoutBeginning),
        };
        following.parts = chunk.part + 1;
        if let Some(situation) = situation {
            self.reach(situation);
        }
    }

    /// A server obeys a later view than before its step.
    pub(super) fn adopted(&mut self, node: NodeIndex, machine: &Replica, before: &Before) {
        let jumps = before.view.0 > 0 && machine.view_seen().0 > before.view.0 + 1;
        self.reach_if(jumps, Situation::ViewJumps);
        self.reach_if(matches!(before.event, Incoming::Peer), Situation::AdoptedFromPrimary);
        let following = &mut self.servers[node].following;
        let unwritten = before.role == RoleName::Backup && following.unwritten.is_some();
        let unfinished = following.receiving.is_some_and(|it| it.transfer.view < machine.view_seen());
        if unfinished {
            following.receiving = None;
        }
        self.reach_if(unwritten, Situation::UnwrittenAckForgotten);
        self.reach_if(unfinished, Situation::ViewChangesInTransfer);
        self.servers[node].leading.begins_view();
    }

    /// A server installed a transferred state.
    pub(super) fn installed(&mut self, node: NodeIndex, at: OpNumber) {
        let following = &mut self.servers[node].following;
        following.receiving = None;
        following.installing = true;
        following.transferred = Some(at);
        let several = following.parts > 1;
        self.reach_if(several, Situation::TransferInParts);
    }

    /// A server hands changes to its disk.
    pub(super) fn wrote(&mut self, node: NodeIndex, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Truncate(_) => self.reach(Situation::CutBack),
                Write::Install(_) => self.reach(Situation::StateReplacesLog),
                Write::Checkpoint(snapshot) => {
                    let following = &self.servers[node].following;
                    if following.transferred == Some(snapshot.at.op) {
                        self.reach(Situation::StateKeepsSuffix);
                    } else if self.servers[node].leading.is_sending() {
                        self.reach(Situation::CompactionInTransfer);
                    }
                }
                _ => {}
            }
        }
    }
}
