//! What happens next: a draw with weights that differ from walk to walk.
//!
//! Beside single actions there are *stretches* in which nearly all goes well, so that a view change or a
//! state transfer can come to its end; and *cuts* and *held* messages, so that something stays away for
//! longer than one draw: in a stretch, whether they change is drawn once in each round, not for each action.
//! In some stretches clients go on asking, also those servers that were replaced and do not know it.

use pbkv::protocol::{identity::Boot, machine::Machine};
use testbed::data::node::NodeIndex;

use super::{Action, Cluster, Key, Kind, VS, WallClock, Wish, clients::KEYS};
use crate::{
    bound::Plan,
    store::{script, setup::Reads},
    walk::Dice,
};

/// More messages than this on their way, and some are lost.
const FLIGHT_MAX: usize = 120;
/// More of those that a cut keeps, and some are lost.
const CUT_MAX: usize = 60;

/// A life whose number comes again has sent no more pings than this: it takes the next one as many to be
/// heard.
const REPEATED_PINGS_MAX: u64 = 12;

/// The sorts of choices, with their usual weights.
const WEIGHTS: [(Sort, u64); 14] = [
    (Sort::Deliver, 600),
    (Sort::DeliverOld, 40),
    (Sort::Copy, 40),
    (Sort::Lose, 30),
    (Sort::Tick, 140),
    (Sort::Advance, 80),
    (Sort::Jump, 20),
    (Sort::Persist, 160),
    (Sort::Crash, 10),
    (Sort::Start, 40),
    (Sort::Call, 100),
    (Sort::Retry, 40),
    (Sort::GiveUp, 10),
    (Sort::Gather, 10),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Deliver,
    DeliverOld,
    Copy,
    Lose,
    Tick,
    Advance,
    Jump,
    Persist,
    Crash,
    Start,
    Call,
    Retry,
    GiveUp,
    Gather,
}

impl Sort {
    /// Without these hardly anything happens.
    fn is_needed(self) -> bool {
        matches!(self, Self::Deliver | Self::Tick | Self::Advance | Self::Persist | Self::Start | Self::Call)
    }
}

/// How likely what is, and what lasts at the moment.
#[derive(Clone, Debug)]
pub struct Swarm {
    weights: [u64; WEIGHTS.len()],
    total: u64,
    /// How often messages arrive in order, in a thousand.
    in_order: u64,
    /// Memories that may still be lost.
    wipes: u32,
    /// How often a request goes to any server instead of the primary, in a thousand,
    anywhere: u64,
    /// and how often to one that acts as primary and was replaced, if there is one.
    behind: u64,
    /// How often a client asks in a stretch in which all goes well, in a thousand.
    asks: u64,
    /// Milliseconds by which time goes on.
    advances: [u16; 4],
    /// How often a cut begins or ends, a stretch begins in which all goes well, something is held back; in a
    /// thousand.
    cuts: u64,
    stretches: u64,
    holds: u64,
    /// Rounds of a stretch, at most.
    lasts: u64,
    /// Which nodes do not reach which.
    cut: [[bool; 8]; 8],
    /// Rounds that are left of a stretch, and nodes that are still to tick in this one.
    rounds_left: u64,
    ticks_left: usize,
    /// Messages of this kind, to this node or to any, wait.
    held: Option<(Kind, Option<u8>)>,
}

