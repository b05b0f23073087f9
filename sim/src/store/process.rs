//! The processes of the store, as production runs them except for their network, disk and clock.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use madsim::time::TimeHandle;
use pbkv::{
    options::TOGETHER_BYTES_MAX,
    protocol::{
        identity::Boot,
        log::Durable,
        machine::{self, Held},
        replica::{self, Replica, Start},
        view::Record,
        view_service::{self, SealKey, ViewService, adoption::Adopt},
    },
    server::{
        ServerError,
        kv::{KvConfig, KvServer},
        view::{ViewConfig, ViewServer},
    },
    storage::{
        journal::{Journal, Opened},
        record_file::{FILE, RecordFile},
    },
    wire::{
        kv_server::KvServer as KvGrpc, kv_stream_server::KvStreamServer as KvStreamGrpc,
        replication_server::ReplicationServer as ReplicationGrpc,
        view_service_server::ViewServiceServer as ViewServiceGrpc,
    },
};
use testbed::{
    data::{hash::stable_hash, node::NodeIndex},
    hardware::files::SimulatedFolder,
    world::{
        drive::is_failure,
        now,
        serve::{Lengths, Services},
    },
};

use super::{
    hardware::{Clock, Folder, JournalDisk, RecordDisk},
    nodes::Nodes,
    observe, shared,
};
use crate::{bound::World, judges::disks};

/// Those of a server that sets no limit: tonic's.
const PLAIN: Lengths = Lengths { taken_max: 4 << 20, answered_max: usize::MAX };

/// One life of a process. What it finds on its disk is what is there now.
pub fn run(world: Arc<World>, node: NodeIndex, life: u64) -> impl Future<Output = ()> + Send + 'static {
    let own = &world.own;
    let adopt = own.operator().adopts();
    let server = own.operator().address_of(&own.nodes, node);
    if node == Nodes::VIEW_SERVICE {
        observe::view_service_started(&mut world.observer());
    }
    async move {
        match node {
            Nodes::VIEW_SERVICE => run_view_service(world, life, adopt).await,
            _ => run_server(world, node, server, life).await,
        }
    }
}

async fn run_view_service(world: Arc<World>, life: u64, adopt: Option<Adopt>) {
    let node = Nodes::VIEW_SERVICE;
    let seed = world.plan.seed;
    let options = world.plan.cluster.view_service_options(life);
    let epoch = stable_hash(&(seed, "epoch", life));
    let key = SealKey(stable_hash(&(seed, "seal", life)), epoch);
    let mut file = match record_file(&world).await {
        Ok(file) => file,
        Err(error) => return end_of(&world, node, ServerError::Storage(error)),
    };
    let record = match file.load().await {
        Ok(record) => record,
        Err(error) => return end_of(&world, node, ServerError::Storage(error)),
    };
    if let Some(record) = record.as_ref().filter(|record| world.own.is_news(record)) {
        shared::record_written(&world, record);
    }
    let adopt = adopt.filter(|_| record.is_none());
    let config =
        ViewConfig { record: record.unwrap_or_default(), adopt, epoch, key, options, command: String::new() };
    let durable = {
        let world = world.clone();
        Box::new(move |record: &Record| shared::record_written(&world, record))
    };
    let disk = RecordDisk { file, durable };
    let clock = Clock(world.clock(node));
    let mut server = ViewServer::start(config, disk, clock, NodeObserver::new(world.clone(), node));
    let services = Services::default().with(ViewServiceGrpc::new(server.service()));
    serve(&world, node, services, PLAIN, server.failed()).await;
}

/// The view service's record, as it is found at a start. Before, it is tried with a damaged copy, which it
/// must refuse.
async fn record_file(world: &World) -> io::Result<RecordFile<Folder>> {
    let damaged = world.own.folder().damaged(FILE);
    if let Some(damaged) = damaged {
        let folder = SimulatedFolder::new(Arc::new(Mutex::new(damaged)), Arc::default());
        let read = RecordFile::new(Folder(folder, "vs".into())).read();
        assert!(read.is_err(), "the view service takes a damaged record: {read:?}");
    }
    let folder = SimulatedFolder::new(world.own.record.clone(), world.drive(Nodes::VIEW_SERVICE).clone());
    folder.until_read().await?;
    Ok(RecordFile::new(Folder(folder, "vs".into())))
}

/// What a server finds on its disk. What was durable is there, unless a bit of it was another one: then the
/// server notices.
async fn open_journal(
    world: &Arc<World>,
    node: NodeIndex,
    server: NodeIndex,
    life: u64,
) -> io::Result<Opened<Folder>> {
    let files = world.own.disk_of(node).files.clone();
    let folder = SimulatedFolder::new(files, world.drive(node).clone());
    folder.until_read().await?;
    let name = world.nodes.name(node).to_string();
    let options = world.plan.cluster.journal_options(world.nodes.name(server), life);
    let is_rotten = world.own.disk_of(node).is_rotten();
    let opened = Journal::read(Folder(folder, name), world.own.nodes.id(server), options).await?;
    world.own.disk_of(node).is_read();
    let noticed = disks::noticed(opened.damage.as_deref(), is_rotten);
    observe::disk_found(&mut world.observer(), now(), node, noticed);
    shared::settle(world, node, &opened.memory);
    world.observer().witness.mark(|marks| marks.journal_read(opened.cut, is_rotten));
    let is_older = world.own.disk_of(node).is_older();
    let data = opened.memory.data.filter(|_| !is_older);
    let told = Durable { data, ..opened.memory.clone() };
    observe::server_started(&mut world.observer(), now(), node, &told);
    Ok(opened)
}

