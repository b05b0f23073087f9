//! Whether everything that a machine holds or does stays within its limits: **bounds**.
//!
//! After every step what the machine holds is compared with what it may hold by the options that the plan
//! gives to its life ([`limits`]), with what it was asked, and with what its replicas can still need. Each
//! bound has a name; the first one that is exceeded ends the run.
//!
//! | quantity | bound |
//! | --- | --- |
//! | requests that wait | `waiting_max`; each request gets one answer, and what is answered, or belongs to a role that is over, is held no longer |
//! | of these, scans | `scans_max` |
//! | bytes of pages before the last one that is read between two flushes | `scan_bytes_max` |
//! | counts of what waits, is in flight, or is being opened | what there is to be counted |
//! | keys noted for the sake of updates in flight | one for each of these |
//! | answers of the view service that wait for its record | none once that is durable; [`ANSWERS_WAITING_MAX`]; each question gets one answer or is dismissed |
//! | callers that a node holds around its machine | one for each request, or question, that waits |
//! | keys and values, those that appends build among them | `key_bytes_max`, `value_bytes_max` |
//! | committed entries and their bytes in a log | two checkpoints of them; if a replica that catches up needs them, `log_entries_max` and `log_bytes_max` besides |
//! | sessions | the largest `sessions_max`; none whose time is over, and no note of one that is gone; what they remember: the
//! |  | largest `session_bytes_max` and one more answer |
//! | operations, bytes and parts on their way to a replica | `append_window`, `append_bytes_max`, `chunk_bytes_max`, one part |
//! | a state under construction | none that is not later than what is committed here |
//! | acknowledgements that wait for the disk | two kinds of them to each other server for each batch that is not durable |
//! | steps | no more ticks in a second than timers can be due and inputs can ask for |
//! | messages | no more repetitions in a second than heartbeats, Gets and mismatches can ask for |
//!
//! Queues and connections around the machine are bounded by the types that hold them and are not seen here,
//! nor are bytes that only the allocator knows. A sum of all bytes is no bound of its own: each part of it
//! has one above, and the data are what clients wrote.
//!
//! [`ANSWERS_WAITING_MAX`]: pbkv::protocol::view_service::ANSWERS_WAITING_MAX

mod asked;
mod lengths;
pub mod limits;
mod pace;
mod streams;

use std::{collections::BTreeSet, fmt, time::Duration};

use pbkv::protocol::{
    command::Reply,
    identity::{OpNumber, Ticket},
    log::{Durable, Write},
    machine::Held,
    message::PeerMessage,
    replica::{Effect, Event, Replica},
    view_service::{self, ViewService},
};
use testbed::data::node::{NodeIndex, NodeName};

use self::{
    asked::Asked,
    limits::Limits,
    pace::{Pace, Step},
    streams::Streams,
};
use crate::{
    bound::Plan,
    store::{nodes::Nodes, setup::Cluster},
};

/// A bound that was exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Where.
    pub node: NodeName,
    /// Of what there was too much.
    pub quantity: &'static str,
    /// How much there was,
    pub value: u64,
    /// and how much there may be.
    pub limit: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, quantity, value, limit } = self;
        write!(f, "{node}: {quantity}: {value}, at most {limit}")
    }
}

