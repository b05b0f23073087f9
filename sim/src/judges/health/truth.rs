//! Which states of distress there are, by what is around the machines.

use std::time::Duration;

use pbkv::protocol::{
    identity::ViewNumber,
    replica::{self, RoleName},
    view::{Members, View},
    view_service,
};
use testbed::data::node::NodeIndex;

use super::{Health, Promise, VS, room, silence::Distress};

impl Health {
    /// A process begins a life.
    pub fn began(&mut self, at: Duration, node: NodeIndex) {
        if node < self.names.len() {
            self.pass(at);
            if node == VS {
                self.out_of_reach.clear(); // it has forgotten whom it suspects
            }
            self.roles.remove(&node);
            self.room.refusing.retain(|(refusing, _), _| *refusing != node);
            self.refusals.began(node);
            self.silence.began(at, node);
            self.update_distress(at);
        }
    }

    /// Within which time after the last fault clients are served again.
    pub fn serves_within(&self) -> Duration {
        self.lateness + self.limits.serves()
    }

    /// Within which time after a change redundancy is complete, if nothing was wrong before; `None`: load may
    /// keep a joiner out for longer.
    pub fn complete_within(&self) -> Option<Duration> {
        self.limits.keeps_up.then(|| self.lateness + self.limits.patience(Some(Duration::ZERO), 0))
    }

    /// The view service says something.
    pub fn view_service_said(&mut self, at: Duration, notice: &view_service::Notice) {
        self.look_for_silence(at);
        let ids = &self.ids;
        self.silence.view_service_said(at, notice, |server| ids.get(server).copied());
    }

    /// What the view service would answer to whoever asks for the view.
    pub fn answers(&mut self, at: Duration, distress: Option<&view_service::Distress>) {
        self.look_for_silence(at);
        self.silence.answers(at, distress.is_some());
    }

    /// A server says something.
    pub fn replica_said(&mut self, at: Duration, node: NodeIndex, notice: &replica::Notice) {
        self.look_for_silence(at);
        let ids = &self.ids;
        self.silence.replica_said(at, node, notice, |server| ids.get(server).copied());
    }

    /// A server took a step; what it is now, and whether it committed something.
    pub fn stepped(&mut self, at: Duration, node: NodeIndex, role: (RoleName, ViewNumber), commits: bool) {
        let changed = self.roles.get(&node) != Some(&role);
        let is_news = commits && self.is_short() && !self.acknowledged_with_few;
        let holds = |view: &View| self.limits.copies_min.is_some_and(|least| view.insync.len() >= least);
        let acknowledges = is_news && self.current(node, RoleName::Primary).is_some_and(holds);
        if changed || acknowledges {
            self.look_for_silence(at);
            self.roles.insert(node, role);
            self.acknowledged_with_few |= acknowledges;
            self.update_distress(at);
        }
    }

    /// What is overdue is a failure.
    pub(super) fn look_for_silence(&mut self, at: Duration) {
        if self.surroundings.disturbed || self.broken.is_some() {
            return;
        }
        if let Some(late) = self.silence.overdue(at, self.quiet_at(), self.limits.detect) {
            let (name, seconds) = (&self.names[late.speaker], late.for_so_long.as_secs_f64());
            let about = match late.distress {
                Distress::ReplicaGone(replica)
                | Distress::Unreached(replica)
                | Distress::OtherHistory(replica) => {
                    format!("{} ({})", late.distress, self.names[replica])
                }
                distress => distress.to_string(),
            };
            let seen = if late.is_so {
                format!("{name} said nothing for {seconds:.1} s, although {about}")
            } else {
                format!("{name} still said, {seconds:.1} s after it was over, that {about}")
            };
            self.breaks(late.at, Promise::Silence, seen);
        }
    }

