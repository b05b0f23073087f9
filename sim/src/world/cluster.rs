//! The processes of a run: started, crashed, paused and started again, as production runs them except for
//! their network, disk and clock.
//!
//! A *life* is one run of a process. A crash ends it so that peers see their connections reset. A loss of
//! power ends it in silence: the process stands still for ever, nothing it has not written to disk survives,
//! and only when the machine is started again do its peers hear that their connections are gone. However a
//! life ends, what it has sent is on its way and arrives; peers hear of the end of a connection after that.

mod prospects;
mod record;
mod twin;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use madsim::{
    runtime::{Handle, NodeHandle},
    task::NodeId,
};
use pbkv::{
    protocol::{
        identity::Boot,
        log::Durable,
        replica::Start,
        view::Record,
        view_service::{SealKey, adoption::Adopt},
    },
    server::{
        ServerError,
        kv::{KvConfig, KvServer},
        view::{ViewConfig, ViewServer},
    },
    storage::record_file::{FILE, RecordFile},
    wire::{
        kv_server::KvServer as KvGrpc, replication_server::ReplicationServer as ReplicationGrpc,
        view_service_server::ViewServiceServer as ViewServiceGrpc,
    },
};

use self::{record::LostRecord, twin::Twins};
use crate::{
    data::{
        fault::Memory,
        hash::stable_hash,
        node::NodeIndex,
        nodes::{SIMULATOR, ip},
        outcome::{Down, Happening},
    },
    hardware::{
        clock::SimulatedClock,
        disk::{SimulatedDisk, Torn},
        files::{SimulatedFolder, SimulatedRecord},
    },
    judges::liveness::Condition,
    store::nodes::Nodes,
    world::{
        NodeObserver, World,
        drive::is_failure,
        now,
        serve::{self, Services},
    },
};

/// The longest message that a server takes which sets no limit, in bytes: tonic's.
const DECODED_BYTES_MAX: usize = 4 << 20;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was never started.
    Waiting,
    /// It runs.
    Up,
    /// It stands still; so many pauses have to end before it goes on.
    Paused(u32),
    /// It is gone.
    Down(Down),
}

/// One node's process.
struct Process {
    id: NodeId,
    status: Status,
    /// How many of its pauses have no end.
    lasting_pauses: u32,
    /// Since when its clock stands still, if it does.
    frozen: Option<Duration>,
    life: u64,
}

impl Process {
    fn condition(&self) -> Condition {
        match self.status {
            // Only the reader has not begun yet after the heal.
            Status::Up | Status::Waiting => Condition::Runs,
            Status::Paused(_) => Condition::StandsStill,
            Status::Down(_) => Condition::IsDown,
        }
    }
}

/// All processes of a run. Clients are nodes, too, but their one life never ends.
pub struct Cluster {
    world: Arc<World>,
    handle: Handle,
    processes: Vec<Process>,
    mishap: Option<LostRecord>,
    /// The server whose address a second process has, too.
    twins: Option<Twins>,
    /// No operator has to look after servers whose data was given up.
    is_cleaned: bool,
}

impl Cluster {
    /// Makes all nodes; none runs yet.
    pub fn new(world: Arc<World>) -> Self {
        let handle = Handle::current();
        let network = madsim::net::NetSim::current();
        let make = |node: NodeIndex| {
            let (name, ip) = (world.nodes.name(node), ip(node).into());
            network.add_dns_record(name, ip);
            let id = handle.create_node().name(&**name).ip(ip).build().id();
            Process { id, status: Status::Waiting, lasting_pauses: 0, frozen: None, life: 0 }
        };
        let processes = (0..world.nodes.simulator()).map(make).collect();
        handle.create_node().name(SIMULATOR).build();
        Self { world, handle, processes, mishap: None, twins: None, is_cleaned: true }
    }

    /// What a node's process is doing.
    pub fn status(&self, node: NodeIndex) -> Status {
        self.processes[node].status
    }

