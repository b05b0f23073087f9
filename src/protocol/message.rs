//! What servers say to the view service and to each other.
//!
//! Every message may be lost, duplicated, reordered and arbitrarily late: each says in which view,
//! to whose contents and on whose behalf it speaks, and means the same whenever it arrives.
//!
//! # What a false claim can do at worst
//!
//! There is no authentication yet: anybody who reaches a port can say anything. The wire refuses numbers near
//! overflow, unknown shapes and what is too long (`crate::proto`). What remains, by message:
//!
//! | to | claim | at worst |
//! | --- | --- | --- |
//! | view service | a ping in another server's name, whatever it says | one probe of the address it names (VS-PROBE), and if it goes on, one line in the log and that address among those that are not taken (`NotTaken`, `Standing`), up to `servers_max` of them; while data is to be adopted, the adoption is refused as long as it goes on, and the server that is named is said |
//! | view service | a token that is made up, of another address, or old | as without one; a seal of 64 bits is not guessed |
//! | view service | a ping under the sender's own address | it takes part as a server; the rest of this part is about such a server, which runs and lies |
//! | | `server` | with many addresses of its own it fills the table of known servers (`servers_max`): no further spare is taken |
//! | | `boot` | its successors at that address take larger numbers; no claim takes away all that are left. One that took a number beyond the clock's is not believed by a view service that was started since, until it is started again |
//! | | `data` | contents of a member that it does not hold, which `GetView` tells: it counts as that member at that address only; as a candidate it may be promoted, and data is lost |
//! | | `generation`, `view_known` | it is told that it has another history; in another view it speaks for nothing; a view beyond the current one, up to [`VIEW_LEAP_MAX`], leaves out the numbers up to it |
//! | | `view_told`; `confirmed` in a view of another primary | no view is proposed any more until the view service is restarted, as if its record were old; the log names the server |
//! | | `confirmed` | as the primary of the current view: joiners that hold nothing become in sync |
//! | | `suspects` | as the primary of the current view: healthy members are dropped for a while; as a backup: nothing, unless the primary and all other backups say the same |
//! | | `nonce`, `log_durable` | as with `boot` and `data`: about itself only, and its successors at that address may have to get their state again |
//! | | `log_end` | it is preferred among the candidates; before the first view, one that claims operations delays it while it lives |
//! | | `progress` | as a joiner: it keeps its place without any |
//! | | `echo`, `number` | about itself only: it counts as alive, or its own later pings as overtaken |
//! | | `copies_min` | as the primary: monitors are told that it refuses updates |
//! | | `cannot_follow` | operators are told that it refuses the primary |
//! | | `wants_lease` | as the primary: nobody else is promoted for a dead interval |
//! | server | a token that no view service made | its next ping is not believed; it is probed again and pings at once. A flood of them keeps it out, as floods do |
//! | server | a view, with a token, that nobody proposed | it pings once more with each |
//! | server | an answer to a ping | needs a forged view service (`--vs`): any view |
//! | server | a stream that it cannot take | operators are told that it refuses the primary, until it obeys one |
//! | replica | a message for other contents or of another generation | answers to whom it names as its sender go back on its stream until that speaks again; one name a stream |
//! | replica | a message of a later view, with the contents' identity, which `GetView` tells | as a backup it follows the sender until the next view: what it held and nobody else did may be replaced, and if its primary dies meanwhile it obeys no view up to that number, though it is the only one left, which is reported; as the primary it asks the view service, and serves nobody until that answers |
//! | replica | a message of the current view, with the contents' identity and the primary's name | it counts as a copy, and holds what the sender said: all of it is lost when that replica is promoted |
//! | replica | acknowledgements, with a member's identity, on a stream that the primary opened to that address | operations count as held that are not, and rounds of messages as answered that were not; one that was never sent counts for nothing |
//! | anybody | `GetView`, `GetStatus` | tells the members and their contents' identities; all servers and the ends of their logs, and in which folder the view service's record is |
//! | primary | a request in another client's session | executed as that client's |

use std::{collections::BTreeSet, time::Duration};

use super::{
    command::Entry,
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
    options::ClusterOptions,
    store::Item,
    view::{Members, View},
};

/// A primary's message whose view is so far beyond the latest that the view service told is not obeyed: the
/// number would lock this server out of all views to come.
pub const VIEW_LEAP_MAX: u64 = 1 << 20;

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
    /// The latest view of this generation that a view service told this server; `view_known` may come from a
    /// replica.
    pub view_told: ViewNumber,
    /// As primary of `view_known`: the replicas it confirmed in that view, itself included. This is the
    /// acknowledgement of the view. Empty otherwise.
    pub confirmed: Members,
    /// As primary of `view_known`: the replicas it waits for and does not hear. As backup: the primary, if it
    /// is not heard.
    pub suspects: BTreeSet<ServerId>,
    /// The end of its log.
    pub log_end: Position,
    /// Up to where that is durable; the beginning, if what is durable is not in it.
    pub log_durable: Position,
    /// Counts the parts of a state transfer that it received and the messages by which its log was found to
    /// agree further with the primary's; with `log_end` it shows whether a joiner makes progress.
    pub progress: u64,
    /// The latest time of the view service that this server has heard, for two-way aliveness.
    pub echo: Option<Echo>,
    /// The latest token that reached this server at its address (VS-PROBE).
    pub token: Option<Token>,
    /// Counts the pings of this life.
    pub number: u64,
    /// Random, one for each process: tells two that call their lives by one number.
    pub nonce: u64,
    /// The server would use a read lease if it got one.
    pub wants_lease: bool,
    /// As primary it refuses updates with fewer copies than this; 0 or 1: it takes them with its own alone.
    pub copies_min: usize,
    /// Why this server refused the latest primary that spoke to it, as a line for an operator.
    pub cannot_follow: Option<String>,
}

/// A time of the view service, told to a server and sent back by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Echo {
    /// Which life of the view service.
    pub epoch: u64,
    /// Its own time, since that life began.
    pub at: Duration,
}

/// What a probe brings to whoever answers at an address, to be sent back in pings (VS-PROBE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// When the view service made it, by its own time.
    pub at: Duration,
    /// Shows to the view service that it did, and for which address.
    pub seal: u64,
}

/// What the view service brings to a server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// To be sent back.
    pub token: Token,
    /// The latest view that may be told.
    pub view: ViewNumber,
}

/// The view service's answer to a ping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PingReply {
    /// The life of the server that is answered. Any other life ignores the answer (R15).
    pub boot: Boot,
    /// The ping that is answered.
    pub number: u64,
    /// What the view service decides for all servers.
    pub cluster: ClusterOptions,
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
    /// These contents were heard as they became later: what this life holds is an older copy of them (R22).
    StaleData {
        /// Which contents.
        data: DataId,
    },
    /// The ping brought back no token, or an old one: it was not believed, and the address it names was
    /// probed (VS-PROBE).
    Unconfirmed {
        /// The life that does answer at that address, if another one does.
        holder: Option<Boot>,
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
    /// Numbers the rounds of messages in this view; reads wait for an answer to a late enough one.
    pub round: u64,
    /// The position just before `entries`.
    pub previous: Position,
    /// The operations that follow it.
    pub entries: Vec<Entry>,
    /// Operations up to here are committed.
    pub commit: OpNumber,
    /// The primary shows itself more often than this: one that is silent for longer may be reported.
    pub silence_max: Duration,
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
    /// The round that is answered.
    pub round: u64,
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
