//! A KV server's protocol machine.
//!
//! One [`Replica`] is one life of one server. What it knows for sure (identities, the view adopted last,
//! the log) survives in [`Durable`](crate::protocol::log::Durable); its role and how far it has applied the log do not.
//!
//! * [`backup`]: follows a primary: operations, commit point, transferred state (R5, 4.4).
//! * [`primary`]: orders operations, waits for its replicas, answers clients (R2, R3, R6 to R9, R11, R12).
//! * `reads`: how Gets are answered (R10).
//! * [`feed`]: what the primary sends to each replica, and when (R4, 4.4).
//! * `outbox`: what may only be said when something is durable.
//!
//! This file is what all roles share: pings and the adoption of views (R1, R13 to R15).

pub mod backup;
mod event;
pub mod feed;
mod outbox;
pub mod primary;
mod reads;

use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};

pub use self::event::{Effect, Event, Notice, RoleName, Start};
use self::{backup::Staging, outbox::Outbox, primary::Primary};
use super::{
    command::{Refusal, Reply},
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, Ticket, ViewNumber},
    log::{Log, Write},
    machine::Machine,
    message::{Echo, PeerMessage, Ping, PingReply, PingReplyBody},
    options::{ReadMode, ReplicaOptions},
    store::{Snapshot, State},
    view::{Members, View},
};

/// Pings whose time of sending is remembered, for leases. An answer that is later than so many pings
/// gives no lease.
const PINGS_REMEMBERED: usize = 16;

/// What a replica is, and what it needs for that.
// One replica has one role: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Hash)]
enum Role {
    Idle,
    Backup,
    Primary(Primary),
}

/// The conversation with the view service.
#[derive(Hash)]
struct Pinger {
    number: u64,
    due: Duration,
    /// Something the view service should know at once.
    wanted: bool,
    accepted: bool,
    echo: Option<Echo>,
    answered: u64,
    sent_at: BTreeMap<u64, Duration>,
}

/// A KV server's protocol machine.
#[derive(Hash)]
pub struct Replica {
    options: ReplicaOptions,
    server: ServerId,
    boot: Boot,
    nonce: u64,
    generation: Generation,
    data: Option<DataId>,
    view_seen: ViewNumber,
    log: Log,
    commit: OpNumber,
    state: State,
    /// A state on the way to become the log's snapshot.
    checkpoint: Option<Snapshot>,
    role: Role,
    /// Who is primary in `view_seen`, if known; a hint for clients that ask here.
    primary_hint: Option<ServerId>,
    staging: Option<Staging>,
    parts_received: u64,
    pinger: Pinger,
    outbox: Outbox,
    wrong_generation: bool,
}

impl Replica {
    /// Starts a life (R13): everything but what was durable is forgotten.
    pub fn new(options: ReplicaOptions, start: Start, now: Duration) -> Self {
        let Start { server, boot, nonce, durable } = start;
        assert!(boot > durable.boot, "each life has a larger number: {boot} after {}", durable.boot);
        let mut outbox = Outbox::new(durable.log.end().op);
        outbox.write(Write::Boot(boot), durable.log.end().op);
        outbox.hold_until_written();
        let pinger = Pinger {
            number: 0,
            due: now,
            wanted: true,
            accepted: false,
            echo: None,
            answered: 0,
            sent_at: BTreeMap::new(),
        };
        Self {
            options,
            server,
            boot,
            nonce,
            generation: durable.generation,
            data: durable.data,
            view_seen: durable.view_seen,
            commit: durable.log.base().op,
            state: durable.log.snapshot().state.clone(),
            log: durable.log,
            checkpoint: None,
            role: Role::Idle,
            primary_hint: None,
            staging: None,
            parts_received: 0,
            pinger,
            outbox,
            wrong_generation: false,
        }
    }

    /// Who it is.
    pub fn server(&self) -> &ServerId {
        &self.server
    }

    /// The number of this life.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The identity of the contents, once the view service accepted this life.
    pub fn data(&self) -> Option<DataId> {
        self.data
    }

    /// The generation of the contents.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The latest view adopted.
    pub fn view_seen(&self) -> ViewNumber {
        self.view_seen
    }

    /// The role.
    pub fn role(&self) -> RoleName {
        match self.role {
            Role::Idle => RoleName::Idle,
            Role::Backup => RoleName::Backup,
            Role::Primary(_) => RoleName::Primary,
        }
    }

    /// What it knows as primary.
    pub fn as_primary(&self) -> Option<&Primary> {
        match &self.role {
            Role::Primary(primary) => Some(primary),
            Role::Idle | Role::Backup => None,
        }
    }

    /// Operations up to here are committed and applied.
    pub fn commit(&self) -> OpNumber {
        self.commit
    }

