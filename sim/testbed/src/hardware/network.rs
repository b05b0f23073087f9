//! The faults of the network: which are active, and what they do to a message.
//!
//! Pure state and verdicts; `crate::world::serve` carries them out. A *link* is an ordered pair of nodes. The
//! messages of a link are numbered, and everything that could have been left to chance is a hash of the
//! plan's seed, the fault, the link and that number. So a verdict depends on what a message is, not on
//! how often somebody drew before, and a plan from which one fault was removed keeps the decisions of the
//! others.
//!
//! What a partition does to a message depends on when it ends, so it is asked for separately
//! ([`Network::cut`]) by whoever carries the message, as often as something changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    data::{
        fault::{Cut, FaultKind, Mistreatment},
        hash::{below, stable_hash},
        node::NodeIndex,
    },
    marks::Role,
    system::System,
};

/// The time for which one message of two is held back, at most. One of four is held back for up to twice as
/// long, and so on: what is said in one era of the system may arrive in a much later one.
pub const DELAY_USUAL: Duration = Duration::from_secs(2);

/// The longest time for which a single message is held back.
pub const DELAY_MAX: Duration = Duration::from_secs(16);

/// The longest time that a handler gets before it is cancelled.
pub const CANCEL_AFTER_MAX: Duration = Duration::from_millis(30);

/// Which nodes a fault is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// From these
    pub from: Vec<NodeIndex>,
    /// to these.
    pub to: Vec<NodeIndex>,
}

impl Link {
    fn covers(&self, from: NodeIndex, to: NodeIndex) -> bool {
        from != to && self.from.contains(&from) && self.to.contains(&to)
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// From this node
    pub from: NodeIndex,
    /// to this one.
    pub to: NodeIndex,
    /// Which of them was called.
    pub called: NodeIndex,
}

impl Way {
    /// From a caller to the node that it calls.
    pub fn to(caller: NodeIndex, called: NodeIndex) -> Self {
        Self { from: caller, to: called, called }
    }

    /// And back.
    pub fn back(caller: NodeIndex, called: NodeIndex) -> Self {
        Self { from: called, to: caller, called }
    }

    fn caller(self) -> NodeIndex {
        if self.called == self.from { self.to } else { self.from }
    }
}

/// What an active fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing passes.
    Cut {
        /// The other direction neither.
        both_ways: bool,
        /// What the sender sees.
        how: Cut,
    },
    /// Calls do not get through.
    Closed {
        /// What the caller sees.
        how: Cut,
    },
    /// Messages take longer.
    Slow {
        /// In the other direction, too.
        both_ways: bool,
        /// All of them,
        latency: Duration,
        /// and each by up to this on top.
        jitter: Duration,
    },
    /// Single messages are mistreated.
    Mistreat {
        /// How.
        how: Mistreatment,
        /// Which share, in percent.
        percent: u32,
    },
}

/// An active fault.
#[derive(Clone, Debug)]
pub struct Active {
    /// Its place in the plan.
    pub fault: usize,
    /// What the fault contributes to hashes: its own content, not its place.
    salt: u64,
    /// What it is about,
    pub link: Link,
    /// and what it does.
    pub effect: Effect,
}

/// What is to be done with a message that is not cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How much longer it takes than the network alone would make it.
    pub delay: Duration,
    /// A mistreatment, with the fault that orders it.
    pub treatment: Option<Treatment>,
    /// Decides everything else about this message; different for each.
    pub hash: u64,
}

/// A mistreatment of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// What is done.
    pub how: Mistreatment,
    /// The place of the fault in the plan.
    pub fault: usize,
    /// For [`Mistreatment::Delay`] and the second copy of [`Mistreatment::Duplicate`]: how long the message
    /// is held back. For [`Mistreatment::Cancel`]: how long the handler may run.
    pub after: Duration,
    /// One of two variants: whether a delay strikes the reply instead of the request, whether a hanging
    /// request is executed.
    pub variant: bool,
}

/// Within this time processes are taken to give up a stream that a black hole left mute.
const MUTE_MAX: Duration = Duration::from_secs(5);

/// For how long after its end a fault may hold messages back.
pub fn lateness<S: System>(kind: &FaultKind<S>) -> Duration {
    match kind {
        FaultKind::Rpc { how: Mistreatment::Delay | Mistreatment::Duplicate, .. } => DELAY_MAX,
        FaultKind::Partition { how: Cut::BlackHole, .. } | FaultKind::Closed { how: Cut::BlackHole, .. } => {
            MUTE_MAX
        }
        FaultKind::Slow { latency_ms, jitter_ms, .. } => Duration::from_millis(latency_ms + jitter_ms),
        _ => Duration::ZERO,
    }
}

impl Verdict {
    /// Whether a message that was held by a black hole until the heal arrives then, or was lost with its
    /// connection.
    pub fn survives_the_hole(&self) -> bool {
        self.hash & 1 == 0
    }
}

