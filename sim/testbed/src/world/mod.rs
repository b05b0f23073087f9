//! What everything in a run shares: the nodes, the network's faults, the drives, the observer.

pub mod attempts;
pub mod cluster;
pub mod drive;
pub mod encoding;
pub mod flights;
pub mod folders;
pub mod links;
mod reach;
mod relay;
pub mod run;
pub mod script;
pub mod serve;
pub mod simulated;
mod standing;
mod stepping;
mod stream;

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use madsim::time::TimeHandle;
use tokio::sync::Notify;

use crate::{
    data::{
        chance::Chance,
        hash::stable_hash,
        node::NodeIndex,
        nodes::Nodes,
        outcome::{End, Happening, RunOptions},
        plan::Plan,
        standing::Step,
    },
    hardware::{
        clock::{Deviation, Pacer, SimulatedClock},
        network::Network,
    },
    marks::{Strike, struck},
    observer::observe::Observer,
    system::{Setup, Witness},
    world::{
        cluster::Process,
        drive::Drive,
        links::Links,
        serve::{Lengths, Listener, Services},
        simulated::{Shared, Simulated},
        stepping::Stepping,
    },
};

/// How often the executor forgets the tasks that have ended. It keeps them until they are counted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The shared state of a run. It is made before the simulated world and outlives it, also if that panics.
pub struct World<S: Simulated> {
    /// What is executed.
    pub plan: Plan<S>,
    /// A planted source of chance.
    pub chance: Option<Chance>,
    /// Names and addresses.
    pub nodes: Arc<Nodes>,
    /// The network's faults.
    pub links: Arc<Links>,
    /// What the system's processes share.
    pub own: S::Shared,
    /// The drives of the processes.
    drives: Vec<Arc<Drive>>,
    pacers: Vec<Pacer>,
    /// What each node is doing.
    processes: Mutex<Vec<Process>>,
    observer: Mutex<Observer<S>>,
    /// The steps that are to be looked at, if any are.
    stepping: Option<Mutex<Stepping<S>>>,
    progress: Mutex<Progress>,
    /// Told when the nemesis should look at what happened.
    news: Notify,
}

#[derive(Default)]
struct Progress {
    healed: Option<Duration>,
    finished: BTreeSet<NodeIndex>,
}

impl<S: Simulated> World<S> {
    /// The world before anything happened.
    pub fn new(plan: &Plan<S>, options: &RunOptions) -> Self {
        let nodes = Arc::new(Nodes::new(plan));
        // Chance that is planted strikes the second process, or the only one.
        let struck = nodes.processes().nth(1).unwrap_or_default();
        let chance = |node: NodeIndex| options.chance.filter(|_| node == struck).map_or(0, Chance::salt);
        let salt = |node: NodeIndex| stable_hash(&(plan.seed, "disk", node)) ^ chance(node);
        let mut network = Network::new(stable_hash(&(plan.seed, "network")), nodes.len());
        network.set_roles(struck::roles(&nodes));
        let links = Arc::new(Links::new::<S>(network, plan, options));
        Self {
            plan: plan.clone(),
            chance: options.chance,
            own: S::Shared::new(plan, &nodes, &links, &salt),
            drives: (0..nodes.len()).map(|_| Arc::default()).collect(),
            pacers: (0..nodes.len()).map(|_| Pacer::default()).collect(),
            processes: Mutex::default(),
            observer: Mutex::new(Observer::new(nodes.clone(), plan, options.clone())),
            stepping: options.steps.map(|steps| Mutex::new(Stepping::new(steps))),
            progress: Mutex::default(),
            links,
            nodes,
            news: Notify::new(),
        }
    }

