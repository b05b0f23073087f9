//! What the processes of a run share and what outlives them: the servers' disks, the folder of the view
//! service's record, and what operators made of them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pbkv::{
    client::Client,
    protocol::{identity::Boot, log::Durable, view::Record},
    storage::record_file::{FILE, RecordFile},
};
use testbed::{
    data::{self, node::NodeIndex, outcome::Down},
    hardware::{
        disk::Torn,
        files::{Files, SimulatedFolder},
    },
    world::{links::Links, now, simulated},
};

use super::{
    Pbkv,
    hardware::{Clock, Folder, Found, ServerDisk},
    nodes::Nodes,
    observe,
    operator::Operator,
    prospects,
};
use crate::{
    bound::{Plan, World},
    store::marks::roles,
};

/// What the processes share.
pub struct Shared {
    /// Names and identities.
    pub nodes: Nodes,
    /// The folder of the view service's record,
    pub record: Arc<Mutex<Files>>,
    /// and the record that became durable last.
    recorded: Mutex<Record>,
    copies: Mutex<Copies>,
    disks: Vec<Arc<Mutex<ServerDisk>>>,
    operator: Mutex<Operator>,
    /// The client whose connections all use, if they are to.
    first_client: OnceLock<Client<Clock>>,
}

/// The record's file.
#[derive(Default)]
struct Copies {
    /// As it is,
    latest: Vec<u8>,
    /// and as it was before the latest view was proposed.
    older: Option<Vec<u8>>,
}

impl simulated::Shared<Pbkv> for Shared {
    fn new(plan: &Plan, _: &data::nodes::Nodes, links: &Links, salt: &dyn Fn(NodeIndex) -> u64) -> Self {
        let nodes = Nodes::new(plan);
        let slowest_ms = plan.cluster.disk_ms_max;
        let disk = |node| Arc::new(Mutex::new(ServerDisk::new(Files::new(salt(node), slowest_ms))));
        links.network().set_roles(roles(&nodes, &Record::default()));
        Self {
            record: Arc::new(Mutex::new(Files::new(salt(Nodes::VIEW_SERVICE), slowest_ms))),
            recorded: Mutex::default(),
            copies: Mutex::default(),
            disks: nodes.servers().chain(nodes.twin()).map(disk).collect(),
            operator: Mutex::default(),
            first_client: OnceLock::new(),
            nodes,
        }
    }

    fn remembers(world: &World, node: NodeIndex) -> data::fault::Memory {
        let finds = |node| world.own.disk_of(node).found().is_some_and(|found| found.memory.boot != Boot(0));
        let remembers = node == Nodes::VIEW_SERVICE || finds(node);
        if remembers { data::fault::Memory::Kept } else { data::fault::Memory::Lost }
    }

    fn torn(world: &World, node: NodeIndex, how: Down) {
        let torn = if node == Nodes::VIEW_SERVICE {
            tear_record(world, how)
        } else {
            tear_journal(world, node, how)
        };
        world.observer().witness.mark(|marks| marks.write_torn(node, torn));
    }

    fn wipe(world: &World, node: NodeIndex) {
        world.own.disk_of(node).wipe();
        observe::disk_lost(&mut world.observer(), now(), node);
    }

    fn rot(world: &World, node: NodeIndex) -> bool {
        let is_lost = world.own.disk_of(node).rot();
        if is_lost {
            observe::disk_lost(&mut world.observer(), now(), node);
        }
        is_lost
    }

    fn keep_copy(world: &World, node: NodeIndex) {
        if node != Nodes::VIEW_SERVICE {
            world.own.disk_of(node).keep_copy();
        }
    }

    fn go_back(world: &World, node: NodeIndex, hash: u64) -> bool {
        let Some(heard) = prospects::heard(world, node) else { return false };
        let went = world.own.disk_of(node).go_back(hash, |copy| heard.is_beyond(copy));
        if went {
            observe::disk_lost(&mut world.observer(), now(), node);
        }
        went
    }

    fn on_disk(world: &World, node: NodeIndex) -> Option<Vec<String>> {
        match node {
            Nodes::VIEW_SERVICE => Some(world.own.record.try_lock().ok()?.standing()),
            _ => world.own.disk(node).try_lock().ok()?.standing(),
        }
    }
}

impl Shared {
    /// A client as one of several in a process, which have their connections in common.
    pub fn in_one_process(&self, client: Client<Clock>) -> Client<Clock> {
        let first = self.first_client.get_or_init(|| client.another());
        client.over_the_connections_of(first)
    }

    /// The disk of a server or of a twin.
    pub fn disk(&self, server: NodeIndex) -> &Arc<Mutex<ServerDisk>> {
        let place = if self.nodes.twin() == Some(server) { self.disks.len() } else { server };
        &self.disks[place - 1]
    }