    /// Which processes run (a paused one does).
    pub fn up(&self) -> Vec<bool> {
        let mut up: Vec<_> =
            self.processes.iter().map(|p| matches!(p.status, Status::Up | Status::Paused(_))).collect();
        up.push(true);
        up
    }

    /// How many lives a node has had.
    pub fn life(&self, node: NodeIndex) -> u64 {
        self.processes[node].life
    }

    /// The node, to run something on it. Begins its life.
    pub fn begin(&mut self, node: NodeIndex) -> NodeHandle {
        let process = &mut self.processes[node];
        let fresh = process.status == Status::Waiting;
        if let Status::Down(Down::PowerLoss) = process.status {
            // What was paused must be dropped by the executor, not under its lock.
            self.handle.resume(process.id);
            self.handle.kill(process.id);
        }
        if !fresh {
            self.handle.restart(process.id);
        }
        process.status = Status::Up;
        process.lasting_pauses = 0;
        process.life += 1;
        self.handle.get_node(process.id).expect("it was made at the beginning")
    }

    /// Starts the process of a server or of the view service, unless it runs.
    pub fn start(&mut self, node: NodeIndex) {
        if matches!(self.status(node), Status::Up | Status::Paused(_)) {
            return;
        }
        let is_twin = self.world.nodes.twin() == Some(node);
        let Some(server) = (if is_twin { self.twins.map(|twins| twins.server) } else { Some(node) }) else {
            return;
        };
        let handle = self.begin(node);
        let life = self.processes[node].life;
        let world = self.world.clone();
        if node == Nodes::VIEW_SERVICE {
            world.happened(node, Happening::Up { life, memory: Memory::Kept });
            world.observer().view_service_started();
            let adopt = self.mishap.as_ref().and_then(|mishap| mishap.adopt.clone());
            handle.spawn(run_view_service(world, life, adopt));
        } else {
            let durable = {
                let disk = world.disk(node).lock().unwrap_or_else(PoisonError::into_inner);
                disk.content().clone()
            };
            let memory = if durable.boot == Boot(0) { Memory::Lost } else { Memory::Kept };
            world.happened(node, Happening::Up { life, memory });
            world.observer().server_started(now(), node, &durable);
            handle.spawn(run_server(world, node, server, life, durable));
        }
    }

    /// Ends a process. The error says why that is impossible.
    pub fn stop(&mut self, node: NodeIndex, how: Down, memory: Memory) -> Result<Memory, String> {
        let id = self.processes[node].id;
        match self.status(node) {
            Status::Waiting => return Err(format!("{} was not started yet", self.world.nodes.name(node))),
            Status::Down(_) => return Err(format!("{} is down already", self.world.nodes.name(node))),
            Status::Up | Status::Paused(_) => {}
        }
        self.thaw(node);
        match how {
            Down::Crash => {
                self.handle.resume(id);
                self.handle.kill(id);
            }
            Down::PowerLoss => self.handle.pause(id),
        }
        self.processes[node].status = Status::Down(how);
        self.world.links.network().ended(node);
        self.tear(node, how);
        let forgets = memory == Memory::Lost || self.world.plan.cluster.volatile;
        let memory = if forgets && self.may_forget(node) { Memory::Lost } else { Memory::Kept };
        if memory == Memory::Lost {
            self.world.disk(node).lock().unwrap_or_else(PoisonError::into_inner).wipe();
            self.world.observer().disk_lost(now(), node);
        }
        self.world.happened(node, Happening::Down(how));
        Ok(memory)
    }

    /// Of what was being written, some is kept.
    fn tear(&self, node: NodeIndex, how: Down) {
        let world = &self.world;
        let torn = if node == Nodes::VIEW_SERVICE {
            self.tear_record(how)
        } else {
            let mut disk = world.disk(node).lock().unwrap_or_else(PoisonError::into_inner);
            disk.crash(|write| world.observer().disk_written(now(), node, write))
        };
        world.observer().mark(|marks| marks.write_torn(node, torn));
    }

