//! A whole cluster as data: one view service, replicas, clients, everything in flight between them.
//!
//! There is no network, no disk and no clock but what a [`Command`] makes happen: time passes when told,
//! a message arrives when told, a write becomes durable when told. After every step of every machine all
//! invariants are checked, and each waiting caller is answered at most once. What clients see is
//! recorded, to be judged at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use linearize::kv::{Input, Output};
use pbkv::protocol::{
    identity::{Boot, ServerId, Ticket},
    machine::Machine,
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{self, Replica, Start},
    view_service::{self, Answer, ViewService},
};
use sim::invariants::Invariants;

use crate::{
    clients::{Client, Progress, Waiting, input},
    command::{Command, VIEW_SERVICE},
    coverage::Coverage,
    describe,
    network::{Body, Packet, Pick},
    nodes::{Clock, Server, Viewer},
};

/// The grain of time while everything runs by itself.
const RUN_STEP: Duration = Duration::from_millis(20);

/// More messages than this in one settling mean that the machines talk without end.
const SETTLE_MESSAGES_MAX: usize = 5_000;

/// More messages in flight than this, and the oldest are lost.
const IN_FLIGHT_MAX: usize = 300;

/// Lives of a server are numbered in steps of this, so that there is room for a clock that is set back.
const BOOT_STEP: u64 = 10;

/// What a cluster consists of.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub servers: Vec<ServerId>,
    pub view: ViewServiceOptions,
    pub replica: ReplicaOptions,
    /// What each server's clock gains, and then the view service's, in parts of a thousand.
    pub gains_permille: Vec<i32>,
}

/// Everything went as promised, or what did not.
pub type Checked = Result<(), String>;

/// A cluster.
pub struct Cluster {
    pub setup: Setup,
    pub now: Duration,
    pub viewer: Viewer,
    pub servers: BTreeMap<ServerId, Server>,
    pub clients: BTreeMap<ServerId, Client>,
    pub packets: BTreeMap<u64, Packet>,
    pub coverage: Coverage,
    pub recorder: linearize::Recorder<Input, Output>,
    /// What happened since somebody looked, in words.
    pub happened: Vec<String>,
    invariants: Invariants,
    last_packet: u64,
    last_ticket: u64,
    last_nonce: u64,
    /// Who waits for which ticket of which machine.
    tickets: BTreeMap<(ServerId, Ticket), (ServerId, u64)>,
    cut: BTreeSet<(ServerId, ServerId)>,
    held: BTreeSet<Pick>,
    slow: BTreeSet<ServerId>,
    /// Counts what clients see; the time of their history.
    instant: u64,
}

impl Cluster {
    /// A cluster in which everybody has just started.
    pub fn new(setup: Setup) -> Self {
        let gain = |index: usize| setup.gains_permille.get(index).copied().unwrap_or(0);
        let clock = |index: usize| Clock {
            began_at: Duration::from_secs(1000 * (index as u64 + 1)),
            gains_permille: gain(index),
        };
        let servers = setup.servers.iter().enumerate().map(|(index, name)| {
            (name.clone(), Server { clock: clock(index), last_boot: Boot(BOOT_STEP), ..Server::default() })
        });
        let mut cluster = Self {
            now: Duration::ZERO,
            viewer: Viewer { clock: clock(setup.servers.len()), ..Viewer::default() },
            servers: servers.collect(),
            clients: BTreeMap::new(),
            packets: BTreeMap::new(),
            coverage: Coverage::default(),
            recorder: linearize::Recorder::new(),
            happened: Vec::new(),
            invariants: Invariants::new(),
            last_packet: 0,
            last_ticket: 0,
            last_nonce: 0,
            tickets: BTreeMap::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            slow: BTreeSet::new(),
            instant: 0,
            setup,
        };
        cluster.start_view_service();
        for server in cluster.setup.servers.clone() {
            cluster.start_server(&server, false).expect("a first life breaks nothing");
        }
        cluster
    }