impl Swarm {
    /// `begins`: the cluster has no view yet. It comes about in peace, most times.
    pub(super) fn draw(dice: &mut Dice, plan: &Plan, begins: bool) -> Self {
        let mut weights = [0; WEIGHTS.len()];
        for (weight, (sort, usual)) in weights.iter_mut().zip(WEIGHTS) {
            let tenths = if sort.is_needed() {
                dice.pick(&[3, 10, 10, 20])
            } else {
                dice.pick(&[0, 0, 3, 10, 10, 30])
            };
            let trusts_rates = sort == Sort::Jump && plan.cluster.reads == Reads::Lease;
            *weight = if trusts_rates { 0 } else { usual * tenths / 10 };
        }
        Self {
            total: weights.iter().sum(),
            weights,
            in_order: dice.pick(&[0, 500, 800, 950]),
            wipes: dice.pick(&[0, 0, 1, 2, 5]),
            anywhere: dice.pick(&[0, 50, 300]),
            behind: dice.pick(&[0, 300, 900]),
            asks: dice.pick(&[0, 20, 100, 300]),
            advances: dice.pick(&[
                [10, 50, 100, 100],
                [50, 100, 100, 500],
                [100, 500, 500, 1_600],
                [1, 10, 100, 1_600],
                [300, 700, 1_100, 1_500],
            ]),
            cuts: dice.pick(&[0, 5, 5, 20]),
            stretches: dice.pick(&[2, 8, 8, 20]),
            holds: dice.pick(&[0, 3, 10]),
            lasts: dice.pick(&[20, 20, 50]),
            cut: Default::default(),
            rounds_left: if begins && dice.percent(85) { 25 + dice.below(30) } else { 0 },
            ticks_left: 0,
            held: None,
        }
    }

    fn sort(&self, dice: &mut Dice) -> Sort {
        let mut point = dice.below(self.total);
        for (weight, (sort, _)) in self.weights.iter().zip(WEIGHTS) {
            if point < *weight {
                return sort;
            }
            point -= weight;
        }
        unreachable!("the point lies below the sum of the weights")
    }

    fn is_cut(&self, key: Key) -> bool {
        self.cut[usize::from(key.from)][usize::from(key.to)]
    }

    fn is_held(&self, key: Key) -> bool {
        self.held.is_some_and(|(kind, to)| key.kind == kind && to.is_none_or(|to| to == key.to))
    }

    /// What lasts begins or ends. Clients reach everybody.
    fn change(&mut self, dice: &mut Dice, nodes: usize, primary: Option<NodeIndex>) {
        if self.cuts > 0 && dice.permille(self.cuts) {
            if dice.percent(40) {
                self.cut = Default::default();
            } else {
                self.cut_off(dice, nodes, primary);
            }
        }
        if self.holds > 0 && dice.permille(self.holds) {
            let kinds = [
                Kind::Ping,
                Kind::Answer,
                Kind::Answer,
                Kind::Probe,
                Kind::Gone,
                Kind::Append,
                Kind::Append,
                Kind::Ack,
                Kind::Ack,
                Kind::Part,
                Kind::PartAck,
            ];
            self.held = dice
                .percent(60)
                .then(|| (dice.pick(&kinds), dice.percent(50).then(|| dice.place(nodes) as u8)));
        }
        if self.rounds_left == 0 && dice.permille(self.stretches) {
            self.rounds_left = 1 + dice.below(self.lasts);
            if self.cuts > 0 && dice.percent(50) {
                self.cut = Default::default();
                self.cut_off(dice, nodes, primary);
            }
        }
    }

    /// A node, a part of the cluster or one link is cut off, beside what is.
    fn cut_off(&mut self, dice: &mut Dice, nodes: usize, primary: Option<NodeIndex>) {
        let any = dice.place(nodes);
        let apart = match dice.below(4) {
            0 => return self.cut[any][dice.place(nodes)] = true,
            1 => dice.below(1 << nodes),
            2 => 1 << any,
            _ => 1 << primary.unwrap_or(any),
        };
        let is_apart = |node: usize| apart >> node & 1 == 1;
        for one in 0..nodes {
            for other in 0..nodes {
                self.cut[one][other] |= is_apart(one) != is_apart(other);
            }
        }
    }
}

