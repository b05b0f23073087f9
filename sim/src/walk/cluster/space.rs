//! A cluster as a space of states: all that may happen next, within a budget.
//!
//! What is left out loses nothing. A message that never arrives is lost. An answer reaches its client at
//! once: if it came later, the history would demand less. A request arrives as soon as it is called: so does
//! one that is called later. A client asks whoever acts as primary: any other server refuses. A server that
//! is down is one to which nothing happens.
//!
//! Left out: batches of several events; a crash that keeps a part of one write; leases, which clocks that
//! jump alone would break.

use std::hash::{Hash, Hasher};

use pbkv::protocol::replica::RoleName;
use testbed::{
    data::{hash::StableHasher, node::NodeIndex},
    observer::panics,
};

use super::{
    Action, Budget, Checked, Cluster, Failure, Key, Kind, VS, WallClock, Wish, budget, budget::CLIENTS_MAX,
    budget::SERVERS_MAX, flight::Body,
};
use crate::{
    exhaust::{Choice, Space, Touched},
    store::script::Action::{Append, Get},
    walk::World,
};

/// By so much a server's clock goes on: a ping interval, in milliseconds.
const TICK_MS: u16 = 500;
/// So often, and by so much each time, the clock of a node goes on that is to miss others: what is more than
/// an interval without a step counts as its own absence (R16). The view service's: a dead interval in all.
const SUSPICION_STEPS: u16 = 15;
/// A server's: the time after which a primary suspects.
const SILENCE_STEPS: u16 = 10;
const STEP_MS: u16 = 100;
/// Rounds in which a cluster comes about, and milliseconds between two of them.
const PEACE_ROUNDS: usize = 80;
const PEACE_MS: u16 = 70;
/// Rounds after which clients open their sessions.
const OPEN_AFTER: usize = 60;

/// What the first client and the others ask for, one after the other, the last one first.
const SCRIPTS: [[crate::store::script::Action; 3]; 2] = [[Append, Append, Get], [Get, Append, Get]];
const KEY: u8 = 0;

/// One thing that may happen.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Move {
    /// A message arrives,
    Deliver(Key),
    /// and may arrive again.
    Copy(Key),
    /// A server's clock goes on.
    Tick(u8),
    /// The view service's does, for a dead interval.
    Suspect,
    /// A server's does, for as long as it takes to suspect others.
    Silence(u8),
    /// A process starts again.
    Restart(u8),
    /// A server does, without its memory.
    Wipe(u8),
    /// A client calls this server; with the flag, the request may arrive there again.
    Call(u8, u8, bool),
    /// A client asks this server for what it waits for.
    Retry(u8, u8),
    /// A write is durable.
    Persist(u8),
}

/// Where a search starts.
#[derive(Clone)]
pub struct Start {
    /// The cluster before anything happened, with all judges,
    pub first: Cluster,
    /// what happens then, until all copies are there and all clients have a session,
    pub peace: Vec<Action>,
    /// and the cluster after it.
    pub whole: Cluster,
}

/// Why a search has no start.
pub enum NoStart {
    /// The numbers cannot be those of a cluster; with what is wrong.
    Unusable(String),
    /// A promise was broken in peace, by these actions of this cluster.
    Broken(Box<Cluster>, Vec<Action>),
}

impl Start {
    /// A cluster in peace. `writes_are_steps`: a write is durable at some time, not at once.
    ///
    /// # Errors
    ///
    /// What is wrong with the numbers, or with the machines even in peace.
    pub fn new(
        (servers, replicas, clients): (u32, u32, u32),
        writes_are_steps: bool,
        budget: Budget,
    ) -> Result<Self, NoStart> {
        if clients as usize > CLIENTS_MAX || clients == 0 {
            return Err(NoStart::Unusable(format!("there must be one to {CLIENTS_MAX} clients")));
        }
        let plan = budget::plan(servers, replicas, clients, writes_are_steps);
        plan.cluster.validate_settings().map_err(NoStart::Unusable)?;
        let first = Cluster::new(plan);
        let (mut whole, mut peace) = (first.clone(), Vec::new());
        if !matches!(panics::catch(|| whole.in_peace(&mut peace)), Ok(Ok(()))) {
            return Err(NoStart::Broken(Box::new(first), peace));
        }
        let members = whole.viewer.record.view.as_ref().map_or(0, |view| view.insync.len());
        if members < replicas.min(servers) as usize {
            return Err(NoStart::Broken(Box::new(first), peace));
        }
        whole.budget = budget;
        whole.hears_at_once = false;
        Ok(Self { first, peace, whole })
    }

    /// The same as `whole`, without the judges that count times.
    pub fn lean(&self) -> Cluster {
        let mut lean = self.whole.clone();
        lean.judges.leave_out_times();
        lean
    }
}

