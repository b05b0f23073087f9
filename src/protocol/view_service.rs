//! The view service's protocol machine.

use std::time::Duration;

use super::{
    identity::{ServerId, Ticket, ViewNumber, WriteNumber},
    machine::Machine,
    message::{Ping, PingReply},
    options::ViewServiceOptions,
    view::{Record, View},
};

/// What can happen to the view service.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
pub struct ViewService {
    record: Record,
}

impl ViewService {
    /// Starts a life with the durable `record` (the default one, if there never was any). `epoch` names
    /// this life and must differ from that of every other.
    pub fn new(_options: ViewServiceOptions, record: Record, _epoch: u64, _now: Duration) -> Self {
        Self { record }
    }

    /// The current record, which may not be durable yet.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Machine for ViewService {
    type Event = Event;
    type Effect = Effect;

    fn step(&mut self, _now: Duration, _event: Event, _effects: &mut Vec<Effect>) {
        todo!()
    }

    fn deadline(&self) -> Duration {
        todo!()
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn flush() -> Event {
        Event::Flush
    }
}