    /// What a loss of power left is the record from now on. (If it is damaged, the next life will say so.)
    /// What the end of a process left is that of its next life when it has synced it, and until then power
    /// may take it.
    fn tear_record(&self, how: Down) -> Torn {
        let world = &self.world;
        let under_way = {
            let mut files = world.record.lock().unwrap_or_else(PoisonError::into_inner);
            if how == Down::Crash { files.crash() } else { files.lose_power() }
        };
        let news = self.found_record().filter(|found| is_news(world, found));
        if let (Some(record), Down::PowerLoss) = (&news, how) {
            world.record_written(record);
        }
        let kept = usize::from(news.is_some());
        Torn { kept, lost: usize::from(under_way) - kept.min(usize::from(under_way)) }
    }

    /// The record that a view service would find now, unless it is damaged.
    fn found_record(&self) -> Option<Record> {
        let folder = SimulatedFolder::new(self.world.record.clone(), Arc::default());
        let found = RecordFile::new(folder).read();
        found.ok().map(Option::unwrap_or_default)
    }

    /// Makes a process stand still, for a while or for good.
    pub fn pause(&mut self, node: NodeIndex, for_good: bool) -> Result<(), String> {
        let process = &mut self.processes[node];
        process.status = match process.status {
            Status::Up => Status::Paused(1),
            Status::Paused(times) => Status::Paused(times + 1),
            Status::Waiting | Status::Down(_) => {
                return Err(format!("{} does not run", self.world.nodes.name(node)));
            }
        };
        process.lasting_pauses += u32::from(for_good);
        self.handle.pause(process.id);
        Ok(())
    }

    /// Makes a machine stand still for a while, and its clock with it. The clock goes on when the machine
    /// does.
    pub fn freeze(&mut self, node: NodeIndex) -> Result<(), String> {
        self.pause(node, false)?;
        self.processes[node].frozen.get_or_insert(now());
        Ok(())
    }

    /// The clock of a machine that stood still goes on, behind by as much.
    fn thaw(&mut self, node: NodeIndex) {
        if let Some(since) = self.processes[node].frozen.take() {
            self.world.pacer(node).lose(now() - since);
        }
    }

    /// Ends one pause.
    pub fn resume(&mut self, node: NodeIndex) {
        if self.processes[node].status == Status::Paused(1) {
            self.thaw(node);
        }
        let process = &mut self.processes[node];
        match process.status {
            Status::Paused(1) => {
                process.status = Status::Up;
                self.handle.resume(process.id);
            }
            Status::Paused(times) => process.status = Status::Paused(times - 1),
            Status::Waiting | Status::Up | Status::Down(_) => {}
        }
    }

    /// Ends all pauses that have an end.
    pub fn resume_all(&mut self) {
        for node in 0..self.processes.len() {
            let lasting = self.processes[node].lasting_pauses;
            while matches!(self.status(node), Status::Paused(times) if times > lasting) {
                self.resume(node);
            }
        }
    }
}

/// Ends every life, the clients' too, and what is under way between them, and drops what they held: tasks
/// that wait for each other would otherwise keep each other, and all that they share, for as long as this
/// process lasts.
pub async fn end(nodes: &Nodes) {
    let handle = Handle::current();
    for node in 0..nodes.len() {
        let name = &**nodes.name(node);
        if handle.get_node(name).is_some() {
            // What was paused must be dropped by the executor, not under its lock.
            handle.resume(name);
            handle.kill(name);
        }
    }
    // Time passes when the executor has nothing left to drop.
    madsim::time::sleep(Duration::from_nanos(1)).await;
}

/// Whether a record that is found is a later one than was known to be durable, and not an old copy.
fn is_news(world: &World, found: &Record) -> bool {
    let durable = world.durable_record();
    found.number >= durable.number && *found != durable
}

