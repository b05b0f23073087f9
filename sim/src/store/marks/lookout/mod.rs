//! Sees whether a run reaches the situations: fed by the run's observer, by the nemesis and by the disks.
//!
//! * `following`: what arrives at a server from its primary, and what its disk holds.
//! * `leading`: becoming, being and having been primary.
//! * `requests`: clients' requests and their answers.
//! * `views`: the view service.
//! * `world`: processes, disks, the network.
//!
//! A step is looked at twice: before it, when the machine does not yet know the event, and after it. What
//! the machines do not show (parts that wait to be installed, leases, requests under way) is mirrored here
//! from events and effects.

mod following;
mod leading;
mod requests;
mod views;
mod world;

use std::{sync::Arc, time::Duration};

use pbkv::protocol::{
    command::RequestBody,
    identity::{OpNumber, RequestNumber, SessionId, Ticket, ViewNumber},
    log::Write,
    message::{ChunkResult, PeerMessage},
    replica::{Effect, Event, Replica, RoleName},
    view::{Record, View},
};
use testbed::{
    data::{node::NodeIndex, outcome::Down},
    marks::Role,
};

use self::{following::Following, leading::Leading, requests::Requests, views::Views};
use super::{Situation, roles};
use crate::{
    bound::{Happening, Mark, Marks, Plan},
    judges::invariants::Facts,
    store::nodes::Nodes,
};

/// What is known of a server in its present life, beside its machine.
#[derive(Default)]
struct Server {
    is_up: bool,
    role: Option<RoleName>,
    following: Following,
    leading: Leading,
    requests: Requests,
    batch: Batch,
}

/// What a server has been given since it flushed.
#[derive(Default)]
struct Batch {
    request: bool,
    peer: bool,
    answer: bool,
}

/// A machine before its step, and what came in.
pub(super) struct Before {
    role: RoleName,
    view: ViewNumber,
    commit: OpNumber,
    end: OpNumber,
    /// Parts of a state waited for the rest.
    receiving: bool,
    event: Incoming,
}

/// An event, as far as it matters afterwards.
enum Incoming {
    Get(Ticket),
    Update(Ticket, SessionId, RequestNumber),
    OtherRequest(Ticket),
    Peer,
    Ack,
    /// The receiver of a transfer has nothing of it.
    NothingReceived,
    Flush,
    Other,
}

/// What the view service decided last, as far as marks need it between steps.
pub struct Lookout {
    nodes: Arc<Nodes>,
    reached: Marks,
    /// How far each node's clock is from the view service's in rate, in parts per million.
    drift_ppm: Vec<i64>,
    leases: bool,
    /// The largest number of requests that may wait at each node, in any life.
    waiting_max: Vec<usize>,
    /// Time within which a server that pings is certainly not dead, whatever the clocks: less than the
    /// shortest dead interval that a clock's drift can make.
    surely_alive: Duration,
    replicas: usize,
    /// The view service's durable record and the role that each node has in it.
    record: Record,
    roles: Vec<Role>,
    servers: Vec<Server>,
    /// Nodes whose drives stall.
    stalled: Vec<NodeIndex>,
    views: Views,
    log: requests::History,
    before: Option<Before>,
}

impl Lookout {
    /// Nothing seen yet.
    pub fn new(nodes: Arc<Nodes>, plan: &Plan) -> Self {
        let drift = |name: &str| {
            plan.cluster.clocks.iter().find(|clock| clock.node == name).map_or(0, |clock| clock.drift_ppm)
        };
        let grantor = drift(nodes.name(Nodes::VIEW_SERVICE));
        let record = Record::default();
        let dead_after = [1, u64::MAX].map(|life| plan.cluster.view_service_options(life).dead_after);
        Self {
            surely_alive: dead_after[0].min(dead_after[1]) * 2 / 3,
            reached: Marks::default(),
            drift_ppm: (0..nodes.len()).map(|node| drift(nodes.name(node)) - grantor).collect(),
            waiting_max: (0..nodes.len()).map(|node| waiting_max(plan, nodes.name(node))).collect(),
            leases: plan.cluster.reads == crate::store::setup::Reads::Lease,
            replicas: plan.cluster.replicas as usize,
            roles: roles(&nodes, &record),
            record,
            servers: (0..nodes.len()).map(|_| Server::default()).collect(),
            stalled: Vec::new(),
            views: Views::default(),
            log: requests::History::default(),
            before: None,
            nodes,
        }
    }

    /// What the run has reached so far.
    pub fn reached(&self) -> &Marks {
        &self.reached
    }

    fn reach(&mut self, mark: impl Into<Mark>) {
        self.reached.insert(mark);
    }

    fn reach_if(&mut self, seen: bool, mark: impl Into<Mark>) {
        if seen {
            self.reach(mark);
        }
    }