    /// The log, as far as it is known in memory.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The applied state.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn on_ping_reply(&mut self, now: Duration, reply: PingReply, effects: &mut Vec<Effect>) {
        if reply.boot != self.boot {
            return; // R15: meant for another life
        }
        match reply.body {
            PingReplyBody::Accepted { view, echo, lease, generation } => {
                self.on_accepted(reply.number, echo, generation, effects);
                if let Some(view) = view.filter(|view| view.generation == self.generation) {
                    let number = view.number;
                    self.on_view(now, view, effects);
                    if let Some(granted) = lease.filter(|_| number == self.view_seen) {
                        self.on_lease(now, reply.number, granted, effects);
                    }
                }
            }
            PingReplyBody::StaleBoot { max } if max >= self.boot => {
                self.step_down(effects);
                self.set_role(Role::Idle, effects);
                self.boot = max.next();
                effects.push(Effect::Notice(Notice::BootRaised { boot: self.boot }));
                self.write(Write::Boot(self.boot));
                self.outbox.hold_until_written();
                self.pinger.wanted = true;
            }
            PingReplyBody::StaleBoot { .. } => {}
            PingReplyBody::WrongGeneration { generation } => {
                if !self.wrong_generation {
                    let notice = Notice::WrongGeneration { own: self.generation, current: generation };
                    effects.push(Effect::Notice(notice));
                }
                self.wrong_generation = true;
                self.step_down(effects);
                self.set_role(Role::Idle, effects);
            }
        }
    }

    /// The view service accepts this life. Only now a store is created: two stores then never share an
    /// identity, because two lives of a server that are accepted never share a number.
    fn on_accepted(&mut self, number: u64, echo: Echo, generation: Generation, effects: &mut Vec<Effect>) {
        if number >= self.pinger.answered {
            self.pinger.answered = number;
            self.pinger.echo = Some(echo);
        }
        if !self.pinger.accepted {
            self.pinger.accepted = true;
            effects.push(Effect::Notice(Notice::Accepted));
        }
        let holds_nothing = self.log.end() == Position::default();
        if self.data.is_none() || (holds_nothing && generation > self.generation) {
            self.step_down(effects); // a role of an earlier generation is void
            self.set_role(Role::Idle, effects);
            let data = self.data.unwrap_or(DataId { boot: self.boot, nonce: self.nonce });
            self.data = Some(data);
            self.generation = generation;
            self.write(Write::Data { data, generation });
            self.outbox.hold_until_written();
            self.pinger.wanted = true;
        }
    }

    /// R1, R1b: a view of this generation was heard of.
    fn on_view(&mut self, now: Duration, view: View, effects: &mut Vec<Effect>) {
        if view.number > self.view_seen {
            self.adopt(view.number, effects);
            self.primary_hint = Some(view.primary.clone());
            let is_member = self.data.is_some() && view.member(&self.server) == self.data;
            let is_primary = view.primary == self.server
                && view.primary_boot == self.boot
                && view.insync.get(&self.server).copied() == self.data
                && self.data.is_some();
            if is_primary {
                self.take_over(now, view, effects);
            } else if is_member {
                self.set_role(Role::Backup, effects);
            } else {
                self.set_role(Role::Idle, effects);
            }
        } else if view.number == self.view_seen {
            self.primary_hint = Some(view.primary.clone());
            match &self.role {
                Role::Primary(_) => self.on_same_view(now, &view, effects),
                Role::Idle if self.data.is_some() && view.member(&self.server) == self.data => {
                    let names_me = view.primary == self.server;
                    if !names_me {
                        self.set_role(Role::Backup, effects);
                    }
                }
                Role::Idle | Role::Backup => {}
            }
        }
    }

    /// Nothing older than `number` is obeyed from now on, and nothing is said in it before that is
    /// durable. What was still to be said in older views is not said any more: an acknowledgement that
    /// leaves after a later view was adopted would vouch for entries that may be replaced.
    ///
    /// The caller sets the new role.
    fn adopt(&mut self, number: ViewNumber, effects: &mut Vec<Effect>) {
        assert!(number > self.view_seen, "views are adopted in order");
        self.step_down(effects);
        self.outbox.forget_unsaid();
        self.view_seen = number;
        self.staging = None;
        self.primary_hint = None;
        self.write(Write::ViewSeen(number));
        self.outbox.hold_until_written();
        self.pinger.wanted = true;
    }

    fn set_role(&mut self, role: Role, effects: &mut Vec<Effect>) {
        let before = self.role();
        self.role = role;
        if self.role() != before || self.role() == RoleName::Primary {
            let notice = Notice::RoleChanged { role: self.role(), view: self.view_seen };
            effects.push(Effect::Notice(notice));
        }
    }

    /// Whether a message of the primary of `view` to these contents is to be obeyed; adopts its view if
    /// it is a later one. `None`: not meant for this server's contents. `Some(false)`: out of date.
    fn heed(
        &mut self,
        generation: Generation,
        to_data: DataId,
        view: ViewNumber,
        from: &ServerId,
        effects: &mut Vec<Effect>,
    ) -> Option<bool> {
        if generation != self.generation || self.data != Some(to_data) || *from == self.server {
            return None;
        }
        if view < self.view_seen {
            return Some(false);
        }
        if view > self.view_seen {
            self.adopt(view, effects);
        } else if matches!(self.role, Role::Primary(_)) {
            return None; // I1: a view has one primary
        }
        self.set_role(Role::Backup, effects);
        self.primary_hint = Some(from.clone());
        Some(true)
    }

    fn refuse(&self, ticket: Ticket, effects: &mut Vec<Effect>) {
        let refusal = Refusal::NotPrimary {
            view: self.view_seen,
            primary: self.primary_hint.clone().filter(|primary| *primary != self.server),
        };
        effects.push(Effect::Reply { ticket, reply: Reply::Refused(refusal) });
    }

    fn write(&mut self, write: Write) {
        self.outbox.write(write, self.log.end().op);
    }

    fn ping(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let pinger = &mut self.pinger;
        pinger.number += 1;
        pinger.due = now + self.options.ping_interval;
        pinger.wanted = false;
        pinger.sent_at.insert(pinger.number, now);
        while pinger.sent_at.len() > PINGS_REMEMBERED {
            pinger.sent_at.pop_first();
        }
        let (confirmed, suspects) = match (&self.role, self.data) {
            (Role::Primary(primary), Some(data)) => {
                (primary.confirmed_members(&self.server, data), primary.suspects().clone())
            }
            _ => (Members::new(), BTreeSet::new()),
        };
        let ping = Ping {
            server: self.server.clone(),
            boot: self.boot,
            data: self.data,
            generation: self.generation,
            view_known: self.view_seen,
            confirmed,
            suspects,
            log_end: self.log.end(),
            parts_received: self.parts_received,
            echo: self.pinger.echo,
            number: self.pinger.number,
            wants_lease: self.options.reads == ReadMode::Lease,
        };
        self.outbox.say(Effect::Ping(ping), effects);
    }

    /// Everything that waited for the end of a batch, or for its time.
    fn flush(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if matches!(self.role, Role::Primary(_)) {
            self.watch_replicas(now, effects);
            self.feed_replicas(now, effects);
        }
        if self.pinger.wanted || now >= self.pinger.due {
            self.ping(now, effects);
        }
        self.outbox.persist(effects);
    }

    /// Applies the log up to `to`.
    fn commit_to(&mut self, to: OpNumber, effects: &mut Vec<Effect>) {
        while self.commit < to {
            let op = self.commit.next();
            let entry = self.log.entry(op).expect("committed operations are in the log");
            let applied = self.state.apply(entry);
            let position = entry.position;
            self.commit = op;
            if let Role::Primary(primary) = &mut self.role {
                primary.answer(entry, &applied, self.generation, effects);
            }
            self.consider_checkpoint(position, effects);
        }
    }

    /// The log keeps between one and two checkpoint intervals of entries. The older of two states becomes
    /// its snapshot when the younger is due, unless a state transfer still needs the entries before it.
    fn consider_checkpoint(&mut self, at: Position, effects: &mut Vec<Effect>) {
        let previous = self.checkpoint.as_ref().map_or(self.log.base(), |checkpoint| checkpoint.at);
        if at.op.0 - previous.op.0 < self.options.checkpoint_interval {
            return;
        }
        if self.log.len() > self.options.log_entries_max
            && let Role::Primary(primary) = &mut self.role
        {
            primary.abandon_transfers(effects);
        }
        if let Some(checkpoint) = &self.checkpoint {
            let needed = self.as_primary().and_then(Primary::transfer_base);
            if needed.is_some_and(|needed| needed < checkpoint.at.op) {
                return;
            }
        }
        let younger = Snapshot { at, state: self.state.clone() };
        if let Some(older) = self.checkpoint.replace(younger) {
            self.log.compact(older.clone());
            self.write(Write::Checkpoint(older));
        }
    }
}

impl Machine for Replica {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Request { ticket, request } => self.on_request(now, ticket, request, effects),
            Event::PingReply(reply) => self.on_ping_reply(now, reply, effects),
            Event::Peer(PeerMessage::Append(append)) => self.on_append(append, effects),
            Event::Peer(PeerMessage::AppendAck(ack)) => self.on_append_ack(now, ack, effects),
            Event::Peer(PeerMessage::Chunk(chunk)) => self.on_chunk(chunk, effects),
            Event::Peer(PeerMessage::ChunkAck(ack)) => self.on_chunk_ack(now, ack, effects),
            Event::Persisted(number) => {
                self.outbox.persisted(number, effects);
                self.advance(now, effects);
            }
            Event::Tick => {}
            Event::Flush => self.flush(now, effects),
        }
    }

    fn deadline(&self) -> Duration {
        if self.pinger.wanted {
            return Duration::ZERO;
        }
        let feed = self.as_primary().map(|primary| primary.feed_due(&self.options));
        feed.map_or(self.pinger.due, |feed| feed.min(self.pinger.due))
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }
}
