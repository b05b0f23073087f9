//! What a view that is proposed may leave out, and whom it may take back.

use std::time::Duration;

use pbkv::protocol::{
    identity::{DataId, ServerId},
    view::View,
    view_service::{Why, WhyDropped},
};
use testbed::data::node::NodeIndex;

use super::{Health, Promise};

impl Health {
    /// The view service proposes a view instead of the recorded one.
    pub fn proposed(&mut self, at: Duration, view: &View, why: Why, dropped: &[(ServerId, WhyDropped)]) {
        if let Some((member, after)) = self.taken_back(at, view) {
            let name = &self.names[member];
            let seen = format!(
                "{} takes back {name}, which was given up {:.1} s before because it {}",
                view.number,
                after.as_secs_f64(),
                WhyDropped::OutOfReach
            );
            self.breaks(at, Promise::Stability, seen);
        }
        for (server, _) in dropped.iter().filter(|(_, why)| *why == WhyDropped::OutOfReach) {
            self.out_of_reach.insert(server.clone(), at);
        }
        if let Some(member) = self.dropped(view) {
            let name = &self.names[member];
            let seen = format!(
                "{} leaves out {name}, which was in sync and which no fault had touched ({why})",
                view.number
            );
            self.breaks(at, Promise::Stability, seen);
        } else {
            self.disturbed(at, || format!("{} is proposed ({why})", view.number));
        }
    }

    /// The server that this view takes back too soon, and how long after it was given up: it comes and goes.
    /// Not the primary, which may be the only one that can be.
    fn taken_back(&self, at: Duration, view: &View) -> Option<(NodeIndex, Duration)> {
        let others = view.insync.keys().chain(view.joining.keys()).filter(|server| **server != view.primary);
        let mut after = others.filter_map(|server| {
            let after = at - *self.out_of_reach.get(server)?;
            Some((*self.ids.get(server)?, after)).filter(|_| after < self.limits.suspected_at_least)
        });
        after.next()
    }

    /// The member in sync that this view drops although no fault touched it.
    fn dropped(&self, view: &View) -> Option<NodeIndex> {
        let before = self.view.as_ref().filter(|before| before.activated)?;
        let is_kept = |server: &ServerId, data: DataId| view.insync.get(server) == Some(&data);
        let dropped = before.insync.iter().filter(|(server, data)| !is_kept(server, **data));
        let mut untouched = dropped
            .filter(|(server, data)| self.complete.get(*server) == Some(*data))
            .filter_map(|(server, _)| self.ids.get(server).copied())
            .filter(|node| !self.touched.contains(node));
        untouched.next()
    }
}
