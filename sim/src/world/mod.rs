//! What everything in a run shares: the nodes, the network's faults, the disks, the observer.

pub mod clients;
pub mod cluster;
pub mod drive;
mod encoding;
mod forgery;
pub mod links;
pub mod run;
pub mod serve;
mod stream;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use madsim::time::TimeHandle;
use pbkv::{
    protocol::{
        log::Durable,
        machine::{self, Held},
        replica::{self, Replica},
        view::Record,
        view_service::{self, ViewService},
    },
    storage::record_file::FILE,
};
use tokio::sync::Notify;

use crate::{
    data::{
        chance::Chance,
        hash::stable_hash,
        node::NodeIndex,
        outcome::{End, Happening, RunOptions},
        plan::Plan,
    },
    hardware::{
        clock::{Deviation, Pacer},
        disk::Disk,
        files::Files,
        network::Network,
    },
    marks::{Strike, overlap::roles},
    observer::observe::Observer,
    store::{nodes::Nodes, operation::Told},
    world::{drive::Drive, links::Links},
};

/// How often the executor forgets the tasks that have ended. It keeps them until somebody counts them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The shared state of a run. It is made before the simulated world and outlives it, also if that panics.
pub struct World {
    /// What is executed.
    pub plan: Plan,
    /// A planted source of chance.
    pub chance: Option<Chance>,
    /// Names and addresses.
    pub nodes: Arc<Nodes>,
    /// The network's faults.
    pub links: Arc<Links>,
    /// The folder of the view service's record,
    pub record: Arc<Mutex<Files>>,
    /// and the record that became durable last.
    recorded: Mutex<Record>,
    copies: Mutex<Copies>,
    disks: Vec<Arc<Mutex<Disk<Durable>>>>,
    /// The drives of the view service and of the servers.
    drives: Vec<Arc<Drive>>,
    pacers: Vec<Pacer>,
    observer: Mutex<Observer>,
    progress: Mutex<Progress>,
    /// Told when the nemesis should look at what happened.
    news: Notify,
}

/// The record's file.
#[derive(Default)]
struct Copies {
    /// As it is,
    latest: Vec<u8>,
    /// and as it was before the latest view was proposed.
    older: Option<Vec<u8>>,
}

#[derive(Default)]
struct Progress {
    healed: Option<Duration>,
    finished: BTreeSet<NodeIndex>,
}

impl World {
    /// The world before anything happened.
    pub fn new(plan: &Plan, options: &RunOptions) -> Self {
        let nodes = Arc::new(Nodes::new(plan));
        let chance = |node: NodeIndex| options.chance.map_or(0, |chance| chance.salt(node));
        let salt = |node: NodeIndex| stable_hash(&(plan.seed, "disk", node)) ^ chance(node);
        let slowest_ms = plan.cluster.disk_ms_max;
        let disk = |node| Arc::new(Mutex::new(Disk::new(salt(node), slowest_ms)));
        let mut network = Network::new(stable_hash(&(plan.seed, "network")), nodes.len());
        network.set_roles(roles(&nodes, &Record::default()));
        Self {
            plan: plan.clone(),
            chance: options.chance,
            links: Arc::new(Links::new(network, plan, options.keep_messages)),
            record: Arc::new(Mutex::new(Files::new(salt(Nodes::VIEW_SERVICE), slowest_ms))),
            recorded: Mutex::default(),
            copies: Mutex::default(),
            disks: nodes.servers().chain(nodes.twin()).map(disk).collect(),
            drives: (0..nodes.len()).map(|_| Arc::default()).collect(),
            pacers: (0..nodes.len()).map(|_| Pacer::default()).collect(),
            observer: Mutex::new(Observer::new(nodes.clone(), plan, options.clone())),
            progress: Mutex::default(),
            nodes,
            news: Notify::new(),
        }
    }

    /// The observer, for one step.
    pub fn observer(&self) -> MutexGuard<'_, Observer> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the observer out of a world that is over, and leaves one that has seen nothing.
    pub fn take_observer(&self) -> Observer {
        let fresh = Observer::new(self.nodes.clone(), &self.plan, RunOptions::default());
        std::mem::replace(&mut self.observer(), fresh)
    }

    /// The disk of a server or of a twin.
    pub fn disk(&self, server: NodeIndex) -> &Arc<Mutex<Disk<Durable>>> {
        let place = if self.nodes.twin() == Some(server) { self.disks.len() } else { server };
        &self.disks[place - 1]
    }

    /// The drive of the view service or of a server.
    pub fn drive(&self, node: NodeIndex) -> &Arc<Drive> {
        &self.drives[node]
    }

