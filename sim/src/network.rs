//! The faults of the network: which are active, and what they do to a message.
//!
//! Pure state and verdicts; `crate::serve` carries them out. A *link* is an ordered pair of nodes. The
//! messages of a link are numbered, and everything that could have been left to chance is a hash of the
//! scenario's seed, the fault, the link and that number. So a verdict depends on what a message is, not on
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
    marks::Part,
    scenario::{Cut, FaultKind, Mistreatment},
    trace::{below, stable_hash},
};

/// A node, by its place in [`crate::nodes::Nodes`].
pub type NodeIndex = usize;

/// The time for which one message of two is held back, at most. One of four is held back for up to twice as long,
/// and so on: what is said in one view may arrive in a much later one.
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

#[derive(Clone, Debug)]
struct Active {
    /// Its place in the scenario.
    fault: usize,
    /// What the fault contributes to hashes: its own content, not its place.
    salt: u64,
    link: Link,
    effect: Effect,
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
    /// The place of the fault in the scenario.
    pub fault: usize,
    /// For [`Mistreatment::Delay`] and the second copy of [`Mistreatment::Duplicate`]: how long the message
    /// is held back. For [`Mistreatment::Cancel`]: how long the handler may run.
    pub after: Duration,
    /// One of two variants: whether a delay strikes the reply instead of the request, whether a hanging
    /// request is executed.
    pub variant: bool,
}

/// Within this time the servers give up a stream that a black hole left mute.
const MUTE_MAX: Duration = Duration::from_secs(5);

