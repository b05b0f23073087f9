//! What others may see of a replica: those that judge it, and those that show it.

use std::time::Duration;

use super::{Primary, Replica, Role, RoleName, backup::Staging};
use crate::protocol::{
    identity::{Boot, DataId, Generation, OpNumber, ServerId, ViewNumber},
    log::Log,
    store::State,
};

/// How much a replica holds at a moment, beside its log and its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// As primary: the requests that wait for an answer,
    pub waiting: usize,
    /// as how many they are counted,
    pub waiting_counted: usize,
    /// and how many of them ask for a page.
    pub scans: usize,
    /// As primary: the updates that it takes for not committed yet,
    pub in_flight: usize,
    /// the sessions that it takes for being opened,
    pub opening: usize,
    /// and as how many bytes all that is not committed is counted.
    pub waiting_bytes: u64,
    /// As primary: the keys that it notes for the sake of updates in flight.
    pub noted: usize,
    /// As primary: the log's clock at its latest step.
    pub log_time: Duration,
    /// The operation after which a state under construction is the state.
    pub staged: Option<OpNumber>,
    /// How many parts of that state have arrived.
    pub staged_parts: u64,
    /// Changes that were not handed to the disk yet.
    pub unwritten: usize,
    /// Acknowledgements of what is not durable yet.
    pub unsaid: usize,
    /// Batches that the disk has and has not written yet.
    pub writing: u64,
}

impl Primary {
    /// The other replicas: how far each is known to hold the log in this view, and whether it is being sent a
    /// state.
    pub fn replicas(&self) -> impl Iterator<Item = (&ServerId, Option<OpNumber>, bool)> {
        self.peers.iter().map(|(server, peer)| (server, peer.matched, peer.is_sent_a_state()))
    }
}

impl Replica {
    /// How much it holds.
    pub fn load(&self) -> Load {
        let (unwritten, unsaid, writing) = self.core.outbox.load();
        let (staged, staged_parts) = self.core.staging.as_ref().map(Staging::load).unzip();
        let staged_parts = staged_parts.unwrap_or_default();
        let load = Load { staged, staged_parts, unwritten, unsaid, writing, ..Load::default() };
        self.as_primary().map_or(load, |primary| Load {
            waiting: primary.waiting.values().map(Vec::len).sum::<usize>() + primary.waiting()
                - primary.waiting_updates,
            waiting_counted: primary.waiting(),
            scans: primary.scans_waiting(),
            in_flight: primary.in_flight.len(),
            opening: primary.opening,
            waiting_bytes: primary.waiting_bytes,
            noted: primary.remembering.keys(),
            log_time: primary.log_time(self.core.presence.stepped_at()),
            ..load
        })
    }

    /// Who it is.
    pub fn server(&self) -> &ServerId {
        &self.core.server
    }

    /// The number of this life.
    pub fn boot(&self) -> Boot {
        self.core.boot
    }

    /// The identity of the contents, once the view service accepted this life.
    pub fn data(&self) -> Option<DataId> {
        self.core.data
    }

    /// The generation of the contents.
    pub fn generation(&self) -> Generation {
        self.core.generation
    }

    /// The latest view adopted.
    pub fn view_seen(&self) -> ViewNumber {
        self.core.view_seen
    }

    /// The role.
    pub fn role(&self) -> RoleName {
        RoleName::from(&self.role)
    }

    /// What it knows as primary.
    pub fn as_primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Idle | Role::Backup(_) => None,
        }
    }

    /// Operations up to here are committed and applied.
    pub fn commit(&self) -> OpNumber {
        self.core.commit
    }

    /// The log, as far as it is known in memory.
    pub fn log(&self) -> &Log {
        &self.core.log
    }

    /// The applied state.
    pub fn state(&self) -> &State {
        &self.core.state
    }
}

impl From<&Role> for RoleName {
    fn from(role: &Role) -> Self {
        match role {
            Role::Idle => Self::Idle,
            Role::Backup(_) => Self::Backup,
            Role::Primary(_) => Self::Primary,
        }
    }
}
