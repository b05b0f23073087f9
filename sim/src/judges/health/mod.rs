//! Whether the cluster is as well as its surroundings allow: **redundancy** and **stability**; and whether an
//! operator is told what is not: **silence** ([`silence`]).
//!
//! * Redundancy: within a bound after the last change of the surroundings ([`limits`]), the view is activated
//!   and has as many members in sync as there are to be copies, or as the primary and the living servers that
//!   reach it and the view service allow. For each run the time with fewer is measured. What is within the
//!   bound is excused by the fault that came last; what is beyond it is a failure.
//! * Stability: as long as nothing is wrong, redundancy is complete, and whatever a fault may have set off is
//!   over, no view is proposed, nothing is suspected, no state is transferred. And at any time: a replica in
//!   sync that no fault touched is neither suspected nor dropped, because the faults of *other* nodes are no
//!   reason to. And a server that the view service gave up, by its own word, because it hears it and does not
//!   reach it is not taken back at once: whoever comes and goes would change the view each time.
//!
//! The judge knows what runs and who reaches whom from the nemesis, what disks hold from the disks, and the
//! view from the durable record; who could be promoted, from the primaries' acknowledgements. It does not ask
//! the machines why they did what they did.
//!
//! A drive that stalls excuses what depends on its node, and nothing else (`stalls`): all others are as
//! stable and as outspoken as ever.
//!
//! Not promised: anything while the view service is down, or while no server that holds all the data can be
//! reached; stability while a cut lasts that separates two servers that are both of use; anything of a
//! replica after some node stuttered, whose short pauses nobody can tell from work; redundancy under load
//! that a joiner cannot keep up with, by the options of the plan.

pub mod limits;
mod promise;
mod proposals;
mod refusals;
mod room;
pub mod silence;
mod stalls;
mod truth;

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pbkv::protocol::{
    identity::{DataId, ServerId, ViewNumber},
    replica::RoleName,
    view::{Members, Record, View},
};
use serde::{Deserialize, Serialize};
use testbed::{
    data::node::{NodeIndex, NodeName},
    explore::summary::percent,
};

pub use self::promise::Promise;
use self::{limits::Limits, refusals::Refusals, room::Room, silence::Silence};
use crate::{bound::Unhealthy, judges::bounds::Exceeded, store::nodes::Nodes};

const VS: NodeIndex = Nodes::VIEW_SERVICE;

/// Why copies are fewer before any fault.
pub const START: &str = "start";
/// Why copies are fewer if nothing explains it.
const NOTHING: &str = "nothing";

/// What is around the machines: of the view service (place 0) and the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Which of them run.
    pub runs: Vec<bool>,
    /// Pairs, the smaller first, of which one cannot call the other and be answered.
    pub apart: BTreeSet<(NodeIndex, NodeIndex)>,
    /// Those of them that are apart only because calls do not get through in one direction: whoever calls in
    /// the other is answered.
    pub closed: BTreeSet<(NodeIndex, NodeIndex)>,
    /// Servers that are answered by the view service, and that it cannot call.
    pub unreached: BTreeSet<NodeIndex>,
    /// Messages are slow or mistreated, or a process stutters.
    pub disturbed: bool,
    /// Those whose drives stall.
    pub stalled: BTreeSet<NodeIndex>,
    /// The view service runs, although perhaps with another record than its own.
    pub answers: bool,
    /// Servers that hold data which an operator gave up.
    pub strangers: BTreeSet<NodeIndex>,
}

impl Surroundings {
    fn reach(&self, one: NodeIndex, other: NodeIndex) -> bool {
        !self.apart.contains(&(one.min(other), one.max(other)))
    }

    /// Whether a server is of use: it runs, and the view service and it reach each other.
    fn is_of_use(&self, server: NodeIndex) -> bool {
        self.runs[server] && self.reach(server, VS)
    }

    /// Whether no cut separates two servers that are both of use.
    fn is_whole(&self) -> bool {
        !self.disturbed
            && self.runs[VS]
            && self
                .apart
                .iter()
                .all(|(one, other)| *one == VS || !self.is_of_use(*one) || !self.is_of_use(*other))
    }

    /// The servers that can hold a copy with this one as primary, itself included.
    fn around(&self, primary: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        (1..self.runs.len()).filter(move |server| self.is_of_use(*server) && self.reach(primary, *server))
    }

    /// Servers of use that the primary does not reach.
    fn useless(&self, primary: Option<NodeIndex>) -> usize {
        let reached = primary.map_or(0, |primary| self.around(primary).count());
        (1..self.runs.len()).filter(|server| self.is_of_use(*server)).count().saturating_sub(reached)
    }
}

