//! What can go wrong in a run, described as data.
//!
//! A fault says when it begins, what it strikes and for how long. The nemesis executes it and decides
//! nothing.

mod shape;
mod text;

use serde::{Deserialize, Serialize};

use super::hash::stable_hash;
use crate::system::System;

/// Something that goes wrong, once.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Fault<S: System> {
    /// When it begins, in milliseconds: since the start, or since what `on` names happened.
    #[serde(default)]
    pub at_ms: u64,
    /// Wait for this to happen first (for the first time after the previous use of the same trigger).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<S::Trigger>,
    /// What `on` names counts only from this time on, in milliseconds since the start.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub after_ms: u64,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind<S>,
}

impl<S: System> Fault<S> {
    /// The earliest time at which it can begin, in milliseconds since the start.
    pub fn begins_ms(&self) -> u64 {
        if self.on.is_some() { self.after_ms } else { self.at_ms }
    }

    /// Tells what it decides about single messages from what other faults decide. Not its place in the plan:
    /// without its neighbours a fault must decide as it did with them.
    pub fn salt(&self) -> u64 {
        let none = Vec::new();
        let (from, to) = match &self.kind {
            FaultKind::Partition { from, to, .. }
            | FaultKind::Slow { from, to, .. }
            | FaultKind::Rpc { from, to, .. } => (from, to),
            FaultKind::Closed { from, to, .. } => (to, from),
            _ => (&none, &none),
        };
        let Self { at_ms, on, kind, .. } = self;
        stable_hash(&format!("{at_ms} {on:?} {} {from:?} {to:?}", kind.name()))
    }
}

/// A node, by name or by the role it has when the fault begins ([`System::ROLES`]). A role that no node has
/// makes the fault do nothing.
pub type Node = String;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields, remote = "Self", bound = "")]
pub enum FaultKind<S: System> {
    /// A process ends; its peers see their connections reset.
    Crash {
        /// Which.
        node: Node,
        /// After how long it is started again; never, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        down_ms: Option<u64>,
        /// Whether it remembers what it had made durable; it does, if absent.
        #[serde(default)]
        memory: Memory,
    },
    /// A machine ends; its peers hear nothing.
    PowerLoss {
        /// Which.
        node: Node,
        /// After how long it is started again; never, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        down_ms: Option<u64>,
        /// Whether it remembers what it had made durable; it does, if absent.
        #[serde(default)]
        memory: Memory,
    },
    /// A process stands still and goes on, not knowing.
    Pause {
        /// Which.
        node: Node,
        /// For how long; for good, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts_ms: Option<u64>,
    },
    /// A machine stands still and its clocks with it, as a guest does whose host stops it.
    Freeze {
        /// Which.
        node: Node,
        /// For how long.
        lasts_ms: u64,
    },
    /// A process stands still again and again for a moment, so that what arrives meanwhile is handled
    /// together.
    Stutter {
        /// Which.
        node: Node,
        /// The longest time it stands still, in milliseconds; each is between nothing and that.
        pause_ms: u64,
        /// The time it runs in between, in milliseconds.
        run_ms: u64,
        /// For how long.
        lasts_ms: u64,
    },
    /// A drive only waits: whatever a process writes or syncs is durable when that is over, and not before,
    /// unless a crash keeps a part of it.
    DiskStall {
        /// Whose.
        node: Node,
        /// For how long.
        lasts_ms: u64,
    },
    /// A drive fails once, and the process ends for that.
    DiskFailure {
        /// Whose.
        node: Node,
        /// For how long it fails if it is used.
        lasts_ms: u64,
        /// After how long the process is started again.
        down_ms: u64,
        /// What fails; a sync, if absent.
        #[serde(default)]
        how: DriveFailure,
    },
    /// Nothing passes from one set of nodes to another.
    Partition {
        /// These nodes
        from: Vec<Node>,
        /// do not reach these (empty: all others).
        #[serde(default)]
        to: Vec<Node>,
        /// Whether the other direction is cut, too; it is, if absent.
        #[serde(default = "both_ways")]
        both_ways: bool,
        /// Whether senders notice; they do not, if absent.
        #[serde(default)]
        how: Cut,
        /// For how long; for good, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts_ms: Option<u64>,
    },
    /// Calls from one set of nodes to another do not get through: no connection can be made, and none that
    /// was there goes on. Calls the other way pass, with their answers: a firewall that lets everything out.
    Closed {
        /// Calls of these nodes (empty: of all others)
        #[serde(default)]
        from: Vec<Node>,
        /// do not reach these.
        to: Vec<Node>,
        /// Whether callers notice; they do not, if absent.
        #[serde(default)]
        how: Cut,
        /// For how long; for good, if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts_ms: Option<u64>,
    },
    /// Messages take longer.
    Slow {
        /// From these nodes
        from: Vec<Node>,
        /// to these (empty: all others), and back.
        #[serde(default)]
        to: Vec<Node>,
        /// Only there, not back: what congestion does.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        one_way: bool,
        /// Added to every message, in milliseconds.
        latency_ms: u64,
        /// Added at most on top, differently for each message (so they overtake each other), in milliseconds.
        #[serde(default)]
        jitter_ms: u64,
        /// For how long.
        lasts_ms: u64,
    },
    /// Single messages are mistreated.
    Rpc {
        /// From these nodes
        from: Vec<Node>,
        /// to these (empty: all others).
        #[serde(default)]
        to: Vec<Node>,
        /// How.
        how: Mistreatment,
        /// Which share of the messages, in percent; all, if absent.
        #[serde(default = "all_messages")]
        percent: u32,
        /// For how long.
        lasts_ms: u64,
    },
    /// What only this system knows.
    #[serde(skip)]
    Own(S::Fault),
}

