//! A KV server's protocol machine.
//!
//! One [`Replica`] is one life of one server. What it knows for sure (identities, the view adopted last, the
//! log) survives in [`Durable`](crate::protocol::log::Durable); its role and how far it has applied the log
//! do not.
//!
//! It is a *core*, which it has in every role, and a *role*, which owns what only it needs. What only a
//! primary does is a method of the primary, which is lent the core: it cannot be asked of a replica that is
//! none. Which role takes which event is said in one place, [`step`](Machine::step); what may change the role
//! is taken by the replica.
//!
//! * [`backup`]: follows a primary: operations, commit point, transferred state (R5, 4.4).
//! * [`primary`]: orders operations, waits for its replicas, answers clients (R2, R3, R6 to R9, R11, R12).
//! * `reads`: how Gets and pages of keys are answered (R10).
//! * `checkpoint`: how long a log is kept.
//! * `outside`: what others may see of it.
//! * `copies`: how many copies there are of what is acknowledged (R20).
//! * [`feed`]: what the primary sends to each replica, and when (R4, 4.4).
//! * `outbox`: what may only be said when something is durable.
//! * `sessions`: whether another one may be opened, and what is told if not.
//! * `pinger`: the conversation with the view service (R18, R21).
//! * `old_copy`: what becomes of a server whose disk is an older copy of itself (R22).
//! * `notice`: what an operator is told, and how a timeline says it.
//!
//! This file is what all roles share, and how one follows another: the view service's answers and the
//! adoption of views (R1, R13 to R15).

pub mod backup;
mod checkpoint;
mod copies;
mod event;
pub mod feed;
mod notice;
mod old_copy;
mod outbox;
mod outside;
mod pinger;
pub mod primary;
mod reads;
mod sessions;

use std::time::Duration;

pub use self::event::{Effect, Event, RoleName, Start};
pub use self::notice::{Implausible, Notice, SessionLimit};
pub use self::outside::Load;
use self::{
    backup::{Backup, Staging},
    outbox::Outbox,
    pinger::Pinger,
    primary::Primary,
};
use super::{
    command::{Refusal, Reply},
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, Ticket, ViewNumber},
    log::{Log, Write},
    machine::{AT_ONCE, Garbage, Machine, NEVER},
    message::{Echo, PeerMessage, PingReply, PingReplyBody},
    options::{ClusterOptions, ReplicaOptions},
    presence::Presence,
    store::{Snapshot, State},
    view::View,
};

/// A KV server's protocol machine.
#[derive(Clone, Hash)]
pub struct Replica {
    core: Core,
    role: Role,
}

/// What a replica is, with what only such a one has.
// One replica has one role: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Hash)]
enum Role {
    Idle,
    Backup(Backup),
    Primary(Primary),
}

