//! The machines are stepped, and their effects become messages and writes.

use pbkv::protocol::{
    identity::{Boot, Ticket},
    log::Durable,
    machine::Machine,
    message::PingReplyBody,
    replica::{self, Replica, RoleName, Start},
    view_service::{self, Answer, SealKey, ViewService},
};
use testbed::data::node::NodeIndex;

use super::{Caller, Checked, Cluster, VS, WallClock, flight::Body, flight::Key};

/// Lives of a server are numbered in steps of this, so that there is room for a clock that is set back.
pub(super) const BOOT_STEP: u64 = 10;

impl Cluster {
    pub(super) fn deliver(&mut self, key: Key, body: Body) -> Checked {
        let (from, to) = (NodeIndex::from(key.from), NodeIndex::from(key.to));
        if to > self.servers.len() {
            return self.client_hears(to, from, body);
        }
        if !self.is_up(to) {
            return Ok(()); // lost
        }
        match body {
            Body::Ping { life, ping } => {
                let ticket = self.viewer_ticket(Caller { node: from, call: life, attempt: 0 });
                self.step_view_service(view_service::Event::Ping { ticket, ping })?;
            }
            Body::Question => {
                let ticket = self.viewer_ticket(Caller { node: from, call: 0, attempt: 0 });
                self.step_view_service(view_service::Event::GetView { ticket })?;
            }
            Body::Answer { life, reply } => {
                if self.servers[to - 1].life != life {
                    return Ok(()); // the call is gone that it answers
                }
                self.step_server(to, replica::Event::PingReply(reply))?;
            }
            Body::Gone => {
                let gone = self.nodes.id(from).clone();
                self.step_view_service(view_service::Event::Gone(gone))?;
            }
            Body::Probe(probe) => self.step_server(to, replica::Event::Probe(probe))?,
            Body::Peer(message) => self.step_server(to, replica::Event::Peer(message))?,
            Body::Request { call, attempt, request } => {
                let server = &mut self.servers[to - 1];
                server.last_ticket += 1;
                let ticket = Ticket(server.last_ticket);
                server.callers.insert(ticket, Caller { node: from, call, attempt });
                self.step_server(to, replica::Event::Request { ticket, request })?;
            }
            Body::Reply { .. } | Body::View(_) => {}
        }
        self.flush(to)
    }

    fn viewer_ticket(&mut self, caller: Caller) -> Ticket {
        self.viewer.last_ticket += 1;
        let ticket = Ticket(self.viewer.last_ticket);
        self.viewer.callers.insert(ticket, caller);
        ticket
    }

    /// No further event is waiting, unless a server gathers them.
    pub(super) fn flush(&mut self, node: NodeIndex) -> Checked {
        if node == VS {
            return self.step_view_service(ViewService::flush());
        }
        if self.servers[node - 1].gathers {
            return Ok(());
        }
        self.step_server(node, Replica::flush())
    }

    /// A timer goes off. False if none is due.
    pub(super) fn tick(&mut self, node: NodeIndex) -> Checked<bool> {
        let now = self.clocks[node];
        if node == VS {
            if self.viewer.machine.as_ref().is_none_or(|machine| machine.deadline() > now) {
                return Ok(false);
            }
            self.step_view_service(ViewService::tick())?;
        } else {
            let server = &self.servers[node - 1];
            let due = server.machine.as_ref().is_some_and(|machine| machine.deadline() <= now);
            if !due || server.gathers {
                return Ok(false);
            }
            self.step_server(node, Replica::tick())?;
        }
        self.flush(node)?;
        Ok(true)
    }

    /// The first write on its way becomes durable. False if there is none.
    pub(super) fn persist(&mut self, node: NodeIndex) -> Checked<bool> {
        if node == VS {
            let Some((number, record)) = self.viewer.unwritten.pop_front() else { return Ok(false) };
            self.judges.record_durable(self.now, &record)?;
            self.viewer.record = record;
            self.step_view_service(view_service::Event::Persisted(number))?;
        } else {
            let server = &mut *self.servers[node - 1];
            let Some((number, writes)) = server.unwritten.pop_front() else { return Ok(false) };
            for write in writes {
                self.judges.disk_written(self.now, node, &server.id, &write)?;
                server.disk.apply(write);
            }
            self.step_server(node, replica::Event::Persisted(number))?;
        }
        self.flush(node)?;
        Ok(true)
    }