async fn run_view_service(world: Arc<World>, life: u64, adopt: Option<Adopt>) {
    let node = Nodes::VIEW_SERVICE;
    let seed = world.plan.seed;
    let options = world.plan.cluster.view_service_options(life);
    let epoch = stable_hash(&(seed, "epoch", life));
    let key = SealKey(stable_hash(&(seed, "seal", life)), epoch);
    let mut file = record_file(&world);
    let record = match file.load().await {
        Ok(record) => record,
        Err(error) => return end_of(&world, node, ServerError::Storage(error)),
    };
    if let Some(record) = record.as_ref().filter(|record| is_news(&world, record)) {
        world.record_written(record);
    }
    let adopt = adopt.filter(|_| record.is_none());
    let config = ViewConfig { record: record.unwrap_or_default(), adopt, epoch, key, options };
    let durable = {
        let world = world.clone();
        Box::new(move |record: &Record| world.record_written(record))
    };
    let disk = SimulatedRecord { file, durable };
    let clock = SimulatedClock::new(world.deviation(node), world.pacer(node));
    let mut server = ViewServer::start(config, disk, clock, NodeObserver::new(world.clone(), node));
    let services = Services::default().with(ViewServiceGrpc::new(server.service()));
    serve(&world, node, services, DECODED_BYTES_MAX, server.failed()).await;
}

/// The view service's record, as it is found at a start. Before, it is tried with a damaged copy, which it
/// must refuse.
fn record_file(world: &World) -> RecordFile<SimulatedFolder> {
    let drive = world.drive(Nodes::VIEW_SERVICE);
    let open = |files| RecordFile::new(SimulatedFolder::new(files, drive.clone()));
    let damaged = world.record.lock().unwrap_or_else(PoisonError::into_inner).damaged(FILE);
    if let Some(damaged) = damaged {
        let read = open(Arc::new(Mutex::new(damaged))).read();
        assert!(read.is_err(), "the view service takes a damaged record: {read:?}");
    }
    open(world.record.clone())
}

/// Runs the process of a node, under the name of `server`.
async fn run_server(world: Arc<World>, node: NodeIndex, server: NodeIndex, life: u64, durable: Durable) {
    let seed = world.plan.seed;
    let deviation = world.deviation(node);
    let boot = if durable.boot == Boot(0) {
        deviation.boot(now(), life, stable_hash(&(seed, "boot", node)))
    } else {
        durable.boot.next()
    };
    let mut options = world.plan.cluster.replica_options(world.nodes.name(server), life);
    if let Some(chance) = world.chance {
        options.session_ttl += chance.memory(node, life);
    }
    let config = KvConfig {
        start: Start {
            server: world.nodes.id(server).clone(),
            boot,
            nonce: stable_hash(&(seed, "nonce", node, life)),
            durable,
        },
        options,
        limits: world.plan.cluster.limits(),
        view_service: world.nodes.view_service(),
    };
    let written = {
        let world = world.clone();
        Box::new(move |write: &_| {
            world.observer().disk_written(now(), node, write);
        })
    };
    let failed = {
        let world = world.clone();
        Box::new(move |torn| world.observer().mark(|marks| marks.write_failed(torn)))
    };
    let drive = world.drive(node).clone();
    let disk = SimulatedDisk { disk: world.disk(node).clone(), drive, durable: written, failed };
    let clock = SimulatedClock::new(deviation, world.pacer(node));
    let mut server = KvServer::start(config, disk, clock, NodeObserver::new(world.clone(), node));
    let bytes_max = server.message_bytes_max();
    let services =
        Services::default().with(KvGrpc::new(server.kv())).with(ReplicationGrpc::new(server.replication()));
    serve(&world, node, services, bytes_max, server.failed()).await;
}

async fn serve(
    world: &Arc<World>,
    node: NodeIndex,
    services: Services,
    bytes_max: usize,
    failed: impl Future<Output = ServerError>,
) {
    tokio::select! {
        biased;
        error = failed => end_of(world, node, error),
        result = serve::serve(node, world.nodes.all(), world.links.clone(), services, bytes_max) => {
            panic!("{} cannot serve: {result:?}", world.nodes.name(node))
        }
    }
}

/// A process ends on its own: as production's does when its drive fails, and for no other reason.
fn end_of(world: &World, node: NodeIndex, error: ServerError) {
    match error {
        ServerError::Storage(error) if is_failure(&error) => world.look(),
        error => panic!("{} stopped: {error}", world.nodes.name(node)),
    }
}
