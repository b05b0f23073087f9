//! What the view service is told and what it wants done.

use super::{Distress, NotTaken, Notice, Survey};
use crate::protocol::{
    identity::{ServerId, Ticket, WriteNumber},
    message::{Ping, PingReply, Probe},
    view::{Record, View},
};

/// What can happen to the view service.
// Events are handled one at a time: their size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Event {
    /// A server pings. It is answered at most once, or dismissed.
    Ping {
        /// Names the waiting caller.
        ticket: Ticket,
        /// What it says.
        ping: Ping,
    },
    /// Somebody asks for the current view. It is answered once, or dismissed.
    GetView {
        /// Names the waiting caller.
        ticket: Ticket,
    },
    /// A connection to this server's address was refused: its process has ended, or something in front of it
    /// refuses.
    Gone(ServerId),
    /// This record and all before it are durable.
    Persisted(WriteNumber),
    /// Time has passed.
    Tick,
    /// No further event is waiting.
    Flush,
    /// An operator asks what is known of each server. It is answered once, or dismissed.
    GetStatus {
        /// Names the waiting caller.
        ticket: Ticket,
    },
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
    /// A caller gets no answer.
    Dismiss {
        /// Who is waiting.
        ticket: Ticket,
    },
    /// Bring this to whoever answers at an address. It may be lost.
    Probe {
        /// The address.
        server: ServerId,
        /// A token, and the latest view.
        probe: Probe,
        /// A process was confirmed at that address before; so many are known at most. It is watched:
        /// if it ends, [`Event::Gone`] may follow.
        known: bool,
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
        /// Copies to strive for.
        replicas: usize,
        /// What is wrong, if anything.
        distress: Option<Distress>,
        /// Which servers run and are not taken, if copies are missing.
        not_taken: Option<NotTaken>,
    },
    /// To an operator's question.
    Status(Survey),
}