/// Too much of something: what, how much, and how much there may be.
type Excess = (&'static str, u64, u64);

fn at_most(quantity: &'static str, value: u64, limit: u64) -> Result<(), Excess> {
    if value > limit { Err((quantity, value, limit)) } else { Ok(()) }
}

/// The judge of what one run's machines hold.
#[derive(Clone, Debug)]
pub struct Bounds {
    names: Vec<NodeName>,
    cluster: Cluster,
    grantor: Pace,
    /// The step that the view service takes.
    grantor_step: Step,
    asked: Asked,
    servers: Vec<Server>,
}

/// A life of a server.
#[derive(Clone, Debug)]
struct Server {
    life: u64,
    limits: Limits,
    /// The requests that were not answered yet.
    asked: BTreeSet<Ticket>,
    /// What was committed when a replica last needed the log from before its latest two checkpoints,
    needs_entries: Option<OpNumber>,
    /// or lagged at all.
    needs_bytes: Option<OpNumber>,
    /// The bytes of the heaviest entry that it ever had.
    heaviest: u64,
    /// The latest operation of which it is known how long what it built is.
    measured: OpNumber,
    /// The bytes of the pages that it has read since its last flush, that one's included.
    scanned: u64,
    /// The step that it takes.
    step: Step,
    pace: Pace,
    streams: Streams,
}

impl Server {
    fn new(cluster: &Cluster, name: &str, life: u64) -> Self {
        let limits = Limits::of(cluster, name, life);
        Self {
            life,
            asked: BTreeSet::new(),
            needs_entries: None,
            needs_bytes: None,
            heaviest: 0,
            measured: OpNumber(0),
            scanned: 0,
            step: Step::Flush,
            pace: Pace::new(limits.ticks),
            streams: Streams::default(),
            limits,
        }
    }
}

impl Bounds {
    /// Nothing runs yet.
    pub fn new(nodes: &Nodes, plan: &Plan) -> Self {
        let cluster = plan.cluster.clone();
        let names: Vec<NodeName> =
            (0..=nodes.servers().count()).map(|node| nodes.name(node).clone()).collect();
        let servers = names[1..].iter().map(|name| Server::new(&cluster, name, 0)).collect();
        let grantor = Pace::new(limits::ticks_of_the_view_service(&cluster));
        Self { names, cluster, grantor, grantor_step: Step::Flush, asked: Asked::default(), servers }
    }

    fn named(&self, node: NodeIndex, check: Result<(), Excess>) -> Result<(), Exceeded> {
        check.map_err(|(quantity, value, limit)| {
            let node = self.names[node].clone();
            Exceeded { node, quantity, value, limit }
        })
    }

    /// A server begins a life with this on its disk.
    pub fn server_started(&mut self, node: NodeIndex, durable: &Durable) {
        let Some(server) = self.servers.get_mut(node - 1) else { return };
        *server = Server::new(&self.cluster, &self.names[node], server.life + 1);
        let entries = durable.log.entries_from(OpNumber(0));
        server.heaviest = entries.map(|entry| entry.bytes() as u64).max().unwrap_or_default();
    }

    /// The view service begins a life.
    pub fn view_service_started(&mut self) {
        self.asked = Asked::default();
    }

    /// The view service is about to take an event.
    pub fn before_view_service(&mut self, event: &view_service::Event) {
        self.asked.event(event);
        self.grantor_step = match event {
            view_service::Event::Tick => Step::Tick,
            view_service::Event::Flush => Step::Flush,
            _ => Step::Input,
        };
    }

    /// It took it.
    ///
    /// # Errors
    ///
    /// The first bound that it exceeds.
    pub fn after_view_service(
        &mut self,
        at: Duration,
        machine: &ViewService,
        effects: &[view_service::Effect],
    ) -> Result<(), Exceeded> {
        let paced = self.grantor.step(at, self.grantor_step);
        let check = paced.and_then(|()| self.asked.stepped(machine, effects));
        self.named(Nodes::VIEW_SERVICE, check)
    }

    /// A server is about to take an event.
    pub fn before_replica(&mut self, at: Duration, node: NodeIndex, event: &Event) {
        let Some(server) = self.servers.get_mut(node - 1) else { return };
        server.step = match event {
            Event::Tick => Step::Tick,
            Event::Flush => Step::Flush,
            _ => Step::Input,
        };
        match event {
            Event::Request { ticket, .. } => {
                server.asked.insert(*ticket);
                server.streams.asked(at);
            }
            Event::Peer(message) => {
                if let PeerMessage::Append(append) = message {
                    let bytes = append.entries.iter().map(|entry| entry.bytes() as u64);
                    server.heaviest = bytes.fold(server.heaviest, u64::max);
                }
                server.streams.heard(at, message);
            }
            _ => {}
        }
    }

    /// It took it.
    ///
    /// # Errors
    ///
    /// The first bound that it exceeds.
    pub fn after_replica(
        &mut self,
        at: Duration,
        node: NodeIndex,
        machine: &Replica,
        effects: &[Effect],
    ) -> Result<(), Exceeded> {
        match self.servers.get_mut(node - 1) {
            Some(server) => {
                let check = server.check(at, machine, effects);
                self.named(node, check)
            }
            None => Ok(()),
        }
    }

    /// What a server holds around its machine, when a batch of steps is over.
    ///
    /// # Errors
    ///
    /// It holds callers that are owed no answer.
    pub fn shell(&self, node: NodeIndex, machine: &Replica, held: Held) -> Result<(), Exceeded> {
        if held.callers == 0 {
            return Ok(());
        }
        let check = at_most("callers without a request", held.callers as u64, machine.load().waiting as u64);
        self.named(node, check)
    }

    /// The same of the view service.
    ///
    /// # Errors
    ///
    /// It holds callers that are owed no answer.
    pub fn shell_of_the_view_service(&self, machine: &ViewService, held: Held) -> Result<(), Exceeded> {
        let waiting = machine.answers_waiting() as u64;
        self.named(Nodes::VIEW_SERVICE, at_most("callers without a question", held.callers as u64, waiting))
    }
}

impl Server {
    fn check(&mut self, at: Duration, machine: &Replica, effects: &[Effect]) -> Result<(), Excess> {
        self.pace.step(at, self.step)?;
        let flushed = self.step == Step::Flush;
        if flushed {
            self.scanned = 0;
        }
        for effect in effects {
            match effect {
                Effect::Reply { ticket, reply } => {
                    let is_asked = self.asked.remove(ticket);
                    at_most("answers to one request", 1 + u64::from(!is_asked), 1)?;
                    if let Reply::Page(page) = reply {
                        at_most("bytes of pages read in one go", self.scanned, self.limits.scan_bytes_max)?;
                        self.scanned += page.bytes() as u64;
                    }
                }
                Effect::Persist { writes, .. } => {
                    for write in writes {
                        if let Write::Entry(entry) = write {
                            self.heaviest = self.heaviest.max(entry.bytes() as u64);
                            lengths::check_entry(entry, &self.limits)?;
                        }
                    }
                }
                Effect::Send { to, message } => {
                    self.streams.said(at, machine, &self.limits, to, message)?;
                }
                Effect::Notice(notice) => self.streams.noticed(notice),
                Effect::Ping(_) => {}
            }
        }
        if machine.commit() > self.measured {
            lengths::check_applied(machine, self.measured, &self.limits)?;
            self.measured = machine.commit();
        }
        self.check_requests(machine, flushed)?;
        self.check_disk(machine, flushed)?;
        self.check_sessions(machine)?;
        self.check_log(machine)
    }

    fn check_requests(&self, machine: &Replica, flushed: bool) -> Result<(), Excess> {
        let load = machine.load();
        let (waiting, asked) = (load.waiting as u64, self.asked.len() as u64);
        at_most("requests that wait", waiting, self.limits.waiting_max)?;
        at_most("scans that wait", load.scans as u64, self.limits.scans_max)?;
        at_most("requests held after their answer", waiting.saturating_sub(asked), 0)?;
        at_most("callers whose request is held no longer", asked.saturating_sub(waiting), 0)?;
        at_most("requests counted as waiting", load.waiting_counted as u64, waiting)?;
        let Some(primary) = machine.as_primary().filter(|_| flushed) else { return Ok(()) };
        let uncommitted = || machine.log().entries_from(machine.commit().next());
        let count = uncommitted().count() as u64;
        at_most("updates in flight", load.in_flight as u64, count)?;
        at_most("sessions being opened", load.opening as u64, count)?;
        at_most("keys noted of updates in flight", load.noted as u64, count)?;
        let bytes = uncommitted().map(|entry| entry.bytes() as u64).sum();
        at_most("bytes counted as waiting", load.waiting_bytes, bytes)?;
        // What was inherited is bounded with the log.
        let own = uncommitted().filter(|entry| entry.position.op > primary.takeover_end());
        let limit = self.limits.waiting_bytes_max.saturating_add(self.heaviest);
        at_most("bytes that wait", own.map(|entry| entry.bytes() as u64).sum(), limit)
    }

    fn check_disk(&self, machine: &Replica, flushed: bool) -> Result<(), Excess> {
        let load = machine.load();
        if flushed {
            at_most("changes kept from the disk", load.unwritten as u64, 0)?;
        }
        let batches = load.writing + u64::from(load.unwritten > 0);
        at_most("acknowledgements that wait for the disk", load.unsaid as u64, batches * self.limits.unsaid)?;
        let useless = load.staged.is_some_and(|staged| staged <= machine.commit());
        at_most("states under construction that are held anyway", useless.into(), 0)
    }

    fn check_sessions(&self, machine: &Replica) -> Result<(), Excess> {
        let state = machine.state();
        let sessions = state.sessions() as u64;
        at_most("sessions", sessions, self.limits.sessions_max)?;
        at_most("bytes that sessions remember", state.session_bytes(), self.limits.session_bytes_max)?;
        let (noted, earliest) = state.expiries();
        at_most("ends of sessions", noted as u64, sessions)?;
        let over = earliest.is_some_and(|earliest| earliest < state.clock());
        at_most("sessions that are over", over.into(), 0)
    }

    fn check_log(&mut self, machine: &Replica) -> Result<(), Excess> {
        let (log, commit) = (machine.log(), machine.commit());
        let interval = self.limits.checkpoint_interval;
        if let Some(primary) = machine.as_primary() {
            let lag = |matched: Option<OpNumber>, sent_state: bool| {
                if sent_state {
                    u64::MAX
                } else {
                    commit.0.saturating_sub(matched.map_or(0, |matched| matched.0))
                }
            };
            let lags = primary.replicas().map(|(_, matched, sent_state)| lag(matched, sent_state));
            let longest = lags.max().unwrap_or_default();
            self.needs_entries = if longest > interval { Some(commit) } else { self.needs_entries };
            self.needs_bytes = if longest > 0 { Some(commit) } else { self.needs_bytes };
        }
        // What is needed no longer goes when the next two checkpoints have been taken.
        let is_recent =
            |needed: Option<OpNumber>| needed.is_some_and(|needed| commit.0 <= needed.0 + 2 * interval);
        let more = if is_recent(self.needs_entries) { self.limits.log_entries_max } else { 0 };
        let committed = commit.0 - log.base().op.0;
        at_most("committed entries in the log", committed, (2 * interval).saturating_add(more))?;

        let more = if is_recent(self.needs_bytes) { self.limits.log_bytes_max } else { 0 };
        let limit = 2 * (self.limits.checkpoint_bytes + self.heaviest);
        let limit = limit.saturating_add(more);
        if log.bytes() <= limit {
            return Ok(());
        }
        let uncommitted: u64 = log.entries_from(commit.next()).map(|entry| entry.bytes() as u64).sum();
        at_most("bytes of committed entries in the log", log.bytes() - uncommitted, limit)
    }
}

#[cfg(test)]
mod tests;