    /// Makes it happen.
    pub fn apply(&mut self, command: &Command) -> Checked {
        match command {
            Command::Advance(time) => {
                self.now += *time;
                self.tick()
            }
            Command::Stall(time) => {
                self.now += *time;
                Ok(())
            }
            Command::Settle => self.settle(),
            Command::Run(time) => self.run(*time),
            Command::Deliver(pick) => self.deliver(pick, false),
            Command::Duplicate(pick) => self.deliver(pick, true),
            Command::Drop(pick) => {
                self.packets.retain(|number, packet| !pick.matches(*number, packet));
                Ok(())
            }
            Command::Hold(pick) => {
                self.held.insert(pick.clone());
                Ok(())
            }
            Command::Release => {
                self.held.clear();
                Ok(())
            }
            Command::Cut(from, to) => {
                self.cut.insert((from.clone(), to.clone()));
                Ok(())
            }
            Command::Isolate(node) => {
                for other in self.nodes() {
                    self.cut.insert((node.clone(), other.clone()));
                    self.cut.insert((other, node.clone()));
                }
                Ok(())
            }
            Command::Heal => {
                self.cut.clear();
                Ok(())
            }
            Command::Persist(server) => self.persist(server).map(|_| ()),
            Command::SlowDisk(server) => {
                self.slow.insert(server.clone());
                Ok(())
            }
            Command::FastDisks => {
                self.slow.clear();
                Ok(())
            }
            Command::Crash(server, keep) => self.crash(server, *keep),
            Command::Wipe(server) => self.wipe(server),
            Command::Restart(server, back) if server.as_str() != VIEW_SERVICE => {
                self.start_server(server, *back)
            }
            Command::Restart(..) => {
                self.start_view_service();
                Ok(())
            }
            Command::Call(client, wish, server) => {
                let state = self.clients.entry(client.clone()).or_default();
                if state.begin(wish.clone())
                    && let Some(input) = input(wish)
                {
                    let process = process(client);
                    self.instant += 1;
                    self.recorder.call(process, self.instant, input).expect("one operation at a time");
                }
                self.ask(client, server);
                Ok(())
            }
            Command::Retry(client, server) => {
                self.ask(client, server);
                Ok(())
            }
            Command::GiveUp(client) => {
                self.give_up(client);
                Ok(())
            }
        }
    }

    /// The recorded primary, if there is a view.
    pub fn primary(&self) -> Option<ServerId> {
        self.viewer.disk.view.as_ref().map(|view| view.primary.clone())
    }

    /// Whether some replica that may become primary still has its memory. Before the first view nothing
    /// can be lost.
    pub fn has_data(&self) -> bool {
        let record = &self.invariants.facts().record;
        let intact = |(server, data)| self.invariants.facts().is_intact(server, data);
        record.view.is_none() || record.stable.iter().any(|(server, data)| intact((server, *data)))
    }

    /// An operator allows the view service, which is down, to begin a new generation.
    pub fn accept_data_loss(&mut self) -> Checked {
        if self.viewer.machine.is_some() {
            return Err("the view service has to be down".to_owned());
        }
        let record = self.viewer.disk.clone().accept_data_loss();
        self.record_durable(vec![record])
    }

    /// Whether `node` runs.
    pub fn is_up(&self, node: &ServerId) -> bool {
        match self.servers.get(node) {
            Some(server) => server.replica.is_some(),
            None => node.as_str() == VIEW_SERVICE && self.viewer.machine.is_some(),
        }
    }

