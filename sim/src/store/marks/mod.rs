//! The marks of the store: its situations ([`table`]), and the roles in which faults strike its nodes.
//! [`lookout`] sees whether a run reaches them. And the families of its plans ([`families`]).

pub mod families;
pub mod lookout;
pub mod table;

use pbkv::protocol::view::Record;
use testbed::{
    data::node::NodeIndex,
    marks::{self, Table},
};

pub use table::Situation;

use super::nodes::Nodes;

/// What the testbed is told.
pub const TABLE: Table = Table {
    situations: table::ROWS,
    unreachable: table::UNREACHABLE,
    roles: &["view_service", "primary", "backup", "joiner", "idle"],
    impossible: |_, _| None,
};

/// The role that a node has according to the view service's durable record, as fault plans name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl From<Role> for marks::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Client => Self::CLIENT,
            of_process => Self::new(of_process as usize),
        }
    }
}

/// The role that each node has.
pub fn roles(nodes: &Nodes, record: &Record) -> Vec<marks::Role> {
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
    (0..nodes.len()).map(|node| role(node).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bound::Mark, store::Pbkv};
    use testbed::marks::{Overlap, Strike};

    #[test]
    fn names_are_claims_and_descriptions_are_sentences() {
        assert_eq!(marks::check::<Pbkv>(), Ok(()));
    }

    #[test]
    fn situations_and_roles_are_found_in_the_table() {
        for situation in Situation::ALL {
            assert_eq!(Mark::from(*situation).name(), situation.name());
        }
        let name = |role: Role| Overlap { strike: Strike::Pause, role: role.into() }.name::<Pbkv>();
        let all = [Role::ViewService, Role::Primary, Role::Backup, Role::Joiner, Role::Idle, Role::Client];
        let words = ["view_service", "primary", "backup", "joiner", "idle", "client"];
        assert_eq!(all.map(name), words.map(|word| format!("pause_strikes_{word}")));
    }
}
