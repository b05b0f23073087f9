//! What a client may ask for, what is written to the log, and what comes out.

use std::time::Duration;

use bytes::Bytes;

use super::identity::{Generation, OpNumber, Position, RequestNumber, ServerId, SessionId, ViewNumber};
pub use super::kv::{
    Expected, Listed, Outcome, PAGE_BYTES_MAX, PAGE_KEYS_MAX, Page, Scan, Update, Versioned, mod_revision,
};

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

impl Executed {
    pub(super) fn detached(&self) -> Self {
        Self { outcome: self.outcome.detached(), ..*self }
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
    /// Reads a page of keys.
    Scan(Scan),
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
    /// A page of keys was read.
    Page(Page),
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
    /// Fewer copies than the operator asks for would hold the update; come back after a pause. This attempt
    /// was not executed.
    TooFewCopies {
        /// How many would hold it, the primary included.
        copies: usize,
        /// How many must.
        copies_min: usize,
    },
    /// It was executed, and fewer copies than the operator asks for hold it: whether it lasts is open. Come
    /// back after a pause; once there are enough copies again, a retry is acknowledged.
    TooFewHoldIt {
        /// How many hold it, the primary included.
        copies: usize,
        /// How many must.
        copies_min: usize,
    },
    /// The history the client knows is not served here: an operator declared its data lost, or it is that of
    /// another cluster. Its sessions mean nothing here.
    DataLost {
        /// The generation that is served now.
        generation: Generation,
    },
}