/// What a replica has in every role.
#[derive(Clone, Hash)]
struct Core {
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
    /// Who is primary in `view_seen`, if known; a hint for clients that ask here.
    primary_hint: Option<ServerId>,
    /// How long that primary is silent at most, as it says.
    primary_silence_max: Option<Duration>,
    /// A state that a primary transfers to this replica. Not a backup's: it outlives the role (R15, R17).
    staging: Option<Staging>,
    progress: u64,
    /// In this view: the operation up to which the log agrees with the primary's.
    matched: OpNumber,
    pinger: Pinger,
    /// The time by which the silence of replicas is counted.
    presence: Presence,
    outbox: Outbox,
    /// What the view service decides for all servers, once it was heard (R21).
    cluster: Option<ClusterOptions>,
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
        let core = Core {
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
            primary_hint: None,
            primary_silence_max: None,
            staging: None,
            progress: 0,
            matched: OpNumber(0),
            pinger: Pinger::new(now),
            presence: Presence::new(now),
            outbox,
            cluster: None,
            wrong_generation: false,
            refused_in: None,
        };
        Self { core, role: Role::Idle }
    }

    fn on_ping_reply(&mut self, now: Duration, reply: PingReply, effects: &mut Vec<Effect>) {
        if reply.boot != self.core.boot {
            return; // R15: meant for another life
        }
        self.core.view_service_answers(now, effects);
        if reply.number >= self.core.pinger.answered {
            self.core.heed_cluster(now, reply.cluster, effects);
        }
        if !matches!(reply.body, PingReplyBody::Unconfirmed { .. }) {
            self.core.is_believed(effects); // whatever it says
        }
        match reply.body {
            PingReplyBody::Accepted { view, echo, lease, generation } => {
                self.on_accepted(reply.number, echo, generation, effects);
                if let Some(view) = view.filter(|view| view.generation == self.core.generation) {
                    let number = view.number;
                    self.core.pinger.view_told = self.core.pinger.view_told.max(number);
                    if let Role::Primary(primary) = &mut self.role {
                        primary.unfence(&self.core, reply.number, number);
                    }
                    self.on_view(now, view, effects);
                    if let Some(granted) = lease.filter(|_| number == self.core.view_seen)
                        && let Role::Primary(primary) = &mut self.role
                    {
                        primary.on_lease(&self.core, now, reply.number, granted, effects);
                    }
                }
            }
            PingReplyBody::StaleBoot { max } if max >= self.core.boot => {
                self.begin_life(max.next(), effects);
                effects.push(Effect::Notice(Notice::BootRaised { boot: self.core.boot }));
            }
            PingReplyBody::StaleBoot { .. } => {}
            PingReplyBody::StaleData { data } => self.on_stale_data(data, effects),
            PingReplyBody::Unconfirmed { holder } => self.core.on_unconfirmed(reply.number, holder, effects),
            PingReplyBody::WrongGeneration { generation } => self.on_wrong_generation(generation, effects),
        }
    }

    /// R15: roles are void, the data is not.
    fn begin_life(&mut self, boot: Boot, effects: &mut Vec<Effect>) {
        self.step_down(effects);
        self.set_role(Role::Idle, effects);
        self.core.boot = boot;
        self.core.write(Write::Boot(boot));
        self.core.outbox.hold_until_written();
        self.core.pinger.wanted = true;
    }

    /// R17: the view service has another history. The data stays as it is. A view names its primary in one
    /// life, so a primary that gives up its role takes another life: if its own view service comes back, that
    /// one must not wait for a primary that is none.
    fn on_wrong_generation(&mut self, current: Generation, effects: &mut Vec<Effect>) {
        if !self.core.wrong_generation {
            let notice = Notice::WrongGeneration { own: self.core.generation, current };
            effects.push(Effect::Notice(notice));
        }
        self.core.wrong_generation = true;
        if matches!(self.role, Role::Primary(_)) {
            self.begin_life(self.core.boot.next(), effects);
        } else {
            self.set_role(Role::Idle, effects);
        }
    }

    /// The view service accepts this life. Only now a store is created: two stores then never share an
    /// identity, because two lives of a server that are accepted never share a number. An empty store becomes
    /// one of the generation that is current, by the latest answer: it holds nothing that could be mixed.
    fn on_accepted(&mut self, number: u64, echo: Echo, generation: Generation, effects: &mut Vec<Effect>) {
        let is_latest = number >= self.core.pinger.answered;
        if is_latest {
            self.core.pinger.answered = number;
            self.core.pinger.echo = Some(echo);
            self.core.wrong_generation &= generation != self.core.generation;
        }
        if !self.core.pinger.accepted {
            self.core.pinger.accepted = true;
            effects.push(Effect::Notice(Notice::Accepted));
        }
        let holds_nothing = self.core.log.end() == Position::default();
        if is_latest && (self.core.data.is_none() || (holds_nothing && generation != self.core.generation)) {
            self.step_down(effects); // a role of another generation is void
            self.set_role(Role::Idle, effects);
            let data = DataId { boot: self.core.boot, nonce: self.core.nonce ^ generation.nonce };
            self.core.data = Some(data);
            self.core.generation = generation;
            self.core.pinger.view_told = ViewNumber(0);
            self.core.staging = None;
            self.core.write(Write::Data { data, generation });
            self.core.outbox.hold_until_written();
            self.core.pinger.wanted = true;
        }
    }

    /// R1, R1b: a view of this generation was heard of.
    fn on_view(&mut self, now: Duration, view: View, effects: &mut Vec<Effect>) {
        let is_primary = view.primary == self.core.server
            && view.primary_boot == self.core.boot
            && view.insync.get(&self.core.server).copied() == self.core.data
            && self.core.data.is_some();
        if view.number > self.core.view_seen {
            self.adopt(view.number, effects);
            self.core.primary_hint = Some(view.primary.clone());
            let is_member = self.core.data.is_some() && view.data_of(&self.core.server) == self.core.data;
            if is_primary {
                self.take_over(now, view, effects);
            } else if is_member {
                self.become_backup(effects);
            } else {
                self.core.staging = None;
                self.set_role(Role::Idle, effects);
            }
        } else if view.number == self.core.view_seen {
            self.core.primary_hint = Some(view.primary.clone());
            match &mut self.role {
                Role::Primary(primary) if is_primary => {
                    primary.on_same_view(&mut self.core, now, &view, effects)
                }
                Role::Primary(_) => self.on_another_primary(view, effects),
                // It followed another one, which is none (R19).
                Role::Backup(_) if is_primary => self.take_over(now, view, effects),
                Role::Idle
                    if self.core.data.is_some() && view.data_of(&self.core.server) == self.core.data =>
                {
                    let names_me = view.primary == self.core.server;
                    if !names_me {
                        self.become_backup(effects);
                    }
                }
                Role::Idle | Role::Backup(_) => {}
            }
        }
    }

    /// I1: a view has one primary. If the view service names another one, its record is an old copy and
    /// numbers are given again. Which of the two primaries goes on is not for this one to say.
    fn on_another_primary(&mut self, view: View, effects: &mut Vec<Effect>) {
        effects.push(Effect::Notice(Notice::AnotherPrimary { view: view.number, primary: view.primary }));
        self.begin_life(self.core.boot.next(), effects);
    }

    /// Nothing older than `number` is obeyed from now on, and nothing is said in it before that is
    /// durable. What was still to be said in older views is not said any more: an acknowledgement that
    /// leaves after a later view was adopted would vouch for entries that may be replaced.
    ///
    /// The caller sets the new role.
    fn adopt(&mut self, number: ViewNumber, effects: &mut Vec<Effect>) {
        assert!(number > self.core.view_seen, "views are adopted in order");
        self.step_down(effects);
        self.core.outbox.forget_unsaid();
        self.core.view_seen = number;
        self.core.primary_hint = None;
        self.core.primary_silence_max = None;
        self.core.matched = OpNumber(0);
        self.primary_is_there(effects);
        self.core.write(Write::ViewSeen(number));
        self.core.outbox.hold_until_written();
        self.core.pinger.wanted = true;
    }

    fn set_role(&mut self, role: Role, effects: &mut Vec<Effect>) {
        let before = self.role();
        if RoleName::from(&role) != before {
            self.primary_is_there(effects);
        }
        self.role = role;
        if self.role() != before || self.role() == RoleName::Primary {
            let notice = Notice::RoleChanged { role: self.role(), view: self.core.view_seen };
            effects.push(Effect::Notice(notice));
        }
    }

    /// From now on, if it was none before, this server follows a primary.
    fn become_backup(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.role, Role::Backup(_)) {
            self.set_role(Role::Backup(Backup::new(&self.core)), effects);
        }
    }

    /// R12. The caller sets the new role.
    fn step_down(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Primary(primary) = &mut self.role {
            primary.step_down(&self.core, effects);
        }
    }

    /// Everything that waited for the end of a batch, or for its time; as long as nothing may be said, only
    /// the disk gets something.
    fn flush(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        if !self.core.outbox.is_held() {
            self.speak(now, effects);
        }
        self.core.outbox.persist(effects);
    }

    fn speak(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Self { core, role } = self;
        match role {
            Role::Idle => {}
            Role::Backup(backup) => backup.watch_primary(core, effects),
            Role::Primary(primary) => {
                // First: what follows may confirm pages.
                primary.begin_scanning();
                primary.watch_replicas(core, now, effects);
                primary.watch_sessions(core, now, effects);
                primary.feed_replicas(core, now, effects);
            }
        }
        if core.pinger.wanted || now >= core.pinger.due {
            core.ping(now, role, effects);
        }
        if let Role::Primary(primary) = role {
            primary.go_on_scanning(core, effects);
        }
    }
}