/// The time with fewer copies than the surroundings allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// In all.
    #[serde(default, rename = "fewer_copies")]
    pub fewer: Duration,
    /// By the fault that came last, or the start.
    #[serde(default, rename = "fewer_copies_by_cause")]
    pub causes: BTreeMap<Cow<'static, str>, Duration>,
}

impl Copies {
    /// Adds the times of another run.
    pub fn add(&mut self, other: &Self) {
        self.fewer += other.fewer;
        for (cause, time) in &other.causes {
            *self.causes.entry(cause.clone()).or_default() += *time;
        }
    }

    /// As a line, for a run of this length.
    pub fn line(&self, of: Duration) -> String {
        let why = self.why(|time| format!("{:.1} s", time.as_secs_f64()));
        format!("fewer copies: {:.1} s of {:.1} s{why}", self.fewer.as_secs_f64(), of.as_secs_f64())
    }

    /// The same for many runs of this length together.
    pub fn share(&self, of: Duration) -> String {
        let share = |time: Duration| percent(time.as_secs_f64(), of.as_secs_f64());
        let many = |time: Duration| 1_000 * time >= of;
        let causes = self.causes.iter().filter(|(_, time)| many(**time));
        let main = Self { causes: causes.map(|(cause, time)| (cause.clone(), *time)).collect(), ..*self };
        format!("fewer copies {} of the time{}", share(self.fewer), main.why(share))
    }

    /// After which faults, the longest time first.
    fn why(&self, length: impl Fn(Duration) -> String) -> String {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|(cause, time)| (Reverse(**time), *cause));
        let causes: Vec<String> =
            causes.iter().map(|(cause, time)| format!("{cause} {}", length(**time))).collect();
        if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) }
    }
}

/// The judge of one run's health.
#[derive(Clone, Debug)]
pub struct Health {
    names: Vec<NodeName>,
    ids: BTreeMap<ServerId, NodeIndex>,
    limits: Limits,
    surroundings: Surroundings,
    /// When they changed last, and by what.
    changed_at: Duration,
    cause: &'static str,
    first_fault_at: Option<Duration>,
    /// How late messages may arrive that a fault held back.
    lateness: Duration,
    /// When the last call was made, if joiners need not keep up with the load.
    busy_at: Duration,
    /// Which servers were touched by a fault.
    touched: BTreeSet<NodeIndex>,
    holds: BTreeMap<NodeIndex, DataId>,
    /// When this life of the view service last gave up a server that it heard and did not reach.
    out_of_reach: BTreeMap<ServerId, Duration>,
    view: Option<View>,
    /// Who holds all the data, as long as it has its memory.
    complete: Members,
    state: State,
    complete_since: Option<Duration>,
    measured_to: Duration,
    copies: Copies,
    silence: Silence,
    room: Room,
    refusals: Refusals,
    /// What each server is, and in which view.
    roles: BTreeMap<NodeIndex, (RoleName, ViewNumber)>,
    /// The primary acknowledged something while there were fewer copies than there are to be.
    acknowledged_with_few: bool,
    broken: Option<Unhealthy>,
}

/// How many copies there are and could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    have: usize,
    wanted: usize,
    activated: bool,
    /// Why nothing is owed.
    excuse: Option<&'static str>,
}

impl State {
    fn is_complete(&self) -> bool {
        self.activated && self.have >= self.wanted
    }
}

impl Health {
    /// Nothing runs yet.
    pub fn new(nodes: &Nodes, limits: Limits) -> Self {
        let count = 1 + nodes.servers().count();
        let mut health = Self {
            names: (0..count).map(|node| nodes.name(node).clone()).collect(),
            ids: nodes.servers().map(|server| (nodes.id(server).clone(), server)).collect(),
            limits,
            surroundings: Surroundings { runs: vec![false; count], ..Surroundings::default() },
            changed_at: Duration::ZERO,
            cause: START,
            first_fault_at: None,
            lateness: Duration::ZERO,
            busy_at: Duration::ZERO,
            touched: BTreeSet::new(),
            holds: BTreeMap::new(),
            out_of_reach: BTreeMap::new(),
            view: None,
            complete: Members::new(),
            state: State::default(),
            complete_since: None,
            measured_to: Duration::ZERO,
            copies: Copies::default(),
            silence: Silence::default(),
            room: Room::default(),
            refusals: Refusals::default(),
            roles: BTreeMap::new(),
            acknowledged_with_few: false,
            broken: None,
        };
        health.state = health.look();
        health
    }

    /// The first promise that was broken.
    pub fn broken(&self) -> Option<&Unhealthy> {
        self.broken.as_ref()
    }

