//! The view service's protocol machine: it decides who is primary and who is backup.
//!
//! Its one durable thing is the [`Record`]. It may propose another view at any time, whether or not the
//! current one was acknowledged, so nothing that dies can block it. Three rules make that safe:
//!
//! * V-a: a new primary, and every in-sync replica of a new view, is taken from `stable`;
//! * V-b: a proposal leaves `stable` as it is. Only the primary's acknowledgement of that very view
//!   replaces it, by the replicas that the primary confirmed (*activation*);
//! * V-c: a record is durable before anybody is told of it.
//!
//! Everything else in here is policy (`policy`): when to propose, and whom. A wrong
//! policy costs time, never data. What the view service knows of the servers ([`servers`]) is soft: it
//! is lost at a restart, and a restarted view service waits a full dead interval before it believes
//! that anybody is dead.
//!
//! If the record is lost, an operator has a server's data go on ([`adoption`]).
//!
//! Left out: a second view service that takes over. The record's atomic replacement is the seam for it.

pub mod adoption;
mod distress;
mod event;
mod notice;
mod policy;
mod probe;
pub mod servers;
mod status;
mod strangers;
mod unreached;
mod unsaid;
mod why;

use std::{ops::RangeInclusive, time::Duration};

use self::policy::Blame;
use self::{
    adoption::Adoption, servers::Servers, status::Untaken, strangers::Strangers, unreached::Unreached,
    unsaid::Unsaid,
};
pub use self::{
    distress::{Awaited, Distress, NotTaken},
    event::{Answer, Effect, Event},
    notice::Notice,
    probe::SealKey,
    status::{ServerStatus, Standing, Survey},
    unsaid::ANSWERS_WAITING_MAX,
    why::{Why, WhyDropped},
};
use super::{
    identity::{Boot, DataId, ServerId, Ticket, ViewNumber, WriteNumber},
    machine::Machine,
    message::{Echo, Ping, PingReply, PingReplyBody, Probe},
    options::ViewServiceOptions,
    presence::Presence,
    view::{Members, Record, View},
};

/// A view service that starts listens at least this long: servers that do not hear it ping twice in that
/// time.
const LISTEN_MIN: Duration = Duration::from_secs(1);

/// A life that begins with a record leaves out fewer numbers than this before its first view, by its epoch.
/// Had the record been an old copy, views told since would most likely have just these numbers: who was told
/// of one shows what the record is. With `n` views since the copy, a number is given twice with a probability
/// of `n` in this many.
const VIEWS_LEFT_OUT_MAX: u64 = 1 << 16;

/// The view service's protocol machine.
#[derive(Clone, Hash)]
pub struct ViewService {
    options: ViewServiceOptions,
    record: Record,
    epoch: u64,
    /// The time by which the silence of servers is counted (R16).
    presence: Presence,
    key: SealKey,
    started_at: Duration,
    /// By the presence: until then it only listens (VS-START).
    listens_until: Duration,
    /// The numbers that this life leaves out after the record it began with.
    left_out: RangeInclusive<ViewNumber>,
    servers: Servers,
    strangers: Strangers,
    unreached: Unreached,
    untaken: Untaken,
    /// The record was lost, and a server's data is to go on.
    adoption: Option<Adoption>,
    /// The record is an old copy, and the operator was told.
    is_outdated: bool,
    /// The view whose primary obeys another one, and the operator was told.
    astray_in: Option<ViewNumber>,
    /// Whoever could be promoted obeys another view.
    only_astray: bool,
    /// Nobody but the current primary is promoted before this time: it may hold a lease until then.
    granted_until: Duration,
    /// What the next record says: the longest dead interval, the length of leases and the measure of pings,
    /// that servers may still go by. It is that of this life, and until `inherited_until` of an earlier one
    /// if that was longer.
    promised: Duration,
    inherited_until: Duration,
    data_lost: bool,
    /// Nobody can be promoted, and the operator was told.
    waiting: bool,
    /// Copies are missing, and the operator was told.
    copies_missing: bool,
    /// The primary refuses updates, and the operator was told.
    updates_refused: bool,
    policy_due: Duration,
    /// The latest view of which members were told that there is one.
    announced: ViewNumber,
    written: WriteNumber,
    persisted: WriteNumber,
    /// What speaks of a record that is not durable yet (V-c).
    unsaid: Unsaid,
}