impl Cluster {
    /// A cluster comes about, and its clients open their sessions.
    fn in_peace(&mut self, actions: &mut Vec<Action>) -> Checked {
        let clients = 1 + self.servers.len()..1 + self.servers.len() + self.clients.len();
        for round in 0..PEACE_ROUNDS {
            self.settle(actions)?;
            if round == OPEN_AFTER {
                for client in clients.clone() {
                    let primary = self.primary().unwrap_or(1) as u8;
                    self.takes(
                        Action::Call(client as u8, Wish { action: Append, key: KEY }, primary),
                        actions,
                    )?;
                    self.settle(actions)?;
                }
            }
            self.takes(Action::Advance(PEACE_MS), actions)?;
            for node in 0..=self.servers.len() {
                self.takes(Action::Tick(node as u8), actions)?;
            }
        }
        self.settle(actions)
    }

    /// All that is on its way arrives, and all writes are durable. Adds what happens.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    pub fn settle(&mut self, actions: &mut Vec<Action>) -> Checked {
        loop {
            let write = (0..=self.servers.len()).find(|node| self.unwritten(*node) > 0);
            let next = match (self.flight.keys().next(), write) {
                (Some(key), _) => Action::Deliver(key),
                (None, Some(node)) => Action::Persist(node as u8),
                (None, None) => return Ok(()),
            };
            self.takes(next, actions)?;
        }
    }

    /// Takes an action, and notes it.
    pub(super) fn takes(&mut self, action: Action, actions: &mut Vec<Action>) -> Checked {
        actions.push(action);
        if !self.take(action)? {
            actions.pop();
        }
        Ok(())
    }

    /// How many pings each server has sent, in the order of their places.
    fn pings(&self) -> [u32; SERVERS_MAX] {
        std::array::from_fn(|place| {
            if place < self.servers.len() { self.flight.count(1 + place, VS, Kind::Ping) } else { 0 }
        })
    }

    /// Whether a view was acknowledged since so many pings were sent. What the judges make of an
    /// acknowledgement depends on what is recorded when it is sent.
    fn was_acknowledged(&self, pings: &[u32; SERVERS_MAX]) -> bool {
        self.flight.messages().any(|(key, body)| match &**body {
            Body::Ping { ping, .. } => {
                !ping.confirmed.is_empty() && key.number >= pings[usize::from(key.from) - 1]
            }
            _ => false,
        })
    }

    fn has_role(&self, node: NodeIndex) -> bool {
        self.servers[node - 1].machine.as_ref().is_some_and(|machine| machine.role() != RoleName::Idle)
    }

    /// The latest request of a client to a server.
    fn request_of(&self, client: u8, server: u8) -> Option<Key> {
        let is_it = |key: &Key| (key.from, key.to, key.kind) == (client, server, Kind::Request);
        self.flight.keys().filter(is_it).last()
    }

    fn acts(&mut self, next: Move, actions: &mut Vec<Action>) -> Checked {
        match next {
            Move::Deliver(key) => self.takes(Action::Deliver(key), actions),
            Move::Copy(key) => {
                self.budget.copies -= 1;
                self.takes(Action::Copy(key), actions)
            }
            Move::Tick(node) => {
                self.budget.ticks -= 1;
                self.takes(Action::Jump(node, TICK_MS), actions)?;
                self.takes(Action::Tick(node), actions)
            }
            Move::Suspect => {
                self.budget.suspicions -= 1;
                self.is_alone(VS as u8, SUSPICION_STEPS, actions)
            }
            Move::Silence(node) => {
                self.budget.silences -= 1;
                self.is_alone(node, SILENCE_STEPS, actions)
            }
            Move::Restart(node) => {
                let left = if NodeIndex::from(node) == VS {
                    &mut self.budget.view_service_restarts
                } else {
                    &mut self.budget.restarts
                };
                *left -= 1;
                self.takes(Action::Crash(node, 0), actions)?;
                self.takes(Action::Start(node, WallClock::GoesOn), actions)
            }
            Move::Wipe(node) => {
                self.budget.wipes -= 1;
                self.takes(Action::Wipe(node), actions)?;
                self.takes(Action::Start(node, WallClock::GoesOn), actions)
            }
            Move::Call(client, server, again) => {
                let place = usize::from(client) - 1 - self.servers.len();
                self.budget.calls[place] -= 1;
                let script = SCRIPTS[place.min(1)];
                let action = script[usize::from(self.budget.calls[place]) % script.len()];
                self.takes(Action::Call(client, Wish { action, key: KEY }, server), actions)?;
                self.budget.copies -= u8::from(again);
                self.arrives(client, server, again, actions)
            }
            Move::Retry(client, server) => {
                self.budget.retries -= 1;
                self.takes(Action::Retry(client, server), actions)?;
                self.arrives(client, server, false, actions)
            }
            Move::Persist(node) => self.takes(Action::Persist(node), actions),
        }
    }

    /// A node hears nothing for so many steps. Of what it says only the latest of each kind, to each, is not
    /// lost.
    fn is_alone(&mut self, node: u8, steps: u16, actions: &mut Vec<Action>) -> Checked {
        let before = self.flight.keys().last();
        for _ in 0..steps {
            self.takes(Action::Jump(node, STEP_MS), actions)?;
            self.takes(Action::Tick(node), actions)?;
        }
        let all: Vec<Key> = self.flight.keys().collect();
        let old =
            before.and_then(|last| all.iter().position(|key| *key == last)).map_or(0, |place| place + 1);
        let said = &all[old..];
        for (place, key) in said.iter().enumerate() {
            if said[place + 1..].iter().any(|later| (later.to, later.kind) == (key.to, key.kind)) {
                self.takes(Action::Lose(*key), actions)?;
            }
        }
        Ok(())
    }

    fn arrives(&mut self, client: u8, server: u8, again: bool, actions: &mut Vec<Action>) -> Checked {
        let Some(key) = self.request_of(client, server) else { return Ok(()) };
        self.takes(if again { Action::Copy(key) } else { Action::Deliver(key) }, actions)
    }

    /// Answers reach their clients. Returns whether there were any.
    fn answers(&mut self, actions: &mut Vec<Action>) -> Checked<bool> {
        let mut any = false;
        loop {
            let answer = self.flight.keys().find(|key| usize::from(key.to) > self.servers.len());
            let Some(key) = answer else { break };
            any = true;
            self.takes(Action::Deliver(key), actions)?;
        }
        Ok(any)
    }
}

