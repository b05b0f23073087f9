//! What the view service tells an operator.

use super::adoption::{Heard, NotAdopted};
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
    /// A view was proposed; `why` says what made it necessary.
    Proposed {
        /// The view.
        view: View,
        /// The reason in words.
        why: &'static str,
        /// Members of the view before that are none of this one, each with the reason in words.
        dropped: Vec<(ServerId, &'static str)>,
    },
    /// The primary's acknowledgement was recorded: only the in-sync replicas may succeed it now.
    Activated(View),
    /// No replica that holds all the data is left; only an operator can go on.
    DataLost(ViewNumber),
    /// No replica that holds all the data is there: until one of these comes back with its data there is no service.
    Waiting {
        /// The current view.
        view: ViewNumber,
        /// Any of these would do.
        servers: Vec<ServerId>,
    },
    /// Of those that were waited for, or followed a view that was never told, these are there with their data and obey: one of
    /// them can be promoted.
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
    /// A server of this history was told of a view that this record does not know: the record is an old copy. Nothing
    /// is proposed any more.
    OldRecord {
        /// Which server.
        server: ServerId,
        /// The view that it was told of. If it is `recorded`, the server acts as primary in another view of that number.
        told: ViewNumber,
        /// The last one of this record.
        recorded: ViewNumber,
    },
    /// A server that could be primary obeys a view that this service never told, and takes up no other one; nobody else can
    /// be promoted.
    LedAstray {
        /// Which server.
        server: ServerId,
        /// The view that it obeys.
        obeys: ViewNumber,
        /// The current one.
        current: ViewNumber,
    },
    /// A server holds operations that did not go on when another one's data was adopted. It is not taken in, and keeps
    /// its data.
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
    /// A server of which that was told is reached now, or pings no longer.
    UnreachedEnds(ServerId),
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