impl ViewService {
    /// Starts a life with the durable `record` (the default one, if there never was any). `epoch` names this
    /// life and must differ from that of every other, in any cluster: a generation that has not begun takes
    /// it as its nonce. `key` must be known to nobody else.
    pub fn new(
        options: ViewServiceOptions,
        mut record: Record,
        epoch: u64,
        key: SealKey,
        now: Duration,
    ) -> Self {
        if record.view.is_none() {
            record.generation.nonce = epoch; // durable with the first view; until then nobody holds anything
        }
        let promised = record.promised.max(options.dead_after);
        let left_out = match &record.view {
            Some(_) => record.number.next()..=ViewNumber(record.number.0 + epoch % VIEWS_LEFT_OUT_MAX),
            None => record.number.next()..=record.number, // nothing was told: none
        };
        let servers = Servers::after_restart(&record, now, promised - options.dead_after);
        let announced = record.number;
        Self {
            granted_until: now + promised,
            promised,
            inherited_until: now + promised,
            policy_due: now + options.policy_interval,
            options,
            record,
            epoch,
            presence: Presence::new(now),
            key,
            started_at: now,
            listens_until: now + promised.max(LISTEN_MIN),
            left_out,
            servers,
            strangers: Strangers::default(),
            unreached: Unreached::default(),
            untaken: Untaken::default(),
            adoption: None,
            is_outdated: false,
            astray_in: None,
            only_astray: false,
            data_lost: false,
            waiting: false,
            copies_missing: false,
            updates_refused: false,
            announced,
            written: WriteNumber(0),
            persisted: WriteNumber(0),
            unsaid: Unsaid::default(),
        }
    }

    /// The current record, which may not be durable yet.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Whether the record is durable as it stands.
    pub fn is_durable(&self) -> bool {
        self.persisted == self.written
    }

    /// The time by which the silence of servers is counted.
    pub fn presence(&self) -> Duration {
        self.presence.now()
    }

    /// What is known of the servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// VS-PING.
    fn on_ping(&mut self, now: Duration, ticket: Ticket, ping: Ping, effects: &mut Vec<Effect>) {
        let (present, dead_after) = (self.presence.now(), self.options.dead_after);
        let untaken = std::mem::replace(&mut self.untaken, Untaken(Some(present)));
        let reached_at =
            ping.token.and_then(|token| self.key.reached_at(&ping.server, token, present, dead_after));
        let Some(reached_at) = reached_at else {
            if let Some(adoption) = &mut self.adoption {
                adoption.hear_unreached(present, &ping.server, self.options.servers_max);
            }
            return self.refuse_unconfirmed(present, ticket, &ping, effects);
        };
        if self.unreached.reach(&ping.server) {
            effects.push(Effect::Notice(Notice::Reached(ping.server.clone())));
        }
        if let Some(adoption) = &mut self.adoption {
            adoption.hear(present, &ping, self.options.servers_max);
        }
        if self.is_of_other_history(&ping) {
            let (holds, current) = (ping.generation, self.record.generation);
            let is_news = self.strangers.hear(present, &ping, self.options.servers_max);
            if is_news && self.adoption.is_none() {
                let server = ping.server.clone();
                effects.push(Effect::Notice(Notice::OtherHistory { server, holds, current }));
            }
            let body = PingReplyBody::WrongGeneration { generation: current };
            return self.answer_ping(ticket, &ping, body, effects);
        }
        if let Some(data) = self.servers.holds_an_older_copy(&ping) {
            return self.answer_ping(ticket, &ping, PingReplyBody::StaleData { data }, effects);
        }
        let newest = self.newest_boot(&ping.server);
        // R15: two processes of one address may have taken the same number, each when the other one was told.
        if ping.boot < newest || self.servers.is_of_another_process(&ping) {
            return self.answer_ping(ticket, &ping, PingReplyBody::StaleBoot { max: newest }, effects);
        }
        if !ping.boot.may_follow(newest) {
            let (server, boot) = (ping.server.clone(), ping.boot);
            effects.push(Effect::Notice(Notice::ImplausibleLife { server, boot }));
            return self.answer_ping(ticket, &ping, PingReplyBody::StaleBoot { max: newest }, effects);
        }
        if !self.servers.knows(&ping.server) && self.servers.len() >= self.options.servers_max {
            effects.push(Effect::Notice(Notice::TooManyServers(ping.server)));
            return effects.push(Effect::Dismiss { ticket });
        }
        self.untaken = untaken; // this one is taken
        let heard = self.servers.hear(present, self.epoch, &ping, reached_at);
        if heard.is_new {
            effects.push(Effect::Notice(Notice::ServerSeen(ping.clone())));
            if let Some(adopted) = self.record.adopted.filter(|adopted| adopted.is_exceeded_by(ping.log_end))
            {
                let (server, end, adopted) = (ping.server.clone(), ping.log_end, adopted.end);
                effects.push(Effect::Notice(Notice::HoldsMore { server, end, adopted }));
            }
        }
        if heard.is_back {
            // What refuses connections to a server that runs may do so again and again.
            let server = &ping.server;
            self.servers.suspect(present, &self.options, self.record.number, server, server);
        }
        self.note_old_record(&ping, effects);
        if heard.in_order {
            self.note_suspects(present, &ping);
            self.acknowledge(&ping, effects);
        }
        self.run_policy(now, effects);
        if self.record.view.is_some() && self.record.promised < dead_after {
            self.write(self.record.clone(), effects); // V-c: a restarted view service must know what was told
        }
        let lease = self.lease(now, &ping);
        let body = PingReplyBody::Accepted {
            view: self.record.view.clone(),
            echo: Echo { epoch: self.epoch, at: present },
            lease,
            generation: self.record.generation,
        };
        self.answer_ping(ticket, &ping, body, effects);
        if self.servers.get(&ping.server).is_some_and(|known| probe::is_due(known, present, dead_after)) {
            self.probe(present, ping.server, effects);
        }
    }