    fn settle(&mut self) -> Checked {
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

    fn run(&mut self, time: Duration) -> Checked {
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
    fn tick(&mut self) -> Checked {
        if let Some(machine) = &self.viewer.machine
            && machine.deadline() <= self.viewer.clock.read(self.now)
        {
            self.step_view_service(ViewService::tick())?;
            self.step_view_service(ViewService::flush())?;
        }
        for name in self.setup.servers.clone() {
            let server = &self.servers[&name];
            if server.replica.as_ref().is_some_and(|it| it.deadline() <= server.clock.read(self.now)) {
                self.step_server(&name, Replica::tick())?;
                self.step_server(&name, Replica::flush())?;
            }
        }
        Ok(())
    }

    fn nodes(&self) -> Vec<ServerId> {
        self.setup.servers.iter().cloned().chain([ServerId::new(VIEW_SERVICE)]).collect()
    }

    fn send(&mut self, from: &ServerId, to: &ServerId, body: Body) {
        self.last_packet += 1;
        let packet = Packet { from: from.clone(), to: to.clone(), body };
        self.packets.insert(self.last_packet, packet);
        while self.packets.len() > IN_FLIGHT_MAX {
            self.packets.pop_first();
        }
    }

    /// Messages arrive as one batch: the machine is flushed when all are taken.
    fn deliver(&mut self, pick: &Pick, keep: bool) -> Checked {
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
                self.step_server(&node, Replica::flush())?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, packet: Packet) -> Checked {
        if self.clients.contains_key(&packet.to) {
            self.client_receives(&packet);
            return Ok(());
        }
        if !self.is_up(&packet.to) {
            return Ok(());
        }
        let Packet { from, to, body } = packet;
        match body {
            Body::Ping(ping) => {
                let ticket = self.ticket(&to, (from, 0));
                self.step_view_service(view_service::Event::Ping { ticket, ping })
            }
            Body::PingReply(reply) => self.step_server(&to, replica::Event::PingReply(reply)),
            Body::Peer(message) => self.step_server(&to, replica::Event::Peer(message)),
            Body::Request(call, request) => {
                let ticket = self.ticket(&to, (from, call));
                let server = self.servers.get(&to).expect("a server of the cluster");
                if let Some(replica) = &server.replica {
                    self.invariants.request_received(replica, ticket, &request);
                }
                self.step_server(&to, replica::Event::Request { ticket, request })
            }
            Body::Reply(..) => Ok(()),
        }
    }

    fn ticket(&mut self, at: &ServerId, caller: (ServerId, u64)) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert((at.clone(), ticket), caller);
        ticket
    }

    /// Who waits for `ticket`, which is being answered: once, and never again.
    fn answered(&mut self, at: &ServerId, ticket: Ticket) -> Result<(ServerId, u64), String> {
        self.tickets
            .remove(&(at.clone(), ticket))
            .ok_or_else(|| format!("each caller is answered once; but {at} answered {ticket} again"))
    }

    fn step_view_service(&mut self, event: view_service::Event) -> Checked {
        let now = self.viewer.clock.read(self.now);
        let Some(machine) = &mut self.viewer.machine else { return Ok(()) };
        let mut effects = Vec::new();
        machine.step(now, event, &mut effects);
        let name = ServerId::new(VIEW_SERVICE);
        for effect in effects {
            match effect {
                view_service::Effect::Persist { number, record } => {
                    self.viewer.unwritten.push_back((number, vec![record]));
                }
                view_service::Effect::Answer { ticket, answer } => {
                    let (to, _) = self.answered(&name, ticket)?;
                    let Answer::Ping(reply) = answer else { continue };
                    if let pbkv::protocol::message::PingReplyBody::Accepted { view: Some(view), .. } =
                        &reply.body
                    {
                        self.invariants.view_told(view).map_err(|broken| broken.to_string())?;
                    }
                    self.send(&name, &to, Body::PingReply(reply));
                }
                view_service::Effect::Notice(notice) => {
                    self.coverage.view_notice(&notice);
                    self.happened.push(format!("{name} {}", describe::view_notice(&notice)));
                }
            }
        }
        Ok(())
    }

    fn step_server(&mut self, name: &ServerId, event: replica::Event) -> Checked {
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        let now = server.clock.read(self.now);
        let Some(replica) = &mut server.replica else { return Ok(()) };
        let mut effects = Vec::new();
        self.coverage.before(replica, &event);
        replica.step(now, event, &mut effects);
        self.coverage.after(replica, &effects);
        server.last_boot = server.last_boot.max(replica.boot());
        let checked = self.invariants.replica_stepped(name, replica, &effects);
        checked.map_err(|broken| broken.to_string())?;
        for effect in effects {
            match effect {
                replica::Effect::Ping(ping) => {
                    self.send(name, &ServerId::new(VIEW_SERVICE), Body::Ping(ping));
                }
                replica::Effect::Send { to, message } => self.send(name, &to, Body::Peer(message)),
                replica::Effect::Persist { number, writes } => {
                    let server = self.servers.get_mut(name).expect("a server of the cluster");
                    server.unwritten.push_back((number, writes));
                }
                replica::Effect::Reply { ticket, reply } => {
                    let (client, call) = self.answered(name, ticket)?;
                    self.send(name, &client, Body::Reply(call, reply));
                }
                replica::Effect::Notice(notice) => {
                    self.happened.push(format!("{name} {}", describe::notice(&notice)));
                }
            }
        }
        Ok(())
    }

    /// The first batch becomes durable. False if there is none.
    fn persist(&mut self, node: &ServerId) -> Result<bool, String> {
        if node.as_str() == VIEW_SERVICE {
            let Some((number, records)) = self.viewer.unwritten.pop_front() else { return Ok(false) };
            self.record_durable(records)?;
            self.step_view_service(view_service::Event::Persisted(number))?;
            self.step_view_service(ViewService::flush())?;
            return Ok(true);
        }
        let server = self.servers.get_mut(node).expect("a server of the cluster");
        let Some((number, writes)) = server.unwritten.pop_front() else { return Ok(false) };
        self.writes_durable(node, writes)?;
        self.step_server(node, replica::Event::Persisted(number))?;
        self.step_server(node, Replica::flush())?;
        Ok(true)
    }

    fn record_durable(&mut self, records: Vec<pbkv::protocol::view::Record>) -> Checked {
        for record in records {
            self.invariants.record_persisted(&record).map_err(|broken| broken.to_string())?;
            self.coverage.record(&self.viewer.disk, &record);
            self.viewer.disk = record;
        }
        Ok(())
    }

    fn writes_durable(&mut self, name: &ServerId, writes: Vec<pbkv::protocol::log::Write>) -> Checked {
        for write in writes {
            let checked = self.invariants.disk_written(name, &write);
            checked.map_err(|broken| broken.to_string())?;
            self.coverage.write(&write);
            self.servers.get_mut(name).expect("a server of the cluster").disk.apply(write);
        }
        Ok(())
    }

    fn crash(&mut self, node: &ServerId, keep: usize) -> Checked {
        self.tickets.retain(|(at, _), _| at != node);
        if node.as_str() == VIEW_SERVICE {
            self.viewer.machine = None;
            let unwritten = std::mem::take(&mut self.viewer.unwritten);
            return self.record_durable(unwritten.into_iter().flat_map(|(_, it)| it).take(keep).collect());
        }
        self.coverage.crash(self.servers.get(node).and_then(|server| server.replica.as_ref()));
        let server = self.servers.get_mut(node).expect("a server of the cluster");
        server.replica = None;
        let unwritten = std::mem::take(&mut server.unwritten);
        self.writes_durable(node, unwritten.into_iter().flat_map(|(_, it)| it).take(keep).collect())
    }

    fn wipe(&mut self, name: &ServerId) -> Checked {
        self.crash(name, 0)?;
        self.coverage.count("memory lost");
        self.servers.get_mut(name).expect("a server of the cluster").disk = Default::default();
        self.invariants.disk_lost(name);
        Ok(())
    }

    fn start_server(&mut self, name: &ServerId, clock_back: bool) -> Checked {
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        let aligned = (server.last_boot.0 / BOOT_STEP + 1) * BOOT_STEP;
        // A server that remembers nothing takes the number from a clock; one that remembers counts.
        let back = clock_back
            && server.disk.boot == Boot(0)
            && server.last_boot.0 > BOOT_STEP
            && server.set_back + 1 < BOOT_STEP;
        server.set_back += u64::from(back);
        let boot = Boot(if back { aligned - 2 * BOOT_STEP + server.set_back } else { aligned });
        self.last_nonce += 1;
        let start =
            Start { server: name.clone(), boot, nonce: self.last_nonce, durable: server.disk.clone() };
        server.last_boot = server.last_boot.max(boot);
        self.invariants.server_started(name, &server.disk);
        let now = server.clock.read(self.now);
        server.replica = Some(Replica::new(self.setup.replica.clone(), start, now));
        self.step_server(name, Replica::flush())
    }

    fn start_view_service(&mut self) {
        self.viewer.epoch += 1;
        let now = self.viewer.clock.read(self.now);
        let options = self.setup.view.clone();
        let machine = ViewService::new(options, self.viewer.disk.clone(), self.viewer.epoch, now);
        self.viewer.machine = Some(machine);
    }

    fn ask(&mut self, client: &ServerId, server: &ServerId) {
        let Some(state) = self.clients.get(client) else { return };
        let Some(request) = state.request() else { return };
        let call = state.call;
        self.send(client, server, Body::Request(call, request));
    }

    fn client_receives(&mut self, packet: &Packet) {
        let Body::Reply(call, reply) = &packet.body else { return };
        let client = self.clients.get_mut(&packet.to).expect("it is a client");
        if *call == client.call && client.waiting.is_some() {
            self.happened.push(format!(
                "{} hears from {}: {}",
                packet.to,
                packet.from,
                describe::reply(reply)
            ));
        }
        self.coverage.reply(reply);
        let waited_for_session = matches!(client.waiting, Some(Waiting::Session(_)));
        let progress = client.answer(*call, reply);
        let process = process(&packet.to);
        self.instant += 1;
        let recorded = match progress {
            Progress::None | Progress::Closed => return,
            Progress::Opened => {
                assert!(waited_for_session, "only a session that was wanted is opened");
                return self.ask(&packet.to.clone(), &packet.from.clone());
            }
            Progress::Done(output) => self.recorder.returned(process, self.instant, output),
            Progress::Unknown => self.recorder.unknown(process, self.instant),
            Progress::TooLong => self.recorder.withdrawn(process, self.instant),
        };
        recorded.expect("the operation was called");
    }

    fn give_up(&mut self, name: &ServerId) {
        let Some(client) = self.clients.get_mut(name) else { return };
        let Some(waiting) = client.waiting.clone() else { return };
        client.give_up();
        self.instant += 1;
        let process = process(name);
        match waiting {
            Waiting::Session(_) => self.recorder.withdrawn(process, self.instant),
            Waiting::Get { .. } | Waiting::Update { .. } => self.recorder.unknown(process, self.instant),
            Waiting::Close => return,
        }
        .expect("the operation was called");
    }
}

/// The checker names clients by number.
fn process(client: &ServerId) -> u64 {
    client.as_str().bytes().fold(0, |number, byte| number * 256 + u64::from(byte))
}
