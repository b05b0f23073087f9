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
//! Left out: a second view service that takes over. The record's atomic replacement is the seam for it.

mod policy;
pub mod servers;

use std::{collections::VecDeque, time::Duration};

use self::servers::Servers;
use super::{
    identity::{Boot, DataId, ServerId, Ticket, ViewNumber, WriteNumber},
    machine::Machine,
    message::{Echo, Ping, PingReply, PingReplyBody},
    options::ViewServiceOptions,
    view::{Members, Record, View},
};

/// What can happen to the view service.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Event {
    /// A server pings. It is answered at most once: a ping that is refused by silence drops its ticket.
    Ping {
        /// Names the waiting caller.
        ticket: Ticket,
        /// What it says.
        ping: Ping,
    },
    /// Somebody asks for the current view.
    GetView {
        /// Names the waiting caller.
        ticket: Ticket,
    },
    /// This record and all before it are durable.
    Persisted(WriteNumber),
    /// Time has passed.
    Tick,
    /// No further event is waiting.
    Flush,
}

/// What the view service wants done.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Effect {
    /// Replace the durable record, atomically, then report [`Event::Persisted`].
    Persist {
        /// Names the write.
        number: WriteNumber,
        /// The new record.
        record: Record,
    },
    /// Answer a caller.
    Answer {
        /// Who is waiting.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Something happened that an operator wants to know.
    Notice(Notice),
}

/// What the view service answers.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Answer {
    /// To a ping.
    Ping(PingReply),
    /// To a question for the view.
    View {
        /// The current view, absent until the first server was accepted.
        view: Option<View>,
        /// All copies of the data were lost; only an operator can go on.
        data_lost: bool,
    },
}

/// What an operator wants to know of the view service.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Notice {
    /// A server was heard for the first time, in a new life or with other contents.
    ServerSeen(Ping),
    /// A view was proposed; `why` says what made it necessary.
    Proposed {
        /// The view.
        view: View,
        /// The reason in words.
        why: &'static str,
    },
    /// The primary's acknowledgement was recorded: only the in-sync replicas may succeed it now.
    Activated(View),
    /// No replica that holds all the data is left; only an operator can go on.
    DataLost(ViewNumber),
    /// A server holds data of a view that this record does not know: the record is not the right one.
    UnknownHistory {
        /// Which server.
        server: ServerId,
        /// The view it knows.
        view: ViewNumber,
    },
    /// A ping was dropped because too many servers are known.
    TooManyServers(ServerId),
}

/// The view service's protocol machine.
#[derive(Hash)]
pub struct ViewService {
    options: ViewServiceOptions,
    record: Record,
    epoch: u64,
    started_at: Duration,
    servers: Servers,
    /// Nobody but the current primary is promoted before this time: it may hold a lease until then.
    granted_until: Duration,
    data_lost: bool,
    policy_due: Duration,
    written: WriteNumber,
    persisted: WriteNumber,
    /// Answers that speak of a record that is not durable yet (V-c).
    unsaid: VecDeque<(WriteNumber, Effect)>,
}

