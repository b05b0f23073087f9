//! The one observer of a run: it sees every step of every machine and everything done to them, and keeps
//! the trace, the timeline, the clients' operations, the numbers, and the invariants.
//!
//! A step is fed into the trace's hash as data, not as text: writing events out costs more than making them.
//! The first broken invariant, or answer that no order explains, stops the observer; what the machines do
//! afterwards is not part of the run.

mod outside;

use std::{collections::BTreeMap, hash::Hash, sync::Arc, time::Duration};

use pbkv::protocol::{
    identity::{OpNumber, ViewNumber},
    message::PingReplyBody,
    replica::{self, Replica, RoleName},
    view_service::{self, Answer, ViewService},
};

use crate::{
    data::{
        node::{NodeIndex, NodeName},
        outcome::{Happening, Moment, Operation, Outcome, RunOptions, Stats, Violation},
        plan::Plan,
    },
    judges::{
        bounds::{Bounds, Exceeded},
        early::Watch,
        health::{Health, limits::Limits},
        invariants::{Check, Invariants},
        order::ServersOrder,
        revisions::Revisions,
    },
    marks::lookout::Lookout,
    observer::{
        chain::Chain,
        messages::{Message, Messages},
        step::StepName,
        trace::TraceLine,
    },
    store::{self, fault::Trigger, messages, nodes::Nodes},
};

/// Steps at one instant of virtual time after which the machines are taken to be running in circles.
const STEPS_AT_ONCE_MAX: u64 = 100_000;

/// What was last seen of a server.
#[derive(Clone, Copy, Debug)]
pub struct LastSeen {
    /// Its role,
    pub role: RoleName,
    /// the latest view it adopted,
    pub view: ViewNumber,
    /// how far it has committed,
    pub commit: OpNumber,
    /// and since when it leads that view, as one that it knows to be activated.
    pub leads_since: Option<Duration>,
}

/// Everything that is kept of a run.
pub struct Observer {
    nodes: Arc<Nodes>,
    options: RunOptions,
    chain: Chain,
    trace: Vec<TraceLine>,
    timeline: Vec<Moment>,
    operations: Vec<Operation>,
    violations: Vec<Violation>,
    stats: Stats,
    pings: Vec<u64>,
    invariants: Invariants,
    revisions: Revisions,
    marks: Option<Lookout>,
    messages: Option<Messages>,
    occurrences: Vec<(Trigger, Duration)>,
    last_seen: BTreeMap<NodeIndex, LastSeen>,
    order: ServersOrder,
    watch: Watch,
    health: Health,
    bounds: Bounds,
    /// Whose machine is being stepped.
    stepping: Option<NodeIndex>,
    /// What is being done, while it is.
    step: Option<StepName>,
    failed_step: Option<StepName>,
    now: Duration,
    steps_at_once: u64,
    stopped: bool,
}

impl Observer {
    /// Nothing seen yet.
    pub fn new(nodes: Arc<Nodes>, plan: &Plan, options: RunOptions) -> Self {
        Self {
            marks: (!options.skip_marks).then(|| Lookout::new(nodes.clone(), plan)),
            pings: vec![0; nodes.len()],
            invariants: Invariants::asking_for(*plan.cluster.copies_min().start())
                .with_twin(nodes.twin().map(|twin| nodes.id(twin).clone())),
            health: Health::new(&nodes, Limits::of(plan)),
            bounds: Bounds::new(&nodes, plan),
            messages: options.keep_messages.then(Messages::default),
            nodes,
            chain: Chain::new(options.table.clone()),
            options,
            trace: Vec::new(),
            timeline: Vec::new(),
            operations: Vec::new(),
            violations: Vec::new(),
            stats: Stats::default(),
            revisions: Revisions::default(),
            occurrences: Vec::new(),
            last_seen: BTreeMap::new(),
            order: ServersOrder::default(),
            watch: Watch::default(),
            stepping: None,
            step: None,
            failed_step: None,
            now: Duration::ZERO,
            steps_at_once: 0,
            stopped: false,
        }
    }

    /// Whether the run is over: an invariant was broken, or an answer cannot be explained.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The run is over but for a last look at the state of every machine.
    pub fn close(&mut self) {
        self.chain.close();
        self.invariants.close();
    }