    /// The latest view as far as the view service's disk knows.
    fn is_outdated(&self, view: ViewNumber) -> bool {
        self.record.number > view
    }

    /// A server is about to take an event.
    pub fn before_replica(&mut self, node: NodeIndex, machine: &Replica, event: &Event) {
        let batch = &mut self.servers[node].batch;
        match event {
            Event::Request { .. } => batch.request = true,
            Event::Peer(_) => batch.peer = true,
            Event::PingReply(_) => batch.answer = true,
            Event::Writing => self.reach(Situation::ProgressWhileWriting),
            Event::Probe(_) | Event::Refused(_) | Event::Persisted(_) | Event::Tick => {}
            Event::Flush => {
                let Batch { request, peer, answer } = std::mem::take(batch);
                self.reach_if(request && peer && answer, Situation::MixedBatch);
            }
        }
        let receiving = self.servers[node].following.is_receiving();
        let incoming = match event {
            Event::Request { ticket, request } => {
                self.request_arrives(node, machine, *ticket, request);
                match &request.body {
                    RequestBody::Get { .. } | RequestBody::Scan(_) => Incoming::Get(*ticket),
                    RequestBody::Update { session, request, .. } => {
                        Incoming::Update(*ticket, *session, *request)
                    }
                    RequestBody::OpenSession | RequestBody::CloseSession { .. } => {
                        Incoming::OtherRequest(*ticket)
                    }
                }
            }
            Event::PingReply(reply) => {
                self.answer_arrives(node, machine, reply);
                Incoming::Other
            }
            Event::Peer(PeerMessage::Append(append)) => {
                self.append_arrives(machine, append);
                Incoming::Peer
            }
            Event::Peer(PeerMessage::Chunk(chunk)) => {
                self.part_arrives(node, machine, chunk);
                Incoming::Peer
            }
            Event::Peer(PeerMessage::AppendAck(ack)) => {
                self.ack_arrives(node, machine, ack);
                Incoming::Ack
            }
            Event::Peer(PeerMessage::ChunkAck(ack)) => match ack.result {
                ChunkResult::Next(0) => Incoming::NothingReceived,
                _ => Incoming::Ack,
            },
            Event::Persisted(number) => {
                self.servers[node].following.written(*number);
                Incoming::Other
            }
            Event::Flush => Incoming::Flush,
            Event::Probe(_) | Event::Refused(_) | Event::Writing | Event::Tick => Incoming::Other,
        };
        self.before = Some(Before {
            role: machine.role(),
            view: machine.view_seen(),
            commit: machine.commit(),
            end: machine.log().end().op,
            receiving,
            event: incoming,
        });
    }

    /// A server took a step. `facts` are those before it.
    pub fn after_replica(&mut self, node: NodeIndex, machine: &Replica, effects: &[Effect], facts: &Facts) {
        let Some(before) = self.before.take() else { return };
        if machine.view_seen() > before.view {
            self.adopted(node, machine, &before);
        }
        if machine.commit() > before.commit && machine.role() == RoleName::Primary {
            self.committed(node, machine, before.commit, facts);
        }
        self.note_proposal(node, machine, &before);
        for effect in effects {
            match effect {
                Effect::Reply { ticket, reply } => self.replied(node, machine, &before, *ticket, reply),
                Effect::Persist { number, writes } => {
                    let changes_log = |write: &Write| {
                        matches!(write, Write::Entry(_) | Write::Truncate(_) | Write::Install(_))
                    };
                    if writes.iter().any(changes_log) {
                        self.servers[node].following.writes(*number);
                    }
                    self.wrote(node, writes);
                }
                Effect::Notice(notice) => self.noticed(node, machine, &before, notice, facts),
                Effect::Ping(_) | Effect::Send { .. } => {}
            }
        }
        let server = &mut self.servers[node];
        server.following.stepped(machine);
        server.role = Some(machine.role());
    }

    /// A process began, ended, or something else happened.
    pub fn happened(&mut self, node: NodeIndex, event: &Happening) {
        match event {
            Happening::Up { .. } => self.started(node),
            Happening::Down(how) => self.ended(node, *how == Down::Crash),
            _ => {}
        }
    }

    /// The view service's record became durable.
    pub fn record_written(&mut self, record: &Record) {
        self.record = record.clone();
        self.roles = roles(&self.nodes, record);
    }

    /// The view, as the view service's disk has it.
    fn view(&self) -> Option<&View> {
        self.record.view.as_ref()
    }
}

/// The largest number of requests that may wait at a server, in any life.
fn waiting_max(plan: &Plan, server: &str) -> usize {
    let lives = plan.cluster.lives();
    lives.map(|life| plan.cluster.replica_options(server, life).waiting_max).max().unwrap_or_default()
}
