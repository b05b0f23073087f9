//! The network as the code sees it that carries its messages: verdicts, and waiting until something passes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockResult, atomic::AtomicBool},
    time::Duration,
};

use madsim::{runtime::Handle, time::Instant};
use tokio::sync::Notify;
use tonic::{Status, codegen::BoxMessage};

use crate::{
    data::{fault::Cut, node::NodeIndex, nodes::SIMULATOR, outcome::RunOptions, plan::Plan},
    hardware::network::{Network, Verdict, Way},
    observer::messages::{Message, MessageIndex, Messages},
    system::Setup,
    world::{
        attempts::Attempts,
        encoding::{self, Type, length},
        flights::{Due, Entry, Flight, Flights},
        now,
        simulated::{Liar, Simulated},
    },
};

/// The faults of the network, shared by the nemesis and by every connection.
pub struct Links {
    network: Mutex<Network>,
    /// The clients' messages, if they are kept.
    messages: Option<Mutex<Messages>>,
    /// Whether the handler of a call ends when its caller has left.
    pub callers_leave: bool,
    /// Whether messages travel as bytes.
    pub encoded: bool,
    /// Bytes that each link carries in a millisecond,
    bytes_per_ms: Option<u64>,
    /// and when the last message that began its way on it has left its sender.
    free_at: Mutex<BTreeMap<(NodeIndex, NodeIndex), Instant>>,
    /// Says what is not true, if anything does.
    liar: Option<Mutex<Box<dyn Liar>>>,
    /// What can be done with the system's messages.
    pub(crate) types: &'static [Type],
    /// What the system says of its messages.
    pub(crate) own_words: fn(&BoxMessage) -> Option<String>,
    /// What clients were told last.
    pub attempts: Attempts,
    /// Messages on their way, if the run is to be looked at.
    flights: Option<Arc<Flights>>,
    /// The least and the greatest latency of the network, without faults.
    latency: (Duration, Duration),
    /// Whether an error proves that a call was not executed.
    pub(crate) proves_not_executed: fn(&Status) -> bool,
    changed: Notify,
}

/// What became of a message at a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It passes.
    Open,
    /// It was held in a black hole until now.
    Held,
    /// Its sender is told that it cannot be delivered.
    Refused,
}

/// What became of a message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is there.
    Arrived,
    /// Its sender is told that it was not delivered.
    Refused,
    /// It is lost, and its sender is not told.
    Lost,
}

/// Lets something happen that is under way, whatever becomes of the process that began it.
pub fn on_the_way(what: impl Future<Output = ()> + Send + 'static) {
    Handle::current().get_node(SIMULATOR).expect("it is made with the others").spawn(what);
}

impl Links {
    /// Shares a network, and keeps on request the clients' messages, and those on their way.
    pub fn new<S: Simulated>(network: Network, plan: &Plan<S>, options: &RunOptions) -> Self {
        let latency = (plan.network.latency_us_min, plan.network.latency_us_max);
        Self {
            network: Mutex::new(network),
            messages: options.keep_messages.then(Mutex::default),
            callers_leave: plan.cluster.callers_leave(),
            encoded: plan.cluster.is_encoded(),
            bytes_per_ms: plan.network.bytes_per_ms,
            free_at: Mutex::default(),
            liar: S::liar().map(Mutex::new),
            types: S::MESSAGES,
            own_words: S::words,
            attempts: Attempts::default(),
            flights: options.looks().then(Arc::default),
            latency: (Duration::from_micros(latency.0), Duration::from_micros(latency.1)),
            proves_not_executed: S::proves_not_executed,
            changed: Notify::new(),
        }
    }

    /// How long a message takes to leave its sender, behind all that leaves it on this link.
    pub fn queue(&self, from: NodeIndex, to: NodeIndex, message: &BoxMessage) -> Duration {
        let Some(bytes_per_ms) = self.bytes_per_ms else { return Duration::ZERO };
        let own = Duration::from_millis(length(self.types, message) as u64)
            / u32::try_from(bytes_per_ms).unwrap_or(u32::MAX);
        let now = Instant::now();
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let left_at = free_at.get(&(from, to)).map_or(now, |free_at| now.max(*free_at)) + own;
        free_at.insert((from, to), left_at);
        left_at - now
    }

    /// What a liar says that hears this message.
    pub fn lie(&self, from: NodeIndex, to: NodeIndex, message: &BoxMessage, hash: u64) -> Option<BoxMessage> {
        let life = self.network().ends(from);
        let mut liar = self.liar.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        liar.lie((from, life, to), message, hash)
    }

    /// Whether anything says what is not true.
    pub fn has_liar(&self) -> bool {
        self.liar.is_some()
    }

    /// Keeps a client's message or an answer to it, if messages are kept.
    pub fn keep(&self, message: impl FnOnce() -> Message) -> Option<MessageIndex> {
        let messages = self.messages.as_ref()?;
        messages.lock().unwrap_or_else(PoisonError::into_inner).keep(message())
    }