    /// VS-PROBE: nothing that this ping says is believed. Whoever answers at the address it names gets a
    /// token.
    fn refuse_unconfirmed(&mut self, now: Duration, ticket: Ticket, ping: &Ping, effects: &mut Vec<Effect>) {
        let holder = self.servers.refuse(now, &self.options, ping, effects);
        let (dead_after, servers_max) = (self.options.dead_after, self.options.servers_max);
        if holder.is_none() && self.unreached.hear(now, &ping.server, dead_after, servers_max) {
            effects.push(Effect::Notice(Notice::Unreached(ping.server.clone())));
        }
        self.probe(now, ping.server.clone(), effects);
        self.answer_ping(ticket, ping, PingReplyBody::Unconfirmed { holder }, effects);
    }

    fn probe(&mut self, now: Duration, server: ServerId, effects: &mut Vec<Effect>) {
        let token = self.key.token(&server, now);
        let known = self.servers.note_probe(now, &server);
        let probe = Probe { token, view: self.announced };
        effects.push(Effect::Probe { server, probe, known });
    }

    /// VS-GONE: connections to a server's address are refused.
    fn on_gone(&mut self, now: Duration, server: &ServerId, effects: &mut Vec<Effect>) {
        if self.servers.note_gone(self.presence.now(), server) {
            effects.push(Effect::Notice(Notice::Gone(server.clone())));
            self.run_policy(now, effects);
        }
    }

    /// Members of a view that is durable (V-c) ping at once, and are told of it.
    fn announce(&mut self, effects: &mut Vec<Effect>) {
        if !self.is_durable() || self.announced == self.record.number {
            return;
        }
        self.announced = self.record.number;
        let Some(view) = &self.record.view else { return };
        let members: Vec<ServerId> = view.insync.keys().chain(view.joining.keys()).cloned().collect();
        members.into_iter().for_each(|member| self.probe(self.presence.now(), member, effects));
    }

    /// VS-PING 1: it holds operations of another history, or knows views beyond ours and would obey none of
    /// ours. An empty server joins whatever history is current.
    fn is_of_other_history(&self, ping: &Ping) -> bool {
        let holds_operations = ping.log_end.op.0 > 0;
        let bound = holds_operations || ping.view_known > self.record.number;
        ping.data.is_some() && ping.generation != self.record.generation && bound
    }

    /// The latest life of `server` that is known, from its pings or from the record.
    fn newest_boot(&self, server: &ServerId) -> Boot {
        let heard = self.servers.boot(server).unwrap_or_default();
        let Some(view) = &self.record.view else { return heard };
        let primary = if view.primary == *server { view.primary_boot } else { Boot(0) };
        let recorded = [&view.insync, &view.joining, &self.record.stable]
            .into_iter()
            .filter_map(|members| members.get(server))
            .map(|data| data.boot)
            .max()
            .unwrap_or_default();
        heard.max(primary).max(recorded)
    }