    pub(super) fn update_distress(&mut self, at: Duration) {
        let around = &self.surroundings;
        // Whoever waits for its drive may be silent, and need not know what it is owed.
        let waits = around.stalled.clone();
        let vs_speaks = around.runs[VS] && !waits.contains(&VS);
        let held = |members: &Members| {
            members.keys().any(|server| self.ids.get(server).is_some_and(|node| waits.contains(node)))
        };
        let all_known = !held(&self.complete) && !self.view.as_ref().is_some_and(|view| held(&view.insync));
        // Through a door that is closed in one direction a copy may be kept or not.
        let is_known = self.state.activated && around.closed.is_empty();
        let few = is_known.then_some(self.state.have < self.limits.replicas);
        let lost = !self.complete.is_empty() && self.state.excuse.is_some();
        self.silence.is(at, VS, Distress::Copies, few.filter(|_| vs_speaks));
        self.silence.is(at, VS, Distress::NobodyToPromote, Some(lost).filter(|_| vs_speaks && all_known));
        let grave = self.answer_is_grave(lost).filter(|_| vs_speaks && all_known);
        self.silence.is(at, VS, Distress::Answered, grave);
        let refuses = self.primary_refuses().filter(|_| vs_speaks && all_known);
        self.silence.is(at, VS, Distress::NoUpdates, refuses);
        if !self.is_short() {
            self.acknowledged_with_few = false;
        }
        for server in 1..self.names.len() {
            let runs = self.surroundings.runs[server] && !waits.contains(&server);
            let is_answered =
                self.surroundings.reach(server, VS) || self.surroundings.closed.contains(&(VS, server));
            let vs_gone = !self.surroundings.answers || !is_answered;
            let vs_gone = Some(vs_gone).filter(|_| runs && !waits.contains(&VS));
            self.silence.is(at, server, Distress::ViewServiceGone, vs_gone);
            let both_run =
                |is_so: &bool| runs && vs_speaks && (*is_so || self.surroundings.reach(server, VS));
            let unreached = Some(self.surroundings.unreached.contains(&server)).filter(both_run);
            self.silence.is(at, VS, Distress::Unreached(server), unreached);
            self.silence.is(at, server, Distress::NotBelieved, unreached);
            // What was said of a life that is over is not taken back.
            let is_met = self.surroundings.answers && runs && !waits.contains(&VS);
            let is_stranger = is_met
                && self.surroundings.reach(server, VS)
                && self.surroundings.strangers.contains(&server);
            let is_stranger = is_stranger.then_some(true);
            self.silence.is(at, VS, Distress::OtherHistory(server), is_stranger);
            self.silence.is(at, server, Distress::OwnHistoryGivenUp, is_stranger);
            let primary_gone = self.primary_gone(server).filter(|_| runs && all_known);
            self.silence.is(at, server, Distress::PrimaryGone, primary_gone);
            for other in 1..self.names.len() {
                let gone = self.replica_gone(server, other).filter(|_| runs && !waits.contains(&other));
                self.silence.is(at, server, Distress::ReplicaGone(other), gone);
            }
            let few = self.acknowledges_with_few(server).filter(|_| runs);
            self.silence.is(at, server, Distress::AcknowledgesWithFew, few);
            let refuses = self.refuses_updates(server).filter(|_| runs);
            self.silence.is(at, server, Distress::RefusesUpdates, refuses);
            for limit in room::LIMITS {
                // Of those that refused somebody their state says more.
                if !runs || !self.room.refusing.contains_key(&(server, limit)) {
                    self.silence.is(at, server, Distress::Full(limit), runs.then_some(false));
                }
            }
        }
    }

    /// Whether whoever asks for the view has to hear that there is no service, or none for updates.
    fn answer_is_grave(&self, lost: bool) -> Option<bool> {
        let primary = self.view.as_ref().and_then(|view| self.ids.get(&view.primary).copied());
        if lost || primary.is_some_and(|primary| !self.surroundings.runs[primary]) {
            return Some(true);
        }
        self.primary_refuses()
    }

    /// Whether the primary of the view refuses updates, if the view service hears it.
    fn primary_refuses(&self) -> Option<bool> {
        let primary = self.view.as_ref().and_then(|view| self.ids.get(&view.primary).copied());
        self.refuses_updates(primary.filter(|primary| self.surroundings.is_of_use(*primary))?)
    }

    /// The view that this server is in, if it is that of the record.
    fn current(&self, server: NodeIndex, role: RoleName) -> Option<&View> {
        let view = self.view.as_ref()?;
        (self.roles.get(&server) == Some(&(role, view.number))).then_some(view)
    }

    /// Whether the primary of a backup is gone, if it is one.
    fn primary_gone(&self, server: NodeIndex) -> Option<bool> {
        let view = self.current(server, RoleName::Backup)?;
        let primary = *self.ids.get(&view.primary)?;
        let leads = self.roles.get(&primary) == Some(&(RoleName::Primary, view.number));
        match self.surroundings.runs[primary] {
            false => Some(true),
            true => (leads && self.surroundings.reach(server, primary)).then_some(false),
        }
    }

    /// Whether a replica in sync is gone, if this server is its primary.
    fn replica_gone(&self, server: NodeIndex, replica: NodeIndex) -> Option<bool> {
        let view = self.current(server, RoleName::Primary)?;
        let is_waited_for = view.insync.keys().any(|member| self.ids.get(member) == Some(&replica));
        if server == replica || !is_waited_for {
            return None;
        }
        let follows = self.roles.get(&replica) == Some(&(RoleName::Backup, view.number));
        match self.surroundings.runs[replica] {
            false => Some(true),
            true => (follows && self.surroundings.reach(server, replica)).then_some(false),
        }
    }

    /// Whether fewer replicas are in sync than there are to be, and none joins: of a joiner only the primary
    /// knows whether it waits for it.
    fn is_short(&self) -> bool {
        let short = |view: &View| view.insync.len() < self.limits.replicas && view.joining.is_empty();
        self.view.as_ref().is_some_and(|view| view.activated && short(view))
    }

    /// Whether this server, if it is primary, refuses updates. A joiner may count already.
    fn refuses_updates(&self, server: NodeIndex) -> Option<bool> {
        let view = self.current(server, RoleName::Primary).filter(|view| view.activated)?;
        let copies_min = self.limits.copies_min?;
        if view.insync.len() >= copies_min { Some(false) } else { view.joining.is_empty().then_some(true) }
    }

    /// Whether this server, if it is primary, acknowledges with fewer copies than there are to be. As long as
    /// it has nothing to acknowledge, that is open.
    fn acknowledges_with_few(&self, server: NodeIndex) -> Option<bool> {
        let view = self.current(server, RoleName::Primary).filter(|view| view.activated)?;
        let enough = view.insync.len() >= self.limits.replicas;
        if enough { Some(false) } else { (self.is_short() && self.acknowledged_with_few).then_some(true) }
    }
}
