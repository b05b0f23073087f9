//! What the view service tells an operator.

use std::fmt;

use super::{
    adoption::{Heard, NotAdopted},
    why::{Why, WhyDropped},
};
use crate::protocol::{
    identity::{Boot, Generation, Position, ServerId, ViewNumber},
    message::Ping,
    view::View,
};

/// What an operator wants to know of the view service.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Notice {
    /// A server was heard for the first time, in a new life or with other contents.
    ServerSeen(Ping),
    /// Connections to the address of a server are refused (VS-GONE).
    Gone(ServerId),
    /// A view was proposed.
    Proposed {
        /// The view.
        view: View,
        /// What made it necessary.
        why: Why,
        /// Members of the view before that are none of this one, and what is wrong with each.
        dropped: Vec<(ServerId, WhyDropped)>,
    },
    /// The primary's acknowledgement was recorded: only the in-sync replicas may succeed it now.
    Activated(View),
    /// No replica that holds all the data is left; only an operator can go on.
    DataLost(ViewNumber),
    /// No replica that holds all the data is there: until one of these comes back with its data there is no
    /// service.
    Waiting {
        /// The current view.
        view: ViewNumber,
        /// Any of these would do.
        servers: Vec<ServerId>,
    },
    /// Of those that were waited for, or followed a view that was never told, these are there with their data
    /// and obey: one of them can be promoted.
    DataIsBack {
        /// The current view.
        view: ViewNumber,
        /// Which.
        servers: Vec<ServerId>,
    },
    /// The primary now acknowledges with so many copies; fewer than wanted, or enough again.
    Copies {
        /// The current view.
        view: ViewNumber,
        /// Copies in sync.
        insync: usize,
        /// Copies wanted.
        wanted: usize,
    },
    /// The primary of the current view refuses updates with so few copies in sync, or no longer does.
    Updates {
        /// The current view.
        view: ViewNumber,
        /// Copies in sync.
        insync: usize,
        /// The copies without which it refuses updates.
        copies_min: usize,
    },
    /// A server of this history was told of a view that this record does not know: the record is an old copy.
    /// Nothing is proposed any more.
    OldRecord {
        /// Which server.
        server: ServerId,
        /// The view that it was told of. If it is `recorded`, the server acts as primary in another view of
        /// that number.
        told: ViewNumber,
        /// The last one of this record.
        recorded: ViewNumber,
    },
    /// A server that could be primary obeys a view that this service never told, and takes up no other one;
    /// nobody else can be promoted.
    LedAstray {
        /// Which server.
        server: ServerId,
        /// The view that it obeys.
        obeys: ViewNumber,
        /// The current one.
        current: ViewNumber,
    },
    /// A server holds operations that did not go on when another one's data was adopted. It is not taken in,
    /// and keeps its data.
    HoldsMore {
        /// Which server.
        server: ServerId,
        /// The end of its log.
        end: Position,
        /// The end of the log that was adopted.
        adopted: Position,
    },
    /// A server holds data of another history. It is not taken in, and keeps its data.
    OtherHistory {
        /// Which server.
        server: ServerId,
        /// The generation of its data.
        holds: Generation,
        /// The generation of this service's record.
        current: Generation,
    },
    /// The data of a server goes on, in this view, after the record was lost.
    Adopted {
        /// The view, which nobody was told of yet.
        view: View,
        /// All servers that were heard.
        heard: Heard,
    },
    /// Nobody's data goes on; this life of the service is of no use any more.
    NotAdopted {
        /// The reason.
        why: NotAdopted,
        /// All servers that were heard.
        heard: Heard,
    },
    /// Two servers advertise one address: one is reached there, another one pings under that name.
    Contested {
        /// The address.
        server: ServerId,
        /// The life that is reached there.
        holder: Boot,
        /// The other one, which is not believed.
        other: Boot,
    },
    /// A server pings and is not reached at the address that it advertises. It is not taken.
    Unreached(ServerId),
    /// A server of which that was told is reached now.
    Reached(ServerId),
    /// A server of which that was told pings no longer.
    UnreachedStopped(ServerId),
    /// A server claims a life whose number would leave none for the lives after it. It is not believed.
    ImplausibleLife {
        /// Which server.
        server: ServerId,
        /// The number.
        boot: Boot,
    },
    /// A ping was dropped because too many servers are known.
    TooManyServers(ServerId),
}

/// What happened, with the view service as its subject. The alternate form (`{:#}`) names servers without
/// their ports.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ServerId::naming(f);
        let list = |servers: &[ServerId]| servers.iter().map(name).collect::<Vec<_>>().join(" ");
        let form =
            if f.alternate() { |view: &View| format!("{view:#}") } else { |view: &View| format!("{view}") };
        match self {
            Self::Gone(server) => write!(f, "is refused a connection to {}", name(server)),
            Self::ServerSeen(ping) => {
                let data = ping.data.map_or_else(|| "no data yet".into(), |data| format!("data {data:?}"));
                write!(
                    f,
                    "hears {}, life {}, {data}, log end {:?}",
                    name(&ping.server),
                    ping.boot,
                    ping.log_end
                )
            }
            Self::Proposed { view, why, .. } => write!(f, "proposes {} ({why})", form(view)),
            Self::Activated(view) => write!(f, "activates {}", form(view)),
            Self::DataLost(number) => write!(f, "no copy of the data of {number} is left"),
            Self::Waiting { servers, .. } => {
                write!(f, "waits for one of {}: no server can be promoted", list(servers))
            }
            Self::DataIsBack { servers, .. } => {
                write!(f, "waits no longer: {} can be promoted", list(servers))
            }
            Self::Copies { insync, wanted, .. } => write!(f, "counts {insync} of {wanted} copies in sync"),
            Self::Updates { insync, copies_min, .. } => {
                write!(f, "counts copies in sync: {insync}; the primary takes updates with {copies_min}")
            }
            Self::OldRecord { server, told, recorded } if told == recorded => {
                write!(
                    f,
                    "has an old record, to {recorded}: {} acts as primary in another {told}",
                    name(server)
                )
            }
            Self::OldRecord { server, told, recorded } => {
                write!(f, "has an old record, to {recorded}: {} was told of {told}", name(server))
            }
            Self::LedAstray { server, obeys, current } => {
                write!(f, "sees that {} obeys {obeys}, and not {current}", name(server))
            }
            Self::HoldsMore { server, end, adopted } => {
                write!(
                    f,
                    "does not take in {}, which ends at {end:?}, beyond {adopted:?} that was adopted",
                    name(server)
                )
            }
            Self::Adopted { view, .. } => write!(f, "adopts {}", form(view)),
            Self::NotAdopted { why, .. } => write!(f, "adopts nothing: {why}"),
            Self::OtherHistory { server, holds, current } => {
                write!(f, "{} holds data of generation {holds}, the current one is {current}", name(server))
            }
            Self::Contested { server, holder, other } => {
                write!(f, "{holder} answers at {}, but {other} pings, too", name(server))
            }
            Self::Unreached(server) => write!(f, "does not reach {}, which pings", name(server)),
            Self::Reached(server) => write!(f, "reaches {} now", name(server)),
            Self::UnreachedStopped(server) => {
                write!(f, "did not reach {}, which pings no longer", name(server))
            }
            Self::ImplausibleLife { server, boot } => {
                write!(f, "does not believe {} that it lives as {boot}", name(server))
            }
            Self::TooManyServers(server) => write!(f, "ignores {}: too many servers", name(server)),
        }
    }
}