    /// What the machines do from now on is not part of the run.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The latest time at which anything was seen.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The node whose machine is being stepped, if any is.
    pub fn stepping(&self) -> Option<&NodeName> {
        self.stepping.map(|node| self.nodes.name(node))
    }

    /// The step that is being taken, if one is.
    pub fn step(&self) -> Option<StepName> {
        self.step
    }

    /// What an all-knowing observer knows.
    pub fn invariants(&self) -> &Invariants {
        &self.invariants
    }

    /// What triggers wait for, in the order in which it happened.
    pub fn occurrences(&self) -> &[(Trigger, Duration)] {
        &self.occurrences
    }

    /// What was last seen of a server.
    pub fn last_seen(&self, node: NodeIndex) -> Option<LastSeen> {
        self.last_seen.get(&node).copied()
    }

    /// The judge of the cluster's health.
    pub fn health(&mut self) -> &mut Health {
        &mut self.health
    }

    /// All operations so far.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The numbers.
    pub fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// Lets the lookout for marks see something.
    pub fn mark(&mut self, see: impl FnOnce(&mut Lookout)) {
        if let Some(marks) = &mut self.marks {
            see(marks);
        }
    }

    /// Something for the timeline that no machine reports.
    pub fn happened(&mut self, at: Duration, node: NodeIndex, event: Happening) {
        if self.stopped {
            return;
        }
        self.mark(|marks| marks.happened(node, &event));
        if let Happening::Up { .. } = event {
            self.health.began(at, node);
        }
        self.stamp(at, node);
        self.line(|| format!("{event:?}"));
        self.chain.note(at, (node, self.nodes.name(node)), StepName::SIMULATOR, &event);
        let name = self.nodes.name(node).clone();
        self.timeline.push(Moment { at, node: name, event });
    }

    /// A server is about to take an event.
    pub fn before_replica(
        &mut self,
        at: Duration,
        node: NodeIndex,
        machine: &Replica,
        event: &replica::Event,
    ) {
        if self.begin_step(at, node, StepName::replica(machine, event), event) {
            self.mark(|marks| marks.before_replica(node, machine, event));
            if let replica::Event::Request { ticket, request } = event {
                let server = self.nodes.id(node).clone();
                self.invariants.request_received(&server, machine, *ticket, request);
            }
            if let Some(messages) = &mut self.messages {
                messages::replica_heard(messages, at, &self.nodes, node, event);
            }
            self.bounds.before_replica(at, node, event);
            self.health.asks(event);
            self.health.hears(machine, event);
        }
    }

    /// A server took a step. Returns whether something happened that the nemesis may wait for.
    pub fn after_replica(
        &mut self,
        at: Duration,
        node: NodeIndex,
        machine: &Replica,
        effects: &[replica::Effect],
    ) -> bool {
        let summary = (machine.role(), machine.view_seen(), machine.commit(), machine.log().end());
        if !self.end_step(effects, &summary, machine) {
            return false;
        }
        let occurrences = self.occurrences.len();
        let before = self.last_seen.get(&node).copied();
        let (role, view) = (machine.role(), machine.view_seen());
        let leads = machine.as_primary().is_some_and(|primary| primary.is_active());
        let led_since = before.filter(|before| before.view == view).and_then(|before| before.leads_since);
        let leads_since = leads.then(|| led_since.unwrap_or(at));
        let seen = LastSeen { role, view, commit: machine.commit(), leads_since };
        self.last_seen.insert(node, seen);
        let commits = before.is_some_and(|before| before.commit < seen.commit);
        self.health.stepped(at, node, (seen.role, seen.view), commits);
        self.health.answered(at, node, machine, effects);
        self.health.refuses(at, node, machine, effects);
        for effect in effects {
            if let replica::Effect::Notice(notice) = effect {
                self.replica_notice(at, node, notice);
            }
            if let Some(messages) = &mut self.messages {
                messages::replica_said(messages, at, &self.nodes, node, effect);
            }
        }
        if let Some(marks) = &mut self.marks {
            marks.after_replica(node, machine, effects, self.invariants.facts());
        }
        let nodes = self.nodes.clone();
        let server = nodes.id(node);
        let check = self.invariants.replica_stepped(server, machine, effects);
        self.check(at, node, check);
        self.order.note(at, effects, &self.invariants.facts().committed);
        let check = self.invariants.state_seen(server, machine, &self.order);
        self.check(at, node, check);
        let within = self.bounds.after_replica(at, node, machine, effects);
        self.heed(at, within);
        self.step = None;
        self.stopped || self.occurrences.len() > occurrences
    }

