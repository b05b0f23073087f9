//! A KV server's protocol machine.
//!
//! One [`Replica`] is one life of one server. What it knows for sure (identities, the view adopted last,
//! the log) survives in [`Durable`](crate::protocol::log::Durable); its role and how far it has applied the log do not.
//!
//! * [`backup`]: follows a primary: operations, commit point, transferred state (R5, 4.4).
//! * [`primary`]: orders operations, waits for its replicas, answers clients (R2, R3, R6 to R9, R11, R12).
//! * `reads`: how Gets are answered (R10).
//! * `checkpoint`: how long a log is kept.
//! * `outside`: what others may see of it.
//! * `copies`: how many copies there are of what is acknowledged (R20).
//! * [`feed`]: what the primary sends to each replica, and when (R4, 4.4).
//! * `outbox`: what may only be said when something is durable.
//! * `sessions`: whether another one may be opened, and what is told if not.
//! * `pinger`: the conversation with the view service (R18, R21).
//!
//! This file is what all roles share: the view service's answers and the adoption of views (R1, R13 to R15).

pub mod backup;
mod checkpoint;
mod copies;
mod event;
pub mod feed;
mod notice;
mod outbox;
mod outside;
mod pinger;
pub mod primary;
mod reads;
mod sessions;

use std::{collections::BTreeMap, time::Duration};

pub use self::event::{Effect, Event, RoleName, Start};
pub use self::notice::{Implausible, Notice, SessionLimit};
pub use self::outside::Load;
use self::{backup::Staging, outbox::Outbox, pinger::Pinger, primary::Primary};
use super::{
    command::{Refusal, Reply},
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, Ticket, ViewNumber},
    log::{Log, Write},
    machine::{AT_ONCE, Machine, NEVER},
    message::{Echo, PeerMessage, PingReply, PingReplyBody},
    options::{ClusterOptions, ReplicaOptions},
    presence::Presence,
    store::{Snapshot, State},
    view::View,
};

/// What a replica is, and what it needs for that.
// One replica has one role: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Hash)]
enum Role {
    Idle,
    Backup,
    Primary(Primary),
}

/// A KV server's protocol machine.
#[derive(Clone, Hash)]
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
    /// A state on the way to become the log's snapshot,
    checkpoint: Option<Snapshot>,
    /// and the bytes of the operations committed since.
    bytes_since_checkpoint: u64,
    role: Role,
    /// Who is primary in `view_seen`, if known; a hint for clients that ask here.
    primary_hint: Option<ServerId>,
    /// As backup: when the primary was last heard, by the presence.
    primary_heard_at: Duration,
    /// As backup: how long the primary of this view is silent at most, as it says.
    primary_silence_max: Option<Duration>,
    /// As backup: the primary, if it has been silent for too long since, and its silence is reported.
    silent_primary: Option<ServerId>,
    staging: Option<Staging>,
    progress: u64,
    /// As a backup, in this view: the operation up to which the log agrees with the primary's.
    matched: OpNumber,
    pinger: Pinger,
    /// The time by which the silence of replicas is counted.
    presence: Presence,
    outbox: Outbox,
    /// What the view service decides for all servers, once it was heard (R21).
    cluster: Option<ClusterOptions>,
    /// As primary, it acknowledged what only so many replicas hold, fewer than wanted, and said so.
    few_copies: Option<usize>,
    /// As primary, it refuses updates because too few replicas would hold them, and said so.
    refuses_updates: bool,
    /// As primary, when it last refused a client because this limit was reached, and said so.
    full: BTreeMap<SessionLimit, Duration>,
    wrong_generation: bool,
    /// The view in which a message was refused that no server should send.
    refused_in: Option<ViewNumber>,
}

