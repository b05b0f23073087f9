//! What is seen beside the machines: the calls of clients and what becomes durable.

use std::time::Duration;

use pbkv::protocol::{
    log::{Durable, Write},
    machine::Held,
    replica::Replica,
    view::Record,
    view_service::ViewService,
};

use super::Observer;
use crate::{
    data::{
        node::NodeIndex,
        outcome::{End, Happening, Moment, Operation},
    },
    marks::lookout::Lookout,
    observer::step::StepName,
    store::{nodes::Nodes, operation::Told, script::Asked},
};

impl Observer {
    /// A client calls; returns the place of its operation.
    pub fn called(&mut self, at: Duration, client: NodeIndex, asked: Asked) -> usize {
        self.health.called(at);
        let operation = self.operations.len();
        let name = self.nodes.name(client).clone();
        self.stamp(at, client);
        self.line(|| match asked.expected_revision {
            Some(revision) => format!("calls {:?} by its revision {revision}", asked.input),
            None => format!("calls {:?}", asked.input),
        });
        self.chain.note(at, (client, &name), StepName::CALL, &asked.input);
        self.operations.push(Operation::asked(name.clone(), at, asked));
        self.revisions.called();
        self.timeline.push(Moment { at, node: name, event: Happening::Called { operation } });
        operation
    }

    /// A client's call ended, and what it was told of the order of changes. Returns whether that ends the
    /// run, because no order explains the answer, or not that of the servers.
    pub fn returned(
        &mut self,
        at: Duration,
        client: NodeIndex,
        operation: usize,
        end: End,
        told: Option<Told>,
    ) -> bool {
        if self.stopped {
            return true;
        }
        self.stamp(at, client);
        self.mark(|marks| marks.returned(&end));
        self.line(|| format!("ends {end:?}"));
        match &end {
            End::Open => {}
            End::Returned { .. } => self.stats.returned += 1,
            End::Unknown { .. } => self.stats.unknown += 1,
            End::NotExecuted { .. } => self.stats.not_executed += 1,
        }
        self.chain.note(at, (client, self.nodes.name(client)), StepName::RETURN, &end);
        self.operations[operation].end = end;
        self.operations[operation].detail.told = told;
        let name = self.nodes.name(client).clone();
        self.timeline.push(Moment { at, node: name, event: Happening::Returned { operation } });
        if !self.options.skip_judgement
            && self.watch.is_contradiction(&self.operations, operation, &self.order)
        {
            self.line(|| "no order explains the answers".into());
            self.stopped = true;
        }
        let check = self.revisions.answered(operation, &self.operations[operation], &self.order);
        self.step = Some(StepName::RETURN);
        self.check(at, client, check);
        self.step = None;
        self.stopped
    }

    /// The generation of an operation, by its number, as far as its client knows.
    pub fn in_generation(&mut self, operation: usize, generation: u64) {
        self.operations[operation].detail.generation = generation;
    }

    /// A client ended, and comes back as one that knows nothing.
    pub fn client_ended(&mut self, client: NodeIndex) {
        self.revisions.client_ended(self.nodes.name(client));
    }

    /// The view service begins a life.
    pub fn view_service_started(&mut self) {
        self.bounds.view_service_started();
    }

    /// A server begins a life with this on its disk.
    pub fn server_started(&mut self, at: Duration, node: NodeIndex, durable: &Durable) {
        let server = &self.nodes.id(node).clone();
        self.health.holds(at, node, durable.data);
        self.bounds.server_started(node, durable);
        self.last_seen.remove(&node);
        self.invariants.server_started(server, durable);
    }

    /// A change became durable at a server.
    pub fn disk_written(&mut self, at: Duration, node: NodeIndex, write: &Write) {
        if !self.stopped {
            let server = self.nodes.id(node).clone();
            if let Write::Data { data, .. } = write {
                self.health.holds(at, node, Some(*data));
            }
            self.step = Some(StepName::DISK);
            let check = self.invariants.disk_written(&server, write);
            self.check(at, node, check);
            self.step = None;
        }
    }

    /// A server's disk was wiped.
    pub fn disk_lost(&mut self, at: Duration, node: NodeIndex) {
        self.health.holds(at, node, None);
        let server = self.nodes.id(node).clone();
        self.invariants.disk_lost(&server);
        self.mark(|marks| marks.disk_lost(node));
    }

    /// What a server holds around its machine, after a batch of steps. Returns whether that ends the run.
    pub fn replica_holds(&mut self, at: Duration, node: NodeIndex, machine: &Replica, held: Held) -> bool {
        let before = self.stopped;
        let within = self.bounds.shell(node, machine, held);
        self.heed(at, within);
        self.stopped && !before
    }

    /// What the view service holds around its machine, after a batch of steps. Returns whether that ends the
    /// run.
    pub fn view_service_holds(&mut self, at: Duration, machine: &ViewService, held: Held) -> bool {
        let before = self.stopped;
        let within = self.bounds.shell_of_the_view_service(machine, held);
        self.heed(at, within);
        self.stopped && !before
    }

    /// Somebody lies to servers from now on.
    pub fn lies_begin(&mut self) {
        self.invariants.lies_begin();
    }

    /// The view service's record is gone.
    pub fn record_lost(&mut self) {
        self.invariants.record_lost();
    }

    /// It is found again; nothing was recorded meanwhile.
    pub fn record_restored(&mut self, record: &Record) {
        self.invariants.record_restored(record);
    }

    /// An operator gave all data up, and this is the view service's record now.
    pub fn data_given_up(&mut self, at: Duration, record: &Record) {
        self.mark(Lookout::data_given_up);
        self.invariants.data_given_up(record);
        self.health.recorded(at, record, &self.invariants.facts().complete);
        self.order.begin_anew();
        self.revisions.begin_anew();
    }

    /// The view service's record became durable.
    pub fn record_written(&mut self, at: Duration, record: &Record) {
        if !self.stopped {
            self.mark(|marks| marks.record_written(record));
            self.step = Some(StepName::DISK);
            let check = self.invariants.record_persisted(record);
            self.health.recorded(at, record, &self.invariants.facts().complete);
            self.check(at, Nodes::VIEW_SERVICE, check);
            self.step = None;
        }
    }
}