/// Runs the process of a node, under the name of `server`.
async fn run_server(world: Arc<World>, node: NodeIndex, server: NodeIndex, life: u64) {
    let (durable, journal) = match open_journal(&world, node, server, life).await {
        Ok(Opened { memory, journal, .. }) => (memory, journal),
        Err(error) => return end_of(&world, node, ServerError::Storage(error)),
    };
    let seed = world.plan.seed;
    let deviation = world.deviation(node);
    let boot = if durable.boot == Boot(0) {
        Boot(deviation.wall_ns(now(), life, stable_hash(&(seed, "boot", node))))
    } else {
        durable.boot.next()
    };
    let mut options = world.plan.cluster.replica_options(world.nodes.name(server), life);
    if let Some(chance) = world.chance.filter(|_| node == 1) {
        options.session_ttl += chance.late(life);
    }
    let config = KvConfig {
        start: Start {
            server: world.own.nodes.id(server).clone(),
            boot,
            nonce: stable_hash(&(seed, "nonce", node, life)),
            durable,
        },
        options,
        limits: world.plan.cluster.limits(),
        together_bytes_max: world.plan.cluster.together_bytes.unwrap_or(TOGETHER_BYTES_MAX),
        view_service: world.own.nodes.view_service(),
    };
    let written = {
        let world = world.clone();
        Box::new(move |write: &_| {
            observe::disk_written(&mut world.observer(), now(), node, write);
        })
    };
    let failed = {
        let world = world.clone();
        Box::new(move || {
            let torn = world.own.disk_of(node).found().is_some_and(|found| found.torn > 0);
            world.observer().witness.mark(|marks| marks.write_failed(torn));
        })
    };
    let anew = {
        let world = world.clone();
        Box::new(move || world.observer().witness.mark(|marks| marks.journal_written_anew(true)))
    };
    let disk = JournalDisk { journal, disk: world.own.disk(node).clone(), durable: written, failed, anew };
    let clock = Clock(world.clock(node));
    let mut server = KvServer::start(config, disk, clock, NodeObserver::new(world.clone(), node));
    let lengths = Lengths { taken_max: server.message_bytes_max(), answered_max: server.answer_bytes_max() };
    let services = Services::default()
        .with(KvGrpc::new(server.kv()))
        .with(KvStreamGrpc::new(server.kv()))
        .with(ReplicationGrpc::new(server.replication()));
    serve(&world, node, services, lengths, server.failed()).await;
}

async fn serve(
    world: &Arc<World>,
    node: NodeIndex,
    services: Services,
    lengths: Lengths,
    failed: impl Future<Output = ServerError>,
) {
    tokio::select! {
        biased;
        error = failed => end_of(world, node, error),
        () = world.serve(node, services, lengths) => {}
    }
}

/// A process ends on its own: as production's does when its drive fails, and for no other reason.
fn end_of(world: &World, node: NodeIndex, error: ServerError) {
    match error {
        ServerError::Storage(error) if is_failure(&error) => world.look(),
        error => panic!("{} stopped: {error}", world.nodes.name(node)),
    }
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
        observe::before_replica(&mut self.world.observer(), self.time.elapsed(), self.node, machine, event);
    }

    fn after(&mut self, _now: Duration, machine: &Replica, effects: &[replica::Effect]) {
        if observe::after_replica(
            &mut self.world.observer(),
            self.time.elapsed(),
            self.node,
            machine,
            effects,
        ) {
            self.world.look();
        }
    }

    fn holds(&mut self, machine: &Replica, held: Held) {
        if observe::replica_holds(&mut self.world.observer(), self.time.elapsed(), self.node, machine, held) {
            self.world.look();
        }
    }
}

impl machine::Observer<ViewService> for NodeObserver {
    fn before(&mut self, _now: Duration, machine: &ViewService, event: &view_service::Event) {
        observe::before_view_service(&mut self.world.observer(), self.time.elapsed(), machine, event);
    }

    fn after(&mut self, _now: Duration, machine: &ViewService, effects: &[view_service::Effect]) {
        if observe::after_view_service(&mut self.world.observer(), self.time.elapsed(), machine, effects) {
            self.world.look();
        }
    }

    fn holds(&mut self, machine: &ViewService, held: Held) {
        if observe::view_service_holds(&mut self.world.observer(), self.time.elapsed(), machine, held) {
            self.world.look();
        }
    }
}