impl ViewService {
    /// Starts a life with the durable `record` (the default one, if there never was any). `epoch` names
    /// this life and must differ from that of every other.
    pub fn new(options: ViewServiceOptions, record: Record, epoch: u64, now: Duration) -> Self {
        let servers = Servers::after_restart(&record, now);
        Self {
            granted_until: now + options.dead_after,
            policy_due: now + options.policy_interval,
            options,
            record,
            epoch,
            started_at: now,
            servers,
            data_lost: false,
            written: WriteNumber(0),
            persisted: WriteNumber(0),
            unsaid: VecDeque::new(),
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

    /// What is known of the servers.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// VS-PING.
    fn on_ping(&mut self, now: Duration, ticket: Ticket, ping: Ping, effects: &mut Vec<Effect>) {
        let holds_entries = ping.log_end.op.0 > 0;
        if ping.data.is_some() && holds_entries && ping.generation != self.record.generation {
            let body = PingReplyBody::WrongGeneration { generation: self.record.generation };
            return self.answer_ping(ticket, &ping, body, effects);
        }
        let newest = self.newest_boot(&ping.server);
        if ping.boot < newest {
            return self.answer_ping(ticket, &ping, PingReplyBody::StaleBoot { max: newest }, effects);
        }
        if !self.servers.knows(&ping.server) && self.servers.len() >= self.options.servers_max {
            effects.push(Effect::Notice(Notice::TooManyServers(ping.server)));
            return;
        }
        let heard = self.servers.hear(now, self.epoch, &ping);
        if heard.is_new {
            effects.push(Effect::Notice(Notice::ServerSeen(ping.clone())));
        }
        if ping.generation == self.record.generation && ping.view_known > self.record.number && heard.is_new {
            let (server, view) = (ping.server.clone(), ping.view_known);
            effects.push(Effect::Notice(Notice::UnknownHistory { server, view }));
        }
        if heard.in_order {
            self.note_suspects(now, &ping);
            self.acknowledge(now, &ping, effects);
        }
        self.run_policy(now, effects);
        let lease = self.lease(now, &ping);
        let body = PingReplyBody::Accepted {
            view: self.record.view.clone(),
            echo: Echo { epoch: self.epoch, at: now },
            lease,
            generation: self.record.generation,
        };
        self.answer_ping(ticket, &ping, body, effects);
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
    fn acknowledge(&mut self, now: Duration, ping: &Ping, effects: &mut Vec<Effect>) {
        let Some(view) = &self.record.view else { return };
        let speaks_for_view = ping.server == view.primary
            && ping.boot == view.primary_boot
            && ping.view_known == view.number
            && self.servers.is_alive(&ping.server, now, self.options.dead_after);
        if !speaks_for_view || ping.confirmed.is_empty() {
            return;
        }
        let covers_insync = view.insync.iter().all(|(server, data)| ping.confirmed.get(server) == Some(data));
        let only_members = ping.confirmed.iter().all(|(server, data)| view.member(server) == Some(*data));
        let news = !view.activated || ping.confirmed != view.insync;
        if !covers_insync || !only_members || !news {
            return;
        }
        let mut view = view.clone();
        view.joining.retain(|server, _| !ping.confirmed.contains_key(server));
        view.insync = ping.confirmed.clone();
        view.activated = true;
        let stable = view.insync.clone();
        effects.push(Effect::Notice(Notice::Activated(view.clone())));
        self.write(Record { view: Some(view), stable, ..self.record.clone() }, effects);
    }

    /// A lease, if this server may have one: nobody else is promoted until it is over.
    fn lease(&mut self, now: Duration, ping: &Ping) -> Option<Duration> {
        let view = self.record.view.as_ref()?;
        let holder = ping.wants_lease
            && ping.server == view.primary
            && ping.boot == view.primary_boot
            && ping.view_known == view.number
            && view.activated
            && self.servers.is_alive(&ping.server, now, self.options.dead_after);
        holder.then(|| {
            self.granted_until = self.granted_until.max(now + self.options.dead_after);
            self.options.dead_after
        })
    }

    fn answer_ping(&mut self, ticket: Ticket, ping: &Ping, body: PingReplyBody, effects: &mut Vec<Effect>) {
        let reply = PingReply { boot: ping.boot, number: ping.number, body };
        self.answer(ticket, Answer::Ping(reply), effects);
    }

    /// V-c: an answer goes out when the record it speaks of is durable.
    fn answer(&mut self, ticket: Ticket, answer: Answer, effects: &mut Vec<Effect>) {
        let effect = Effect::Answer { ticket, answer };
        if self.is_durable() {
            effects.push(effect);
        } else {
            self.unsaid.push_back((self.written, effect));
        }
    }

    fn write(&mut self, record: Record, effects: &mut Vec<Effect>) {
        assert!(record.number >= self.record.number, "view numbers never go back");
        self.record = record.clone();
        self.written = self.written.next();
        effects.push(Effect::Persist { number: self.written, record });
    }

    fn on_persisted(&mut self, number: WriteNumber, effects: &mut Vec<Effect>) {
        self.persisted = self.persisted.max(number);
        while let Some((after, _)) = self.unsaid.front() {
            if *after > self.persisted {
                break;
            }
            effects.extend(self.unsaid.pop_front().map(|(_, effect)| effect));
        }
    }
}

impl Machine for ViewService {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, now: Duration, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Ping { ticket, ping } => self.on_ping(now, ticket, ping, effects),
            Event::GetView { ticket } => {
                let answer = Answer::View { view: self.record.view.clone(), data_lost: self.data_lost };
                self.answer(ticket, answer, effects);
            }
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
