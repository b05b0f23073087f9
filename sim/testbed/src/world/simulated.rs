//! What the testbed must be told to run a system: its processes, its clients, and what becomes of its disks.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tonic::{Status, codegen::BoxMessage};

use crate::{
    data::{fault::Memory, node::NodeIndex, nodes::Nodes, outcome::Down, plan::Plan},
    hardware::{
        copies::Copies,
        disk::{Content, Disk, SimulatedDisk},
    },
    judges::liveness::Prospect,
    nemesis::{Done, Nemesis},
    system::{NoFault, Setup, System, SystemFault},
    world::{
        World,
        cluster::Cluster,
        encoding::Type,
        links::Links,
        reach,
        script::{self, Caller},
    },
};

/// A system that can be run. Exists in the simulated world only.
pub trait Simulated: System<Fault: Executed<Self>> {
    /// What the processes of a run share, and what outlives them: their disks. [`Disks`] are one for each.
    type Shared: Shared<Self>;

    /// What its clients make calls with, if they do nothing but work through their scripts.
    /// [`script::NoCaller`] if there is more to them: then [`Self::client`], [`Self::reader`]
    /// and [`Self::linger`] say what.
    type Caller: Caller<Self>;

    /// All types of messages of its services.
    const MESSAGES: &'static [Type];

    /// Whether a process can be started now.
    fn may_start(_world: &World<Self>, _node: NodeIndex) -> bool {
        true
    }

    /// One life of a process. It ends only if the process ends by itself, which it may do if its drive
    /// failed ([`World::look`] tells the nemesis), and for no other reason.
    fn process(
        world: Arc<World<Self>>,
        node: NodeIndex,
        life: u64,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// What a client does, to the end of its script and after the heal.
    fn client(world: Arc<World<Self>>, node: NodeIndex) -> impl Future<Output = ()> + Send + 'static {
        script::run(world, node)
    }

    /// What a fresh client does after the heal: it looks at everything.
    fn reader(world: Arc<World<Self>>) -> impl Future<Output = ()> + Send + 'static {
        script::look(world)
    }

    /// Keeps the system in light use for a while.
    fn linger(world: Arc<World<Self>>, until: Duration) -> impl Future<Output = ()> + Send + 'static {
        script::linger(world, until)
    }

    /// Whether whatever ends a process takes what it had on its disk.
    fn is_volatile(_plan: &Plan<Self>) -> bool {
        false
    }

    /// Whether a process, which is down, may lose what it has on its disk, or find it damaged or as it was
    /// earlier, after which it may be a stranger to the others. By default only if the plan says so of the
    /// data.
    fn may_forget(world: &World<Self>, _node: NodeIndex) -> bool {
        world.plan.data_loss
    }

    /// Whether a process, which runs, may be ended now.
    ///
    /// # Errors
    ///
    /// Why not.
    fn may_end(_world: &World<Self>, _node: NodeIndex) -> Result<(), String> {
        Ok(())
    }

    /// The node that has a role now. `up` says which nodes run.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Panics
    ///
    /// If a system names roles and does not say which nodes have them: no fault would ever strike one.
    fn resolve(_world: &World<Self>, role: &str, _up: &[bool]) -> Result<NodeIndex, String> {
        panic!("{role} is one of System::ROLES: Simulated::resolve must say which node has it")
    }

    /// Whether a node's drive matters.
    ///
    /// # Errors
    ///
    /// Why it does not.
    fn has_drive(_world: &World<Self>, _node: NodeIndex) -> Result<(), String> {
        Ok(())
    }

    /// How many parts of a write reach a drive one after the other.
    fn parts_of_a_write(_node: NodeIndex) -> u64 {
        1
    }

    /// How many times about a start reads, renames, removes or cuts off files: one of these fails if such an
    /// access is to.
    fn accesses_of_a_start(_node: NodeIndex) -> u64 {
        1
    }

    /// What each client can expect if nothing is repaired any more, the reader among them.
    fn prospects(cluster: &Cluster<Self>) -> BTreeMap<NodeIndex, Prospect> {
        reach::prospects(cluster)
    }

    /// Something was done: what is around the processes is different now. `cause` is the fault that did it.
    fn surrounded(_nemesis: &Nemesis<Self>, _cause: Option<&'static str>) {}

    /// Whether something is lost for good that a plan did not say may be lost.
    fn is_lost(_world: &World<Self>) -> bool {
        false
    }

    /// How everything stands, for a run that does not come to its end, or is looked at on the way. A line
    /// that is about one node begins with its name and a colon. What this locks must not be locked while
    /// [`World::observer`] is called.
    fn standing(cluster: &Cluster<Self>) -> Vec<String> {
        cluster.world().nodes.processes().map(|node| cluster.standing(node)).collect()
    }

    /// What a message of its services says, in a few words; by default its name and contents.
    fn words(_message: &BoxMessage) -> Option<String> {
        None
    }

    /// The process that says what is not true. Without one, a plan in which messages are forged is told so.
    fn liar() -> Option<Box<dyn Liar>> {
        None
    }

    /// Whether an error proves that the call was not executed: then no copy of it arrives later.
    fn proves_not_executed(_status: &Status) -> bool {
        false
    }
}