    /// The observer, for one step.
    pub fn observer(&self) -> MutexGuard<'_, Observer<S>> {
        // While it looks, it asks for the observer itself.
        if let Some(Ok(mut stepping)) = self.stepping.as_ref().map(Mutex::try_lock) {
            stepping.look();
        }
        self.observer_alone()
    }

    /// The same, whatever is to be looked at.
    fn observer_alone(&self) -> MutexGuard<'_, Observer<S>> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world has processes from now on.
    fn begin_stepping(self: &Arc<Self>) {
        if let Some(stepping) = &self.stepping {
            stepping.lock().unwrap_or_else(PoisonError::into_inner).begin(self);
        }
    }

    /// The steps that were to be looked at. Nothing is looked at any more.
    fn take_steps(&self) -> Vec<Step> {
        let stepping = self.stepping.as_ref();
        let steps =
            stepping.map(|stepping| stepping.lock().unwrap_or_else(PoisonError::into_inner).take(self));
        steps.unwrap_or_default()
    }

    /// Takes the observer out of a world that is over, and leaves one that has seen nothing.
    pub fn take_observer(&self) -> Observer<S> {
        let fresh = Observer::new(self.nodes.clone(), &self.plan, RunOptions::default());
        std::mem::replace(&mut self.observer(), fresh)
    }

    /// The drive of a process.
    pub fn drive(&self, node: NodeIndex) -> &Arc<Drive> {
        &self.drives[node]
    }

    /// A fault of the network, which names these nodes, began.
    pub fn disturbed(&self, strike: Strike, nodes: &[NodeIndex]) {
        let network = self.links.network();
        self.observer().witness.disturbed(strike, nodes, &network);
    }

    /// Puts something on the timeline, now.
    pub fn happened(&self, node: NodeIndex, event: Happening<S>) {
        self.observer().happened(now(), node, event);
    }

    /// A client's call ended, now. The run ends with it if no order explains the answer, or the system's
    /// witness does not accept it.
    pub fn returned(&self, client: NodeIndex, operation: usize, end: End<S>) {
        if self.observer().returned(now(), client, operation, end) {
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
        // Counting makes madsim forget the tasks that have ended; else it keeps them until the end.
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

    /// What each node is doing, for one question.
    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stops a node's clock.
    pub fn pacer(&self, node: NodeIndex) -> Pacer {
        self.pacers[node].clone()
    }

    /// How a node's clock deviates.
    pub fn deviation(&self, node: NodeIndex) -> Deviation {
        let name = self.nodes.name(node);
        let clock = self.plan.cluster.clocks().iter().find(|clock| *clock.node == **name);
        clock.map_or(Deviation::default(), |clock| Deviation {
            skew_ms: clock.skew_ms,
            drift_ppm: clock.drift_ppm,
        })
    }
    /// A node's clock, as it sees it.
    pub fn clock(&self, node: NodeIndex) -> SimulatedClock {
        SimulatedClock::new(self.deviation(node), self.pacer(node))
    }

    /// Serves on a process's own address until the process ends. Messages that are longer than these
    /// lengths are refused, if messages travel as bytes.
    ///
    /// # Panics
    ///
    /// If that is impossible.
    pub async fn serve(self: &Arc<Self>, node: NodeIndex, services: Services, lengths: Lengths) {
        let world = self.clone();
        let listener = (!S::HAS_STEPS).then(|| -> Listener {
            Box::new(move |method, message| world.observer().heard(now(), node, method, message))
        });
        let (nodes, links) = (self.nodes.clone(), self.links.clone());
        let served: io::Result<()> = serve::serve(node, nodes, links, services, lengths, listener).await;
        panic!("{} cannot serve: {served:?}", self.nodes.name(node));
    }

    /// The same for a server that speaks a protocol of its own over madsim's connections, and listens at
    /// `server`, an address of its own node only. Before an answer leaves, what `answers` returns is awaited.
    ///
    /// # Panics
    ///
    /// If that is impossible.
    pub async fn relay<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        node: NodeIndex,
        server: SocketAddr,
        answers: impl Fn() -> F + Send + Sync + 'static,
    ) {
        assert!(
            self.plan.network.bytes_per_ms.is_none(),
            "bytes_per_ms: how long a sealed message is, is unknown"
        );
        let relayed = relay::serve(self.clone(), node, server, answers).await;
        panic!("{} cannot be relayed: {relayed:?}", self.nodes.name(node));
    }
}

/// Virtual time since the start of the run.
pub fn now() -> Duration {
    TimeHandle::current().elapsed()
}
