//! The processes of a run: started, crashed, paused and started again, as production runs them except for
//! their network, disk and clock.
//!
//! A *life* is one run of a process. A crash ends it so that peers see their connections reset. A loss of
//! power ends it in silence: the process stands still for ever, nothing it has not written to disk survives,
//! and only when the machine is started again do its peers hear that their connections are gone. However a
//! life ends, what it has sent is on its way and arrives; peers hear of the end of a connection after that.

use std::{
    sync::{Arc, MutexGuard},
    time::Duration,
};

use madsim::{
    runtime::{Handle, NodeHandle},
    task::NodeId,
};

use crate::{
    data::{
        fault::Memory,
        hash::stable_hash,
        node::NodeIndex,
        nodes::{Nodes, SIMULATOR, ip},
        outcome::{Down, Happening},
    },
    judges::liveness::Condition,
    world::{
        World, now,
        simulated::{Shared, Simulated},
    },
};

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was never started.
    Waiting,
    /// It runs.
    Up,
    /// It stands still; this many pauses have to end before it goes on.
    Paused(u32),
    /// It is gone.
    Down(Down),
}

/// One node's process.
pub(super) struct Process {
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
pub struct Cluster<S: Simulated> {
    world: Arc<World<S>>,
    handle: Handle,
}

impl<S: Simulated> Cluster<S> {
    /// Makes all nodes; none runs yet.
    pub fn new(world: Arc<World<S>>) -> Self {
        let handle = Handle::current();
        let network = madsim::net::NetSim::current();
        let make = |node: NodeIndex| {
            let (name, ip) = (world.nodes.name(node), ip(node).into());
            network.add_dns_record(name, ip);
            let id = handle.create_node().name(&**name).ip(ip).build().id();
            Process { id, status: Status::Waiting, lasting_pauses: 0, frozen: None, life: 0 }
        };
        *world.processes() = (0..world.nodes.simulator()).map(make).collect();
        handle.create_node().name(SIMULATOR).build();
        world.begin_stepping();
        Self { world, handle }
    }

    /// The processes of a world that has them, to be looked at.
    pub(super) fn of(world: Arc<World<S>>) -> Self {
        Self { world, handle: Handle::current() }
    }

    /// What is known of each, for one question: whatever else is called may ask, too.
    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.world.processes()
    }

    /// What the processes share.
    pub fn world(&self) -> &Arc<World<S>> {
        &self.world
    }

    /// What a node's process is doing.
    pub fn status(&self, node: NodeIndex) -> Status {
        self.processes()[node].status
    }

    /// Which processes run (a paused one does).
    pub fn up(&self) -> Vec<bool> {
        let mut up: Vec<_> =
            self.processes().iter().map(|p| matches!(p.status, Status::Up | Status::Paused(_))).collect();
        up.push(true);
        up
    }

    /// What each node is doing once the faults are over.
    pub fn conditions(&self) -> Vec<Condition> {
        self.processes().iter().map(Process::condition).collect()
    }

    /// What a process is doing, as a line.
    pub fn standing(&self, node: NodeIndex) -> String {
        let status = match self.status(node) {
            Status::Waiting => "never started",
            Status::Up => "up",
            Status::Paused(_) => "stands still",
            Status::Down(_) => "down",
        };
        format!("{}: {status}", self.world.nodes.name(node))
    }

    /// How many lives a node has had.
    pub fn life(&self, node: NodeIndex) -> u64 {
        self.processes()[node].life
    }

    /// The node, to run something on it. Begins its life.
    pub fn begin(&mut self, node: NodeIndex) -> NodeHandle {
        let (id, before) = {
            let process = &self.processes()[node];
            (process.id, process.status)
        };
        if let Status::Down(Down::PowerLoss) = before {
            // What was paused must be dropped by the executor, not under its lock.
            self.handle.resume(id);
            self.handle.kill(id);
        }
        if before != Status::Waiting {
            self.handle.restart(id);
        }
        let process = &mut self.processes()[node];
        process.status = Status::Up;
        process.lasting_pauses = 0;
        process.life += 1;
        self.handle.get_node(id).expect("it was made at the beginning")
    }

    /// Starts a process, unless it runs.
    pub fn start(&mut self, node: NodeIndex) {
        let runs = matches!(self.status(node), Status::Up | Status::Paused(_));
        if runs || !S::may_start(&self.world, node) {
            return;
        }
        let handle = self.begin(node);
        let life = self.life(node);
        let world = self.world.clone();
        world.happened(node, Happening::Up { life, memory: S::Shared::remembers(&world, node) });
        let process = S::process(world.clone(), node, life);
        handle.spawn(async move {
            process.await;
            // It would pass for one that runs.
            let (name, may_end) = (world.nodes.name(node), world.drive(node).has_failed());
            assert!(may_end, "the process of {name} ended by itself, although its drive did not fail");
        });
    }

    /// Ends a process. The error says why that is impossible.
    pub fn stop(&mut self, node: NodeIndex, how: Down, memory: Memory) -> Result<Memory, String> {
        let id = self.processes()[node].id;
        match self.status(node) {
            Status::Waiting => return Err(format!("{} was not started yet", self.world.nodes.name(node))),
            Status::Down(_) => return Err(format!("{} is down already", self.world.nodes.name(node))),
            Status::Up | Status::Paused(_) => {}
        }
        S::may_end(&self.world, node)?;
        self.thaw(node);
        match how {
            Down::Crash => {
                self.handle.resume(id);
                self.handle.kill(id);
            }
            Down::PowerLoss => self.handle.pause(id),
        }
        self.processes()[node].status = Status::Down(how);
        self.world.links.network().ended(node);
        S::Shared::torn(&self.world, node, how);
        let memory = self.disturb_memory(node, memory);
        self.world.happened(node, Happening::Down(how));
        Ok(memory)
    }

    /// Does to what a process, which is down, has on its disk what is planned, if it may be done. Returns
    /// what was done.
    fn disturb_memory(&self, node: NodeIndex, planned: Memory) -> Memory {
        let world = &self.world;
        let planned = if S::is_volatile(&world.plan) { Memory::Lost } else { planned };
        match planned {
            Memory::Lost if S::may_forget(world, node) => {
                S::Shared::wipe(world, node);
                Memory::Lost
            }
            Memory::Rotten if S::may_forget(world, node) && S::Shared::rot(world, node) => Memory::Rotten,
            Memory::Older if S::may_forget(world, node) => {
                let hash = stable_hash(&(world.plan.seed, "older", node, self.life(node)));
                if S::Shared::go_back(world, node, hash) { Memory::Older } else { Memory::Kept }
            }
            _ => Memory::Kept,
        }
    }

    /// Makes a process stand still, for a while or for good.
    pub fn pause(&mut self, node: NodeIndex, for_good: bool) -> Result<(), String> {
        let process = &mut self.processes()[node];
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
        self.processes()[node].frozen.get_or_insert(now());
        Ok(())
    }

    /// The clock of a machine that stood still goes on, behind by as much.
    fn thaw(&mut self, node: NodeIndex) {
        let frozen = self.processes()[node].frozen.take();
        if let Some(since) = frozen {
            self.world.pacer(node).lose(now() - since);
        }
    }

    /// Ends one pause.
    pub fn resume(&mut self, node: NodeIndex) {
        if self.status(node) == Status::Paused(1) {
            self.thaw(node);
        }
        let process = &mut self.processes()[node];
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
        for node in 0..self.world.nodes.simulator() {
            let lasting = self.processes()[node].lasting_pauses;
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
