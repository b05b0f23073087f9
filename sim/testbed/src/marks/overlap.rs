//! Faults that strike nodes while these have a role: each kind of fault, for each role.

use crate::{
    data::fault::{FaultKind, Mistreatment},
    system::{System, SystemFault},
};

/// The role that a node has when a fault strikes it: a place among the roles of the system's table, or that
/// of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(u8);

impl Role {
    /// A client. The last one of all.
    pub const CLIENT: Self = Self(u8::MAX);

    /// The role at this place of the table.
    pub fn new(place: usize) -> Self {
        let place = u8::try_from(place).ok().filter(|place| *place < u8::MAX);
        Self(place.expect("a system has at most 255 roles"))
    }

    /// Its place in the table; clients have none.
    pub(super) fn place(self) -> Option<usize> {
        (self != Self::CLIENT).then_some(self.0.into())
    }
}

/// A kind of fault, without its data. A loss of memory is one in addition to the crash it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strike {
    /// [`FaultKind::Crash`].
    Crash,
    /// [`FaultKind::PowerLoss`].
    PowerLoss,
    /// What was durable is gone: with a crash, or because an operator replaced or gave it up, or because the
    /// node's address leads to a process that has nothing.
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

    /// Why it never strikes a node of this system, if it does not: no plan is drawn with it, and in one that
    /// was written it is skipped.
    pub fn impossible<S: System>(self) -> Option<&'static str> {
        let of = |role| Overlap { strike: self, role }.impossible::<S>();
        let (first, all) = (S::MARKS.roles().next()?, S::MARKS.roles().all(|role| of(role).is_some()));
        of(first).filter(|_| all)
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
    pub(super) fn index<S: System>(self) -> usize {
        let place = Strike::ALL.iter().position(|strike| *strike == self.strike);
        let (strike, roles) = (place.expect("every kind is listed"), S::MARKS.roles.len());
        let role = self.role.place().map_or(roles, |place| {
            assert!(place < roles, "the system's table has no role {place}");
            place
        });
        strike * (roles + 1) + role
    }

    /// All of them, possible or not.
    pub fn all<S: System>() -> impl Iterator<Item = Self> {
        let of = |strike| S::MARKS.roles().map(move |role| Self { strike, role });
        Strike::ALL.into_iter().flat_map(of)
    }

    /// Why no run can reach it, if none can.
    pub fn impossible<S: System>(self) -> Option<&'static str> {
        let is_client = self.role == Role::CLIENT;
        match self.strike {
            Strike::Crash | Strike::PowerLoss | Strike::MemoryLoss if is_client => {
                Some("clients do not crash, they give up")
            }
            Strike::DiskStall | Strike::DiskFailure if is_client => Some("clients have no disks"),
            Strike::Message(Mistreatment::Forge) if is_client => Some("nobody lies to clients, or as one"),
            strike => (S::MARKS.impossible)(strike, S::MARKS.name(self.role)),
        }
    }

    /// The name.
    pub fn name<S: System>(self) -> String {
        format!("{}_strikes_{}", self.strike.name(), S::MARKS.name(self.role))
    }
}