    /// The same, to look at or to change.
    pub fn disk_of(&self, server: NodeIndex) -> MutexGuard<'_, ServerDisk> {
        self.disk(server).lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of the view service's record, to look at or to change.
    pub fn folder(&self) -> MutexGuard<'_, Files> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What operators are about to do.
    pub fn operator(&self) -> MutexGuard<'_, Operator> {
        self.operator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The view service's durable record.
    pub fn durable_record(&self) -> Record {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A copy of the record's file from before the latest view, if there was one.
    pub fn older_copy(&self) -> Option<Vec<u8>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).older.clone()
    }

    /// The record that a view service would find now, unless it is damaged.
    pub fn found_record(&self) -> Option<Record> {
        let folder = SimulatedFolder::new(self.record.clone(), Arc::default());
        let found = RecordFile::new(Folder(folder, "vs".into())).read();
        found.ok().map(Option::unwrap_or_default)
    }

    /// Whether a record that is found is a later one than was known to be durable, and not an old copy.
    pub fn is_news(&self, found: &Record) -> bool {
        let durable = self.durable_record();
        found.number >= durable.number && *found != durable
    }
}

/// The view service's record became durable.
pub fn record_written(world: &World, record: &Record) {
    let own = &world.own;
    let before = {
        let mut recorded = own.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *recorded, record.clone())
    };
    let bytes = own.folder().read(FILE).unwrap_or_default();
    let mut copies = own.copies.lock().unwrap_or_else(PoisonError::into_inner);
    let latest = std::mem::replace(&mut copies.latest, bytes);
    if record.number > before.number && before.view.is_some() {
        copies.older = Some(latest);
    }
    drop(copies);
    world.links.network().set_roles(roles(&own.nodes, record));
    observe::record_written(&mut world.observer(), now(), record);
}

/// An operator gave all data up, and this is the view service's durable record now. No copy of an earlier one
/// is kept.
pub fn data_given_up(world: &World, record: &Record) {
    let own = &world.own;
    *own.recorded.lock().unwrap_or_else(PoisonError::into_inner) = record.clone();
    let latest = own.folder().read(FILE).unwrap_or_default();
    *own.copies.lock().unwrap_or_else(PoisonError::into_inner) = Copies { latest, older: None };
    world.links.network().set_roles(roles(&own.nodes, record));
    observe::data_given_up(&mut world.observer(), now(), record);
}

/// What a loss of power left is what is durable from now on. What the end of a process left is only what its
/// next life finds, and until that has written it again power may take it.
fn tear_journal(world: &World, node: NodeIndex, how: Down) -> Torn {
    let was_written_anew = {
        let disk = world.own.disk_of(node);
        let was_written_anew = disk.is_written_anew();
        let mut files = disk.files();
        let _ = if how == Down::Crash { files.crash() } else { files.lose_power() };
        was_written_anew
    };
    if was_written_anew {
        world.observer().witness.mark(|marks| marks.journal_written_anew(false));
    }
    let Some(Found { memory, torn }) = world.own.disk_of(node).found() else {
        return Torn { kept: 0, lost: 0 };
    };
    let count = world.own.disk_of(node).under_way();
    let is_kept = match how {
        Down::Crash => world.own.disk_of(node).kept(&memory).unwrap_or_default(),
        Down::PowerLoss => settle(world, node, &memory),
    };
    if is_kept { Torn { kept: count, lost: 0 } } else { Torn { kept: usize::from(torn > 0), lost: count } }
}

/// This is what is on the disk of a server, for good. Returns whether what was under way is a part of it.
pub fn settle(world: &World, node: NodeIndex, found: &Durable) -> bool {
    let mut disk = world.own.disk_of(node);
    match disk.kept(found) {
        Ok(true) => {
            let writes = disk.complete();
            drop(disk);
            writes.iter().for_each(|write| observe::disk_written(&mut world.observer(), now(), node, write));
            true
        }
        Ok(false) => {
            disk.lose_under_way();
            false
        }
        Err(broken) => {
            disk.believe(found);
            drop(disk);
            observe::disk_found(&mut world.observer(), now(), node, Err(broken));
            false
        }
    }
}

/// What a loss of power left is the record from now on. (If it is damaged, the next life will say so.) What
/// the end of a process left is that of its next life when it has synced it, and until then power may take
/// it.
fn tear_record(world: &World, how: Down) -> Torn {
    let under_way = {
        let mut files = world.own.folder();
        if how == Down::Crash { files.crash() } else { files.lose_power() }
    };
    let news = world.own.found_record().filter(|found| world.own.is_news(found));
    if let (Some(record), Down::PowerLoss) = (&news, how) {
        record_written(world, record);
    }
    let kept = usize::from(news.is_some());
    Torn { kept, lost: usize::from(under_way) - kept.min(usize::from(under_way)) }
}
