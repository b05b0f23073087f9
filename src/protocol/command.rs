//! What a client may ask for, what is written to the log, and what comes out.

use std::time::Duration;

use bytes::Bytes;

use super::identity::{Generation, OpNumber, Position, RequestNumber, ServerId, SessionId, ViewNumber};

/// A value, and the operation that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The operation that changed the key last.
    pub mod_revision: OpNumber,
}

/// What a key must hold for a compare-and-swap to change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Exactly this value (`None`: it must be absent).
    Value(Option<Bytes>),
    /// What this operation wrote, not changed since (operation 0: it must be absent). It tells apart two
    /// writes of the same value.
    Revision(OpNumber),
}

impl Expected {
    /// Whether this is what is expected.
    pub fn is_met_by(&self, found: Option<&Versioned>) -> bool {
        match self {
            Self::Value(value) => value.as_ref() == found.map(|found| &found.value),
            Self::Revision(revision) => *revision == mod_revision(found),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.as_ref().map_or(0, Bytes::len),
            Self::Revision(_) => 8,
        }
    }
}

/// The operation that changed a key last; 0 if the key is absent, however it became so.
pub fn mod_revision(found: Option<&Versioned>) -> OpNumber {
    found.map_or(OpNumber(0), |found| found.mod_revision)
}

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
    /// Sets `key` to `new` if it holds what is `expected`.
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// What it must hold.
        expected: Expected,
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
        previous: Option<Versioned>,
    },
    /// The append would have made the value longer than allowed; nothing was changed.
    ValueTooLarge {
        /// The longest value allowed, in bytes.
        value_bytes_max: u64,
    },
}

/// An update that was executed. Part of the replicated session table with its revision, so that a retry is
/// told what the first attempt did, and when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Executed {
    /// The operation that executed it: the first attempt that came into effect.
    pub revision: OpNumber,
    /// What it did.
    pub outcome: Outcome,
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

/// The same bytes in an allocation of their own. What arrived in a message is a slice of the buffer in which the
/// message was received: kept for long, a small key would keep a large buffer.
pub(super) fn detached(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

impl Update {
    fn detached(&self) -> Self {
        match self {
            Self::Put { key, value } => Self::Put { key: detached(key), value: detached(value) },
            Self::Append { key, value, value_bytes_max } => {
                Self::Append { key: detached(key), value: detached(value), value_bytes_max: *value_bytes_max }
            }
            Self::Delete { key } => Self::Delete { key: detached(key) },
            Self::CompareAndSwap { key, expected, new } => {
                Self::CompareAndSwap { key: detached(key), expected: expected.detached(), new: detached(new) }
            }
        }
    }
}

impl Expected {
    fn detached(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.as_ref().map(detached)),
            Self::Revision(revision) => Self::Revision(*revision),
        }
    }
}

impl Versioned {
    pub(super) fn detached(&self) -> Self {
        Self { value: detached(&self.value), ..*self }
    }
}

impl Executed {
    pub(super) fn detached(&self) -> Self {
        Self { outcome: self.outcome.detached(), ..*self }
    }
}

impl Outcome {
    /// How many bytes it remembers beyond its own size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Swapped { previous: Some(previous), .. } => previous.value.len(),
            _ => 0,
        }
    }

    pub(super) fn detached(&self) -> Self {
        match self {
            Self::Swapped { swapped, previous: Some(previous) } => {
                Self::Swapped { swapped: *swapped, previous: Some(previous.detached()) }
            }
            other => other.clone(),
        }
    }
}

impl Command {
    /// The same command, to be kept: keys and values are in allocations of their own.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::Update { session, request, update } => {
                Self::Update { session: *session, request: *request, update: update.detached() }
            }
            other => other.clone(),
        }
    }
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

impl Update {
    /// The bytes of its key and values.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } | Self::Append { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::CompareAndSwap { key, expected, new } => key.len() + new.len() + expected.bytes(),
        }
    }
}

impl Entry {
    /// Which request it executes if it is an update, with its number.
    pub fn request(&self) -> Option<((SessionId, RequestNumber), OpNumber)> {
        match self.command {
            Command::Update { session, request, .. } => Some(((session, request), self.position.op)),
            Command::OpenSession { .. } | Command::CloseSession { .. } => None,
        }
    }

    /// The same entry, to be kept: keys and values are in allocations of their own.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { command: self.command.detached(), ..*self }
    }

    /// About how many bytes it occupies in memory and on the wire.
    pub fn bytes(&self) -> usize {
        64 + match &self.command {
            Command::OpenSession { .. } | Command::CloseSession { .. } => 0,
            Command::Update { update, .. } => update.bytes(),
        }
    }
}

/// What a client asks of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The generation the client knows, perhaps none yet. What names a session knows the session's.
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
    /// A key was read.
    Value {
        /// The last operation applied when it was read: the key held this after it.
        revision: OpNumber,
        /// What it held.
        found: Option<Versioned>,
    },
    /// The session that was opened.
    Opened {
        /// Its name, which is the operation that opened it.
        session: SessionId,
        /// The generation it belongs to.
        generation: Generation,
        /// Log time without an update after which it is forgotten.
        ttl: Duration,
    },
    /// The session is closed (or was already gone).
    Closed {
        /// The operation that closed it.
        revision: OpNumber,
    },
    /// The update was executed, now or by an earlier attempt.
    Executed(Executed),
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
    /// As many sessions are open as may be; come back when some have been closed or are over. This attempt
    /// opened none.
    TooManySessions,
    /// Fewer copies than the operator asks for would hold the update; come back after a pause. This attempt was
    /// not executed.
    TooFewCopies {
        /// How many would hold it, the primary included.
        copies: usize,
        /// How many must.
        copies_min: usize,
    },
    /// It was executed, and fewer copies than the operator asks for hold it: whether it lasts is open. Come back after a
    /// pause; once there are enough copies again, a retry is acknowledged.
    TooFewHoldIt {
        /// How many hold it, the primary included.
        copies: usize,
        /// How many must.
        copies_min: usize,
    },
    /// The history the client knows is not served here: an operator declared its data lost, or it is that of another
    /// cluster. Its sessions mean nothing here.
    DataLost {
        /// The generation that is served now.
        generation: Generation,
    },
}
