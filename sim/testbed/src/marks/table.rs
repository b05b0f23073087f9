//! What a system says of its marks.

use super::{Role, Strike};
use crate::data::fault::Mistreatment;

/// The situations and roles of a system.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The situations, one a row. Their order is that of all lists of marks.
    pub situations: &'static [Row],
    /// What was considered and is no mark, because no run can reach it, and why.
    pub unreachable: &'static [(&'static str, &'static str)],
    /// The roles that processes have when a fault strikes them, in the words of names: `crash_strikes_ROLE`.
    /// Clients have one of their own ([`Role::CLIENT`]).
    pub roles: &'static [&'static str],
    /// Why a kind of fault never strikes a node of this role, if it does not. What is so in every system
    /// ([`super::Overlap::impossible`]) need not be said.
    pub impossible: fn(Strike, &str) -> Option<&'static str>,
}

/// A situation that a good exploration must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name, a claim that a run bears out or not.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
}

impl Table {
    /// No situations, and one role of all processes, which keep what is on their disks and do not lie.
    pub const PLAIN: Self = Self {
        situations: &[],
        unreachable: &[],
        roles: &["process"],
        impossible: |strike, _| match strike {
            Strike::MemoryLoss => Some("what is on disk stays there"),
            Strike::Message(Mistreatment::Forge) => Some("nothing lies"),
            _ => None,
        },
    };

    /// The same for processes behind a relay (`crate::world::relay`), whose messages are sealed.
    pub const RELAYED: Self = Self {
        impossible: |strike, _| match strike {
            Strike::Message(Mistreatment::Duplicate) => Some("a relay cannot copy what it carries"),
            Strike::Message(Mistreatment::Forge) => Some("a relay cannot read what it carries"),
            Strike::Message(Mistreatment::Cancel) => Some("a relay does not hold the handlers of calls"),
            _ => None,
        },
        ..Self::PLAIN
    };

    /// All roles, with that of clients.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        (0..self.roles.len()).map(Role::new).chain([Role::CLIENT])
    }

    /// The name of a role.
    pub(super) fn name(&self, role: Role) -> &'static str {
        role.place().map_or("client", |place| self.roles[place])
    }
}