impl Cluster {
    pub(super) fn choose_next(&self, dice: &mut Dice, swarm: &mut Swarm) -> Option<Action> {
        let nodes = 1 + self.servers.len();
        if swarm.rounds_left == 0 {
            swarm.change(dice, nodes, self.primary());
        }
        if swarm.rounds_left > 0 && dice.permille(930) {
            if dice.permille(swarm.asks) {
                return Some(self.asks(dice, swarm));
            }
            return self.goes_well(dice, swarm, nodes);
        }
        match swarm.sort(dice) {
            Sort::Deliver => self.any_message(dice, swarm, nodes),
            Sort::DeliverOld => {
                let place = dice.place(self.flight.len().clamp(1, 3));
                self.passes(place, swarm).map(Action::Deliver)
            }
            Sort::Copy => {
                let place = dice.place(self.flight.len().max(1));
                self.passes(place, swarm).map(Action::Copy)
            }
            Sort::Lose => (self.flight.len() > 0)
                .then(|| Action::Lose(self.flight.key_at(dice.place(self.flight.len())))),
            Sort::Tick => Some(Action::Tick(dice.place(nodes) as u8)),
            Sort::Advance => Some(Action::Advance(dice.pick(&swarm.advances))),
            Sort::Jump => Some(Action::Jump(dice.place(nodes) as u8, dice.pick(&[100, 500, 1_500, 3_000]))),
            Sort::Persist => Some(Action::Persist(dice.place(nodes) as u8)),
            Sort::Crash => self.crash_of(dice, swarm, nodes),
            Sort::Start => {
                let node = dice.place(nodes);
                let remembers = node == VS || self.servers[node - 1].disk.boot > Boot(0);
                let clock = match dice.below(10) {
                    _ if remembers => WallClock::GoesOn,
                    0 | 1 => WallClock::SetBack,
                    // The view service hears no ping that it takes for an older one of the life of that
                    // number.
                    2 if self.servers[node - 1].pings <= REPEATED_PINGS_MAX => WallClock::Repeats,
                    _ => WallClock::GoesOn,
                };
                (!self.is_up(node)).then_some(Action::Start(node as u8, clock))
            }
            Sort::Call => {
                let client = self.any_client(dice);
                (!self.is_waiting(client)).then(|| self.calls(client, dice, swarm))
            }
            Sort::Retry => {
                let client = self.any_client(dice);
                self.is_waiting(client).then(|| Action::Retry(client as u8, self.addressee(dice, swarm)))
            }
            Sort::GiveUp => {
                let client = self.any_client(dice);
                self.is_waiting(client).then_some(Action::GiveUp(client as u8))
            }
            Sort::Gather => {
                let server = 1 + dice.place(self.servers.len());
                Some(if self.servers[server - 1].gathers {
                    Action::Flush(server as u8)
                } else {
                    Action::Gather(server as u8)
                })
            }
        }
    }

    /// The next step of a stretch in which all goes well, but for what is cut off or held back.
    fn goes_well(&self, dice: &mut Dice, swarm: &mut Swarm, nodes: usize) -> Option<Action> {
        if let Some(key) = self.flight.keys().find(|key| !swarm.is_cut(*key) && !swarm.is_held(*key)) {
            return Some(Action::Deliver(key));
        }
        if let Some(node) = (0..nodes).find(|node| self.unwritten(*node) > 0) {
            return Some(Action::Persist(node as u8));
        }
        while swarm.ticks_left > 0 {
            swarm.ticks_left -= 1;
            if self.is_due(swarm.ticks_left) {
                return Some(Action::Tick(swarm.ticks_left as u8));
            }
        }
        swarm.rounds_left -= 1;
        swarm.ticks_left = nodes;
        swarm.change(dice, nodes, self.primary());
        Some(Action::Advance(dice.pick(&[50, 100, 100, 200])))
    }

    fn is_due(&self, node: NodeIndex) -> bool {
        let now = self.clocks[node];
        if node == VS {
            return self.viewer.machine.as_ref().is_some_and(|machine| machine.deadline() <= now);
        }
        let server = &self.servers[node - 1];
        !server.gathers && server.machine.as_ref().is_some_and(|machine| machine.deadline() <= now)
    }