    /// The time with fewer copies, up to the last look.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// A fault strikes these nodes, and may hold messages back for so long.
    pub fn struck(&mut self, at: Duration, nodes: &[NodeIndex], lateness: Duration) {
        let ours = nodes.iter().copied().filter(|node| *node < self.names.len());
        let mut struck = ours.peekable();
        if struck.peek().is_some() {
            self.first_fault_at.get_or_insert(at);
            self.lateness = self.lateness.max(lateness);
        }
        self.touched.extend(struck);
    }

    /// What is around the machines from now on, and what changes it: a fault that begins or ends, or a start.
    pub fn surrounded(&mut self, at: Duration, surroundings: Surroundings, cause: Option<&'static str>) {
        if self.surroundings == surroundings {
            return;
        }
        self.pass(at);
        let matters = self.is_change(&surroundings);
        self.surroundings = surroundings;
        if matters {
            self.changed_at = at;
            self.cause = cause.unwrap_or(self.cause);
        }
        self.update(at);
    }

    /// What a server holds from now on.
    pub fn holds(&mut self, at: Duration, server: NodeIndex, data: Option<DataId>) {
        if self.holds.get(&server).copied() == data {
            return;
        }
        self.pass(at);
        match data {
            Some(data) => self.holds.insert(server, data),
            None => {
                self.changed_at = at; // as much a fault as the crash around it
                self.holds.remove(&server)
            }
        };
        self.update(at);
    }

    /// A client calls.
    pub fn called(&mut self, at: Duration) {
        if !self.limits.keeps_up {
            self.busy_at = at;
        }
    }

    /// The record became durable. `acknowledged` are the members of the latest acknowledgement that was both
    /// sent and recorded: they hold all the data, whatever the record says. None are known before the first
    /// one, and after an old copy was in the record's place: then the record is believed.
    pub fn recorded(&mut self, at: Duration, record: &Record, acknowledged: &Members) {
        self.refusals.latest = self.refusals.latest.max(record.number);
        let complete = if acknowledged.is_empty() { &record.stable } else { acknowledged };
        if self.view == record.view && self.complete == *complete {
            return;
        }
        self.pass(at);
        self.view.clone_from(&record.view);
        self.complete.clone_from(complete);
        self.update(at);
    }

    /// A primary suspects a replica.
    pub fn suspected(&mut self, at: Duration, by: NodeIndex, server: &ServerId) {
        let Some(suspect) = self.ids.get(server).copied().filter(|_| by < self.names.len()) else { return };
        let (by, name) = (self.names[by].clone(), self.names[suspect].clone());
        if !self.touched.contains(&suspect) {
            self.breaks(at, Promise::Stability, format!("{by} suspects {name}, which no fault had touched"));
        } else {
            self.disturbed(at, || format!("{by} suspects {name}"));
        }
    }

    /// A primary begins to send its state to a replica.
    pub fn transfer_began(&mut self, at: Duration, by: NodeIndex, to: &ServerId) {
        let Some(by) = self.names.get(by).cloned() else { return };
        self.disturbed(at, || format!("{by} begins a state transfer to {}", to.as_str()));
    }

    /// Something happens that must not while all is well.
    fn disturbed(&mut self, at: Duration, what: impl FnOnce() -> String) {
        let quiet_at = self.quiet_at() + self.limits.detect;
        let well_since = self.complete_since.map(|since| since.max(quiet_at));
        let is_whole = self.surroundings.is_whole() && !self.stability_waits();
        if let Some(since) = well_since.filter(|since| *since < at && is_whole) {
            let seen =
                format!("{}, although all had been well for {:.1} s", what(), (at - since).as_secs_f64());
            self.breaks(at, Promise::Stability, seen);
        }
    }

    /// A machine holds or does too much of something.
    pub fn exceeded(&mut self, at: Duration, exceeded: &Exceeded) {
        self.breaks(at, Promise::Bound(exceeded.quantity), exceeded.to_string());
    }

    fn breaks(&mut self, at: Duration, promise: Promise, seen: String) {
        self.broken.get_or_insert(Unhealthy { at, promise, seen });
    }

    /// When the last change was over, with the messages that it held back.
    fn quiet_at(&self) -> Duration {
        self.changed_at + self.lateness
    }

    /// Whether nothing disturbs, and the last change was over so long ago.
    pub fn is_quiet_for(&self, at: Duration, time: Duration) -> bool {
        !self.surroundings.disturbed && at >= self.quiet_at() + time
    }

