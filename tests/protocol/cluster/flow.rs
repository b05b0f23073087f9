//! Time passes, messages arrive.

use std::collections::BTreeSet;
use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, OpNumber, Position, ServerId, Ticket, ViewNumber},
    machine::Machine,
    message::{Append, PeerMessage, Ping, Token},
    replica::{self, Replica},
    view::Members,
    view_service::{self, ViewService},
};

use super::{Checked, Cluster, IN_FLIGHT_MAX, RUN_STEP, SETTLE_MESSAGES_MAX};
use crate::{
    command::VIEW_SERVICE,
    network::{Body, Packet, Pick},
};

impl Cluster {
    pub(super) fn settle(&mut self) -> Checked {
        let mut messages = 0;
        loop {
            let mut quiet = true;
            let nodes: Vec<_> = self.nodes();
            for node in nodes.iter().filter(|node| !self.slow.contains(node)).cloned().collect::<Vec<_>>() {
                while self.persist(&node)? {
                    quiet = false;
                }
            }
            let numbers: Vec<u64> = self.packets.keys().copied().collect();
            for number in numbers {
                let Some(packet) = self.packets.get(&number) else { continue };
                if self.held.iter().any(|pick| pick.matches(number, packet)) {
                    continue;
                }
                quiet = false;
                messages += 1;
                self.deliver(&Pick::Number(number), false)?;
            }
            if quiet {
                return Ok(());
            }
            if messages > SETTLE_MESSAGES_MAX {
                return Err("the machines talk without end".to_owned());
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) -> Checked {
        let end = self.now + time;
        loop {
            self.settle()?;
            if self.now >= end {
                return Ok(());
            }
            self.now = (self.now + RUN_STEP).min(end);
            self.tick()?;
        }
    }

    /// Timers go off where they are due.
    pub(super) fn tick(&mut self) -> Checked {
        self.tick_of(&ServerId::new(VIEW_SERVICE))?;
        self.setup.servers.clone().iter().try_for_each(|server| self.tick_of(server))
    }

    /// The timer of a node goes off, if it is due.
    pub(super) fn tick_of(&mut self, node: &ServerId) -> Checked {
        let Some(server) = self.servers.get(node) else {
            let now = self.viewer.clock.read(self.now);
            if self.viewer.machine.as_ref().is_some_and(|machine| machine.deadline() <= now) {
                self.step_view_service(ViewService::tick())?;
                self.step_view_service(ViewService::flush())?;
            }
            return Ok(());
        };
        let now = server.clock.read(self.now);
        let due = server.replica.as_ref().is_some_and(|replica| replica.deadline() <= now);
        if !due || self.gathering.contains(node) {
            return Ok(());
        }
        self.step_server(node, Replica::tick())?;
        self.flush(node)
    }

    /// No further event is waiting, unless a server gathers them.
    pub(super) fn flush(&mut self, server: &ServerId) -> Checked {
        if self.gathering.contains(server) {
            return Ok(());
        }
        self.step_server(server, Replica::flush())
    }

    pub(super) fn send(&mut self, from: &ServerId, to: &ServerId, body: Body) {
        self.last_packet += 1;
        let sent = self.sent.entry((from.clone(), to.clone(), body.kind())).or_default();
        let packet = Packet { from: from.clone(), to: to.clone(), body, nth: *sent };
        *sent += 1;
        self.packets.insert(self.last_packet, packet);
        while self.packets.len() > IN_FLIGHT_MAX {
            self.packets.pop_first();
        }
    }

    /// A ping under the name of `server`, from a stranger who knows all that anybody can ask for, and its
    /// token is made up. Of a joiner it claims that it is in sync, of the others that they are unreachable.
    pub(super) fn forge(&mut self, server: &ServerId, life: Option<Boot>) {
        let record = &self.viewer.disk;
        let view = record.view.as_ref();
        let ping = Ping {
            server: server.clone(),
            boot: life.or(view.map(|view| view.primary_boot)).unwrap_or_default(),
            data: view.and_then(|view| view.data_of(server)),
            generation: record.generation,
            view_known: record.number,
            view_told: record.number,
            confirmed: view.map_or_else(Members::new, |view| {
                view.insync.iter().chain(&view.joining).map(|(name, data)| (name.clone(), *data)).collect()
            }),
            suspects: self.setup.servers.iter().filter(|other| *other != server).cloned().collect(),
            log_end: Position { view: record.number, op: OpNumber(1_000_000) },
            log_durable: Position::default(),
            progress: 0,
            echo: None,
            token: Some(Token { at: self.viewer.clock.read(self.now), seal: 1 }),
            number: 1_000_000,
            nonce: 0,
            wants_lease: false,
            copies_min: 0,
            cannot_follow: None,
        };
        self.send(&ServerId::new("stranger"), &ServerId::new(VIEW_SERVICE), Body::Ping(ping));
    }

    /// An append of the primary of a view that nobody proposed, from a stranger who knows what a server
    /// holds.
    pub(super) fn forge_view(&mut self, server: &ServerId, view: ViewNumber) {
        let Some(to_data) = self.servers[server].replica.as_ref().and_then(Replica::data) else { return };
        let from = ServerId::new("stranger");
        let append = Append {
            generation: self.viewer.disk.generation,
            view,
            from: from.clone(),
            to_data,
            round: 1,
            previous: Position::default(),
            entries: Vec::new(),
            commit: OpNumber(0),
            silence_max: Duration::from_millis(500),
        };
        self.send(&from, server, Body::Peer(PeerMessage::Append(append)));
    }

    /// Messages arrive as one batch: the machine is flushed when all are taken.
    pub(super) fn deliver(&mut self, pick: &Pick, keep: bool) -> Checked {
        let most = if matches!(pick, Pick::First { .. }) { 1 } else { usize::MAX };
        let picked: Vec<u64> = self
            .packets
            .iter()
            .filter(|(number, packet)| pick.matches(**number, packet))
            .map(|(number, _)| *number)
            .take(most)
            .collect();
        let mut reached = BTreeSet::new();
        for number in picked {
            let packet = if keep { self.packets.get(&number).cloned() } else { self.packets.remove(&number) };
            let Some(packet) = packet else { continue };
            if !self.cut.contains(&(packet.from.clone(), packet.to.clone())) {
                reached.insert(packet.to.clone());
                self.receive(packet)?;
            }
        }
        for node in reached {
            if node.as_str() == VIEW_SERVICE {
                self.step_view_service(ViewService::flush())?;
            } else if self.servers.contains_key(&node) {
                self.flush(&node)?;
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, packet: Packet) -> Checked {
        if self.clients.contains_key(&packet.to) {
            self.client_receives(&packet);
            return Ok(());
        }
        if !self.is_up(&packet.to) {
            return Ok(());
        }
        let Packet { from, to, body, .. } = packet;
        match body {
            Body::Ping(ping) => {
                let ticket = self.ticket(&to, (from, 0));
                self.step_view_service(view_service::Event::Ping { ticket, ping })
            }
            Body::PingReply(reply) => self.step_server(&to, replica::Event::PingReply(reply)),
            Body::Probe(probe) => self.step_server(&to, replica::Event::Probe(probe)),
            Body::Peer(message) => self.step_server(&to, replica::Event::Peer(message)),
            Body::Request(call, request) => {
                let ticket = self.ticket(&to, (from, call));
                let replica = self.servers.get(&to).and_then(|server| server.replica.as_ref());
                self.invariants.request_received(&to, replica.expect("it is up"), ticket, &request);
                self.step_server(&to, replica::Event::Request { ticket, request })
            }
            Body::Reply(..) => Ok(()),
        }
    }

    pub(super) fn ticket(&mut self, at: &ServerId, caller: (ServerId, u64)) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert((at.clone(), ticket), caller);
        ticket
    }

    /// Who waits for `ticket`, which is being answered: once, and never again.
    pub(super) fn answered(&mut self, at: &ServerId, ticket: Ticket) -> Result<(ServerId, u64), String> {
        self.tickets
            .remove(&(at.clone(), ticket))
            .ok_or_else(|| format!("each caller is answered once; but {at} answered {ticket} again"))
    }
}
