//! What a replica is told and what it wants done.

use std::fmt;

use super::Notice;
use crate::protocol::{
    command::{Reply, Request},
    identity::{Boot, ServerId, Ticket, WriteNumber},
    log::{Durable, Write},
    message::{PeerMessage, Ping, PingReply, Probe},
};

/// What can happen to a replica.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Event {
    /// A client asks; exactly one [`Effect::Reply`] with this ticket will follow.
    Request {
        /// Names the waiting caller.
        ticket: Ticket,
        /// What it wants.
        request: Request,
    },
    /// The view service answered a ping. A ping that is not answered is no event.
    PingReply(PingReply),
    /// The view service reached this server at its address (VS-PROBE).
    Probe(Probe),
    /// A primary would speak, and was refused, because this server cannot take what it may send: why, as a
    /// line for an operator.
    Refused(String),
    /// Another replica spoke.
    Peer(PeerMessage),
    /// This write and all before it are durable.
    Persisted(WriteNumber),
    /// A long write is under way, and more of it is done than before.
    Writing,
    /// Time has passed.
    Tick,
    /// No further event is waiting.
    Flush,
}

/// What a replica wants done.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Effect {
    /// Ping the view service.
    Ping(Ping),
    /// Say this to a replica. It may be lost.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        message: PeerMessage,
    },
    /// Make these changes durable, in order, then report [`Event::Persisted`].
    Persist {
        /// Names the batch.
        number: WriteNumber,
        /// What changes.
        writes: Vec<Write>,
    },
    /// Answer a client.
    Reply {
        /// Who is waiting.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// Something happened that an operator wants to know.
    Notice(Notice),
}

/// A role without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// No member of a view.
    Idle,
    /// Follows a primary, in sync or joining.
    Backup,
    /// Orders operations and answers clients.
    Primary,
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Backup => "backup",
            Self::Primary => "primary",
        })
    }
}

/// What a replica is started with.
#[derive(Clone, Debug)]
pub struct Start {
    /// Who it is.
    pub server: ServerId,
    /// Number of this life: larger than any before. A durable server counts; one that remembers nothing
    /// uses the wall clock in nanoseconds.
    pub boot: Boot,
    /// Random; becomes part of the identity of a store created in this life.
    pub nonce: u64,
    /// What the disk holds ([`Durable::default`] for a server that remembers nothing).
    pub durable: Durable,
}
