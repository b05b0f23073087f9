//! What the processes of a run share and what outlives them: the servers' disks, the folder of the view
//! service's record, and what operators made of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pbkv::{
    protocol::{identity::Boot, view::Record},
    storage::record_file::{FILE, RecordFile},
};
use testbed::{
    data::{self, node::NodeIndex, outcome::Down},
    hardware::{
        disk::{Disk, Torn},
        files::{Files, SimulatedFolder},
    },
    world::{links::Links, now, simulated},
};

use super::{
    Pbkv,
    hardware::{Folder, Memory},
    nodes::Nodes,
    observe,
    operator::Operator,
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
    disks: Vec<Arc<Mutex<Disk<Memory>>>>,
    operator: Mutex<Operator>,
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
        let disk = |node| Arc::new(Mutex::new(Disk::new(salt(node), slowest_ms)));
        links.network().set_roles(roles(&nodes, &Record::default()));
        Self {
            record: Arc::new(Mutex::new(Files::new(salt(Nodes::VIEW_SERVICE), slowest_ms))),
            recorded: Mutex::default(),
            copies: Mutex::default(),
            disks: nodes.servers().chain(nodes.twin()).map(disk).collect(),
            operator: Mutex::default(),
            nodes,
        }
    }

    fn remembers(world: &World, node: NodeIndex) -> data::fault::Memory {
        let forgot = node != Nodes::VIEW_SERVICE && world.own.disk_of(node).content().boot == Boot(0);
        if forgot { data::fault::Memory::Lost } else { data::fault::Memory::Kept }
    }

    fn torn(world: &World, node: NodeIndex, how: Down) {
        let torn = if node == Nodes::VIEW_SERVICE {
            tear_record(world, how)
        } else {
            let mut disk = world.own.disk_of(node);
            disk.crash(|write| observe::disk_written(&mut world.observer(), now(), node, write))
        };
        world.observer().witness.mark(|marks| marks.write_torn(node, torn));
    }

    fn wipe(world: &World, node: NodeIndex) {
        world.own.disk_of(node).wipe();
        observe::disk_lost(&mut world.observer(), now(), node);
    }

    fn on_disk(world: &World, node: NodeIndex) -> Option<Vec<String>> {
        match node {
            Nodes::VIEW_SERVICE => Some(world.own.record.try_lock().ok()?.standing()),
            _ => Some(world.own.disk(node).try_lock().ok()?.standing()),
        }
    }
}

impl Shared {
    /// The disk of a server or of a twin.
    pub fn disk(&self, server: NodeIndex) -> &Arc<Mutex<Disk<Memory>>> {
        let place = if self.nodes.twin() == Some(server) { self.disks.len() } else { server };
        &self.disks[place - 1]
    }

    /// The same, to look at or to change.
    pub fn disk_of(&self, server: NodeIndex) -> MutexGuard<'_, Disk<Memory>> {
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
        let found = RecordFile::new(Folder(folder)).read();
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
