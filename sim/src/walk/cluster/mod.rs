//! pbkv as a world of actions: its machines as they are, and around them whatever an asynchronous network,
//! disks and clocks may do.
//!
//! | part | what may happen |
//! | --- | --- |
//! | a message | it arrives, arrives and may arrive again, or is lost; in any order, however late |
//! | time | it passes for all nodes, or one node's clock alone jumps ahead (not under leases, which trust rates: these differ by up to 11 % there) |
//! | a timer | it goes off at any time after it is due |
//! | a batch of events | a server takes several before it is flushed |
//! | a disk | a write is durable at once or at some time; a crash keeps any prefix of what was under way |
//! | a server | it crashes, with its memory or, where that cannot lose all data, without; it starts again, in a life with a larger number, or with a smaller one, or the same, if it remembers nothing |
//! | the view service | it crashes and starts again with its record |
//! | a client | it calls, asks again anywhere, gives up, closes its session |
//!
//! After each step of each machine the simulator's own judges are asked (`judges`): invariants, bounds, the
//! order of commitments. At the end all is well for good (`calm`): every client must be served, all copies be
//! there again under load, and the view be left alone; and everything that clients saw must be linearizable.
//!
//! Left out: what an operator does (lost and old records, data given up), lies, and whatever the shell around
//! the machines can do wrong (streams, calls, files): that is for the simulator.

mod budget;
mod calm;
mod choose;
mod clients;
mod flight;
mod judges;
mod machines;
mod outcome;
mod plan;
mod print;
mod script;
mod settings;
mod space;
mod void;
mod words;

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc, time::Duration};

use pbkv::protocol::{
    identity::{Boot, ServerId, Ticket, ViewNumber, WriteNumber},
    log::{Durable, Write},
    replica::{self, Replica, RoleName},
    view::Record,
    view_service::{self, ViewService},
};
use testbed::data::{hash::StableHasher, node::NodeIndex};

pub use self::{
    budget::{Budget, Row, rows},
    choose::Swarm,
    clients::Wish,
    flight::{Key, Kind},
    judges::Failure,
    outcome::{outcome, outcome_of},
    plan::plan,
    script::{Script, script},
    settings::settings,
    space::{Move, NoStart, Start},
};
use self::{clients::Client, flight::Flight, judges::Judges};
use super::{Dice, World, shared::Shared};
use crate::{bound::Plan, store::nodes::Nodes};

/// Everything went as promised, or what did not.
type Checked<T = ()> = Result<T, Failure>;

const VS: NodeIndex = Nodes::VIEW_SERVICE;

/// Clocks have long been running when a walk begins, each for another time: no machine may take zero for a
/// time long ago.
const CLOCKS_APART: Duration = Duration::from_secs(1_000);

/// How the number of the next life of a server without memory comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WallClock {
    /// It went on since the life before.
    GoesOn,
    /// It was set back.
    SetBack,
    /// It was set back so that the number of the last life comes again.
    Repeats,
}

/// One thing that happens. Nodes are named by their place in [`Nodes`], times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A message arrives.
    Deliver(Key),
    /// A message arrives, and may arrive again.
    Copy(Key),
    /// A message is lost.
    Lose(Key),
    /// A node's timer goes off, if it is due.
    Tick(u8),
    /// Time passes for all.
    Advance(u16),
    /// One node's clock jumps ahead.
    Jump(u8, u16),
    /// The first write on its way to a node's disk becomes durable.
    Persist(u8),
    /// A server takes what arrives from now on as one batch.
    Gather(u8),
    /// The batch is over.
    Flush(u8),
    /// A process ends; of the changes on their way to its disk so many arrive.
    Crash(u8, u8),
    /// A server ends and loses its memory.
    Wipe(u8),
    /// A process starts again.
    Start(u8, WallClock),
    /// A client calls a server.
    Call(u8, Wish, u8),
    /// A client asks a server for what it waits for.
    Retry(u8, u8),
    /// A client gives up what it waits for.
    GiveUp(u8),
}

/// Who waits for an answer of a machine: a client with its call and attempt, or a life of a server.
#[derive(Clone, Copy, Debug)]
struct Caller {
    node: NodeIndex,
    call: u64,
    attempt: u32,
}

/// A server: its current life, and what outlives it.
#[derive(Clone)]
struct Server {
    id: ServerId,
    machine: Option<Replica>,
    disk: Durable,
    unwritten: VecDeque<(WriteNumber, Vec<Write>)>,
    callers: BTreeMap<Ticket, Caller>,
    last_ticket: u64,
    life: u64,
    /// The largest number that any of its lives had.
    last_boot: Boot,
    /// How often its clock was set back.
    set_back: u64,
    gathers: bool,
    /// Pings of this life.
    pings: u64,
}

