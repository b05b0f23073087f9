//! What a replica tells an operator, and how a timeline says it. The words of logs, with advice, are the
//! server's.

use std::{fmt, time::Duration};

use super::RoleName;
use crate::protocol::identity::{Boot, Generation, OpNumber, Position, ServerId, ViewNumber};

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
    /// As primary, it is told that another server is primary in the same view, and gives up its role: the
    /// view service's record is an old copy.
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
    /// As primary, it begins to acknowledge what fewer replicas hold than the view service wants, or their
    /// number changed.
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
        why: Implausible,
    },
    /// The view service knows a later life of this server; this one takes a larger number.
    BootRaised {
        /// The new number.
        boot: Boot,
    },
    /// What it holds is an older copy of its contents: it is a stranger with it.
    OldCopy {
        /// The end of its log.
        end: Position,
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

/// What happened, with the replica as its subject. The alternate form (`{:#}`) names servers without their
/// ports.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ServerId::naming(f);
        match self {
            Self::Accepted => f.write_str("accepted by the view service"),
            Self::RoleChanged { role, view } => write!(f, "is {role} in {view}"),
            Self::Confirmed { view } => write!(f, "confirmed the replicas of {view}"),
            Self::Activated { view } => write!(f, "knows that {view} is active"),
            Self::Fenced { view } => write!(f, "is fenced: {view} exists"),
            Self::AnotherPrimary { view, primary } => {
                write!(f, "gives up its role: {} is primary of {view}, too", name(primary))
            }
            Self::HeardAgain { server } => write!(f, "hears {} again", name(server)),
            Self::Suspected { server } => write!(f, "suspects {}", name(server)),
            Self::PrimarySilent { server } => write!(f, "does not hear the primary {}", name(server)),
            Self::PrimarySilenceEnds { server } => write!(f, "hears {} again", name(server)),
            Self::ViewServiceSilent => f.write_str("does not hear the view service"),
            Self::ViewServiceAnswers => f.write_str("hears the view service again"),
            Self::FewCopies { copies: 1, .. } => f.write_str("acknowledges with a single copy"),
            Self::FewCopies { copies, wanted } => write!(f, "acknowledges with {copies} of {wanted} copies"),
            Self::EnoughCopies { copies: 1 } => f.write_str("acknowledges with a single copy, as wanted"),
            Self::EnoughCopies { copies } => write!(f, "acknowledges with {copies} copies again"),
            Self::UpdatesRefused { copies, copies_min } => {
                write!(f, "refuses updates: {copies} of {copies_min} copies")
            }
            Self::UpdatesTaken { copies } => write!(f, "takes updates again, with {copies} copies"),
            Self::SessionsFull { limit: SessionLimit::Count, held, .. } => {
                write!(f, "refuses sessions: {held} are open")
            }
            Self::SessionsFull { limit: SessionLimit::Bytes, held, .. } => {
                write!(f, "refuses swaps: sessions remember {held} bytes")
            }
            Self::SessionsHaveRoom { limit: SessionLimit::Count, held } => {
                write!(f, "has room for sessions again: {held} are open")
            }
            Self::SessionsHaveRoom { limit: SessionLimit::Bytes, held } => {
                write!(f, "has room for swaps again: sessions remember {held} bytes")
            }
            Self::PingsMoreOften { told, interval, dead_after } => {
                write!(f, "pings every {interval:?}, not {told:?}: the dead interval is {dead_after:?}")
            }
            Self::CopiesOutOfReach { copies_min, wanted } => {
                write!(f, "asks for {copies_min} copies, the view service strives for {wanted}")
            }
            Self::Joined { server, at } => write!(f, "lets {} join, up to date at {at}", name(server)),
            Self::TransferBegan { to, at } => write!(f, "sends the state after {at:?} to {}", name(to)),
            Self::TransferCompleted { to, at } => write!(f, "{} has the state after {at}", name(to)),
            Self::TransferAbandoned { to } => {
                write!(f, "leaves {} behind: it needs too long a log", name(to))
            }
            Self::ReceivingState { from, at } => {
                write!(f, "receives the state after {at:?} from {}", name(from))
            }
            Self::StateInstalled { at } => write!(f, "installed the state after {at:?}"),
            Self::PeerRefused { from, why } => write!(f, "refuses a message of {}: {why}", name(from)),
            Self::BootRaised { boot } => write!(f, "calls its life {boot}, a later one was known"),
            Self::OldCopy { end } => {
                write!(f, "holds an older copy of its data, up to {end:?}, and is a stranger with it")
            }
            Self::Unconfirmed { holder: None, .. } => {
                f.write_str("is not believed: it is not reached at its address")
            }
            Self::Unconfirmed { own, holder: Some(holder), .. } => {
                write!(f, "is not believed: {holder} answers at its address, not {own}")
            }
            Self::Believed => f.write_str("is believed again"),
            Self::WrongGeneration { own, current } => {
                write!(f, "holds data of generation {own}, the current one is {current}")
            }
        }
    }
}

/// What is wrong with a message that no server that follows the protocol sends (R19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Implausible {
    /// Its view's number.
    View,
    /// Its operations.
    Operations,
    /// Its state.
    State,
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::View => "its view number is far beyond any that the view service told",
            Self::Operations => "it contradicts what is committed here",
            Self::State => "its state contradicts what is committed here",
        })
    }
}

/// What is limited of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionLimit {
    /// Their number, by
    /// [`ReplicaOptions::sessions_max`](crate::protocol::options::ReplicaOptions::sessions_max).
    Count,
    /// What they remember, by
    /// [`ReplicaOptions::session_bytes_max`](crate::protocol::options::ReplicaOptions::session_bytes_max).
    Bytes,
}