    /// A request was delivered at this time.
    pub fn delivered(&self, request: Option<MessageIndex>, at: Duration) {
        if let (Some(messages), Some(index)) = (&self.messages, request) {
            let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
            let message = messages.get_mut(index);
            (message.received, message.lost) = (Some(at), false);
        }
    }

    /// An answer is on its last stretch, where nothing happens to it.
    pub fn left(&self, answer: Option<MessageIndex>) {
        if let (Some(messages), Some(index)) = (&self.messages, answer) {
            messages.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index).lost = false;
        }
    }

    /// The clients' messages so far.
    pub fn take_messages(&self) -> Messages {
        let messages = self.messages.as_ref().map(|messages| messages.lock());
        messages.map_or_else(Messages::default, |messages| {
            std::mem::take(&mut *messages.unwrap_or_else(PoisonError::into_inner))
        })
    }

    /// The network, for one question.
    pub fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless it is being asked something.
    pub fn try_network(&self) -> TryLockResult<MutexGuard<'_, Network>> {
        self.network.try_lock()
    }

    /// Changes the faults and lets everything that waits look again.
    pub fn change(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.network());
        self.changed.notify_waiters();
    }

    /// Waits until a message can pass from one node to another, or is refused.
    pub async fn pass(&self, way: Way) -> Passage {
        let mut passage = Passage::Open;
        loop {
            let changed = self.changed.notified();
            let blocked = self.network().blocked(way);
            match blocked {
                None => return passage,
                Some(Cut::Refuse) => return Passage::Refused,
                Some(Cut::BlackHole) => passage = Passage::Held,
            }
            changed.await;
        }
    }

    /// A message begins its way, if that is looked at. It says `text`, and is there when what is returned is
    /// dropped.
    pub fn begin(
        &self,
        (from, to): (NodeIndex, NodeIndex),
        text: impl FnOnce(&Self) -> String,
        due: impl FnOnce(&Self, Duration) -> Due,
    ) -> Option<Entry> {
        let (flights, sent) = (self.flights.as_ref()?, now());
        Some(flights.begin(Flight { from, to, text: text(self), sent, due: due(self, sent) }))
    }

    /// A message is left to the network.
    pub fn let_go(&self, (from, to): (NodeIndex, NodeIndex), text: impl FnOnce(&Self) -> String) {
        if let Some(flights) = &self.flights {
            let sent = now();
            flights.let_go(Flight { from, to, text: text(self), sent, due: self.by_latency(sent) });
        }
    }

    /// A stream is open, until what is returned is dropped.
    pub fn opened(&self, nodes: (NodeIndex, NodeIndex), mute: &Arc<AtomicBool>) -> Option<Entry> {
        Some(self.flights.as_ref()?.opened(nodes, mute.clone()))
    }

    /// When the network brings what is sent now.
    pub fn by_latency(&self, now: Duration) -> Due {
        Due::Between(now + self.latency.0, now + self.latency.1)
    }

    /// The greatest latency of the network, without faults.
    pub fn latency_max(&self) -> Duration {
        self.latency.1
    }

    /// Messages on their way, if the run is to be looked at.
    pub fn flights(&self) -> Option<&Arc<Flights>> {
        self.flights.as_ref()
    }

    /// What a message says, in a few words.
    pub fn words(&self, message: &BoxMessage) -> String {
        (self.own_words)(message).unwrap_or_else(|| encoding::words(self.types, message))
    }

    /// Carries a message from one node to another, if no mistreatment is in its way. `entry` says that it is
    /// on its way, until it is there.
    pub async fn carry(&self, way: Way, verdict: &Verdict, extra: Duration, entry: Option<Entry>) -> Arrival {
        let delay = verdict.delay + extra;
        if !delay.is_zero() {
            entry.iter().for_each(|entry| entry.arrives(Due::At(now() + delay)));
            madsim::time::sleep(delay).await;
        }
        entry.iter().for_each(|entry| entry.arrives(Due::After("a partition")));
        match self.pass(way).await {
            Passage::Open => Arrival::Arrived,
            Passage::Held if verdict.survives_the_hole() => Arrival::Arrived,
            Passage::Held => Arrival::Lost,
            Passage::Refused => Arrival::Refused,
        }
    }

    /// Carries a message that arrives even if the process that sent it has ended by then.
    pub async fn carry_on(
        &self,
        way: Way,
        verdict: &Verdict,
        extra: Duration,
        entry: Option<Entry>,
    ) -> Arrival {
        let ends = |network: &Network| (network.ends(way.from), network.ends(way.to));
        let sent = ends(&self.network());
        let arrival = self.carry(way, verdict, extra, entry).await;
        let mut network = self.network();
        let (sender, receiver) = ends(&network);
        if arrival == Arrival::Arrived && sender > sent.0 && receiver == sent.1 {
            network.outlived();
        }
        arrival
    }

    /// Waits until the fault at this place of the plan is over.
    pub async fn over(&self, fault: usize) {
        loop {
            let changed = self.changed.notified();
            if !self.network().is_active(fault) {
                return;
            }
            changed.await;
        }
    }
}