/// A partition cuts both directions unless it says otherwise.
fn both_ways() -> bool {
    true
}

/// The share of messages that a fault strikes that does not say it, in percent.
fn all_messages() -> u32 {
    100
}

/// What a restarted node remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// What was durable.
    #[default]
    Kept,
    /// Nothing.
    Lost,
    /// What was durable, but one bit of it is another one.
    Rotten,
    /// What was durable at an earlier moment: a snapshot of its machine, or a backup of its folder, is put
    /// back.
    Older,
}

/// What a drive does not do. A [`Disk`](crate::hardware::disk::Disk), which writes and syncs at once, does
/// the same for all of them, and only the error is another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriveFailure {
    /// It does not make durable what was written: a part of it is durable, and later syncs do not write the
    /// rest.
    #[default]
    Sync,
    /// It does not take what is written, but for a prefix.
    Write,
    /// The same, and it says that it is full.
    Full,
    /// It does nothing else: it reads nothing, renames or removes no file, or cuts none off, whichever comes.
    Access,
}

impl DriveFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sync, Self::Write, Self::Full, Self::Access];
}

/// What is asked of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriveAccess {
    /// To take what a later sync makes durable.
    Write,
    /// To make durable what it took.
    Sync,
    /// Both at once, as a [`Disk`](crate::hardware::disk::Disk) does it.
    WriteAndSync,
    /// To tell what is in a file, or which files there are.
    Read,
    /// To give a file another name.
    Rename,
    /// To remove a file.
    Remove,
    /// To cut a file off.
    Truncate,
}

impl DriveAccess {
    /// Whether this failure is about it.
    pub fn is_struck_by(self, failure: DriveFailure) -> bool {
        match self {
            Self::Write => matches!(failure, DriveFailure::Write | DriveFailure::Full),
            Self::Sync => failure == DriveFailure::Sync,
            Self::WriteAndSync => true,
            Self::Read | Self::Rename | Self::Remove | Self::Truncate => failure == DriveFailure::Access,
        }
    }
}

/// What a sender sees of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// An error at once.
    Refuse,
    /// Nothing; what it sent may arrive after the heal.
    #[default]
    BlackHole,
}

/// What can happen to a single message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistreatment {
    /// The request is lost: the receiver never sees it, the sender gets an error.
    DropRequest,
    /// The request is executed, the reply is lost: the sender gets an error.
    DropReply,
    /// The request arrives twice; but not again after it was proved that it is not executed, which no
    /// connection does.
    Duplicate,
    /// The message is held back, mostly for up to two seconds, rarely for up to sixteen; later ones overtake
    /// it.
    Delay,
    /// The sender never gets an answer.
    Hang,
    /// The handler is dropped while it waits.
    Cancel,
    /// A liar that heard the message sends one of its own, before it or at the same time: what the system's
    /// liar makes of it, such as the same with something false in it, or what an earlier life of the sender
    /// said.
    Forge,
}
