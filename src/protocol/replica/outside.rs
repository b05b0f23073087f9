//! What others may see of a replica: those that judge it, and those that show it.

use super::{Primary, Replica, Role, RoleName};
use crate::protocol::{
    identity::{Boot, DataId, Generation, OpNumber, ServerId, ViewNumber},
    log::Log,
    store::State,
};

impl Replica {
    /// Who it is.
    pub fn server(&self) -> &ServerId {
        &self.server
    }

    /// The number of this life.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The identity of the contents, once the view service accepted this life.
    pub fn data(&self) -> Option<DataId> {
        self.data
    }

    /// The generation of the contents.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The latest view adopted.
    pub fn view_seen(&self) -> ViewNumber {
        self.view_seen
    }

    /// The role.
    pub fn role(&self) -> RoleName {
        match self.role {
            Role::Idle => RoleName::Idle,
            Role::Backup => RoleName::Backup,
            Role::Primary(_) => RoleName::Primary,
        }
    }

    /// What it knows as primary.
    pub fn as_primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Idle | Role::Backup => None,
        }
    }

    /// Operations up to here are committed and applied.
    pub fn commit(&self) -> OpNumber {
        self.commit
    }

    /// The log, as far as it is known in memory.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The applied state.
    pub fn state(&self) -> &State {
        &self.state
    }
}