/// The active faults of a network of nodes.
#[derive(Clone, Debug)]
pub struct Network {
    seed: u64,
    nodes: usize,
    ordinals: Vec<u64>,
    active: Vec<Active>,
    messages: u64,
    /// How many lives of each node have ended.
    ends: Vec<u64>,
    /// Whether a message arrived whose sender had ended.
    outlived: bool,
    /// Whether a stream went mute.
    muted: bool,
    /// Whether a stream broke that a client had opened.
    broke: bool,
    struck: BTreeMap<Mistreatment, u64>,
    /// The role that each node has, and which roles were struck by what.
    roles: Vec<Role>,
    strikes: BTreeSet<(Mistreatment, Role)>,
}

impl Network {
    /// A network without faults.
    pub fn new(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            ordinals: vec![0; nodes * nodes],
            active: Vec::new(),
            messages: 0,
            ends: vec![0; nodes],
            outlived: false,
            muted: false,
            broke: false,
            struck: BTreeMap::new(),
            roles: Vec::new(),
            strikes: BTreeSet::new(),
        }
    }

    /// Begins the fault at place `fault` of the plan; `salt` distinguishes its content from others'.
    pub fn begin(&mut self, fault: usize, salt: u64, link: Link, effect: Effect) {
        self.active.push(Active { fault, salt, link, effect });
    }

    /// Ends a fault.
    pub fn end(&mut self, fault: usize) {
        self.active.retain(|active| active.fault != fault);
    }

    /// Ends all faults but these.
    pub fn heal(&mut self, lasting: &[usize]) {
        self.active.retain(|active| lasting.contains(&active.fault));
    }

    /// Whether a fault is active.
    pub fn is_active(&self, fault: usize) -> bool {
        self.active.iter().any(|active| active.fault == fault)
    }

    /// The active faults, in the order in which they began.
    pub fn active(&self) -> &[Active] {
        &self.active
    }

    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// A process has ended.
    pub fn ended(&mut self, node: NodeIndex) {
        self.ends[node] += 1;
    }

    /// How many lives of a node have ended.
    pub fn ends(&self, node: NodeIndex) -> u64 {
        self.ends[node]
    }

    /// A message arrives although the process that sent it has ended.
    pub fn outlived(&mut self) {
        self.outlived = true;
    }

    /// A stream lets nothing pass any more, and neither end knows.
    pub fn muted(&mut self) {
        self.muted = true;
    }

    /// A stream breaks that a client had opened.
    pub fn broke(&mut self) {
        self.broke = true;
    }

    /// Whether a stream broke that a client had opened.
    pub fn has_broken(&self) -> bool {
        self.broke
    }

    /// Whether a stream went mute.
    pub fn has_muted(&self) -> bool {
        self.muted
    }

    /// Whether a message arrived although the process that sent it had ended.
    pub fn has_outlived(&self) -> bool {
        self.outlived
    }

    /// Messages that were mistreated so far.
    pub fn struck(&self) -> &BTreeMap<Mistreatment, u64> {
        &self.struck
    }

    /// From now on the nodes have these roles. Only for [`Self::strikes`]: no verdict depends on it.
    pub fn set_roles(&mut self, roles: Vec<Role>) {
        self.roles = roles;
    }

    /// Which mistreatments struck a message from or to a node of which role.
    pub fn strikes(&self) -> &BTreeSet<(Mistreatment, Role)> {
        &self.strikes
    }

    /// Whether a partition is between the two, and what the sender sees of it. A refusal is seen even if
    /// there is a black hole, too.
    pub fn cut(&self, from: NodeIndex, to: NodeIndex) -> Option<Cut> {
        let mut cut = None;
        for Active { link, effect, .. } in &self.active {
            let Effect::Cut { both_ways, how } = effect else { continue };
            if link.covers(from, to) || (*both_ways && link.covers(to, from)) {
                match how {
                    Cut::Refuse => return Some(Cut::Refuse),
                    Cut::BlackHole => cut = Some(Cut::BlackHole),
                }
            }
        }
        cut
    }

    /// Whether calls of one node to another do not get through, and what is seen of it.
    pub fn closed(&self, caller: NodeIndex, called: NodeIndex) -> Option<Cut> {
        let closed = self.active.iter().filter_map(|Active { link, effect, .. }| match effect {
            Effect::Closed { how } if link.covers(caller, called) => Some(*how),
            _ => None,
        });
        closed.min_by_key(|how| *how != Cut::Refuse)
    }

    /// Whether something is in the way of a message of a connection, and what its sender sees of it.
    pub fn blocked(&self, way: Way) -> Option<Cut> {
        let (cut, closed) = (self.cut(way.from, way.to), self.closed(way.caller(), way.called));
        cut.filter(|how| *how == Cut::Refuse).or(closed).or(cut)
    }

    /// Whether one of two nodes cannot call the other and be answered.
    pub fn apart(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.parted(one, other) || self.closed(one, other).or(self.closed(other, one)).is_some()
    }

    /// Whether messages do not pass between two nodes in both directions, whoever calls.
    pub fn parted(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.cut(one, other).or(self.cut(other, one)).is_some()
    }

    /// The same, but for faults at these places of the plan.
    pub fn parted_for_a_while(&self, one: NodeIndex, other: NodeIndex, lasting: &[usize]) -> bool {
        let ends = |active: &&Active| !lasting.contains(&active.fault);
        let cuts = |active: &Active| match &active.effect {
            Effect::Cut { .. } => active.link.covers(one, other) || active.link.covers(other, one),
            _ => false,
        };
        self.active.iter().filter(ends).any(cuts)
    }

    /// Whether messages between any two of these nodes are slow or mistreated.
    pub fn disturbs(&self, nodes: std::ops::Range<NodeIndex>) -> bool {
        let strikes = |link: &Link| {
            let pairs = nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to)));
            pairs.into_iter().any(|(from, to)| link.covers(from, to))
        };
        let disturbs = |effect: &Effect| !matches!(effect, Effect::Cut { .. } | Effect::Closed { .. });
        self.active.iter().any(|active| disturbs(&active.effect) && strikes(&active.link))
    }

    /// What is to be done with the next message from one node to another.
    pub fn message(&mut self, from: NodeIndex, to: NodeIndex) -> Verdict {
        let ordinal = self.count(from, to);
        let mut verdict = Verdict { delay: Duration::ZERO, treatment: None, hash: 0 };
        if self.active.is_empty() {
            return verdict;
        }
        verdict.hash = stable_hash(&(self.seed, from, to, ordinal));
        for Active { fault, salt, link, effect } in &self.active {
            let own = || stable_hash(&(self.seed, *salt, from, to, ordinal));
            match effect {
                Effect::Cut { .. } | Effect::Closed { .. } => {}
                Effect::Slow { both_ways, latency, jitter } => {
                    if link.covers(from, to) || (*both_ways && link.covers(to, from)) {
                        verdict.delay += *latency + fraction(*jitter, own());
                    }
                }
                Effect::Mistreat { how, percent } => {
                    if verdict.treatment.is_none() && link.covers(from, to) {
                        let hash = own();
                        if below(hash, 100) < u64::from(*percent) {
                            verdict.treatment = Some(Treatment::new(*how, *fault, stable_hash(&hash)));
                        }
                    }
                }
            }
        }
        if let Some(Treatment { how, .. }) = verdict.treatment {
            let roles = [from, to].map(|node| self.roles.get(node).copied());
            // Nobody lies to clients, or as one, however many are named.
            if how != Mistreatment::Forge || !roles.contains(&Some(Role::CLIENT)) {
                *self.struck.entry(how).or_default() += 1;
                self.strikes.extend(roles.into_iter().flatten().map(|role| (how, role)));
            }
        }
        verdict
    }

    /// How much longer the next message from one node to another takes, where mistreatments were decided
    /// with the message that it answers.
    pub fn reply(&mut self, from: NodeIndex, to: NodeIndex) -> Verdict {
        let ordinal = self.count(from, to);
        let mut verdict = Verdict { delay: Duration::ZERO, treatment: None, hash: 0 };
        if self.active.is_empty() {
            return verdict;
        }
        verdict.hash = stable_hash(&(self.seed, from, to, ordinal));
        for Active { salt, link, effect, .. } in &self.active {
            if let Effect::Slow { both_ways, latency, jitter } = effect
                && (link.covers(from, to) || (*both_ways && link.covers(to, from)))
            {
                verdict.delay +=
                    *latency + fraction(*jitter, stable_hash(&(self.seed, *salt, from, to, ordinal)));
            }
        }
        verdict
    }

    fn count(&mut self, from: NodeIndex, to: NodeIndex) -> u64 {
        self.messages += 1;
        let ordinal = &mut self.ordinals[from * self.nodes + to];
        *ordinal += 1;
        *ordinal
    }
}

impl Treatment {
    fn new(how: Mistreatment, fault: usize, hash: u64) -> Self {
        let longest = match how {
            Mistreatment::Cancel => CANCEL_AFTER_MAX,
            _ => DELAY_MAX.min(DELAY_USUAL * (1 << (stable_hash(&(hash, "scale")).trailing_ones()).min(3))),
        };
        Self { how, fault, after: fraction(longest, hash), variant: stable_hash(&hash) & 1 == 0 }
    }
}

/// A share of a duration, chosen by a hash.
pub fn fraction(of: Duration, hash: u64) -> Duration {
    Duration::from_nanos(below(hash, u64::try_from(of.as_nanos()).expect("less than 500 years")))
}

#[cfg(test)]
mod tests;