    /// A message arrives, in order or not; or is lost, if too many wait.
    fn any_message(&self, dice: &mut Dice, swarm: &Swarm, nodes: usize) -> Option<Action> {
        let length = self.flight.len();
        if length == 0 {
            return None;
        }
        if dice.permille(swarm.in_order) {
            let first = self.flight.keys().find(|key| !swarm.is_cut(*key) && !swarm.is_held(*key));
            return first.map(Action::Deliver);
        }
        let key = self.flight.key_at(dice.place(length));
        if swarm.is_cut(key) && usize::from(key.to) < nodes {
            return (length > CUT_MAX).then_some(Action::Lose(key));
        }
        if swarm.is_held(key) && dice.percent(90) {
            return None;
        }
        Some(if length > FLIGHT_MAX { Action::Lose(key) } else { Action::Deliver(key) })
    }

    /// The message at this place, unless it is cut off or there is none.
    fn passes(&self, place: usize, swarm: &Swarm) -> Option<Key> {
        let key = (place < self.flight.len()).then(|| self.flight.key_at(place))?;
        (!swarm.is_cut(key)).then_some(key)
    }

    fn crash_of(&self, dice: &mut Dice, swarm: &mut Swarm, nodes: usize) -> Option<Action> {
        let node = match self.primary().filter(|_| dice.percent(30)) {
            Some(primary) => primary,
            None => dice.place(nodes),
        };
        if !self.is_up(node) {
            return None;
        }
        if node != VS && swarm.wipes > 0 && dice.percent(40) && self.may_forget(node) {
            swarm.wipes -= 1;
            return Some(Action::Wipe(node as u8));
        }
        Some(Action::Crash(node as u8, dice.pick(&[0, 0, 1, 2, 5])))
    }

    fn any_client(&self, dice: &mut Dice) -> NodeIndex {
        1 + self.servers.len() + dice.place(self.clients.len())
    }

    /// A client calls, or asks again.
    fn asks(&self, dice: &mut Dice, swarm: &Swarm) -> Action {
        let client = self.any_client(dice);
        if self.is_waiting(client) {
            return Action::Retry(client as u8, self.addressee(dice, swarm));
        }
        self.calls(client, dice, swarm)
    }

    fn calls(&self, client: NodeIndex, dice: &mut Dice, swarm: &Swarm) -> Action {
        Action::Call(client as u8, wish(dice), self.addressee(dice, swarm))
    }

    /// The server that a client asks: the primary, one that was replaced and does not know it, or any.
    fn addressee(&self, dice: &mut Dice, swarm: &Swarm) -> u8 {
        let any = 1 + dice.place(self.servers.len());
        let behind = self.replaced().filter(|_| dice.permille(swarm.behind));
        let primary = behind.or_else(|| self.primary().filter(|_| !dice.permille(swarm.anywhere)));
        primary.unwrap_or(any) as u8
    }

    /// A server that acts as primary, though the record has a later view.
    fn replaced(&self) -> Option<NodeIndex> {
        let latest = self.viewer.record.number;
        let is_it = |node: &NodeIndex| self.acts_as_primary(*node).is_some_and(|view| view < latest);
        (1..=self.servers.len()).find(is_it)
    }
}

fn wish(dice: &mut Dice) -> Wish {
    use script::Action::{Append, Close, CompareAndSwap, CompareAndSwapRevision, Delete, Get, Put};
    let key = dice.pick(&[0, 0, 0, 1, 2]);
    debug_assert!(usize::from(key) < KEYS.len());
    let action = match dice.below(40) {
        0..=13 => Get,
        14..=21 => Append,
        22..=29 => Put,
        30..=32 => CompareAndSwap,
        33..=35 => CompareAndSwapRevision,
        36..=38 => Delete,
        _ => Close,
    };
    Wish { action, key }
}
