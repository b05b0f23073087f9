//! What servers say to the view service and to each other.
//!
//! Every message may be lost, duplicated, reordered and arbitrarily late: each says in which view,
//! to whose contents and on whose behalf it speaks, and means the same whenever it arrives.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;

use super::{
    command::{Entry, Outcome},
    identity::{
        Boot, DataId, Generation, OpNumber, Position, RequestNumber, ServerId, SessionId, ViewNumber,
    },
    view::{Members, View},
};

/// A server's signal to the view service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ping {
    /// Who.
    pub server: ServerId,
    /// In which life.
    pub boot: Boot,
    /// Holding which contents; none until the view service accepted this life.
    pub data: Option<DataId>,
    /// The generation of those contents.
    pub generation: Generation,
    /// The latest view this server adopted.
    pub view_known: ViewNumber,
    /// As primary of `view_known`: the replicas it confirmed in that view, itself included. This is the
    /// acknowledgement of the view. Empty otherwise.
    pub confirmed: Members,
    /// As primary of `view_known`: the replicas it waits for and does not hear.
    pub suspects: BTreeSet<ServerId>,
    /// The end of its log.
    pub log_end: Position,
    /// Parts of a state transfer received so far; with `log_end` it shows that a joiner makes progress.
    pub parts_received: u64,
    /// The latest time of the view service that this server has heard, for two-way aliveness.
    pub echo: Option<Echo>,
    /// Counts the pings of this life.
    pub number: u64,
    /// The server would use a read lease if it got one.
    pub wants_lease: bool,
}

/// A time of the view service, told to a server and sent back by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Echo {
    /// Which life of the view service.
    pub epoch: u64,
    /// Its own time, since that life began.
    pub at: Duration,
}

/// The view service's answer to a ping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PingReply {
    /// The life of the server that is answered. Any other life ignores the answer (R15).
    pub boot: Boot,
    /// The ping that is answered.
    pub number: u64,
    /// What it says.
    pub body: PingReplyBody,
}

/// The kinds of answers to a ping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PingReplyBody {
    /// The ping was accepted.
    Accepted {
        /// The current view; none until the first server was accepted.
        view: Option<View>,
        /// To be sent back in the next ping.
        echo: Echo,
        /// How long, from the sending of the ping on, no other server will be made primary.
        lease: Option<Duration>,
        /// The current generation.
        generation: Generation,
    },
    /// A later life of this server is known; take a larger number.
    StaleBoot {
        /// The largest known.
        max: Boot,
    },
    /// The server holds contents of another generation and must be restarted empty.
    WrongGeneration {
        /// The current generation.
        generation: Generation,
    },
}

/// What replicas say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerMessage {
    /// The primary forwards operations, or shows that it is there.
    Append(Append),
    /// A replica says how far its log agrees.
    AppendAck(AppendAck),
    /// The primary transfers a part of its state.
    Chunk(Chunk),
    /// A replica says how much of the state it has.
    ChunkAck(ChunkAck),
}

/// Operations from the primary, or a heartbeat if there are none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Append {
    /// The generation of the data.
    pub generation: Generation,
    /// The primary's view.
    pub view: ViewNumber,
    /// The primary.
    pub from: ServerId,
    /// The contents this is meant for.
    pub to_data: DataId,
    /// Numbers the heartbeats of this view; reads wait for an answer to a late enough one.
    pub heartbeat: u64,
    /// The position just before `entries`.
    pub previous: Position,
    /// The operations that follow it.
    pub entries: Vec<Entry>,
    /// Operations up to here are committed.
    pub commit: OpNumber,
}

/// The answer to an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendAck {
    /// The view that is answered.
    pub view: ViewNumber,
    /// Who answers.
    pub from: ServerId,
    /// With which contents.
    pub data: DataId,
    /// The heartbeat that is answered.
    pub heartbeat: u64,
    /// What it found.
    pub result: AppendResult,
}

/// What a replica found when it received an [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendResult {
    /// The log agrees with the primary's, durably, up to here.
    Match(OpNumber),
    /// The log has nothing, or something else, at the previous position; try from here.
    Mismatch {
        /// The first operation that the primary should send.
        hint: OpNumber,
    },
    /// A later view is known: the sender is no longer primary.
    Stale {
        /// That view's number.
        view_seen: ViewNumber,
    },
}

/// Names one state transfer of one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    /// The view.
    pub view: ViewNumber,
    /// Counts the transfers that view's primary began.
    pub number: u64,
}

/// A part of a consistent cut of the primary's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// The generation of the data.
    pub generation: Generation,
    /// The primary's view.
    pub view: ViewNumber,
    /// The primary.
    pub from: ServerId,
    /// The contents this is meant for.
    pub to_data: DataId,
    /// Which transfer; parts of two are never mixed.
    pub transfer: TransferId,
    /// The state is that after this operation.
    pub at: Position,
    /// Number of this part, from 0.
    pub part: u64,
    /// What is in it.
    pub items: Vec<Item>,
    /// Whether it is the last part.
    pub last: bool,
}

/// A piece of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A key and its value.
    Pair {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// A session.
    Session {
        /// Its name.
        id: SessionId,
        /// What is remembered of it.
        session: Session,
    },
    /// The log's clock.
    Clock(Duration),
}

impl Item {
    /// About how many bytes it occupies on the wire.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Pair { key, value } => 16 + key.len() + value.len(),
            Self::Session { session, .. } => {
                64 + match &session.last {
                    Some((_, Outcome::Swapped { previous: Some(previous), .. })) => previous.len(),
                    _ => 0,
                }
            }
            Self::Clock(_) => 16,
        }
    }
}

/// At-most-once memory: what the replicas remember of one client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The latest request executed and what it did.
    pub last: Option<(RequestNumber, Outcome)>,
    /// The log's clock at the session's latest operation.
    pub active_at: Duration,
    /// Log time without an update after which the session is forgotten.
    pub ttl: Duration,
}

/// The answer to a [`Chunk`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkAck {
    /// The view that is answered.
    pub view: ViewNumber,
    /// Who answers.
    pub from: ServerId,
    /// With which contents.
    pub data: DataId,
    /// Which transfer.
    pub transfer: TransferId,
    /// How far it is.
    pub result: ChunkResult,
}

/// How far a state transfer is at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkResult {
    /// This part is expected next.
    Next(u64),
    /// Everything up to this operation is installed durably; as good as [`AppendResult::Match`].
    Installed(OpNumber),
    /// A later view is known: the sender is no longer primary.
    Stale {
        /// That view's number.
        view_seen: ViewNumber,
    },
}