impl Replica {
    /// Starts a life (R13): everything but what was durable is forgotten.
    pub fn new(options: ReplicaOptions, start: Start, now: Duration) -> Self {
        let Start { server, boot, nonce, durable } = start;
        assert!(boot > durable.boot, "each life has a larger number: {boot} after {}", durable.boot);
        let mut outbox = Outbox::new(durable.log.end().op);
        outbox.write(Write::Boot(boot), durable.log.end().op);
        outbox.hold_until_written();
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
            bytes_since_checkpoint: 0,
            role: Role::Idle,
            primary_hint: None,
            primary_heard_at: Duration::ZERO,
            primary_silence_max: None,
            silent_primary: None,
            staging: None,
            progress: 0,
            matched: OpNumber(0),
            pinger: Pinger::new(now),
            presence: Presence::new(now),
            outbox,
            cluster: None,
            few_copies: None,
            refuses_updates: false,
            full: BTreeMap::new(),
            wrong_generation: false,
            refused_in: None,
        }
    }

    fn on_ping_reply(&mut self, now: Duration, reply: PingReply, effects: &mut Vec<Effect>) {
        if reply.boot != self.boot {
            return; // R15: meant for another life
        }
        self.view_service_answers(now, effects);
        if reply.number >= self.pinger.answered {
            self.heed_cluster(now, reply.cluster, effects);
        }
        if !matches!(reply.body, PingReplyBody::Unconfirmed { .. }) {
            self.is_believed(effects); // whatever it says
        }
        match reply.body {
            PingReplyBody::Accepted { view, echo, lease, generation } => {
                self.on_accepted(reply.number, echo, generation, effects);
                if let Some(view) = view.filter(|view| view.generation == self.generation) {
                    let number = view.number;
                    self.pinger.view_told = self.pinger.view_told.max(number);
                    self.unfence(reply.number, number);
                    self.on_view(now, view, effects);
                    if let Some(granted) = lease.filter(|_| number == self.view_seen) {
                        self.on_lease(now, reply.number, granted, effects);
                    }
                }
            }
            PingReplyBody::StaleBoot { max } if max >= self.boot => {
                self.begin_life(max.next(), effects);
                effects.push(Effect::Notice(Notice::BootRaised { boot: self.boot }));
            }
            PingReplyBody::StaleBoot { .. } => {}
            PingReplyBody::Unconfirmed { holder } => self.on_unconfirmed(reply.number, holder, effects),
            PingReplyBody::WrongGeneration { generation } => self.on_wrong_generation(generation, effects),
        }
    }

    /// R15: roles are void, the data is not.
    fn begin_life(&mut self, boot: Boot, effects: &mut Vec<Effect>) {
        self.step_down(effects);
        self.set_role(Role::Idle, effects);
        self.boot = boot;
        self.write(Write::Boot(boot));
        self.outbox.hold_until_written();
        self.pinger.wanted = true;
    }

    /// R17: the view service has another history. The data stays as it is. A view names its primary in one life, so
    /// a primary that gives up its role takes another life: if its own view service comes back, that one
    /// must not wait for a primary that is none.
    fn on_wrong_generation(&mut self, current: Generation, effects: &mut Vec<Effect>) {
        if !self.wrong_generation {
            let notice = Notice::WrongGeneration { own: self.generation, current };
            effects.push(Effect::Notice(notice));
        }
        self.wrong_generation = true;
        if matches!(self.role, Role::Primary(_)) {
            self.begin_life(self.boot.next(), effects);
        } else {
            self.set_role(Role::Idle, effects);
        }
    }

    /// The view service accepts this life. Only now a store is created: two stores then never share an
    /// identity, because two lives of a server that are accepted never share a number. An empty store becomes one of
    /// the generation that is current, by the latest answer: it holds nothing that could be mixed.
    fn on_accepted(&mut self, number: u64, echo: Echo, generation: Generation, effects: &mut Vec<Effect>) {
        let is_latest = number >= self.pinger.answered;
        if is_latest {
            self.pinger.answered = number;
            self.pinger.echo = Some(echo);
            self.wrong_generation &= generation != self.generation;
        }
        if !self.pinger.accepted {
            self.pinger.accepted = true;
            effects.push(Effect::Notice(Notice::Accepted));
        }
        let holds_nothing = self.log.end() == Position::default();
        if is_latest && (self.data.is_none() || (holds_nothing && generation != self.generation)) {
            self.step_down(effects); // a role of another generation is void
            self.set_role(Role::Idle, effects);
            let data = DataId { boot: self.boot, nonce: self.nonce ^ generation.nonce };
            self.data = Some(data);
            self.generation = generation;
            self.pinger.view_told = ViewNumber(0);
            self.staging = None;
            self.write(Write::Data { data, generation });
            self.outbox.hold_until_written();
            self.pinger.wanted = true;
        }
    }

    /// R1, R1b: a view of this generation was heard of.
    fn on_view(&mut self, now: Duration, view: View, effects: &mut Vec<Effect>) {
        let is_primary = view.primary == self.server
            && view.primary_boot == self.boot
            && view.insync.get(&self.server).copied() == self.data
            && self.data.is_some();
        if view.number > self.view_seen {
            self.adopt(view.number, effects);
            self.primary_hint = Some(view.primary.clone());
            let is_member = self.data.is_some() && view.data_of(&self.server) == self.data;
            if is_primary {
                self.take_over(now, view, effects);
            } else if is_member {
                self.set_role(Role::Backup, effects);
            } else {
                self.staging = None;
                self.set_role(Role::Idle, effects);
            }
        } else if view.number == self.view_seen {
            self.primary_hint = Some(view.primary.clone());
            match &self.role {
                Role::Primary(_) if is_primary => self.on_same_view(now, &view, effects),
                Role::Primary(_) => self.on_another_primary(view, effects),
                // It followed another one, which is none (R19).
                Role::Backup if is_primary => self.take_over(now, view, effects),
                Role::Idle if self.data.is_some() && view.data_of(&self.server) == self.data => {
                    let names_me = view.primary == self.server;
                    if !names_me {
                        self.set_role(Role::Backup, effects);
                    }
                }
                Role::Idle | Role::Backup => {}
            }
        }
    }

    /// I1: a view has one primary. If the view service names another one, its record is an old copy and numbers are
    /// given again. Which of the two primaries goes on is not for this one to say.
    fn on_another_primary(&mut self, view: View, effects: &mut Vec<Effect>) {
        effects.push(Effect::Notice(Notice::AnotherPrimary { view: view.number, primary: view.primary }));
        self.begin_life(self.boot.next(), effects);
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
        self.primary_hint = None;
        self.primary_silence_max = None;
        self.matched = OpNumber(0);
        self.primary_is_there(effects);
        self.write(Write::ViewSeen(number));
        self.outbox.hold_until_written();
        self.pinger.wanted = true;
    }

    fn set_role(&mut self, role: Role, effects: &mut Vec<Effect>) {
        let before = self.role();
        self.role = role;
        if self.role() != before {
            self.primary_is_there(effects);
        }
        self.few_copies = self.few_copies.filter(|_| matches!(self.role, Role::Primary(_)));
        self.refuses_updates &= matches!(self.role, Role::Primary(_));
        self.full.retain(|_, _| matches!(self.role, Role::Primary(_)));
        if self.role() != before || self.role() == RoleName::Primary {
            let notice = Notice::RoleChanged { role: self.role(), view: self.view_seen };
            effects.push(Effect::Notice(notice));
        }
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

    /// Everything that waited for the end of a batch, or for its time; as long as nothing may be said, only the disk gets
    /// something.
    fn flush(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if !self.outbox.is_held() {
            self.speak(now, effects);
        }
        self.outbox.persist(effects);
    }

    fn speak(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if matches!(self.role, Role::Primary(_)) {
            self.watch_replicas(now, effects);
            self.watch_sessions(now, effects);
            self.feed_replicas(now, effects);
        }
        self.watch_primary(effects);
        if self.pinger.wanted || now >= self.pinger.due {
            self.ping(now, effects);
        }
    }

    /// Applies the log up to `to`.
    fn commit_to(&mut self, to: OpNumber, effects: &mut Vec<Effect>) {
        while self.commit < to {
            let op = self.commit.next();
            let entry = self.log.entry(op).expect("committed operations are in the log");
            let applied = self.state.apply(entry);
            let position = entry.position;
            self.commit = op;
            self.bytes_since_checkpoint += entry.bytes() as u64;
            if let Role::Primary(primary) = &mut self.role {
                primary.answer(entry, &applied, self.generation, &self.options, effects);
            }
            self.consider_checkpoint(position, effects);
        }
    }
}

impl Machine for Replica {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        // What the disk holds back has been said to nobody, so that nobody has answered it.
        let interval = if self.outbox.is_held() { Duration::ZERO } else { self.options.heartbeat_interval };
        self.presence.step(now, interval);
        match event {
            Event::Request { ticket, request } => self.on_request(now, ticket, request, effects),
            Event::PingReply(reply) => self.on_ping_reply(now, reply, effects),
            Event::Probe(token) => self.on_probe(token),
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
        if self.outbox.is_held() {
            // The disk comes first.
            return if self.outbox.has_writes() { AT_ONCE } else { NEVER };
        }
        if self.pinger.wanted {
            return AT_ONCE;
        }
        let due = match &self.role {
            Role::Idle => NEVER,
            Role::Backup => self.watch_due(),
            Role::Primary(primary) => primary.feed_due(&self.options),
        };
        due.min(self.pinger.due)
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }
}