    /// ACK: the primary of the current view, in the life the view names, confirmed all in-sync replicas
    /// and perhaps joiners, in this very view. They, and only they, are stable now (V-b).
    fn acknowledge(&mut self, ping: &Ping, effects: &mut Vec<Effect>) {
        let Some(view) = &self.record.view else { return };
        let speaks_for_view = ping.server == view.primary
            && ping.boot == view.primary_boot
            && ping.view_known == view.number
            && self.servers.is_alive(&ping.server, self.presence.now(), self.options.dead_after);
        // An old copy may name replicas that were replaced since, although nobody ever told of its view.
        let may_be_old = self.is_outdated || (!view.activated && self.is_listening());
        if !speaks_for_view || ping.confirmed.is_empty() || self.is_in_the_way() || may_be_old {
            return;
        }
        let covers_insync = view.insync.iter().all(|(server, data)| ping.confirmed.get(server) == Some(data));
        let only_members = ping.confirmed.iter().all(|(server, data)| view.data_of(server) == Some(*data));
        let news = !view.activated || ping.confirmed != view.insync;
        if !covers_insync || !only_members || !news {
            return;
        }
        let mut view = view.clone();
        view.joining.retain(|server, _| !ping.confirmed.contains_key(server));
        view.insync = ping.confirmed.clone();
        view.activated = true;
        let stable = view.insync.clone();
        self.servers.note_in_sync(&view.primary, view.insync.keys());
        effects.push(Effect::Notice(Notice::Activated(view.clone())));
        self.write(Record { view: Some(view), stable, ..self.record.clone() }, effects);
    }

    /// A lease, if this server may have one: nobody else is promoted until it is over.
    fn lease(&mut self, now: Duration, ping: &Ping) -> Option<Duration> {
        let view = self.record.view.as_ref()?;
        let holder = ping.wants_lease
            && ping.server == view.primary
            && ping.boot == view.primary_boot
            && ping.data == view.insync.get(&ping.server).copied() // a life's number may come again after a loss
            && ping.view_known == view.number
            && view.activated
            && !self.is_outdated // another primary may reign in a view that this record does not know
            && !self.is_listening() // which would be heard now
            && self.servers.is_alive(&ping.server, self.presence.now(), self.options.dead_after)
            && self.blame(self.presence.now(), view) == Blame::Backups; // else it may have to go
        if !holder {
            return None;
        }
        let lease = self.options.dead_after;
        self.granted_until = self.granted_until.max(now + lease);
        Some(lease)
    }

    fn answer_ping(&mut self, ticket: Ticket, ping: &Ping, body: PingReplyBody, effects: &mut Vec<Effect>) {
        let reply = PingReply { boot: ping.boot, number: ping.number, cluster: self.options.of_all(), body };
        self.answer(ticket, Answer::Ping(reply), effects);
    }

    /// V-c: an answer goes out when the record it speaks of is durable.
    fn answer(&mut self, ticket: Ticket, answer: Answer, effects: &mut Vec<Effect>) {
        if self.is_durable() {
            effects.push(Effect::Answer { ticket, answer });
        } else {
            self.unsaid.answer(self.written, ticket, answer, effects);
        }
    }

    /// How many answers wait for a record to become durable.
    pub fn answers_waiting(&self) -> usize {
        self.unsaid.answers()
    }

    fn write(&mut self, record: Record, effects: &mut Vec<Effect>) {
        assert!(record.number >= self.record.number, "view numbers never go back");
        let record = Record { promised: self.promised, ..record };
        self.record = record.clone();
        self.written = self.written.next();
        effects.push(Effect::Persist { number: self.written, record });
    }

    fn on_persisted(&mut self, number: WriteNumber, effects: &mut Vec<Effect>) {
        self.persisted = self.persisted.max(number);
        self.unsaid.say(self.persisted, effects);
        self.announce(effects);
    }
}

impl Machine for ViewService {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        // Who is answered nothing, because a record is not durable yet, seems to hear nothing.
        let interval = if self.is_durable() { self.options.policy_interval } else { Duration::ZERO };
        self.presence.step(now, interval);
        match event {
            Event::Ping { ticket, ping } => self.on_ping(now, ticket, ping, effects),
            Event::GetView { ticket } => {
                let answer = Answer::View {
                    view: self.record.view.clone(),
                    replicas: self.options.replicas,
                    distress: self.distress(),
                    not_taken: self.not_taken(),
                };
                self.answer(ticket, answer, effects);
            }
            Event::GetStatus { ticket } => self.answer(ticket, Answer::Status(self.survey()), effects),
            Event::Gone(server) => self.on_gone(now, &server, effects),
            Event::Persisted(number) => self.on_persisted(number, effects),
            Event::Tick | Event::Flush => {
                if now >= self.policy_due {
                    self.run_policy(now, effects);
                }
            }
        }
    }

    fn deadline(&self) -> Duration {
        self.policy_due
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }
}
