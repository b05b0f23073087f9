//! What a replica is told and what it wants done.

use std::time::Duration;

use crate::protocol::{
    command::{Reply, Request},
    identity::{Boot, Generation, OpNumber, Position, ServerId, Ticket, ViewNumber, WriteNumber},
    log::{Durable, Write},
    message::{PeerMessage, Ping, PingReply, Token},
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
    Probe(Token),
    /// Another replica spoke.
    Peer(PeerMessage),
    /// This write and all before it are durable.
    Persisted(WriteNumber),
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

/// What is limited of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionLimit {
    /// Their number, by [`ReplicaOptions::sessions_max`](crate::protocol::options::ReplicaOptions::sessions_max).
    Count,
    /// What they remember, by
    /// [`ReplicaOptions::session_bytes_max`](crate::protocol::options::ReplicaOptions::session_bytes_max).
    Bytes,
}

/// What an operator wants to know of a replica.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Notice {
    /// The first answer of the view service in this life.
    Accepted,
    /// The role changed.
    RoleChanged {
        /// The new role.
        role: RoleName,
        /// In which view.
        view: ViewNumber,
    },
    /// As primary, it confirmed all replicas of its view.
    Confirmed {
        /// The view.
        view: ViewNumber,
    },
    /// As primary, it learned that the view service recorded its confirmation.
    Activated {
        /// The view.
        view: ViewNumber,
    },
    /// As primary, it learned that a later view exists, and answers no client any more.
    Fenced {
        /// The later view.
        view: ViewNumber,
    },
    /// As primary, it is told that another server is primary in the same view, and gives up its role: the view service's
    /// record is an old copy.
    AnotherPrimary {
        /// The view.
        view: ViewNumber,
        /// The other one.
        primary: ServerId,
    },
    /// A replica that the primary waits for is silent, or answers and takes nothing.
    Suspected {
        /// Which.
        server: ServerId,
    },
    /// As primary, it hears a replica again that it suspected, before the view changed.
    HeardAgain {
        /// Which.
        server: ServerId,
    },
    /// As backup, it does not hear the primary.
    PrimarySilent {
        /// The primary.
        server: ServerId,
    },
    /// As backup, it hears a primary that it did not hear, or there is another view.
    PrimarySilenceEnds {
        /// The primary that was not heard.
        server: ServerId,
    },
    /// The view service does not answer.
    ViewServiceSilent,
    /// It answers again.
    ViewServiceAnswers,
    /// As primary, it begins to acknowledge what fewer replicas hold than the view service wants, or their number
    /// changed.
    FewCopies {
        /// How many hold what is acknowledged, the primary included.
        copies: usize,
        /// Copies wanted.
        wanted: usize,
    },
    /// As primary, it no longer does.
    EnoughCopies {
        /// How many hold what is acknowledged, the primary included.
        copies: usize,
    },
    /// As primary, it refuses all updates: fewer replicas would hold them than it was told to ask for.
    UpdatesRefused {
        /// How many would hold them, the primary included.
        copies: usize,
        /// How many it asks for.
        copies_min: usize,
    },
    /// As primary, it takes updates again.
    UpdatesTaken {
        /// How many hold them, the primary included.
        copies: usize,
    },
    /// As primary, it refuses clients because what it remembers of sessions has reached a limit.
    SessionsFull {
        /// Which limit.
        limit: SessionLimit,
        /// How much there is of it with what is in flight, in sessions or bytes,
        held: u64,
        /// and how much there may be.
        max: u64,
    },
    /// As primary, it has room again, and refused nobody for a while.
    SessionsHaveRoom {
        /// Which limit had been reached.
        limit: SessionLimit,
        /// How much there is of it with what is in flight, in sessions or bytes.
        held: u64,
    },
    /// It pings more often than it was told, because the view service's dead interval demands it.
    PingsMoreOften {
        /// How often it was told to.
        told: Duration,
        /// How often it does.
        interval: Duration,
        /// The view service's dead interval.
        dead_after: Duration,
    },
    /// It asks for more copies than the view service strives for: as primary it refuses all updates.
    CopiesOutOfReach {
        /// Copies without which it refuses updates.
        copies_min: usize,
        /// Copies that the view service strives for.
        wanted: usize,
    },
    /// A joiner has caught up; the view service is being told that it may be promoted.
    Joined {
        /// Which.
        server: ServerId,
        /// The operation up to which it holds the log.
        at: OpNumber,
    },
    /// A state transfer to a replica began.
    TransferBegan {
        /// To whom.
        to: ServerId,
        /// The state is that after this operation.
        at: Position,
    },
    /// The replica has installed the state.
    TransferCompleted {
        /// Which.
        to: ServerId,
        /// Up to which operation.
        at: OpNumber,
    },
    /// A replica that was catching up is left behind because the log grew beyond its limit: it gets a later
    /// state.
    TransferAbandoned {
        /// To whom.
        to: ServerId,
    },
    /// As the receiver, a state transfer began.
    ReceivingState {
        /// From whom.
        from: ServerId,
        /// The state is that after this operation.
        at: Position,
    },
    /// As the receiver, the state is installed.
    StateInstalled {
        /// The state is that after this operation.
        at: Position,
    },
    /// A message was refused that contradicts what is committed, or names an implausible view: it is not from
    /// a server that follows the protocol.
    PeerRefused {
        /// Who sent it, as it says.
        from: ServerId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The view service knows a later life of this server; this one takes a larger number.
    BootRaised {
        /// The new number.
        boot: Boot,
    },
    /// The view service has not believed this server's pings for a while: it does not reach it at the address
    /// that it advertises.
    Unconfirmed {
        /// That address.
        advertised: ServerId,
        /// This life.
        own: Boot,
        /// The life that answers there, if another one does.
        holder: Option<Boot>,
    },
    /// After that was told, the view service believes this server again.
    Believed,
    /// This server's contents belong to another generation: it has to be restarted empty.
    WrongGeneration {
        /// The generation of its contents.
        own: Generation,
        /// The current generation.
        current: Generation,
    },
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