/// The view service: its current life, and its record.
#[derive(Clone)]
struct Viewer {
    machine: Option<ViewService>,
    record: Record,
    unwritten: VecDeque<(WriteNumber, Record)>,
    callers: BTreeMap<Ticket, Caller>,
    last_ticket: u64,
    life: u64,
}

/// Numbers of a walk.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Steps of machines,
    pub steps: u64,
    /// actions by which time passed for all or one,
    pub times: u64,
    /// messages that were delivered, copied and lost,
    pub delivered: u64,
    /// see above,
    pub copied: u64,
    /// see above,
    pub lost: u64,
    /// processes that ended,
    pub crashes: u64,
    /// memories that were lost,
    pub wipes: u64,
    /// views that were proposed,
    pub views: u64,
    /// servers that became primary,
    pub promotions: u64,
    /// and states that were transferred.
    pub transfers: u64,
}

/// What a node's clock shows when a walk begins: the first server's shows least, the view service's most.
fn clock_at_start(node: NodeIndex, servers: usize) -> Duration {
    CLOCKS_APART * if node == VS { servers + 1 } else { node } as u32
}

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    plan: Arc<Plan>,
    nodes: Arc<Nodes>,
    /// True time.
    now: Duration,
    /// What the clocks of the view service and of the servers show,
    clocks: Vec<Duration>,
    /// by how many millionths they are faster,
    drifts: Vec<i64>,
    /// and by how much they were ahead at the beginning and have jumped since.
    jumped: Vec<Duration>,
    viewer: Shared<Viewer>,
    servers: Vec<Shared<Server>>,
    clients: Vec<Shared<Client>>,
    flight: Flight,
    judges: Judges,
    counts: Counts,
    written_values: u64,
    /// Fingerprint of the way so far.
    trace: StableHasher,
    heard: Option<Vec<String>>,
    /// What may still happen, of what is counted, in an exhaustive search.
    budget: Budget,
    /// The view service hears of servers that end, and members of a view that is new. An exhaustive search
    /// does without: that all are taken for dead that were not heard is in its budget, and any message may be
    /// lost.
    hears_at_once: bool,
    /// The commands of a script that does the same, if one is written.
    script: Option<Vec<String>>,
    replica_effects: Vec<replica::Effect>,
    view_service_effects: Vec<view_service::Effect>,
}

impl Cluster {
    /// A cluster in which everybody has just started.
    pub fn new(plan: Plan) -> Self {
        let nodes = Arc::new(Nodes::new(&plan));
        let drift = |node: NodeIndex| {
            let named = plan.cluster.clocks.iter().filter(|clock| *clock.node == **nodes.name(node));
            named.map(|clock| clock.drift_ppm).sum()
        };
        let viewer = Viewer {
            machine: None,
            record: Record::default(),
            unwritten: VecDeque::new(),
            callers: BTreeMap::new(),
            last_ticket: 0,
            life: 0,
        };
        let server = |node| Server {
            id: nodes.id(node).clone(),
            machine: None,
            disk: Durable::default(),
            unwritten: VecDeque::new(),
            callers: BTreeMap::new(),
            last_ticket: 0,
            life: 0,
            last_boot: Boot(machines::BOOT_STEP),
            set_back: 0,
            gathers: false,
            pings: 0,
        };
        let places = 1 + plan.cluster.servers as usize;
        let clocks: Vec<Duration> = (0..places).map(|node| clock_at_start(node, places - 1)).collect();
        let mut cluster = Self {
            now: Duration::ZERO,
            drifts: (0..places).map(drift).collect(),
            jumped: clocks.clone(),
            clocks,
            viewer: Shared::new(viewer),
            servers: nodes.servers().map(|node| Shared::new(server(node))).collect(),
            clients: nodes.clients().map(|node| Shared::new(Client::new(nodes.name(node).clone()))).collect(),
            flight: Flight::new(nodes.len()),
            judges: Judges::new(nodes.clone(), &plan),
            counts: Counts::default(),
            written_values: 0,
            trace: StableHasher::new(),
            heard: None,
            budget: Budget::default(),
            hears_at_once: true,
            script: None,
            replica_effects: Vec::new(),
            view_service_effects: Vec::new(),
            nodes,
            plan: Arc::new(plan),
        };
        for node in 0..places {
            cluster.start(node, WallClock::GoesOn).expect("a first life breaks no promise");
        }
        cluster
    }

    /// Numbers so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a process runs.
    fn is_up(&self, node: NodeIndex) -> bool {
        if node == VS { self.viewer.machine.is_some() } else { self.servers[node - 1].machine.is_some() }
    }

    /// The primary by the view service's record.
    fn primary(&self) -> Option<NodeIndex> {
        self.viewer.record.view.as_ref().and_then(|view| self.nodes.server(&view.primary))
    }