    fn replica_notice(&mut self, at: Duration, node: NodeIndex, notice: &replica::Notice) {
        self.occurrences.extend(Trigger::of(notice).map(|trigger| (trigger, at)));
        match notice {
            replica::Notice::Suspected { server } => self.health.suspected(at, node, server),
            replica::Notice::TransferBegan { to, .. } => self.health.transfer_began(at, node, to),
            replica::Notice::TransferCompleted { .. } => self.stats.own.transfers += 1,
            replica::Notice::RoleChanged { role: RoleName::Primary, .. } => self.stats.own.promotions += 1,
            _ => {}
        }
        self.health.replica_said(at, node, notice);
        let name = self.nodes.name(node).clone();
        self.timeline.push(Moment {
            at,
            node: name,
            event: Happening::Notice(store::Notice::Replica(notice.clone())),
        });
    }

    /// The view service is about to take an event.
    pub fn before_view_service(&mut self, at: Duration, machine: &ViewService, event: &view_service::Event) {
        if !self.begin_step(at, Nodes::VIEW_SERVICE, StepName::view_service(event), event) {
            return;
        }
        self.mark(|marks| marks.before_view_service(at, machine, event));
        self.bounds.before_view_service(event);
        if let view_service::Event::Ping { ping, .. } = event
            && let Some(server) = self.nodes.server(&ping.server)
        {
            self.pings[server] += 1;
            if let Some(messages) = &mut self.messages {
                messages::view_service_heard(messages, at, &self.nodes, event);
            }
        }
    }

    /// The view service took a step, at a true time. Returns whether something happened that the nemesis may
    /// wait for.
    pub fn after_view_service(
        &mut self,
        at: Duration,
        machine: &ViewService,
        effects: &[view_service::Effect],
    ) -> bool {
        use view_service::{Effect, Notice};
        if !self.end_step(effects, &machine.record().number, machine) {
            return false;
        }
        self.mark(|marks| marks.after_view_service(at, machine, effects));
        let within = self.bounds.after_view_service(at, machine, effects);
        self.heed(at, within);
        self.health.answers(at, machine.distress().as_ref());
        let occurrences = self.occurrences.len();
        for effect in effects {
            if let Some(messages) = &mut self.messages {
                messages::view_service_said(messages, at, &self.nodes, effect);
            }
            let told = match effect {
                Effect::Notice(notice) => {
                    self.health.view_service_said(at, notice);
                    match notice {
                        Notice::Proposed { view, why, dropped } => {
                            self.health.proposed(at, view, *why, dropped);
                            self.stats.own.view_changes += u64::from(view.number > ViewNumber(1));
                            self.occurrences.push((Trigger::ViewProposed, at));
                        }
                        Notice::Activated(_) => self.occurrences.push((Trigger::ViewActivated, at)),
                        _ => {}
                    }
                    let name = self.nodes.name(Nodes::VIEW_SERVICE).clone();
                    let event = Happening::Notice(store::Notice::ViewService(notice.clone()));
                    self.timeline.push(Moment { at, node: name, event });
                    continue;
                }
                Effect::Answer { answer: Answer::View { view, .. }, .. } => view,
                Effect::Answer { answer: Answer::Ping(reply), .. } => match &reply.body {
                    PingReplyBody::Accepted { view, .. } => view,
                    _ => continue,
                },
                Effect::Persist { record, .. } => {
                    self.invariants.record_written(record);
                    continue;
                }
                Effect::Probe { .. } | Effect::Dismiss { .. } => continue,
            };
            if let Some(view) = told {
                let check = self.invariants.view_told(view);
                self.check(at, Nodes::VIEW_SERVICE, check);
            }
        }
        self.step = None;
        self.stopped || self.occurrences.len() > occurrences
    }

