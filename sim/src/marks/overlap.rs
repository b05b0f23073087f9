//! Faults that strike nodes while these have a role: each kind of fault, for each role.

use pbkv::protocol::view::Record;

use crate::{
    data::{
        fault::{FaultKind, Mistreatment},
        node::NodeIndex,
    },
    store::nodes::Nodes,
    system::{System, SystemFault},
};

/// The role that a node has according to the view service's durable record, as fault plans name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The view service.
    ViewService,
    /// The primary of the current view.
    Primary,
    /// An in-sync replica that is not.
    Backup,
    /// A replica to which state is being transferred.
    Joiner,
    /// A server without a role.
    Idle,
    /// A client.
    Client,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::ViewService, Self::Primary, Self::Backup, Self::Joiner, Self::Idle, Self::Client];

    fn name(self) -> &'static str {
        match self {
            Self::ViewService => "view_service",
            Self::Primary => "primary",
            Self::Backup => "backup",
            Self::Joiner => "joiner",
            Self::Idle => "idle",
            Self::Client => "client",
        }
    }
}

/// The role that each node has.
pub fn roles(nodes: &Nodes, record: &Record) -> Vec<Role> {
    let role = |node: NodeIndex| {
        if node == Nodes::VIEW_SERVICE {
            return Role::ViewService;
        }
        if !nodes.serves(node) {
            return Role::Client;
        }
        let (id, Some(view)) = (nodes.id(node), &record.view) else { return Role::Idle };
        if view.primary == *id {
            Role::Primary
        } else if view.insync.contains_key(id) {
            Role::Backup
        } else if view.joining.contains_key(id) {
            Role::Joiner
        } else {
            Role::Idle
        }
    };
    (0..nodes.len()).map(role).collect()
}

/// A kind of fault, without its data. A loss of memory is one in addition to the crash it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strike {
    /// [`FaultKind::Crash`].
    Crash,
    /// [`FaultKind::PowerLoss`].
    PowerLoss,
    /// What was durable is gone; with the view service, it is gone or replaced ([`FaultKind::Record`]), or
    /// given up ([`FaultKind::AcceptLoss`]); with a server, its address may lead to a process that has
    /// nothing ([`FaultKind::Twin`]).
    MemoryLoss,
    /// [`FaultKind::Pause`] or [`FaultKind::Freeze`].
    Pause,
    /// [`FaultKind::Stutter`].
    Stutter,
    /// [`FaultKind::DiskStall`].
    DiskStall,
    /// [`FaultKind::DiskFailure`]: a write of the node really failed.
    DiskFailure,
    /// [`FaultKind::Partition`].
    Partition,
    /// [`FaultKind::Slow`].
    Slow,
    /// [`FaultKind::Rpc`]: a message from or to the node was really mistreated.
    Message(Mistreatment),
}

impl Strike {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::Crash,
        Self::PowerLoss,
        Self::MemoryLoss,
        Self::Pause,
        Self::Stutter,
        Self::DiskStall,
        Self::DiskFailure,
        Self::Partition,
        Self::Slow,
        Self::Message(Mistreatment::DropRequest),
        Self::Message(Mistreatment::DropReply),
        Self::Message(Mistreatment::Duplicate),
        Self::Message(Mistreatment::Delay),
        Self::Message(Mistreatment::Hang),
        Self::Message(Mistreatment::Cancel),
        Self::Message(Mistreatment::Forge),
    ];

    /// The kind of a fault in a plan.
    pub fn of<S: System>(kind: &FaultKind<S>) -> Self {
        match kind {
            FaultKind::Crash { .. } => Self::Crash,
            FaultKind::PowerLoss { .. } => Self::PowerLoss,
            FaultKind::Own(own) => own.strike(),
            FaultKind::Pause { .. } | FaultKind::Freeze { .. } => Self::Pause,
            FaultKind::Stutter { .. } => Self::Stutter,
            FaultKind::DiskStall { .. } => Self::DiskStall,
            FaultKind::DiskFailure { .. } => Self::DiskFailure,
            FaultKind::Partition { .. } | FaultKind::Closed { .. } => Self::Partition,
            FaultKind::Slow { .. } => Self::Slow,
            FaultKind::Rpc { how, .. } => Self::Message(*how),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::PowerLoss => "power_loss",
            Self::MemoryLoss => "memory_loss",
            Self::Pause => "pause",
            Self::Stutter => "stutter",
            Self::DiskStall => "stalled_disk",
            Self::DiskFailure => "failed_disk",
            Self::Partition => "partition",
            Self::Slow => "slowness",
            Self::Message(Mistreatment::DropRequest) => "lost_request",
            Self::Message(Mistreatment::DropReply) => "lost_reply",
            Self::Message(Mistreatment::Duplicate) => "duplicate",
            Self::Message(Mistreatment::Delay) => "delay",
            Self::Message(Mistreatment::Hang) => "hang",
            Self::Message(Mistreatment::Cancel) => "cancellation",
            Self::Message(Mistreatment::Forge) => "forgery",
        }
    }
}

/// A fault strikes a node that has a role: it begins at this node, or at a message from or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Overlap {
    /// What strikes.
    pub strike: Strike,
    /// Whom.
    pub role: Role,
}

impl Overlap {
    /// The place among all of them, possible or not.
    pub(super) fn index(self) -> usize {
        let place = |found: Option<usize>| found.expect("every kind and role is listed");
        let strike = place(Strike::ALL.iter().position(|strike| *strike == self.strike));
        strike * Role::ALL.len() + place(Role::ALL.iter().position(|role| *role == self.role))
    }

    /// All of them, possible or not.
    pub fn all() -> impl Iterator<Item = Self> {
        Strike::ALL.into_iter().flat_map(|strike| Role::ALL.map(|role| Self { strike, role }))
    }

    /// Why no run can reach it, if none can.
    pub fn impossible(self) -> Option<&'static str> {
        match (self.strike, self.role) {
            (Strike::Crash | Strike::PowerLoss | Strike::MemoryLoss, Role::Client) => {
                Some("clients do not crash, they give up")
            }
            (Strike::DiskStall | Strike::DiskFailure, Role::Client) => Some("clients have no disks"),
            (Strike::Message(Mistreatment::Forge), Role::Client) => Some("nobody lies to clients, or as one"),
            _ => None,
        }
    }

    /// The name.
    pub fn name(self) -> String {
        format!("{}_strikes_{}", self.strike.name(), self.role.name())
    }
}
