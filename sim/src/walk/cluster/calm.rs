//! The end of a walk: nothing goes wrong any more, and everything that is owed has to come.
//!
//! All processes run, messages arrive in order and after a fixed time, disks are quick. Clients call one
//! operation after the other, without a pause. Each must be served again, reads and updates, within the time
//! that the simulator grants after its last fault ([`crate::judges::health::limits`]); all copies must be
//! there again under that load, as far as the settings let a joiner keep up with it; what is wrong must be
//! said, and taken back; and in some walks the cluster is watched for a while longer, in which the view must
//! be left alone. At last everything that clients saw is judged.

use std::time::Duration;

use pbkv::protocol::view_service::ViewService;
use testbed::data::{node::NodeIndex, outcome::Stall};

use super::{Checked, Cluster, Failure, VS, WallClock, Wish, clients::KEYS, clock_at_start};
use crate::{
    store::script::Action::{Append, Get},
    walk::shared::Shared,
};

/// How long a message takes in calm, in milliseconds.
pub(super) const LATENCY_MS: u64 = 20;
/// How long a write takes, at most.
pub(super) const DISK_MS: u64 = 20;
/// For how many calls of each client a joiner must be able to keep up.
pub(super) const CALLS_MAX: usize = 400;

/// A client that waits for so long, or a little longer, asks for the view, and asks again.
const RETRY: Duration = Duration::from_millis(200);
/// Clients do nothing in step: they pause before the next call, and before they ask again, for up to so many
/// rounds.
const PAUSE_ROUNDS: u64 = 5;
/// Operations in which each client has to be served.
const SERVED_MIN: u64 = KEYS.len() as u64 + 1;
/// Calls of each client after which the load ends.
const LOAD_CALLS: u64 = 200;
/// While the cluster is watched, each client calls once in this time.
const LIGHT_LOAD: Duration = Duration::from_millis(500);
/// More messages on their way than this, and the machines talk without end.
const MESSAGES_MAX: usize = 5_000;

impl Cluster {
    pub(super) fn calm_down(&mut self) -> Checked {
        for node in 0..=self.servers.len() {
            if node != VS && std::mem::take(&mut self.servers[node - 1].gathers) {
                self.flush(node)?;
            }
            if !self.is_up(node) {
                self.start(node, WallClock::GoesOn)?;
            }
        }
        self.judges.calm_begins(self.now, self.viewer.machine.as_ref());
        let began = self.now;
        let patience = self.service_patience();
        let mut awaited_copies_at = began;
        let before: Vec<u64> = self.clients.iter().map(|client| client.served).collect();
        let served = |cluster: &Self, least: u64| {
            cluster.clients.iter().zip(&before).all(|(client, before)| client.served >= before + least)
        };
        // Under load, until all is well.
        while !served(self, SERVED_MIN) || !self.judges.health().is_settled() {
            let waited = self.now - began;
            if self.awaits_copies() {
                awaited_copies_at = self.now;
            }
            if self.now > awaited_copies_at + patience && !served(self, SERVED_MIN) {
                return Err(Failure::Stall(self.stall(&before)));
            }
            let is_excused = served(self, SERVED_MIN) || self.awaits_copies();
            if is_excused && waited.as_millis() > u128::from(self.plan.settle_ms) {
                break; // longer than this walk waits for a suspicion to be over
            }
            for (place, before) in before.iter().enumerate() {
                let calls = self.clients[place].served - before;
                self.client_acts(place, calls < LOAD_CALLS);
            }
            self.round()?;
        }
        // Light load, to see whether the view is left alone.
        let watched_until = self.now + Duration::from_millis(self.plan.watch_ms);
        let mut calls_at = self.now;
        while self.now < watched_until {
            let calls = self.now >= calls_at;
            calls_at += if calls { LIGHT_LOAD } else { Duration::ZERO };
            (0..self.clients.len()).for_each(|place| self.client_acts(place, calls));
            self.round()?;
        }
        let last_call = self.now;
        while self.clients.iter().any(|client| client.pending.is_some()) {
            if self.awaits_copies() {
                (0..self.clients.len()).for_each(|place| {
                    self.give_up(1 + self.servers.len() + place);
                });
                break;
            }
            if self.now > last_call + patience {
                return Err(Failure::Stall(self.stall(&before)));
            }
            (0..self.clients.len()).for_each(|place| self.client_acts(place, false));
            self.round()?;
        }
        self.judges.history()
    }

