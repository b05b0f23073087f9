//! What an observer who sees the whole cluster at once keeps of a run of the store: invariants, health,
//! bounds, the order in which the servers took updates, the revisions that clients were told, and marks.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{
    identity::{DataId, OpNumber, Position, ViewNumber},
    log::Durable,
    replica::RoleName,
    view_service::ViewService,
};
use testbed::{
    data::{
        fault::{DriveAccess, Mistreatment},
        node::NodeIndex,
        outcome::{RunOptions, Verdict, Violation},
    },
    hardware::network::Network,
    judges::broken::Check,
    marks::{Overlap, Role, Strike},
    system,
};

use super::{Pbkv, nodes::Nodes};
use crate::{
    bound::{Happening, Operation, Outcome, Plan},
    judges::{
        bounds::Bounds,
        health::{Health, limits::Limits},
        history,
        invariants::Invariants,
        order::ServersOrder,
        revisions::Revisions,
    },
    store::marks::lookout::Lookout,
};

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

/// What the view service heard last of a server, in its current life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    data: Option<DataId>,
    view_known: ViewNumber,
    log_durable: Position,
}

impl Heard {
    /// Whether it shows that a server with this on its disk has forgotten something (R22).
    pub fn is_beyond(&self, copy: &Durable) -> bool {
        let in_one_view = copy.view_seen == self.view_known && self.log_durable.view == self.view_known;
        let forgot = copy.view_seen < self.view_known || (in_one_view && copy.log.end() < self.log_durable);
        copy.data.is_some() && copy.data == self.data && forgot
    }
}

/// Everything that is kept.
pub struct Witness {
    /// Names and identities.
    pub nodes: Nodes,
    /// What an all-knowing observer knows.
    pub invariants: Invariants,
    /// The judge of the cluster's health.
    pub health: Health,
    pub(super) bounds: Bounds,
    pub(super) revisions: Revisions,
    pub(super) order: ServersOrder,
    pub(super) pings: Vec<u64>,
    pub(super) last_seen: BTreeMap<NodeIndex, LastSeen>,
    heard: BTreeMap<NodeIndex, Heard>,
    pub(super) view_changes: u64,
    pub(super) promotions: u64,
    pub(super) transfers: u64,
    pub(super) marks: Option<Lookout>,
    /// Some server has a limit that few clients reach.
    is_limited: bool,
}

impl Witness {
    /// What was last seen of a server.
    pub fn last_seen(&self, node: NodeIndex) -> Option<LastSeen> {
        self.last_seen.get(&node).copied()
    }

    /// What the view service heard last of a server.
    pub fn heard(&self, node: NodeIndex) -> Option<Heard> {
        self.heard.get(&node).copied()
    }

    /// The view service took a step.
    pub(super) fn view_service_heard(&mut self, machine: &ViewService) {
        let heard =
            machine.servers().iter().filter(|(_, known)| known.heard).filter_map(|(server, known)| {
                let (data, view_known, log_durable) = (known.data, known.view_known, known.log_durable);
                Some((self.nodes.server(server)?, Heard { data, view_known, log_durable }))
            });
        self.heard = heard.collect();
    }

    /// Lets the lookout for marks see something.
    pub fn mark(&mut self, see: impl FnOnce(&mut Lookout)) {
        if let Some(marks) = &mut self.marks {
            see(marks);
        }
    }
}

impl system::Witness<Pbkv> for Witness {
    fn new(plan: &Plan, options: &RunOptions) -> Self {
        let nodes = Nodes::new(plan);
        Self {
            marks: (!options.skip_marks).then(|| Lookout::new(nodes.clone().into(), plan)),
            pings: vec![0; nodes.len()],
            invariants: Invariants::asking_for(*plan.cluster.copies_min().start())
                .with_twin(nodes.twin().map(|twin| nodes.id(twin).clone())),
            health: Health::new(&nodes, Limits::of(plan)),
            bounds: Bounds::new(&nodes, plan),
            revisions: Revisions::default(),
            order: ServersOrder::default(),
            last_seen: BTreeMap::new(),
            heard: BTreeMap::new(),
            view_changes: 0,
            promotions: 0,
            transfers: 0,
            is_limited: plan.cluster.is_limited(),
            nodes,
        }
    }

    fn happened(&mut self, at: Duration, node: NodeIndex, event: &Happening) {
        self.mark(|marks| marks.happened(node, event));
        if let (Nodes::VIEW_SERVICE, Happening::Down(_)) = (node, event) {
            self.heard.clear();
        }
        if let Happening::Up { .. } = event {
            self.health.began(at, node);
        }
    }

    fn called(&mut self, at: Duration) {
        self.health.called(at);
        self.revisions.called();
    }

    fn explains(&self, operation: &Operation) -> bool {
        self.order.of(operation).explains(operation)
    }

    fn returned(&mut self, place: usize, operation: &Operation) -> Check {
        self.mark(|marks| marks.returned(&operation.end));
        self.revisions.answered(place, operation, &self.order)
    }

    fn close(&mut self) {
        self.invariants.close();
    }

    fn touched(&mut self, at: Duration, nodes: &[NodeIndex], lateness: Duration) {
        self.health.struck(at, nodes, lateness);
    }

    fn struck(&mut self, strike: Strike, nodes: &[NodeIndex]) {
        self.mark(|marks| marks.struck(strike, nodes));
    }

    fn disturbed(&mut self, strike: Strike, nodes: &[NodeIndex], network: &Network) {
        self.mark(|marks| marks.disturbed(strike, nodes, network));
    }

    fn mistreated(&mut self, how: Mistreatment, role: Role) {
        self.mark(|marks| marks.reach_overlap(Overlap { strike: Strike::Message(how), role }));
    }

    fn message_outlived_its_sender(&mut self) {
        self.mark(Lookout::message_outlived_its_sender);
    }

    fn stream_went_mute(&mut self) {
        self.mark(Lookout::stream_went_mute);
    }

    fn client_stream_broke(&mut self) {
        self.mark(Lookout::client_stream_broke);
    }

    fn drives_stall(&mut self, nodes: Vec<NodeIndex>) {
        self.mark(|marks| marks.drives_stall(nodes));
    }

    fn drive_failed(&mut self, node: NodeIndex, access: DriveAccess) {
        self.mark(|marks| marks.drive_failed(node, access));
    }

    fn lies_begin(&mut self) {
        self.invariants.lies_begin();
    }

    fn serves_within(&self) -> Option<Duration> {
        (!self.is_limited).then(|| self.health.serves_within())
    }

    fn pass(&mut self, at: Duration) {
        self.health.pass(at);
    }

    fn is_settled(&self) -> bool {
        self.health.is_settled()
    }

    fn conclude(&self, outcome: &mut Outcome) {
        let Outcome { stats, unhealthy, .. } = outcome;
        *unhealthy = self.health.broken().cloned();
        stats.own.view_changes = self.view_changes;
        stats.own.promotions = self.promotions;
        stats.own.transfers = self.transfers;
        stats.own.copies = self.health.copies().clone();
        for server in self.nodes.servers() {
            stats.own.pings.insert(self.nodes.name(server).clone(), self.pings[server]);
        }
        stats.marks =
            self.marks.iter().flat_map(|marks| marks.reached().iter()).map(|mark| (mark, 1)).collect();
    }

    fn judge(&self, operations: &[Operation]) -> Verdict {
        history::judge(operations, &self.order)
    }

    fn unexplained(&self, operations: &[Operation]) -> Option<Violation> {
        history::unexplained(operations, &self.order)
    }
}