    /// A process ends; the first `kept` changes on their way to its disk arrive. False if it does not run.
    pub(super) fn crash(&mut self, node: NodeIndex, kept: usize) -> Checked<bool> {
        if !self.is_up(node) {
            return Ok(false);
        }
        self.counts.crashes += 1;
        if node != VS && self.hears_at_once {
            self.flight.send(node, VS, Body::Gone);
        }
        if node == VS {
            self.viewer.machine = None;
            self.viewer.callers.clear();
            for (_, record) in std::mem::take(&mut self.viewer.unwritten).into_iter().take(kept) {
                self.judges.record_durable(self.now, &record)?;
                self.viewer.record = record;
            }
            return Ok(true);
        }
        let server = &mut *self.servers[node - 1];
        server.machine = None;
        server.gathers = false;
        server.callers.clear();
        let writes = std::mem::take(&mut server.unwritten).into_iter().flat_map(|(_, writes)| writes);
        for write in writes.take(kept) {
            self.judges.disk_written(self.now, node, &server.id, &write)?;
            server.disk.apply(write);
        }
        Ok(true)
    }

    /// A server ends and loses its memory. False if that might be the last copy.
    pub(super) fn wipe(&mut self, node: NodeIndex) -> Checked<bool> {
        if !self.is_up(node) || !self.may_forget(node) {
            return Ok(false);
        }
        self.crash(node, 0)?;
        self.counts.wipes += 1;
        let server = &mut *self.servers[node - 1];
        server.disk = Durable::default();
        self.judges.disk_lost(self.now, node, &server.id);
        Ok(true)
    }

    /// A process starts.
    pub(super) fn start(&mut self, node: NodeIndex, clock: WallClock) -> Checked {
        let now = self.clocks[node];
        if node == VS {
            self.viewer.life += 1;
            let life = self.viewer.life;
            let options = self.plan.cluster.view_service_options(life);
            let key = SealKey(life, life);
            self.viewer.machine = Some(ViewService::new(options, self.viewer.record.clone(), life, key, now));
            self.judges.view_service_started(self.now);
            return Ok(());
        }
        let server = &mut *self.servers[node - 1];
        server.life += 1;
        let aligned = (server.last_boot.0 / BOOT_STEP + 1) * BOOT_STEP;
        // A server that remembers nothing takes the number from a clock; one that remembers counts.
        let forgot = server.disk.boot == Boot(0);
        let boot = match clock {
            WallClock::SetBack
                if forgot && server.last_boot.0 > BOOT_STEP && server.set_back + 1 < BOOT_STEP =>
            {
                server.set_back += 1;
                aligned - 2 * BOOT_STEP + server.set_back // smaller than the last one, and no other life's
            }
            WallClock::Repeats if forgot => server.last_boot.0,
            _ => aligned,
        };
        server.last_boot = server.last_boot.max(Boot(boot));
        server.pings = 0;
        let start = Start {
            server: server.id.clone(),
            boot: Boot(boot),
            nonce: 1_000 * node as u64 + server.life,
            durable: server.disk.clone(),
        };
        let options = self.plan.cluster.replica_options(self.nodes.name(node), server.life);
        self.judges.server_started(self.now, node, &server.id, &server.disk);
        server.machine = Some(Replica::new(options, start, now));
        self.flush(node)
    }