    /// The view service's durable record.
    pub fn durable_record(&self) -> Record {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A copy of the record's file from before the latest view, if there was one.
    pub fn older_copy(&self) -> Option<Vec<u8>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).older.clone()
    }

    /// The view service's record became durable.
    pub fn record_written(&self, record: &Record) {
        let before = {
            let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *recorded, record.clone())
        };
        let bytes = self.record.lock().unwrap_or_else(PoisonError::into_inner).read(FILE).unwrap_or_default();
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = std::mem::replace(&mut copies.latest, bytes);
        if record.number > before.number && before.view.is_some() {
            copies.older = Some(latest);
        }
        drop(copies);
        self.links.network().set_roles(roles(&self.nodes, record));
        self.observer().record_written(now(), record);
    }

    /// An operator gave all data up, and this is the view service's durable record now. No copy of an earlier
    /// one is kept.
    pub fn data_given_up(&self, record: &Record) {
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = record.clone();
        let latest =
            self.record.lock().unwrap_or_else(PoisonError::into_inner).read(FILE).unwrap_or_default();
        *self.copies.lock().unwrap_or_else(PoisonError::into_inner) = Copies { latest, older: None };
        self.links.network().set_roles(roles(&self.nodes, record));
        self.observer().data_given_up(now(), record);
    }

    /// A fault of the network, which names these nodes, began.
    pub fn disturbed(&self, strike: Strike, nodes: &[NodeIndex]) {
        let network = self.links.network();
        self.observer().mark(|marks| marks.disturbed(strike, nodes, &network));
    }

    /// Puts something on the timeline, now.
    pub fn happened(&self, node: NodeIndex, event: Happening) {
        self.observer().happened(now(), node, event);
    }

    /// A client's call ended, now. The run ends with it if no order explains the answer, or not that of the
    /// servers.
    pub fn returned(&self, client: NodeIndex, operation: usize, end: End, told: Option<Told>) {
        if self.observer().returned(now(), client, operation, end, told) {
            self.look();
        }
    }

    /// Waits until something happened that the nemesis should look at, until a time, or for a while.
    pub async fn news(&self, until: Duration) {
        let wait = until.saturating_sub(now()).min(SWEEP_INTERVAL);
        tokio::select! {
            biased;
            () = self.news.notified() => {}
            () = madsim::time::sleep(wait) => {}
        }
        madsim::runtime::Handle::current().metrics().num_tasks();
    }

    /// Wakes the nemesis, which looks whether something happened that it waits for, or the run is over.
    pub fn look(&self) {
        self.news.notify_one();
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When everything was healed, if it was.
    pub fn healed(&self) -> Option<Duration> {
        self.progress().healed
    }

    /// Everything is healed now.
    pub fn heal(&self) {
        self.progress().healed = Some(now());
    }

    /// A client came to the end of its script.
    pub fn finished(&self, client: NodeIndex) {
        self.progress().finished.insert(client);
        self.look();
    }

    /// Whether a client came to the end of its script.
    pub fn is_finished(&self, client: NodeIndex) -> bool {
        self.progress().finished.contains(&client)
    }

    /// What stops a node's clock.
    pub fn pacer(&self, node: NodeIndex) -> Pacer {
        self.pacers[node].clone()
    }

    /// How a node's clock deviates.
    pub fn deviation(&self, node: NodeIndex) -> Deviation {
        let name = self.nodes.name(node);
        let clock = self.plan.cluster.clocks.iter().find(|clock| *clock.node == **name);
        clock.map_or(Deviation::default(), |clock| Deviation {
            skew_ms: clock.skew_ms,
            drift_ppm: clock.drift_ppm,
        })
    }
}

/// Virtual time since the start of the run.
pub fn now() -> Duration {
    TimeHandle::current().elapsed()
}

/// The observer as one node's task sees it. The time that counts is the true one, not the node's.
pub struct NodeObserver {
    world: Arc<World>,
    node: NodeIndex,
    time: TimeHandle,
}

impl NodeObserver {
    /// Observes the machine of this node.
    pub fn new(world: Arc<World>, node: NodeIndex) -> Self {
        Self { world, node, time: TimeHandle::current() }
    }
}

impl machine::Observer<Replica> for NodeObserver {
    fn before(&mut self, _now: Duration, machine: &Replica, event: &replica::Event) {
        self.world.observer().before_replica(self.time.elapsed(), self.node, machine, event);
    }

    fn after(&mut self, _now: Duration, machine: &Replica, effects: &[replica::Effect]) {
        if self.world.observer().after_replica(self.time.elapsed(), self.node, machine, effects) {
            self.world.look();
        }
    }

    fn holds(&mut self, machine: &Replica, held: Held) {
        if self.world.observer().replica_holds(self.time.elapsed(), self.node, machine, held) {
            self.world.look();
        }
    }
}

impl machine::Observer<ViewService> for NodeObserver {
    fn before(&mut self, _now: Duration, machine: &ViewService, event: &view_service::Event) {
        self.world.observer().before_view_service(self.time.elapsed(), machine, event);
    }

    fn after(&mut self, _now: Duration, machine: &ViewService, effects: &[view_service::Effect]) {
        if self.world.observer().after_view_service(self.time.elapsed(), machine, effects) {
            self.world.look();
        }
    }

    fn holds(&mut self, machine: &ViewService, held: Held) {
        if self.world.observer().view_service_holds(self.time.elapsed(), machine, held) {
            self.world.look();
        }
    }
}