impl Core {
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

    /// Applies the log up to `to`; as primary, answers whoever waits for that.
    fn commit_to(&mut self, to: OpNumber, mut primary: Option<&mut Primary>, effects: &mut Vec<Effect>) {
        while self.commit < to {
            let op = self.commit.next();
            let entry = self.log.entry(op).expect("committed operations are in the log");
            let applied = self.state.apply(entry);
            let position = entry.position;
            self.commit = op;
            self.bytes_since_checkpoint += entry.bytes() as u64;
            if let Some(primary) = primary.as_deref_mut() {
                primary.answer(entry, &applied, self.generation, &self.options, effects);
            }
            self.consider_checkpoint(position, primary.as_deref_mut(), effects);
        }
    }
}

impl Machine for Replica {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        let Self { core, role } = self;
        // What the disk holds back has been said to nobody, so that nobody has answered it.
        let interval = if core.outbox.is_held() { Duration::ZERO } else { core.options.heartbeat_interval };
        core.presence.step(now, interval);
        match (role, event) {
            (Role::Primary(primary), Event::Request { ticket, request }) => {
                primary.on_request(core, now, ticket, request, effects);
            }
            (Role::Idle | Role::Backup(_), Event::Request { ticket, .. }) => core.refuse(ticket, effects), // R14
            (_, Event::PingReply(reply)) => self.on_ping_reply(now, reply, effects),
            (_, Event::Probe(probe)) => core.on_probe(probe),
            (Role::Idle | Role::Backup(_), Event::Refused(why)) => core.pinger.cannot_follow = Some(why),
            (Role::Primary(_), Event::Refused(_)) => {}
            (_, Event::Peer(PeerMessage::Append(append))) => self.on_append(append, effects),
            (_, Event::Peer(PeerMessage::Chunk(chunk))) => self.on_chunk(chunk, effects),
            (Role::Primary(primary), Event::Peer(PeerMessage::AppendAck(ack))) => {
                primary.on_append_ack(core, now, ack, effects);
            }
            (Role::Primary(primary), Event::Peer(PeerMessage::ChunkAck(ack))) => {
                primary.on_chunk_ack(core, now, ack, effects);
            }
            // Meant for the primary that this server was.
            (
                Role::Idle | Role::Backup(_),
                Event::Peer(PeerMessage::AppendAck(_) | PeerMessage::ChunkAck(_)),
            ) => {}
            (role, Event::Persisted(number)) => {
                core.outbox.persisted(number, effects);
                if let Role::Primary(primary) = role {
                    primary.advance(core, now, effects);
                }
            }
            // A state that was transferred is being written: it has arrived, and is progress as before.
            (_, Event::Writing) => core.progress += 1,
            (_, Event::Tick) => {}
            (_, Event::Flush) => self.flush(now, effects),
        }
    }

    fn deadline(&self) -> Duration {
        if self.core.outbox.is_held() {
            // The disk comes first.
            return if self.core.outbox.has_writes() { AT_ONCE } else { NEVER };
        }
        if self.core.pinger.wanted {
            return AT_ONCE;
        }
        let due = match &self.role {
            Role::Idle => NEVER,
            Role::Backup(backup) => backup.watch_due(&self.core),
            Role::Primary(primary) if primary.has_scans_to_go_on() => AT_ONCE,
            Role::Primary(primary) => primary.feed_due(&self.core.options),
        };
        due.min(self.core.pinger.due)
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }

    fn take_garbage(&mut self) -> Option<impl Garbage> {
        self.core.log.take_garbage()
    }
}