/// What the processes of a run share, and what outlives them.
pub trait Shared<S: Simulated<Shared = Self>>: Sized + Send + Sync + 'static {
    /// What there is before a run. `salt` makes each node's disk differ from the others.
    fn new(plan: &Plan<S>, nodes: &Nodes, links: &Links, salt: &dyn Fn(NodeIndex) -> u64) -> Self;

    /// What a process remembers that begins a life now.
    fn remembers(world: &World<S>, node: NodeIndex) -> Memory;

    /// A process ended. Some of what it was writing is kept.
    fn torn(world: &World<S>, node: NodeIndex, how: Down);

    /// What a process, which is down, had on its disk is gone.
    fn wipe(world: &World<S>, node: NodeIndex);

    /// One bit of what a process, which is down, has on its disk is another one
    /// ([`Files::rot`](crate::hardware::files::Files::rot)). Returns whether that is so. By default nothing
    /// rots: a [`Disk`] has no bits.
    fn rot(_world: &World<S>, _node: NodeIndex) -> bool {
        false
    }

    /// Keeps a copy of what is durable on a process's disk now, to be put back later. By default none is
    /// kept.
    fn keep_copy(_world: &World<S>, _node: NodeIndex) {}

    /// What a process, which is down, has on its disk is what it was when a copy of it was kept, which the
    /// hash chooses. Returns whether that is so: not if there is no copy, or none from which what was
    /// promised can be kept.
    fn go_back(_world: &World<S>, _node: NodeIndex, _hash: u64) -> bool {
        false
    }

    /// What is on the disk of a process, and what of it a loss of power would take, a line for each thing.
    /// None if the disk is being used right now. By default nothing is said of it.
    fn on_disk(_world: &World<S>, _node: NodeIndex) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}

/// A disk for each process.
pub struct Disks<C: Content> {
    disks: Vec<Arc<Mutex<Disk<C>>>>,
    copies: Mutex<BTreeMap<NodeIndex, Copies<C>>>,
}

impl<C: Content> Disks<C> {
    /// The disk of a process, to look at or to change.
    pub fn of(&self, node: NodeIndex) -> MutexGuard<'_, Disk<C>> {
        self.disks[node].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as a running process sees it.
    pub fn open<S: Simulated<Shared = Self>>(world: &World<S>, node: NodeIndex) -> SimulatedDisk<C> {
        SimulatedDisk {
            disk: world.own.disks[node].clone(),
            drive: world.drive(node).clone(),
            durable: Box::new(|_| ()),
            failed: Box::new(|_| ()),
        }
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<NodeIndex, Copies<C>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Simulated<Shared = Self>, C: Content> Shared<S> for Disks<C> {
    fn new(plan: &Plan<S>, nodes: &Nodes, _: &Links, salt: &dyn Fn(NodeIndex) -> u64) -> Self {
        let slowest_ms = plan.cluster.disk_ms_max();
        let disk = |node| Arc::new(Mutex::new(Disk::new(salt(node), slowest_ms)));
        Self { disks: nodes.processes().map(disk).collect(), copies: Mutex::default() }
    }

    fn remembers(world: &World<S>, node: NodeIndex) -> Memory {
        if world.own.of(node).take_loss() { Memory::Lost } else { Memory::Kept }
    }

    fn torn(world: &World<S>, node: NodeIndex, _: Down) {
        world.own.of(node).crash(|_| ());
    }

    fn wipe(world: &World<S>, node: NodeIndex) {
        world.own.of(node).wipe();
    }

    fn keep_copy(world: &World<S>, node: NodeIndex) {
        let content = world.own.of(node).content().clone();
        world.own.copies().entry(node).or_default().keep(content);
    }

    fn go_back(world: &World<S>, node: NodeIndex, hash: u64) -> bool {
        let copy = world.own.copies().get(&node).and_then(|copies| copies.choose(hash, |_| true)).cloned();
        copy.map(|content| world.own.of(node).replace(content)).is_some()
    }

    fn on_disk(world: &World<S>, node: NodeIndex) -> Option<Vec<String>> {
        world.own.disks.get(node).map_or(Some(Vec::new()), |disk| Some(disk.try_lock().ok()?.standing()))
    }
}

/// A fault that only its system knows, executed.
pub trait Executed<S: Simulated<Fault = Self>>: SystemFault {
    /// What is to be done for it at some time.
    type Task: OwnTask;

    /// Begins it; says what was done.
    ///
    /// # Errors
    ///
    /// Why nothing was.
    fn begin(nemesis: &mut Nemesis<S>, fault: usize) -> Result<Done, String>;

    /// The time of a task has come, and nothing is done yet: what was owed until now, is looked at.
    fn is_due(_nemesis: &mut Nemesis<S>, _task: Self::Task) {}

    /// Does it.
    fn perform(nemesis: &mut Nemesis<S>, fault: usize, task: Self::Task);
}

/// A step of a fault that only its system knows.
pub trait OwnTask: Copy + fmt::Debug + Send + Sync + 'static {
    /// Whether it is done at the heal, if its time has not come by then.
    fn heals(self) -> bool;

    /// Whether it is done after everything else then.
    fn comes_last(self) -> bool;
}

/// There is nothing to do.
#[derive(Clone, Copy, Debug)]
pub enum NoTask {}

impl OwnTask for NoTask {
    fn heals(self) -> bool {
        match self {}
    }

    fn comes_last(self) -> bool {
        match self {}
    }
}

impl<S: Simulated<Fault = Self>> Executed<S> for NoFault {
    type Task = NoTask;

    fn begin(_: &mut Nemesis<S>, fault: usize) -> Result<Done, String> {
        Err(format!("fault {fault} is no fault of this system"))
    }

    /// Never: there is no task.
    fn perform(_: &mut Nemesis<S>, _: usize, _: Self::Task) {}
}

/// Says what is not true.
pub trait Liar: Send {
    /// What a liar sends that heard a message, of this life of its sender, to a receiver. `hash` is the
    /// source of all choices.
    fn lie(
        &mut self,
        way: (NodeIndex, u64, NodeIndex),
        message: &BoxMessage,
        hash: u64,
    ) -> Option<BoxMessage>;
}
