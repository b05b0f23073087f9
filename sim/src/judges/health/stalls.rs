//! What a drive that stalls excuses: what depends on its node, and nothing else.
//!
//! * Nothing is durable without the view service's drive, so that no view comes or grows while that stalls.
//! * Nothing is committed without those of the primary and the replicas in sync, and a joiner stores nothing
//!   without its own. While one of these stalls, the view may change. Of redundancy, the primary's excuses
//!   everything; in a view that is not activated, so does that of a member or of any other one that holds all
//!   the data, and may be the next primary.
//! * A backup's excuses no missing copy: the primary reports who takes nothing (R11), and the view goes on
//!   without it. The backup counts as a copy until then.
//! * A spare's excuses itself alone: it cannot become a copy, which only matters where one is missing.

use testbed::data::node::NodeIndex;

use super::{Health, Surroundings, VS};

impl Health {
    /// Whether these surroundings differ from the last ones in more than drives on which nothing depends.
    pub(super) fn is_change(&self, surroundings: &Surroundings) -> bool {
        let (before, after) = (&self.surroundings.stalled, &surroundings.stalled);
        let only_drives =
            Surroundings { stalled: before.clone(), ..surroundings.clone() } == self.surroundings;
        !only_drives || before.symmetric_difference(after).any(|node| self.is_needed(*node))
    }

    /// Whether the view may change because of a drive that stalls.
    pub(super) fn stability_waits(&self) -> bool {
        self.surroundings.stalled.iter().any(|node| self.is_needed(*node))
    }

    /// Whether redundancy waits for a drive that stalls.
    pub(super) fn redundancy_waits(&self) -> bool {
        let waits = |node: &NodeIndex| {
            let holds_all = || self.complete.keys().any(|server| self.ids.get(server) == Some(node));
            let is_chosen = || {
                let none_leads = !self.state.activated || self.primary().is_none();
                none_leads && (self.is_member(*node) || holds_all())
            };
            *node == VS || self.primary() == Some(*node) || is_chosen()
        };
        self.surroundings.stalled.iter().any(waits)
    }

    /// Whether something depends on what a node writes: all of them are needed where there is no view yet, or
    /// a copy is missing, be it because their drives stall.
    fn is_needed(&self, node: NodeIndex) -> bool {
        let is_short = !self.state.is_complete() || self.state.have < self.limits.replicas;
        node == VS || is_short || self.is_member(node)
    }

    fn is_member(&self, node: NodeIndex) -> bool {
        let joins = |server| self.ids.get(server) == Some(&node);
        self.is_in_sync(node) || self.view.as_ref().is_some_and(|view| view.joining.keys().any(joins))
    }

    /// Whether a node is a replica in sync of the view.
    pub(super) fn is_in_sync(&self, node: NodeIndex) -> bool {
        let is_it = |server| self.ids.get(server) == Some(&node);
        self.view.as_ref().is_some_and(|view| view.insync.keys().any(is_it))
    }
}
