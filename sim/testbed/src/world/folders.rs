//! What processes share that keep files: a folder for each ([`crate::hardware::files`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    World,
    links::Links,
    simulated::{Shared, Simulated},
};
use crate::{
    data::{fault::Memory, node::NodeIndex, nodes::Nodes, outcome::Down, plan::Plan},
    hardware::{
        copies::Copies,
        files::{Files, SimulatedFolder},
    },
    system::Setup,
};

/// A folder for each process.
pub struct Folders {
    folders: Vec<Arc<Mutex<Files>>>,
    own: Mutex<Own>,
}

/// What is known of folders beside what is in them.
#[derive(Default)]
struct Own {
    /// Those that were lost, until their processes begin again.
    lost: BTreeSet<NodeIndex>,
    copies: BTreeMap<NodeIndex, Copies<Files>>,
}

impl Folders {
    /// The folder of a process, to look at or to change.
    pub fn of(&self, node: NodeIndex) -> MutexGuard<'_, Files> {
        self.folders[node].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder as a running process sees it.
    pub fn open<S: Simulated<Shared = Self>>(world: &World<S>, node: NodeIndex) -> SimulatedFolder {
        SimulatedFolder::new(world.own.folders[node].clone(), world.drive(node).clone())
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Simulated<Shared = Self>> Shared<S> for Folders {
    fn new(plan: &Plan<S>, nodes: &Nodes, _: &Links, salt: &dyn Fn(NodeIndex) -> u64) -> Self {
        let slowest_ms = plan.cluster.disk_ms_max();
        let folder = |node| Arc::new(Mutex::new(Files::new(salt(node), slowest_ms)));
        Self { folders: nodes.processes().map(folder).collect(), own: Mutex::default() }
    }

    fn remembers(world: &World<S>, node: NodeIndex) -> Memory {
        if world.own.own().lost.remove(&node) { Memory::Lost } else { Memory::Kept }
    }

    fn torn(world: &World<S>, node: NodeIndex, how: Down) {
        let mut files = world.own.of(node);
        match how {
            Down::Crash => files.crash(),
            Down::PowerLoss => files.lose_power(),
        };
    }

    fn wipe(world: &World<S>, node: NodeIndex) {
        world.own.of(node).lose();
        world.own.own().lost.insert(node);
    }

    fn rot(world: &World<S>, node: NodeIndex) -> bool {
        world.own.of(node).rot().is_some()
    }

    fn keep_copy(world: &World<S>, node: NodeIndex) {
        let mut copy = world.own.of(node).clone();
        copy.lose_power();
        world.own.own().copies.entry(node).or_default().keep(copy);
    }

    fn go_back(world: &World<S>, node: NodeIndex, hash: u64) -> bool {
        let copy =
            world.own.own().copies.get(&node).and_then(|copies| copies.choose(hash, |_| true)).cloned();
        copy.map(|copy| world.own.of(node).put_back(copy)).is_some()
    }

    fn on_disk(world: &World<S>, node: NodeIndex) -> Option<Vec<String>> {
        world.own.folders.get(node).map_or(Some(Vec::new()), |files| Some(files.try_lock().ok()?.standing()))
    }
}
