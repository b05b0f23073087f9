//! What arrives at a server from its primary, and what its disk holds.

use pbkv::protocol::{
    identity::{OpNumber, ServerId, WriteNumber},
    log::Write,
    message::{Append, Chunk, TransferId},
    replica::{Replica, RoleName},
};
use testbed::data::node::NodeIndex;

use super::{super::Situation, Before, Incoming, Lookout};

/// What is known of a server that follows.
#[derive(Default)]
pub(super) struct Following {
    /// Parts of a transferred state that wait for the rest, as long as the machine keeps them.
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

#[derive(Clone)]
struct Receiving {
    from: ServerId,
    transfer: TransferId,
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

    /// After a step: parts that the machine gave up are forgotten.
    pub(super) fn stepped(&mut self, machine: &Replica) {
        self.receiving.take_if(|_| machine.load().staged.is_none());
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
        if chunk.generation != machine.generation() {
            return;
        }
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
        let situation = match &mut following.receiving {
            Some(current) if current.from == chunk.from && chunk.transfer < current.transfer => {
                Some(Situation::OlderPart)
            }
            Some(current) if current.from == chunk.from && chunk.transfer == current.transfer => {
                (chunk.part < machine.load().staged_parts).then_some(Situation::PartTwice)
            }
            other if chunk.part == 0 => {
                let (from, transfer) = (chunk.from.clone(), chunk.transfer);
                let before = other.replace(Receiving { from, transfer });
                before.map(|_| Situation::NewerTransfer)
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
        self.reach_if(unwritten, Situation::UnwrittenAckForgotten);
        self.reach_if(before.receiving, Situation::ViewChangesInTransfer);
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use pbkv::protocol::{
        identity::{Boot, DataId, Generation, Position, ServerId, ViewNumber},
        log::Durable,
        machine::Machine,
        message::{Echo, PeerMessage, PingReply, PingReplyBody},
        options::{ReplicaOptions, ViewServiceOptions},
        replica::{Effect, Event, Start},
    };

    use super::*;
    use crate::{generate::generate, judges::invariants::Facts, store::nodes::Nodes};

    const S1: NodeIndex = 1;
    const NOW: Duration = Duration::from_secs(1);
    const DATA: DataId = DataId { boot: Boot(1), nonce: 7 };

    /// A server that holds nothing, and who looks at it.
    struct Fixture {
        lookout: Lookout,
        machine: Replica,
        others: [ServerId; 2],
    }

    impl Fixture {
        fn new() -> Self {
            let plan = generate(0);
            let nodes = Arc::new(Nodes::new(&plan));
            let server = nodes.id(S1).clone();
            let start = Start { server, boot: Boot(1), nonce: 7, durable: Durable::default() };
            let machine = Replica::new(ReplicaOptions::default(), start, NOW);
            let others = ["s2:1", "s3:1"].map(ServerId::new);
            let mut fixture = Self { lookout: Lookout::new(nodes, &plan), machine, others };
            fixture.takes(Event::Flush);
            let echo = Echo { epoch: 1, at: NOW };
            let generation = Generation::FIRST;
            let body = PingReplyBody::Accepted { view: None, echo, lease: None, generation };
            let cluster = ViewServiceOptions::default().of_all();
            fixture.takes(Event::PingReply(PingReply { boot: Boot(1), number: 1, cluster, body }));
            fixture
        }

        /// Takes an event, flushes, and writes to disk what there is.
        fn takes(&mut self, event: Event) {
            let mut written = Vec::new();
            for event in [event, Event::Flush] {
                let mut effects = Vec::new();
                self.lookout.before_replica(S1, &self.machine, &event);
                self.machine.step(NOW, event, &mut effects);
                self.lookout.after_replica(S1, &self.machine, &effects, &Facts::default());
                written.extend(effects.into_iter().filter_map(|effect| match effect {
                    Effect::Persist { number, .. } => Some(number),
                    _ => None,
                }));
            }
            written.into_iter().for_each(|number| self.takes(Event::Persisted(number)));
        }

        /// A part of a transfer that this primary began in the first view, sent in another one.
        fn part(&mut self, primary: usize, view: u64, part: u64) {
            self.takes(Event::Peer(PeerMessage::Chunk(Chunk {
                generation: Generation::FIRST,
                view: ViewNumber(view),
                from: self.others[primary].clone(),
                to_data: DATA,
                transfer: TransferId { view: ViewNumber(1), number: 1 },
                at: Position { view: ViewNumber(1), op: OpNumber(3) },
                part,
                items: Vec::new(),
                last: false,
            })));
        }

        fn reached(&self, situation: Situation) -> bool {
            self.lookout.reached().contains(situation)
        }
    }

    #[test]
    fn parts_outlive_a_view_of_the_same_primary() {
        let mut fixture = Fixture::new();
        fixture.part(0, 1, 0);
        assert!(
            fixture.machine.load().staged.is_some() && !fixture.reached(Situation::ViewChangesInTransfer)
        );
        fixture.part(0, 2, 1);
        assert!(fixture.reached(Situation::ViewChangesInTransfer));
        fixture.part(0, 2, 1);
        assert!(fixture.reached(Situation::PartTwice));
        assert!(!fixture.reached(Situation::PartWithoutBeginning), "it was taken");
        // What another primary sent is no beginning.
        fixture.part(1, 3, 2);
        assert!(fixture.reached(Situation::PartWithoutBeginning));
    }

    #[test]
    fn parts_that_the_server_gave_up_are_forgotten() {
        let mut fixture = Fixture::new();
        fixture.part(0, 1, 0);
        assert!(fixture.lookout.servers[S1].following.is_receiving());
        // The same operations came as such, and were committed.
        let command = pbkv::protocol::command::Command::OpenSession { ttl: Duration::from_secs(60) };
        let entries = (1..=3).map(|op| pbkv::protocol::command::Entry {
            position: Position { view: ViewNumber(1), op: OpNumber(op) },
            timestamp: Duration::ZERO,
            command: command.clone(),
        });
        fixture.takes(Event::Peer(PeerMessage::Append(Append {
            generation: Generation::FIRST,
            view: ViewNumber(1),
            from: fixture.others[0].clone(),
            to_data: DATA,
            round: 1,
            previous: Position::default(),
            entries: entries.collect(),
            commit: OpNumber(3),
            silence_max: Duration::from_millis(500),
        })));
        assert_eq!(fixture.machine.load().staged, None);
        assert!(!fixture.lookout.servers[S1].following.is_receiving());
    }
}
