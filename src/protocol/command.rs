//! What a client may ask for, what is written to the log, and what comes out.

use std::time::Duration;

use bytes::Bytes;

use super::identity::{Generation, Position, RequestNumber, ServerId, SessionId, ViewNumber};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Appends `value` to what `key` holds; an absent key counts as empty.
    Append {
        /// The key.
        key: Bytes,
        /// What is appended.
        value: Bytes,
        /// The longest value that may result, in bytes. It travels with the operation because every
        /// replica must decide alike, whatever its own options are.
        value_bytes_max: u64,
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Sets `key` to `new` if it holds exactly `expected` (`None`: if it is absent).
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// The value it must hold.
        expected: Option<Bytes>,
        /// Its new value.
        new: Bytes,
    },
}

impl Update {
    /// The key that is changed.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSwap { key, .. } => key,
        }
    }
}

/// What an update did. Part of the replicated session table, so that a retry gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A put or append took effect.
    Done,
    /// A delete took effect.
    Deleted {
        /// Whether the key was there.
        existed: bool,
    },
    /// A compare-and-swap was decided.
    Swapped {
        /// Whether the new value was set.
        swapped: bool,
        /// What the key held before.
        previous: Option<Bytes>,
    },
    /// The append would have made the value longer than allowed; nothing was changed.
    ValueTooLarge {
        /// The longest value allowed, in bytes.
        value_bytes_max: u64,
    },
}

/// What an entry of the log does when it is applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Opens a session named after this entry's own operation number.
    OpenSession {
        /// Log time without an update after which the session is forgotten.
        ttl: Duration,
    },
    /// Forgets a session.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// Executes an update at most once.
    Update {
        /// On whose behalf.
        session: SessionId,
        /// Its number within the session.
        request: RequestNumber,
        /// The change.
        update: Update,
    },
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Where it stands, and the view that put it there.
    pub position: Position,
    /// The log's own clock when it was appended: time since the log began, as counted by primaries.
    pub timestamp: Duration,
    /// What it does.
    pub command: Command,
}

impl Entry {
    /// About how many bytes it occupies in memory and on the wire.
    pub fn bytes(&self) -> usize {
        64 + match &self.command {
            Command::OpenSession { .. } | Command::CloseSession { .. } => 0,
            Command::Update { update, .. } => match update {
                Update::Put { key, value } | Update::Append { key, value, .. } => key.len() + value.len(),
                Update::Delete { key } => key.len(),
                Update::CompareAndSwap { key, expected, new } => {
                    key.len() + new.len() + expected.as_ref().map_or(0, Bytes::len)
                }
            },
        }
    }
}

/// What a client asks of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The generation the client knows; 0 if it knows none yet.
    pub generation: Generation,
    /// What it wants.
    pub body: RequestBody,
}

/// The kinds of requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestBody {
    /// Reads one key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Opens a session.
    OpenSession,
    /// Closes a session.
    CloseSession {
        /// Which.
        session: SessionId,
    },
    /// Changes one key, at most once for each (session, request).
    Update {
        /// On whose behalf.
        session: SessionId,
        /// Its number within the session.
        request: RequestNumber,
        /// The change.
        update: Update,
    },
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The value of the key that was read.
    Value(Option<Bytes>),
    /// The session that was opened.
    Opened {
        /// Its name.
        session: SessionId,
        /// The generation it belongs to.
        generation: Generation,
    },
    /// The session is closed (or was already gone).
    Closed,
    /// The update was executed, now or by an earlier attempt.
    Executed(Outcome),
    /// The request was not served here and now. It says nothing about earlier attempts.
    Refused(Refusal),
}

/// Why a server did not serve a request, and so what the caller should do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Ask the view service who is primary and try there. Never means "was not applied".
    NotPrimary {
        /// The last view this server saw.
        view: ViewNumber,
        /// Who is primary in it, if this server knows.
        primary: Option<ServerId>,
    },
    /// No such session: it expired, was closed, or never was. This attempt was not and will not be executed.
    SessionExpired,
    /// The session already executed a later request; the answer to this one is forgotten.
    Superseded,
    /// Too many requests are waiting; come back after a pause. This attempt was not executed.
    Busy,
    /// The data the client knew was declared lost by an operator; its sessions are gone.
    DataLost {
        /// The generation that is served now.
        generation: Generation,
    },
}
