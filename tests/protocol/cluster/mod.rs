//! A whole cluster as data: one view service, replicas, clients, everything in flight between them.
//!
//! There is no network, no disk and no clock but what a [`Command`] makes happen: time passes when told,
//! a message arrives when told, a write becomes durable when told. After every step of every machine all
//! invariants are checked, and each waiting caller is answered at most once. What clients see is
//! recorded, to be judged at the end.

mod callers;
mod flow;
mod machines;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    clients::{Client, input},
    command::{Command, VIEW_SERVICE, WallClock},
    coverage::Coverage,
    network::{Packet, Pick},
    nodes::{Clock, Server, Viewer},
};
use linearizability::kv::{Input, Output};
use pbkv::protocol::{
    identity::{Boot, ServerId, Ticket},
    options::{ReplicaOptions, ViewServiceOptions},
    view::Record,
    view_service::{self, adoption::Adopt},
};
use sim::judges::invariants::Invariants;

/// The grain of time while everything runs by itself.
const RUN_STEP: Duration = Duration::from_millis(20);

/// More messages than this in one settling mean that the machines talk without end.
const SETTLE_MESSAGES_MAX: usize = 5_000;

/// More messages in flight than this, and the oldest are lost.
const IN_FLIGHT_MAX: usize = 1_000;

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
    /// What clients hear is told with its revision.
    pub shows_revisions: bool,
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
    pub recorder: linearizability::Recorder<Input, Output>,
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
    /// Servers that take what arrives as one batch.
    gathering: BTreeSet<ServerId>,
    /// How many messages of each kind were sent, from one to another.
    sent: BTreeMap<(ServerId, ServerId, &'static str), u64>,
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
            recorder: linearizability::Recorder::new(),
            happened: Vec::new(),
            invariants: Invariants::new(),
            last_packet: 0,
            last_ticket: 0,
            last_nonce: 0,
            tickets: BTreeMap::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            slow: BTreeSet::new(),
            gathering: BTreeSet::new(),
            sent: BTreeMap::new(),
            instant: 0,
            setup,
        };
        cluster.start_viewer(None);
        for server in cluster.setup.servers.clone() {
            cluster.start_server(&server, WallClock::GoesOn).expect("a first life breaks nothing");
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
            Command::Tick(node) => self.tick_of(node),
            Command::Jump(node, time) => {
                let server = self.servers.get_mut(node).map(|server| &mut server.clock);
                server.unwrap_or(&mut self.viewer.clock).began_at += *time;
                Ok(())
            }
            Command::Gather(server) => {
                self.gathering.insert(server.clone());
                Ok(())
            }
            Command::Flush(server) => {
                if self.gathering.remove(server) {
                    self.flush(server)
                } else {
                    Ok(())
                }
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
            Command::Forge(server, life) => {
                self.forge(server, *life);
                Ok(())
            }
            Command::ForgeView(server, view) => {
                self.forge_view(server, *view);
                Ok(())
            }
            Command::Crash(server, keep) => self.crash(server, *keep),
            Command::Gone(server) => self.step_view_service(view_service::Event::Gone(server.clone())),
            Command::Wipe(server) => self.wipe(server),
            Command::Copy(server) => {
                self.copy(server);
                Ok(())
            }
            Command::GoBack(server) => self.go_back(server),
            Command::Restart(server, clock) if server.as_str() != VIEW_SERVICE => {
                self.start_server(server, *clock)
            }
            Command::Restart(..) => {
                self.start_viewer(None);
                Ok(())
            }
            Command::Call(client, wish, server) => {
                let state = self.clients.entry(client.clone()).or_default();
                if state.begin(wish.clone())
                    && let Some(input) = input(state, wish)
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
        self.invariants.data_given_up(&record);
        self.record_durable(vec![record])
    }

    /// The record of the view service, which is down, is gone.
    pub fn lose_record(&mut self) -> Checked {
        if self.viewer.machine.is_some() {
            return Err("the view service has to be down".to_owned());
        }
        self.viewer.lost = Some(std::mem::take(&mut self.viewer.disk));
        self.invariants.record_lost();
        Ok(())
    }

    /// The lost record is found again; nothing was recorded meanwhile.
    pub fn restore_record(&mut self) -> Checked {
        if self.viewer.machine.is_some() || self.viewer.disk != Record::default() {
            return Err("the view service has to be down, and without a record".to_owned());
        }
        self.viewer.disk = self.viewer.lost.take().ok_or("no record was lost")?;
        self.invariants.record_restored(&self.viewer.disk);
        Ok(())
    }

    /// A copy of the record is made.
    pub fn save_record(&mut self) {
        self.viewer.saved = Some(self.viewer.disk.clone());
    }

    /// An operator puts an old copy of the record in the place of that of the view service, which is down.
    pub fn restore_old_record(&mut self) -> Checked {
        if self.viewer.machine.is_some() {
            return Err("the view service has to be down".to_owned());
        }
        self.viewer.disk = self.viewer.saved.take().ok_or("no record was saved")?;
        self.invariants.record_replaced();
        Ok(())
    }

    /// An operator starts the view service, which is down and without a record, so that it adopts a server's
    /// data.
    pub fn adopt(&mut self, wanted: Adopt) -> Checked {
        if self.viewer.machine.is_some() || self.viewer.disk != Record::default() {
            return Err("the view service has to be down, and without a record".to_owned());
        }
        self.start_viewer(Some(wanted));
        Ok(())
    }

    /// Whether `node` runs.
    pub fn is_up(&self, node: &ServerId) -> bool {
        match self.servers.get(node) {
            Some(server) => server.replica.is_some(),
            None => node.as_str() == VIEW_SERVICE && self.viewer.machine.is_some(),
        }
    }

    fn nodes(&self) -> Vec<ServerId> {
        self.setup.servers.iter().cloned().chain([ServerId::new(VIEW_SERVICE)]).collect()
    }
}

/// The checker names clients by number.
fn process(client: &ServerId) -> u64 {
    client.as_str().bytes().fold(0, |number, byte| number * 256 + u64::from(byte))
}