    /// Whether updates may be refused: fewer copies than are asked for can be there until a suspicion is
    /// over. Then it is redundancy that is owed first.
    fn awaits_copies(&self) -> bool {
        *self.plan.cluster.copies_min().start() > 1 && !self.judges.health().is_settled()
    }

    /// Within which time clients are served: as the simulator grants it, and as long as sessions that are
    /// over may be in the way.
    fn service_patience(&self) -> Duration {
        let cluster = &self.plan.cluster;
        let limited = if cluster.is_limited() { cluster.session_ttl_ms } else { 0 };
        self.judges.health().serves_within() + Duration::from_millis(limited * 9 / 8)
    }

    /// A client calls if it waits for nothing, and asks again if it has waited for long.
    fn client_acts(&mut self, place: usize, calls: bool) {
        let node = 1 + self.servers.len() + place;
        let client = &self.clients[place];
        // Pauses that differ from call to call: in step, one client could keep another out of a small queue
        // for ever.
        let pause =
            |turn: u64| Duration::from_millis(LATENCY_MS * ((3 * turn + 2 * place as u64) % PAUSE_ROUNDS));
        let known = client.view.map(|(_, primary)| primary);
        match &client.pending {
            None if calls && self.now >= client.served_at + pause(client.served) => {
                let turn = client.served as usize % (KEYS.len() + 1);
                let (action, key) = if turn < KEYS.len() { (Get, turn) } else { (Append, 0) };
                let wish = Wish { action, key: key as u8 };
                self.call(node, wish, known.unwrap_or(1));
            }
            Some(pending) if self.now >= pending.asked_at + RETRY + pause(pending.asked) => {
                self.ask_for_view(node);
                self.ask(node, known.unwrap_or(1));
            }
            _ => {}
        }
    }

    /// What is on its way arrives, what is being written is durable, time passes, and timers go off.
    fn round(&mut self) -> Checked {
        if self.flight.len() > MESSAGES_MAX {
            let waiting = vec![format!("the machines talk without end: {} messages", self.flight.len())];
            return Err(Failure::Stall(Stall { at: self.now, waiting, cluster: self.states() }));
        }
        for (key, body) in self.flight.take_all() {
            self.counts.delivered += 1;
            self.deliver(key, body)?;
        }
        self.pass(Duration::from_millis(LATENCY_MS));
        for node in 0..=self.servers.len() {
            while self.persist(node)? {}
            self.tick(node)?;
        }
        self.judges.pass(self.now)
    }

    fn stall(&self, before: &[u64]) -> Stall {
        let unserved = self
            .clients
            .iter()
            .zip(before)
            .filter(|(client, before)| client.pending.is_some() || client.served < *before + SERVED_MIN);
        let waiting = unserved.map(|(client, before)| {
            let served = client.served - before;
            format!("{} was served {served} times and waits for {}", client.name, client.waits_for())
        });
        Stall { at: self.now, waiting: waiting.collect(), cluster: self.states() }
    }

    /// What each machine is.
    pub(super) fn states(&self) -> Vec<String> {
        let view = self.viewer.record.view.as_ref();
        let view = view.map_or("no view yet".to_owned(), super::words::view);
        let server = |(place, server): (usize, &Shared<super::Server>)| {
            let name = self.nodes.name(place + 1 as NodeIndex);
            match &server.machine {
                None => format!("{name}: down, disk to {:?}", server.disk.log.end()),
                Some(machine) => format!(
                    "{name}: {:?} in {}, log {:?} to {:?}, committed {}",
                    machine.role(),
                    machine.view_seen(),
                    machine.log().base(),
                    machine.log().end(),
                    machine.commit()
                ),
            }
        };
        let servers = self.servers.iter().enumerate().map(server);
        let since_start = |machine: &ViewService| machine.presence() - clock_at_start(VS, self.servers.len());
        let presence = self.viewer.machine.as_ref().map_or(Duration::ZERO, since_start);
        let writes = self.viewer.unwritten.len();
        [format!("vs: {view}; {writes} writes under way, was there for {presence:?}")]
            .into_iter()
            .chain(servers)
            .collect()
    }
}