    fn step_server(&mut self, node: NodeIndex, event: replica::Event) -> Checked {
        let now = self.clocks[node];
        let server = &mut *self.servers[node - 1];
        let Some(machine) = &mut server.machine else { return Ok(()) };
        self.counts.steps += 1;
        let mut effects = std::mem::take(&mut self.replica_effects);
        effects.clear();
        self.judges.before_replica(now, node, machine, &event);
        machine.step(now, event, &mut effects);
        server.last_boot = server.last_boot.max(machine.boot());
        self.judges.after_replica((self.now, now), node, &server.id, machine, &effects)?;
        let mut durable = None;
        for effect in effects.drain(..) {
            match effect {
                replica::Effect::Ping(ping) => {
                    let server = &mut *self.servers[node - 1];
                    server.pings += 1;
                    let life = server.life;
                    self.flight.send(node, VS, Body::Ping { life, ping });
                }
                replica::Effect::Send { to, message } => {
                    let to = self.nodes.server(&to).expect("only servers are written to");
                    self.flight.send(node, to, Body::Peer(message));
                }
                replica::Effect::Persist { number, writes } => {
                    self.servers[node - 1].unwritten.push_back((number, writes));
                    durable = Some(number);
                }
                replica::Effect::Reply { ticket, reply } => {
                    let caller = self.servers[node - 1].callers.remove(&ticket);
                    if let Some(Caller { node: client, call, attempt }) = caller {
                        self.flight.send(node, client, Body::Reply { call, attempt, reply });
                    }
                }
                replica::Effect::Notice(notice) => {
                    match &notice {
                        replica::Notice::RoleChanged { role: RoleName::Primary, .. } => {
                            self.counts.promotions += 1;
                        }
                        replica::Notice::TransferCompleted { .. } => self.counts.transfers += 1,
                        _ => {}
                    }
                    self.hear(node, || format!("{notice:?}"));
                }
            }
        }
        self.replica_effects = effects;
        if durable.is_some() && self.writes_at_once() {
            self.persist_at_once(node)?;
        }
        Ok(())
    }

    fn step_view_service(&mut self, event: view_service::Event) -> Checked {
        let now = self.clocks[VS];
        let Some(machine) = &mut self.viewer.machine else { return Ok(()) };
        self.counts.steps += 1;
        let mut effects = std::mem::take(&mut self.view_service_effects);
        effects.clear();
        self.judges.before_view_service(&event);
        let is_news = matches!(event, view_service::Event::Persisted(_));
        machine.step(now, event, &mut effects);
        self.judges.after_view_service((self.now, now), machine, &effects)?;
        let mut durable = None;
        for effect in effects.drain(..) {
            match effect {
                view_service::Effect::Persist { number, record } => {
                    self.judges.record_written(&record);
                    self.viewer.unwritten.push_back((number, record));
                    durable = Some(number);
                }
                view_service::Effect::Answer { ticket, answer } => {
                    let Some(Caller { node, call: life, .. }) = self.viewer.callers.remove(&ticket) else {
                        continue;
                    };
                    let body = match answer {
                        Answer::Ping(reply) => Body::Answer { life, reply },
                        Answer::View { view, .. } => Body::View(view),
                        Answer::Status(_) => unreachable!("no operator walks"),
                    };
                    self.flight.send(VS, node, body);
                }
                view_service::Effect::Dismiss { ticket } => {
                    self.viewer.callers.remove(&ticket);
                }
                view_service::Effect::Probe { .. } if is_news && !self.hears_at_once => {}
                view_service::Effect::Probe { server, probe, .. } => {
                    if let Some(node) = self.nodes.server(&server) {
                        self.flight.send(VS, node, Body::Probe(probe));
                    }
                }
                view_service::Effect::Notice(notice) => {
                    if matches!(notice, view_service::Notice::Proposed { .. }) {
                        self.counts.views += 1;
                    }
                    self.hear(VS, || super::words::view_notice(&notice));
                }
            }
        }
        self.view_service_effects = effects;
        if durable.is_some() && self.writes_at_once() {
            self.persist_at_once(VS)?;
        }
        Ok(())
    }

    fn persist_at_once(&mut self, node: NodeIndex) -> Checked {
        if self.script.is_some() {
            let command = self.persist_command(node);
            self.script.get_or_insert_default().push(command);
        }
        self.persist(node).map(|_| ())
    }

    /// Whether disks take no time.
    pub(super) fn writes_at_once(&self) -> bool {
        self.plan.cluster.disk_ms_max == 0
    }

    fn hear(&mut self, node: NodeIndex, words: impl FnOnce() -> String) {
        if let Some(heard) = &mut self.heard {
            heard.push(format!("{}: {}", self.nodes.name(node), words()));
        }
    }
}

/// The view that an answer tells, if it tells one.
pub(super) fn told(effect: &view_service::Effect) -> Option<&pbkv::protocol::view::View> {
    let view_service::Effect::Answer { answer, .. } = effect else { return None };
    match answer {
        Answer::View { view, .. } => view.as_ref(),
        Answer::Ping(reply) => match &reply.body {
            PingReplyBody::Accepted { view, .. } => view.as_ref(),
            _ => None,
        },
        Answer::Status(_) => None,
    }
}
