//! The simulator's judges, asked after every step of a walk.
//!
//! Time: *true* time is what passes for all; each node's *own* time is what its clock shows. Bounds count in
//! a node's own time, because one clock may jump while the others do not. Histories count in *instants*, one
//! for each thing that a judge sees: true time stands still while messages arrive.

use std::{sync::Arc, time::Duration};

use pbkv::protocol::{
    identity::ServerId,
    log::{Durable, Write},
    replica::{self, Replica},
    view::Record,
    view_service::{self, ViewService},
};
use testbed::{
    data::{
        node::{NodeIndex, NodeName},
        outcome::{self, Contradiction, Stall, Verdict},
    },
    judges::broken::Broken,
    observer::step::StepName,
};

use super::{Checked, VS, machines::told};
use crate::{
    bound::{End, Operation, Plan, Unhealthy},
    judges::{
        bounds::{Bounds, Exceeded},
        health::{Health, Promise, Surroundings, limits::Limits},
        history,
        invariants::{Facts, Invariants},
        order::ServersOrder,
        revisions::Revisions,
    },
    store::{
        nodes::Nodes,
        operation::{self, Input, Output, Told},
        script::Asked,
        step::{replica_step, view_service_step},
    },
    walk::shared::Shared,
};

/// A promise that was broken.
#[derive(Clone, Debug)]
pub enum Failure {
    /// An invariant, at a node.
    Invariant {
        /// At which node.
        node: NodeName,
        /// Which.
        invariant: String,
        /// What was promised and what was seen.
        message: String,
        /// The step, if it was one.
        step: Option<StepName>,
    },
    /// What clients saw is not linearizable.
    NotLinearizable(Contradiction),
    /// The checker gave up.
    Undecided(String),
    /// Something did not end in time.
    Stall(Stall),
    /// The cluster is not as well as it could be, or a machine holds or does too much.
    Unhealthy(Unhealthy),
}

impl Failure {
    /// What a client was told that nobody may be told.
    pub(super) fn client(client: &NodeName, seen: &str) -> Self {
        Self::Invariant {
            node: client.clone(),
            invariant: "I9".into(),
            message: format!("a client is told what becomes of its request; but {client}: {seen}"),
            step: None,
        }
    }
}

/// All judges and what they have seen.
#[derive(Clone, Debug)]
pub(super) struct Judges {
    nodes: Arc<Nodes>,
    invariants: Shared<Invariants>,
    order: Shared<ServersOrder>,
    revisions: Shared<Revisions>,
    bounds: Shared<Bounds>,
    health: Shared<Health>,
    /// Bounds and health are left out: all that counts times, and what happens within one.
    timeless: bool,
    /// Whether the health is that of a cluster in which nothing goes wrong any more.
    calm: bool,
    operations: Shared<Vec<Operation>>,
    instant: u64,
    step: Option<StepName>,
}

impl Judges {
    pub fn new(nodes: Arc<Nodes>, plan: &Plan) -> Self {
        let mut health = Health::new(&nodes, Limits::of(plan));
        let everybody: Vec<NodeIndex> = (0..nodes.len()).collect();
        health.struck(Duration::ZERO, &everybody, Duration::ZERO);
        Self {
            invariants: Shared::new(Invariants::asking_for(*plan.cluster.copies_min().start())),
            order: Shared::new(ServersOrder::default()),
            revisions: Shared::new(Revisions::default()),
            bounds: Shared::new(Bounds::new(&nodes, plan)),
            health: Shared::new(health),
            timeless: false,
            calm: false,
            operations: Shared::new(Vec::new()),
            instant: 0,
            step: None,
            nodes,
        }
    }

    /// Leaves out from now on all that counts times. What it has seen is worth nothing any more.
    pub fn leave_out_times(&mut self) {
        self.timeless = true;
    }

    pub fn facts(&self) -> &Facts {
        self.invariants.facts()
    }