    /// The view in which a server acts as primary, if it does.
    fn acts_as_primary(&self, node: NodeIndex) -> Option<ViewNumber> {
        let machine = self.servers[node - 1].machine.as_ref()?;
        (machine.role() == RoleName::Primary).then(|| machine.view_seen())
    }

    /// How many writes are on their way to a node's disk.
    fn unwritten(&self, node: NodeIndex) -> usize {
        if node == VS { self.viewer.unwritten.len() } else { self.servers[node - 1].unwritten.len() }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for (node, clock) in self.clocks.iter_mut().enumerate() {
            let gained = self.now.as_nanos() as i128 * i128::from(self.drifts[node]) / 1_000_000;
            let shown = self.now.as_nanos() as i128 + gained;
            *clock =
                Duration::from_nanos(u64::try_from(shown).expect("clocks do not stop")) + self.jumped[node];
        }
    }

    /// Whether a server may lose its memory: a copy must remain among those from which the next primary is
    /// taken, and among those that a primary acknowledged, or is about to.
    fn may_forget(&self, node: NodeIndex) -> bool {
        let facts = self.judges.facts();
        let own = &self.servers[node - 1].id;
        let spares = |members: &pbkv::protocol::view::Members| {
            members.is_empty()
                || members.iter().any(|(server, data)| server != own && facts.is_intact(server, *data))
        };
        let in_use = |record: &Record| {
            let view = record.view.as_ref().filter(|view| facts.acknowledged >= view.number);
            spares(&record.stable) && view.is_none_or(|view| spares(&view.insync))
        };
        spares(&facts.complete)
            && in_use(&self.viewer.record)
            && self.viewer.unwritten.iter().all(|(_, record)| in_use(record))
    }
}

impl World for Cluster {
    type Action = Action;
    type Swarm = Swarm;
    type Failure = Failure;

    fn swarm(&self, dice: &mut Dice) -> Swarm {
        Swarm::draw(dice, &self.plan, self.viewer.record.view.is_none())
    }

    fn choose(&self, dice: &mut Dice, swarm: &mut Swarm) -> Option<Action> {
        self.choose_next(dice, swarm)
    }

    fn take(&mut self, action: Action) -> Checked<bool> {
        use std::hash::Hash;
        if self.script.is_some() {
            let command = self.command(action);
            self.script.get_or_insert_default().push(command);
        }
        let done = self.happens(action)?;
        if done {
            action.hash(&mut self.trace);
        } else if let Some(script) = &mut self.script {
            script.pop();
        }
        Ok(done)
    }

    fn end(&mut self) -> Checked {
        self.calm_down()
    }

    fn tell(&self, action: Action) -> String {
        self.describe(action)
    }

    fn heard(&mut self) -> Vec<String> {
        self.heard.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn listen(&mut self) {
        self.heard = Some(Vec::new());
    }
}

impl Cluster {
    fn happens(&mut self, action: Action) -> Checked<bool> {
        match action {
            Action::Deliver(key) => {
                let Some(body) = self.flight.take(key) else { return Ok(false) };
                self.counts.delivered += 1;
                self.deliver(key, body)?;
            }
            Action::Copy(key) => {
                let Some(body) = self.flight.get(key) else { return Ok(false) };
                let body = body.clone();
                self.counts.copied += 1;
                self.note_copy(key, &body);
                self.deliver(key, body)?;
            }
            Action::Lose(key) => {
                if self.flight.take(key).is_none() {
                    return Ok(false);
                }
                self.counts.lost += 1;
            }
            Action::Tick(node) => return self.tick(node.into()),
            Action::Advance(time) => {
                self.counts.times += 1;
                self.pass(Duration::from_millis(time.into()));
            }
            Action::Jump(node, time) => {
                self.counts.times += 1;
                self.jumped[usize::from(node)] += Duration::from_millis(time.into());
                self.pass(Duration::ZERO);
            }
            Action::Persist(node) => return self.persist(node.into()),
            Action::Gather(node) => {
                let server = &mut self.servers[usize::from(node) - 1];
                if server.machine.is_none() || server.gathers {
                    return Ok(false);
                }
                server.gathers = true;
            }
            Action::Flush(node) => {
                if !std::mem::take(&mut self.servers[usize::from(node) - 1].gathers) {
                    return Ok(false);
                }
                self.flush(node.into())?;
            }
            Action::Crash(node, kept) => return self.crash(node.into(), kept.into()),
            Action::Wipe(node) => return self.wipe(node.into()),
            Action::Start(node, clock) => {
                if self.is_up(node.into()) {
                    return Ok(false);
                }
                self.start(node.into(), clock)?;
            }
            Action::Call(client, wish, server) => return Ok(self.call(client.into(), wish, server.into())),
            Action::Retry(client, server) => return Ok(self.ask(client.into(), server.into())),
            Action::GiveUp(client) => return Ok(self.give_up(client.into())),
        }
        Ok(true)
    }
}