    fn begin_step<E: Hash + std::fmt::Debug>(
        &mut self,
        at: Duration,
        node: NodeIndex,
        step: StepName,
        event: &E,
    ) -> bool {
        self.stepping = Some(node);
        self.step = Some(step);
        // Also after the end of the run: nothing else gets a turn before this node has ended its own.
        self.steps_at_once = if at == self.now { self.steps_at_once + 1 } else { 0 };
        assert!(
            self.steps_at_once < STEPS_AT_ONCE_MAX,
            "{} takes step after step while no time passes: {event:?}",
            self.nodes.name(node)
        );
        if self.stopped {
            return false;
        }
        self.stats.steps += 1;
        self.stamp(at, node);
        self.chain.begin(at, (node, self.nodes.name(node)), step, event);
        self.line(|| format!("< {event:?}"));
        true
    }

    fn end_step<E: Hash + std::fmt::Debug>(
        &mut self,
        effects: &[E],
        summary: &impl Hash,
        machine: &impl Hash,
    ) -> bool {
        if !self.stopped {
            for effect in effects {
                self.line(|| format!("> {effect:?}"));
            }
            self.chain.end(&effects, summary, |hasher| machine.hash(hasher));
        }
        !self.stopped
    }

    fn stamp(&mut self, at: Duration, node: NodeIndex) {
        self.now = at;
        self.stepping = Some(node);
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        let wanted = self.chain.wants_lines();
        if !wanted && !self.options.keep_trace && self.options.trace_sink.is_none() {
            return;
        }
        let node = self.nodes.name(self.stepping.unwrap_or(Nodes::VIEW_SERVICE)).clone();
        let line = TraceLine { at: self.now, node, text: text() };
        if wanted {
            self.chain.line(line.to_string());
        }
        if let Some(sink) = &self.options.trace_sink {
            sink(&line);
        }
        if self.options.keep_trace {
            self.trace.push(line);
        }
    }

    fn check(&mut self, at: Duration, node: NodeIndex, check: Check) {
        let Err(broken) = check else { return };
        if !self.stopped && !self.options.skip_invariants {
            self.line(|| format!("broken: {broken}"));
            self.stopped = true;
            self.failed_step = self.step;
            self.violations.push(Violation {
                at,
                node: self.nodes.name(node).clone(),
                invariant: broken.invariant.to_owned(),
                message: format!("{}; but {}", broken.promised, broken.seen),
            });
        }
    }

    /// A bound that is exceeded ends the run: a machine in circles would not let it end.
    fn heed(&mut self, at: Duration, within: Result<(), Exceeded>) {
        if let Err(exceeded) = within
            && !self.stopped
            && !self.options.skip_invariants
        {
            self.line(|| format!("exceeded: {exceeded}"));
            self.stopped = true;
            self.health.exceeded(at, &exceeded);
        }
    }

    /// The order in which the servers took updates.
    pub fn take_order(&mut self) -> ServersOrder {
        std::mem::take(&mut self.order)
    }

    /// Adds the messages between nodes to what was kept. `clients` are those of the clients.
    pub fn take_messages(&mut self, clients: Messages) -> Vec<Message> {
        self.messages.take().map_or_else(Vec::new, |messages| messages.merge(clients).0)
    }

    /// What was kept. The verdict, and whatever ended the run, is added by whoever ran it.
    pub fn into_outcome(self) -> Outcome {
        let mut stats = self.stats;
        stats.own.copies = self.health.copies().clone();
        stats.marks =
            self.marks.iter().flat_map(|marks| marks.reached().iter()).map(|mark| (mark, 1)).collect();
        for server in self.nodes.servers() {
            stats.own.pings.insert(self.nodes.name(server).clone(), self.pings[server]);
        }
        Outcome {
            trace_hash: self.chain.hash(),
            table: self.chain.into_table(),
            trace: self.trace,
            timeline: self.timeline,
            operations: self.operations,
            violations: self.violations,
            unhealthy: self.health.broken().cloned(),
            failed_step: self.failed_step,
            stats,
            ..Outcome::default()
        }
    }
}
