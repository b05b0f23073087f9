//! What the nemesis does at some time: the steps of which faults are made.

use crate::data::node::NodeIndex;

/// Something the nemesis has to do at some time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task<T> {
    Begin(usize),
    /// Ends a fault of the network.
    End(usize),
    /// Ends a pause, unless that life is over.
    Resume {
        fault: usize,
        node: NodeIndex,
        life: u64,
    },
    /// Ends one moment of a stutter, unless that life is over.
    GoOn {
        fault: usize,
        node: NodeIndex,
        life: u64,
    },
    /// Lets a process that stutters stand still once more, unless that life is over.
    Falter {
        fault: usize,
        node: NodeIndex,
        life: u64,
        beat: u64,
    },
    /// Starts a process again, unless that happened.
    Restart {
        fault: usize,
        node: NodeIndex,
        life: u64,
    },
    /// A step of a fault that only the system knows.
    Own {
        fault: usize,
        task: T,
    },
    /// Starts a process for the first time.
    Start(NodeIndex),
}

impl<T> Task<T> {
    /// The fault that it is part of.
    pub(super) fn fault(&self) -> Option<usize> {
        match self {
            Self::Begin(fault)
            | Self::End(fault)
            | Self::Resume { fault, .. }
            | Self::GoOn { fault, .. }
            | Self::Falter { fault, .. }
            | Self::Own { fault, .. }
            | Self::Restart { fault, .. } => Some(*fault),
            Self::Start(_) => None,
        }
    }
}