/// The parts of a cluster: each node's place, and beyond these
const HISTORY: u64 = 1 << 16;
/// what the judges know of all, and
const FACTS: u64 = 1 << 17;
/// what is left of the budget.
const BUDGET: u64 = 1 << 18;

fn parts(next: Move) -> u64 {
    let node = |node: u8| 1 << node;
    match next {
        Move::Deliver(key) => node(key.to),
        Move::Copy(key) => node(key.to) | BUDGET,
        Move::Tick(of) => node(of) | BUDGET << 1,
        Move::Suspect => node(VS as u8) | BUDGET << 2,
        Move::Silence(of) => node(of) | BUDGET << 5,
        Move::Restart(of) if NodeIndex::from(of) == VS => node(of) | BUDGET << 3,
        Move::Restart(of) => node(of) | BUDGET << 4,
        Move::Wipe(_) => u64::MAX, // whether it is possible depends on all copies
        Move::Call(_, server, _) => node(server) | HISTORY | BUDGET,
        Move::Retry(_, server) => node(server) | HISTORY,
        Move::Persist(of) => node(of),
    }
}

impl Space for Cluster {
    type Move = Move;

    fn moves(&self, into: &mut Vec<Choice<Move>>) {
        let mut add = |next: Move, print: u64| {
            if !into.iter().any(|choice| choice.print == print) {
                into.push(Choice { print, next });
            }
        };
        let named = |next: Move| {
            let mut hasher = StableHasher::new();
            next.hash(&mut hasher);
            hasher.finish()
        };
        for (key, print) in self.flight.prints() {
            add(Move::Deliver(key), print);
            if self.budget.copies > 0 {
                add(Move::Copy(key), print ^ 1 << 63);
            }
        }
        let budget = &self.budget;
        let mut may = |next: Move| add(next, named(next));
        for node in 1..=self.servers.len() {
            let place = node as u8;
            if budget.ticks > 0 {
                may(Move::Tick(place));
            }
            if budget.silences > 0 && self.has_role(node) {
                may(Move::Silence(place));
            }
            if budget.restarts > 0 {
                may(Move::Restart(place));
            }
            if budget.wipes > 0 && self.may_forget(node) {
                may(Move::Wipe(place));
            }
            if self.acts_as_primary(node).is_none() {
                continue;
            }
            for client in 0..self.clients.len() {
                let client_place = (1 + self.servers.len() + client) as u8;
                let waits = self.is_waiting(client_place.into());
                if !waits && budget.calls[client] > 0 {
                    may(Move::Call(client_place, place, false));
                    if budget.copies > 0 {
                        may(Move::Call(client_place, place, true));
                    }
                }
                if waits && budget.retries > 0 {
                    may(Move::Retry(client_place, place));
                }
            }
        }
        for node in (0..=self.servers.len()).filter(|node| self.unwritten(*node) > 0) {
            may(Move::Persist(node as u8));
        }
        if budget.suspicions > 0 {
            may(Move::Suspect);
        }
        if budget.view_service_restarts > 0 {
            may(Move::Restart(VS as u8));
        }
    }

    fn make(&mut self, next: Move, actions: &mut Vec<Action>) -> Result<Touched, Failure> {
        let before = (self.machines_print(), self.judges.facts_print(), self.flight.len());
        let pings = self.pings();
        self.acts(next, actions)?;
        let mut touched = parts(next);
        if self.answers(actions)? {
            touched |= HISTORY;
            self.judges.history()?;
        }
        let facts = self.judges.facts_print();
        if facts != before.1 || self.was_acknowledged(&pings) {
            touched |= FACTS;
        }
        let sent = self.flight.len();
        if !self.budget.keeps_all {
            self.lose_what_is_void(actions)?;
        }
        // Where something was lost as void, the state is one without it, which no other order need lead to.
        let idle = matches!(next, Move::Deliver(_))
            && self.flight.len() == sent
            && touched & HISTORY == 0
            && (self.machines_print(), facts) == (before.0, before.1)
            && self.flight.len() < before.2;
        Ok(Touched { parts: touched, idle })
    }

    fn print(&self) -> u64 {
        self.state_print()
    }
}