    /// When redundancy must be complete. Never while something disturbs, it waits for a drive, or there is an
    /// excuse.
    fn due_at(&self) -> Option<Duration> {
        if self.surroundings.disturbed || self.redundancy_waits() || self.state.excuse.is_some() {
            return None;
        }
        let quiet_at = self.quiet_at();
        let troubled = self.first_fault_at.map(|first| quiet_at.saturating_sub(first));
        let useless = self.surroundings.useless(self.primary()) + self.surroundings.stalled.len();
        let patience = self.limits.patience(troubled, useless);
        let idle_at = if self.busy_at.is_zero() { Duration::ZERO } else { self.busy_at + patience };
        Some((quiet_at + patience).max(idle_at))
    }

    /// Whether nothing is to be waited for: redundancy is complete, or not owed.
    pub fn is_settled(&self) -> bool {
        self.state.is_complete() || self.state.excuse.is_some() || self.broken.is_some()
    }

    /// Looks at the time that has passed.
    pub fn pass(&mut self, at: Duration) {
        let at = at.max(self.measured_to);
        if self.state.have < self.state.wanted {
            let due_at = self.due_at();
            let due = due_at.unwrap_or(Duration::MAX).clamp(self.measured_to, at);
            let cause = self.state.excuse.unwrap_or(self.cause);
            self.measure(cause, due - self.measured_to);
            self.measure(NOTHING, at - due);
        }
        if !self.state.is_complete()
            && let Some(due) = self.due_at().map(|due| due.max(self.measured_to)).filter(|due| *due < at)
        {
            let seen = self.missing(due);
            self.breaks(due, Promise::Redundancy, seen);
        }
        self.look_for_silence(at);
        self.measured_to = at;
    }

    fn measure(&mut self, cause: &'static str, time: Duration) {
        if !time.is_zero() {
            self.copies.add(&Copies { fewer: time, causes: BTreeMap::from([(cause.into(), time)]) });
        }
    }

    fn missing(&self, due: Duration) -> String {
        let State { have, wanted, activated, .. } = self.state;
        let view = match &self.view {
            None => "there is no view".into(),
            Some(view) if !activated => format!("{} is not activated", view.number),
            Some(view) => {
                let name = |server: &ServerId| self.ids.get(server).map_or("?", |node| &*self.names[*node]);
                let list = |members: &Members| members.keys().map(name).collect::<Vec<_>>().join(", ");
                format!(
                    "in {} in sync: {}; joining: {}",
                    view.number,
                    list(&view.insync),
                    list(&view.joining)
                )
            }
        };
        let since = due - self.changed_at;
        format!(
            "{have} of {wanted} copies, {:.1} s after the last change ({}): {view}",
            since.as_secs_f64(),
            self.cause
        )
    }

    fn update(&mut self, at: Duration) {
        self.state = self.look();
        self.complete_since = self.state.is_complete().then(|| self.complete_since.unwrap_or(at));
        self.update_distress(at);
    }

    fn member(&self, server: &ServerId, data: DataId) -> Option<NodeIndex> {
        let node = *self.ids.get(server)?;
        (self.holds.get(&node) == Some(&data)).then_some(node)
    }

    /// The primary of the view, if it is of use.
    fn primary(&self) -> Option<NodeIndex> {
        let view = self.view.as_ref()?;
        let data = *view.insync.get(&view.primary)?;
        self.member(&view.primary, data).filter(|node| self.surroundings.is_of_use(*node))
    }

    fn look(&self) -> State {
        let around = &self.surroundings;
        if !around.runs[VS] {
            return State { excuse: Some("view service down"), ..State::default() };
        }
        let is_able = |node: &NodeIndex| !around.stalled.contains(node) || self.is_in_sync(*node);
        let allows =
            |primary: NodeIndex| around.around(primary).filter(is_able).count().min(self.limits.replicas);
        let members = |members: &Members| -> Vec<NodeIndex> {
            let held = members.iter().filter_map(|(server, data)| self.member(server, *data));
            held.filter(|node| around.is_of_use(*node)).collect()
        };
        let candidates = match &self.view {
            Some(_) if !self.complete.is_empty() => members(&self.complete),
            _ => (1..around.runs.len()).filter(|server| around.is_of_use(*server)).collect(),
        };
        if candidates.is_empty() {
            return State { excuse: Some("no complete copy within reach"), ..State::default() };
        }
        let Some((primary, view)) = self.primary().zip(self.view.as_ref()) else {
            let wanted = candidates.iter().map(|candidate| allows(*candidate)).max().unwrap_or_default();
            let have = if self.complete.is_empty() { 0 } else { candidates.len().min(wanted) };
            return State { have, wanted, activated: false, excuse: None };
        };
        let insync = members(&view.insync);
        let counts = |node: &&NodeIndex| {
            around.reach(primary, **node) && (view.activated || candidates.contains(*node))
        };
        let have = insync.iter().filter(counts).count();
        State { have, wanted: allows(primary), activated: view.activated, excuse: None }
    }
}

#[cfg(test)]
mod tests;
