//! Messages on their way.

use pbkv::protocol::{
    command::{Reply, Request},
    message::{PeerMessage, Ping, PingReply, Probe},
    view::View,
};
use testbed::data::node::NodeIndex;

use crate::walk::shared::Shared;

/// The sorts of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A server's signal to the view service,
    Ping,
    /// its answer,
    Answer,
    /// what the view service brings to an address,
    Probe,
    /// and that nobody listens there any more.
    Gone,
    /// Operations,
    Append,
    /// their acknowledgement,
    Ack,
    /// a part of a state,
    Part,
    /// and its acknowledgement.
    PartAck,
    /// A client asks a server,
    Request,
    /// and is answered.
    Reply,
    /// A client asks the view service,
    Question,
    /// and is told the view.
    View,
}

const KINDS: usize = 12;

impl Kind {
    /// As scripts of the machines call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Answer => "answer",
            Self::Probe => "probe",
            Self::Gone => "gone",
            Self::Append => "append",
            Self::Ack => "ack",
            Self::Part => "part",
            Self::PartAck => "part-ack",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Question => "question",
            Self::View => "view",
        }
    }
}

/// Names a message: the so many-th of its kind from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// From this node
    pub from: u8,
    /// to this one.
    pub to: u8,
    /// Its sort.
    pub kind: Kind,
    /// Counts, from 0.
    pub number: u32,
}

/// What is in a message. A call between servers and the view service is answered to the life that made it.
#[derive(Clone, Debug, Hash)]
pub(super) enum Body {
    Ping {
        life: u64,
        ping: Ping,
    },
    Answer {
        life: u64,
        reply: PingReply,
    },
    Probe(Probe),
    /// A connection to the sender was refused: its process has ended.
    Gone,
    Peer(PeerMessage),
    Request {
        call: u64,
        attempt: u32,
        request: Request,
    },
    Reply {
        call: u64,
        attempt: u32,
        reply: Reply,
    },
    Question,
    View(Option<View>),
}

impl Body {
    fn kind(&self) -> Kind {
        match self {
            Self::Ping { .. } => Kind::Ping,
            Self::Answer { .. } => Kind::Answer,
            Self::Probe(_) => Kind::Probe,
            Self::Gone => Kind::Gone,
            Self::Peer(PeerMessage::Append(_)) => Kind::Append,
            Self::Peer(PeerMessage::AppendAck(_)) => Kind::Ack,
            Self::Peer(PeerMessage::Chunk(_)) => Kind::Part,
            Self::Peer(PeerMessage::ChunkAck(_)) => Kind::PartAck,
            Self::Request { .. } => Kind::Request,
            Self::Reply { .. } => Kind::Reply,
            Self::Question => Kind::Question,
            Self::View(_) => Kind::View,
        }
    }
}

/// The messages on their way, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    nodes: usize,
    messages: Vec<(Key, Shared<Body>)>,
    /// How many there were of each kind, from each node to each.
    counts: Vec<u32>,
}

impl Flight {
    pub fn new(nodes: usize) -> Self {
        Self { nodes, messages: Vec::new(), counts: vec![0; nodes * nodes * KINDS] }
    }

    pub fn send(&mut self, from: NodeIndex, to: NodeIndex, body: Body) {
        let kind = body.kind();
        let count = &mut self.counts[(from * self.nodes + to) * KINDS + kind as usize];
        let key = Key { from: from as u8, to: to as u8, kind, number: *count };
        *count += 1;
        self.messages.push((key, Shared::new(body)));
    }

    /// How many there were of a kind from one node to another.
    pub fn count(&self, from: NodeIndex, to: NodeIndex, kind: Kind) -> u32 {
        self.counts[(from * self.nodes + to) * KINDS + kind as usize]
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.messages.iter().map(|(key, _)| *key)
    }

    pub fn messages(&self) -> impl Iterator<Item = (Key, &Shared<Body>)> {
        self.messages.iter().map(|(key, body)| (*key, body))
    }

    pub fn key_at(&self, place: usize) -> Key {
        self.messages[place].0
    }

    pub fn get(&self, key: Key) -> Option<&Body> {
        self.messages.iter().find(|(own, _)| *own == key).map(|(_, body)| &**body)
    }

    /// Whether an older message is still on its way from its sender to its receiver.
    pub fn is_overtaking(&self, key: Key) -> bool {
        let link = self.messages.iter().find(|(own, _)| (own.from, own.to) == (key.from, key.to));
        link.is_some_and(|(oldest, _)| *oldest != key)
    }

    /// It is on its way no longer.
    pub fn take(&mut self, key: Key) -> Option<Body> {
        let place = self.messages.iter().position(|(own, _)| *own == key)?;
        Some(self.messages.remove(place).1.into_inner())
    }

    /// None is on its way any longer.
    pub fn take_all(&mut self) -> impl Iterator<Item = (Key, Body)> + use<> {
        std::mem::take(&mut self.messages).into_iter().map(|(key, body)| (key, body.into_inner()))
    }
}