/// For how long after its end a fault may hold messages back.
pub fn lateness(kind: &FaultKind) -> Duration {
    match kind {
        FaultKind::Rpc { how: Mistreatment::Delay | Mistreatment::Duplicate, .. } => DELAY_MAX,
        FaultKind::Partition { how: Cut::BlackHole, .. } => MUTE_MAX,
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
    struck: BTreeMap<Mistreatment, u64>,
    /// The part that each node plays, and which parts were struck by what.
    parts: Vec<Part>,
    strikes: BTreeSet<(Mistreatment, Part)>,
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
            struck: BTreeMap::new(),
            parts: Vec::new(),
            strikes: BTreeSet::new(),
        }
    }

    /// Begins the fault at place `fault` of the scenario; `salt` distinguishes its content from others'.
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

    /// From now on the nodes play these parts. Only for [`Self::strikes`]: no verdict depends on it.
    pub fn cast(&mut self, parts: Vec<Part>) {
        self.parts = parts;
    }

    /// Which mistreatments struck a message from or to whom.
    pub fn strikes(&self) -> &BTreeSet<(Mistreatment, Part)> {
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

    /// Whether messages between any two of these nodes are slow or mistreated.
    pub fn disturbs(&self, nodes: std::ops::Range<NodeIndex>) -> bool {
        let strikes = |link: &Link| {
            let pairs = nodes.clone().flat_map(|from| nodes.clone().map(move |to| (from, to)));
            pairs.into_iter().any(|(from, to)| link.covers(from, to))
        };
        self.active.iter().any(|active| !matches!(active.effect, Effect::Cut { .. }) && strikes(&active.link))
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
                Effect::Cut { .. } => {}
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
        if let Some(treatment) = verdict.treatment {
            *self.struck.entry(treatment.how).or_default() += 1;
            let parts = [from, to].into_iter().filter_map(|node| self.parts.get(node));
            self.strikes.extend(parts.map(|part| (treatment.how, *part)));
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
mod tests {
    use super::*;

    const ALL: [NodeIndex; 4] = [0, 1, 2, 3];

    fn link(from: &[NodeIndex], to: &[NodeIndex]) -> Link {
        Link { from: from.to_vec(), to: to.to_vec() }
    }

    fn cut(both_ways: bool, how: Cut) -> Effect {
        Effect::Cut { both_ways, how }
    }

    #[test]
    fn a_one_way_partition_cuts_one_way() {
        let mut network = Network::new(1, 4);
        network.begin(0, 0, link(&[1], &ALL), cut(false, Cut::BlackHole));
        assert_eq!(network.cut(1, 2), Some(Cut::BlackHole));
        assert_eq!(network.cut(1, 0), Some(Cut::BlackHole));
        assert_eq!(network.cut(2, 1), None);
        assert_eq!(network.cut(2, 3), None);
        assert_eq!(network.cut(1, 1), None, "a node always reaches itself");
    }

    #[test]
    fn a_symmetric_partition_cuts_both_ways_until_its_own_end() {
        let mut network = Network::new(1, 4);
        network.begin(0, 0, link(&[1], &[2]), cut(true, Cut::BlackHole));
        network.begin(1, 0, link(&[2], &[1]), cut(false, Cut::Refuse));
        assert_eq!(network.cut(1, 2), Some(Cut::BlackHole));
        assert_eq!(network.cut(2, 1), Some(Cut::Refuse), "a refusal is seen through a black hole");
        network.end(1);
        assert_eq!(network.cut(2, 1), Some(Cut::BlackHole));
        network.end(0);
        assert_eq!(network.cut(1, 2), None);
        assert!(!network.is_active(0));
    }

    #[test]
    fn slowness_strikes_both_directions_and_lets_messages_overtake() {
        let mut network = Network::new(7, 4);
        let (latency, jitter) = (Duration::from_millis(40), Duration::from_millis(100));
        network.begin(3, 9, link(&[1], &[2]), Effect::Slow { both_ways: true, latency, jitter });
        let delays: Vec<_> = (0..20).map(|_| network.message(1, 2).delay).collect();
        assert!(delays.iter().all(|delay| (latency..latency + jitter).contains(delay)), "{delays:?}");
        assert!(delays.windows(2).any(|pair| pair[0] > pair[1]), "{delays:?}");
        assert!(network.reply(2, 1).delay >= latency);
        assert_eq!(network.message(1, 3).delay, Duration::ZERO);
    }

    fn mistreat(how: Mistreatment, percent: u32) -> Effect {
        Effect::Mistreat { how, percent }
    }

    #[test]
    fn mistreatment_strikes_about_the_share_it_should() {
        let mut network = Network::new(11, 4);
        network.begin(0, 5, link(&[3], &ALL), mistreat(Mistreatment::DropReply, 30));
        let struck = (0..1000).filter(|_| network.message(3, 1).treatment.is_some()).count();
        assert!((250..350).contains(&struck), "{struck} of 1000");
        assert_eq!(network.struck()[&Mistreatment::DropReply], struck as u64);
        assert!((0..1000).all(|_| network.message(1, 3).treatment.is_none()), "only in its direction");
        network.heal(&[]);
        assert_eq!(network.message(3, 1).treatment, None);
    }

    #[test]
    fn a_fault_decides_alike_whatever_else_is_going_on() {
        let strikes = |with_another: bool| {
            let mut network = Network::new(5, 4);
            if with_another {
                network.begin(0, 1, link(&[2], &ALL), mistreat(Mistreatment::Hang, 50));
            }
            network.begin(1, 2, link(&[1], &ALL), mistreat(Mistreatment::Delay, 20));
            (0..100)
                .map(|_| {
                    network.message(2, 1);
                    network.message(1, 2).treatment.map(|treatment| treatment.after)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(strikes(false), strikes(true));
        assert!(strikes(true).iter().any(Option::is_some));
    }

    #[test]
    fn most_messages_are_held_back_shortly_and_some_for_long() {
        let mut network = Network::new(17, 2);
        network.begin(0, 0, link(&[0], &[1]), mistreat(Mistreatment::Delay, 100));
        let held: Vec<_> = (0..1000)
            .filter_map(|_| network.message(0, 1).treatment)
            .map(|treatment| treatment.after)
            .collect();
        let short = held.iter().filter(|after| **after <= DELAY_USUAL).count();
        assert!((600..900).contains(&short), "{short} of 1000");
        assert!(held.iter().any(|after| *after > DELAY_MAX / 2));
        assert!(held.iter().all(|after| *after <= DELAY_MAX));
    }

    #[test]
    fn about_half_of_what_a_black_hole_swallowed_comes_out_again() {
        let mut network = Network::new(13, 2);
        network.begin(0, 0, link(&[0], &[1]), cut(true, Cut::BlackHole));
        let out = (0..1000).filter(|_| network.message(0, 1).survives_the_hole()).count();
        assert!((400..600).contains(&out), "{out} of 1000");
    }
}