    /// A print of the invariants, made by `of` if it is not remembered.
    pub fn invariants_print(&self, of: impl FnOnce(&Invariants) -> u64) -> u64 {
        self.invariants.print(of)
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The step that is being taken, or was taken last.
    pub fn step(&self) -> Option<StepName> {
        self.step
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The time of the history.
    pub fn instant(&mut self) -> Duration {
        self.instant += 1;
        Duration::from_nanos(self.instant)
    }

    fn broken(&self, node: NodeIndex, broken: Broken, step: Option<StepName>) -> Failure {
        Failure::Invariant {
            node: self.nodes.name(node).clone(),
            invariant: broken.invariant.into(),
            message: format!("{}; but {}", broken.promised, broken.seen),
            step,
        }
    }

    fn exceeded(at: Duration, exceeded: &Exceeded) -> Failure {
        let promise = Promise::Bound(exceeded.quantity);
        Failure::Unhealthy(Unhealthy { at, promise, seen: exceeded.to_string() })
    }

    pub fn view_service_started(&mut self, now: Duration) {
        if !self.timeless {
            self.health.began(now, VS);
            self.bounds.view_service_started();
        }
    }

    pub fn server_started(&mut self, now: Duration, node: NodeIndex, server: &ServerId, disk: &Durable) {
        self.invariants.server_started(server, disk);
        if !self.timeless {
            self.bounds.server_started(node, disk);
            self.health.began(now, node);
            self.health.holds(now, node, disk.data);
        }
    }

    pub fn disk_lost(&mut self, now: Duration, node: NodeIndex, server: &ServerId) {
        self.invariants.disk_lost(server);
        if !self.timeless {
            self.health.holds(now, node, None);
        }
    }

    pub fn disk_written(
        &mut self,
        now: Duration,
        node: NodeIndex,
        server: &ServerId,
        write: &Write,
    ) -> Checked {
        if let Write::Data { data, .. } = write
            && !self.timeless
        {
            self.health.holds(now, node, Some(*data));
        }
        let check = self.invariants.disk_written(server, write);
        check.map_err(|broken| self.broken(node, broken, Some(StepName::DISK)))
    }

    pub fn record_written(&mut self, record: &Record) {
        self.invariants.record_written(record);
    }

    pub fn record_durable(&mut self, now: Duration, record: &Record) -> Checked {
        let check = self.invariants.record_persisted(record);
        if !self.timeless {
            self.health.recorded(now, record, &self.invariants.facts().complete);
        }
        check.map_err(|broken| self.broken(VS, broken, Some(StepName::DISK)))
    }

    pub fn before_replica(
        &mut self,
        own: Duration,
        node: NodeIndex,
        machine: &Replica,
        event: &replica::Event,
    ) {
        self.step = Some(replica_step(machine, event));
        if let replica::Event::Request { ticket, request } = event {
            self.invariants.request_received(machine.server(), machine, *ticket, request);
        }
        if !self.timeless {
            self.health.asks(event);
            self.bounds.before_replica(own, node, event);
        }
    }

    /// `now` is the true time, `own` what the node's clock shows.
    pub fn after_replica(
        &mut self,
        (now, own): (Duration, Duration),
        node: NodeIndex,
        server: &ServerId,
        machine: &Replica,
        effects: &[replica::Effect],
    ) -> Checked {
        let committed = self.invariants.facts().committed.len();
        let check = self.invariants.replica_stepped(server, machine, effects);
        check.map_err(|broken| self.broken(node, broken, self.step))?;
        let instant = self.instant();
        let facts = self.invariants.facts();
        if facts.committed.len() > committed || is_written(effects) {
            self.order.note(instant, effects, &facts.committed);
        }
        let check = self.invariants.state_seen(server, machine, &self.order);
        check.map_err(|broken| self.broken(node, broken, self.step))?;
        if self.timeless {
            return Ok(());
        }
        let check = self.bounds.after_replica(own, node, machine, effects);
        check.map_err(|exceeded| Self::exceeded(now, &exceeded))?;
        let commits = self.invariants.facts().committed.len() > committed;
        self.health.stepped(now, node, (machine.role(), machine.view_seen()), commits);
        self.health.answered(now, node, machine, effects);
        for effect in effects {
            if let replica::Effect::Notice(notice) = effect {
                match notice {
                    replica::Notice::Suspected { server } => self.health.suspected(now, node, server),
                    replica::Notice::TransferBegan { to, .. } => self.health.transfer_began(now, node, to),
                    _ => {}
                }
                self.health.replica_said(now, node, notice);
            }
        }
        self.look()
    }

    pub fn before_view_service(&mut self, event: &view_service::Event) {
        self.step = Some(view_service_step(event));
        if !self.timeless {
            self.bounds.before_view_service(event);
        }
    }

    pub fn after_view_service(
        &mut self,
        (now, own): (Duration, Duration),
        machine: &ViewService,
        effects: &[view_service::Effect],
    ) -> Checked {
        for view in effects.iter().filter_map(told) {
            let check = self.invariants.view_told(view);
            check.map_err(|broken| self.broken(VS, broken, self.step))?;
        }
        if self.timeless {
            return Ok(());
        }
        self.bounds
            .after_view_service(own, machine, effects)
            .map_err(|exceeded| Self::exceeded(now, &exceeded))?;
        if self.calm {
            self.health.answers(now, machine.distress().as_ref());
        }
        for effect in effects {
            if let view_service::Effect::Notice(notice) = effect {
                self.health.view_service_said(now, notice);
                if let view_service::Notice::Proposed { view, why, dropped } = notice
                    && self.calm
                {
                    self.health.proposed(now, view, *why, dropped);
                }
            }
        }
        self.look()
    }

    /// Nothing goes wrong any more: from now on the cluster has to become well, and to stay so.
    pub fn calm_begins(&mut self, now: Duration, machine: Option<&ViewService>) {
        self.calm = true;
        let servers = self.nodes.servers().count();
        let around = Surroundings { runs: vec![true; servers + 1], answers: true, ..Surroundings::default() };
        self.health.surrounded(now, around, Some("the walk"));
        self.health.answers(now, machine.and_then(ViewService::distress).as_ref());
    }

    /// Time has passed in calm.
    pub fn pass(&mut self, now: Duration) -> Checked {
        self.health.pass(now);
        self.look()
    }

    fn look(&self) -> Checked {
        match self.health.broken().filter(|_| self.calm) {
            None => Ok(()),
            Some(unhealthy) => Err(Failure::Unhealthy(unhealthy.clone())),
        }
    }

    /// A client calls. Returns the operation's place in the history.
    pub fn called(&mut self, now: Duration, client: NodeName, asked: Asked) -> usize {
        if !self.timeless {
            self.health.called(now);
        }
        self.revisions.called();
        let at = self.instant();
        self.operations.push(operation::called(client, at, asked));
        self.operations.len() - 1
    }

    pub fn input(&self, place: usize) -> &Input {
        &self.operations[place].input
    }

    pub fn gave_up(&mut self, place: usize, end: End) {
        self.operations[place].end = end;
    }

    pub fn returned(&mut self, place: usize, output: Output, told: Told, generation: u64) -> Checked {
        let at = self.instant();
        let operation = &mut self.operations[place];
        operation.end = End::Returned { at, output };
        operation.detail.told = Some(told);
        operation.detail.generation = generation;
        let check = self.revisions.answered(place, operation, &self.order);
        let client = operation.client.clone();
        check.map_err(|Broken { invariant, promised, seen }| Failure::Invariant {
            node: client,
            invariant: invariant.into(),
            message: format!("{promised}; but {seen}"),
            step: Some(StepName::RETURN),
        })
    }

    /// Whether all that clients saw can be.
    pub fn history(&self) -> Checked {
        if let Some(violation) = history::unexplained(&self.operations, &self.order) {
            let outcome::Violation { node, invariant, message, .. } = violation;
            return Err(Failure::Invariant { node, invariant, message, step: None });
        }
        match history::judge(&self.operations, &self.order) {
            Verdict::Linearizable | Verdict::NotJudged => Ok(()),
            Verdict::Violation(contradiction) => Err(Failure::NotLinearizable(contradiction)),
            Verdict::Undecided(why) => Err(Failure::Undecided(why)),
        }
    }
}

/// Whether a step handed anything to the disk.
fn is_written(effects: &[replica::Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, replica::Effect::Persist { .. }))
}
