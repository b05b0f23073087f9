//! The replicated state: keys, sessions, the log's clock. A pure function of the log.
//!
//! Everything that decides an outcome is in here or in the entry itself, never in a replica's options
//! or clock: replicas that applied the same entries are equal. The maps share structure, so a
//! consistent cut for a state transfer or a checkpoint costs nothing and blocks nobody.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};

use super::{
    command::{Command, Entry, Executed},
    identity::{OpNumber, Position, RequestNumber, SessionId},
    kv::{Keys, Listed, Scan, Update, Versioned, detached},
};

/// The state after some prefix of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    keys: Keys,
    sessions: OrdMap<SessionId, Session>,
    /// Sessions by the log time at which they are forgotten.
    expiries: OrdSet<(Duration, SessionId)>,
    clock: Duration,
    /// What all sessions remember.
    session_bytes: u64,
}

/// A state together with the operation it includes last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last operation included.
    pub at: Position,
    /// The state after it.
    pub state: State,
}

/// By position only: it stands for the state, and hashing a snapshot must not cost what the state weighs.
impl Hash for Snapshot {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.at.hash(hasher);
    }
}

/// What applying an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A session was opened.
    Opened,
    /// A session was closed, or was not there.
    Closed,
    /// An update was executed, now or before.
    Executed(Executed),
    /// The session is unknown: nothing was executed.
    SessionExpired,
    /// The session executed a later request before: nothing was executed.
    Superseded,
}

/// Where a state transfer stands in the sender's snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// Nothing was sent.
    #[default]
    Start,
    /// Keys up to and including this one were sent.
    Keys(Bytes),
    /// All keys, and sessions up to and including this one (if any) were sent.
    Sessions(Option<SessionId>),
    /// Everything was sent.
    End,
}

/// At-most-once memory: what the replicas remember of one client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The latest request executed and what it did.
    pub last: Option<(RequestNumber, Executed)>,
    /// The log's clock at the session's latest operation.
    pub active_at: Duration,
    /// Log time without an update after which the session is forgotten.
    pub ttl: Duration,
}

impl Session {
    /// How many bytes it remembers beyond its own size.
    pub fn bytes(&self) -> usize {
        self.last.as_ref().map_or(0, |(_, executed)| executed.outcome.bytes())
    }
}

/// About how many bytes a pair occupies on the wire beside its key and value,
const PAIR_BYTES: usize = 16;
/// and a session beside what its request did.
const SESSION_BYTES: usize = 64;

/// A piece of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A key and its value.
    Pair {
        /// The key.
        key: Bytes,
        /// What it holds.
        held: Versioned,
    },
    /// A session.
    Session {
        /// Its name.
        id: SessionId,
        /// What is remembered of it.
        session: Session,
    },
    /// The log's clock.
    Clock(Duration),
}

impl Item {
    /// About how many bytes it occupies on the wire.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Pair { key, held } => PAIR_BYTES + key.len() + held.value.len(),
            Self::Session { session, .. } => SESSION_BYTES + session.bytes(),
            Self::Clock(_) => 16,
        }
    }

    /// The same item, to be kept: keys and values are in allocations of their own.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::Pair { key, held } => Self::Pair { key: detached(key), held: held.detached() },
            Self::Session { id, session } => {
                let last = session.last.as_ref().map(|(request, executed)| (*request, executed.detached()));
                Self::Session { id: *id, session: Session { last, ..session.clone() } }
            }
            Self::Clock(clock) => Self::Clock(*clock),
        }
    }
}

impl State {
    /// The value of `key`, with the operation that wrote it.
    pub fn get(&self, key: &[u8]) -> Option<&Versioned> {
        self.keys.get(key)
    }

    /// A page of keys, and whether there are others behind it.
    pub fn page(&self, scan: &Scan) -> (Vec<Listed>, bool) {
        self.keys.page(scan)
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.keys.count()
    }

    /// How many sessions are remembered.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// What all sessions remember beyond their own size, in bytes.
    pub fn session_bytes(&self) -> u64 {
        self.session_bytes
    }

    /// About how many bytes it occupies on the wire.
    pub fn bytes(&self) -> u64 {
        let each = PAIR_BYTES * self.keys() + SESSION_BYTES * self.sessions();
        self.keys.bytes() + self.session_bytes + each as u64
    }

    /// How many times are noted at which sessions are forgotten, and the earliest of them.
    pub fn expiries(&self) -> (usize, Option<Duration>) {
        (self.expiries.len(), self.expiries.get_min().map(|(over, _)| *over))
    }

    /// Whether so many more sessions can be opened by entries of the log time `at` or later. Sessions that
    /// are over by then leave no gap to wait for: the first of these entries makes them be forgotten; but not
    /// those that are `used` by an entry before them, which may keep them alive.
    pub fn has_room_for_sessions(
        &self,
        more: usize,
        sessions_max: usize,
        at: Duration,
        used: impl Fn(SessionId) -> bool,
    ) -> bool {
        let excess = (self.sessions.len() + more).saturating_sub(sessions_max);
        let over = self.expiries.iter().take_while(|(over, _)| *over < at).map(|(_, id)| *id);
        over.filter(|id| !used(*id)).take(excess).count() == excess
    }

    /// What a session remembers, in bytes.
    pub fn bytes_of(&self, id: SessionId) -> u64 {
        self.session(id).map_or(0, |session| session.bytes() as u64)
    }

    /// What those sessions remember that are over at the log time `at` and not `used`, in bytes.
    pub fn bytes_over(&self, at: Duration, used: impl Fn(SessionId) -> bool) -> u64 {
        let over = self.expiries.iter().take_while(|(over, _)| *over < at).map(|(_, id)| *id);
        over.filter(|id| !used(*id)).map(|id| self.bytes_of(id)).sum()
    }

    /// What is remembered of a session.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// The log's clock.
    pub fn clock(&self) -> Duration {
        self.clock
    }

    /// Applies the next entry of the log.
    pub fn apply(&mut self, entry: &Entry) -> Applied {
        self.clock = self.clock.max(entry.timestamp);
        self.expire();
        match &entry.command {
            Command::OpenSession { ttl } => {
                let session = Session { last: None, active_at: self.clock, ttl: *ttl };
                self.insert_session(SessionId(entry.position.op.0), session);
                Applied::Opened
            }
            Command::CloseSession { session } => {
                self.remove_session(*session);
                Applied::Closed
            }
            Command::Update { session, request, update } => {
                self.apply_once(entry.position.op, *session, *request, update)
            }
        }
    }

    /// At-most-once execution is decided here, from replicated state, so that an update that stands in
    /// the log twice (a retry across a fail-over) takes effect once.
    fn apply_once(
        &mut self,
        op: OpNumber,
        id: SessionId,
        request: RequestNumber,
        update: &Update,
    ) -> Applied {
        let Some(session) = self.sessions.get(&id) else { return Applied::SessionExpired };
        match &session.last {
            Some((last, executed)) if *last == request => return Applied::Executed(executed.clone()),
            Some((last, _)) if *last > request => return Applied::Superseded,
            _ => {}
        }
        let ttl = session.ttl;
        self.remove_session(id);
        let executed = Executed { revision: op, outcome: self.keys.execute(op, update) };
        self.insert_session(
            id,
            Session { last: Some((request, executed.clone())), active_at: self.clock, ttl },
        );
        Applied::Executed(executed)
    }

    /// Forgets the sessions whose time is over: a function of the log alone.
    fn expire(&mut self) {
        while let Some((at, id)) = self.expiries.get_min().copied() {
            if at >= self.clock {
                break;
            }
            self.remove_session(id);
        }
    }

    fn insert_session(&mut self, id: SessionId, session: Session) {
        self.expiries.insert((session.active_at + session.ttl, id));
        self.session_bytes += session.bytes() as u64;
        self.sessions.insert(id, session);
    }

    fn remove_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.expiries.remove(&(session.active_at + session.ttl, id));
            self.session_bytes -= session.bytes() as u64;
        }
    }

    /// The next items after `cursor`, about `bytes_max` of them but at least one, and where they end.
    /// An unchanged state gives the same parts again.
    pub fn part(&self, cursor: &Cursor, bytes_max: usize) -> (Vec<Item>, Cursor) {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut items = Vec::new();
        let mut bytes = 0;
        let sessions_after = match cursor {
            Cursor::End => return (items, Cursor::End),
            Cursor::Sessions(after) => *after,
            Cursor::Start | Cursor::Keys(_) => {
                let sent = match cursor {
                    Cursor::Keys(key) => Some(key),
                    _ => None,
                };
                for (key, found) in self.keys.after(sent) {
                    let item = Item::Pair { key: key.clone(), held: found.clone() };
                    bytes += item.bytes();
                    items.push(item);
                    if bytes >= bytes_max {
                        return (items, Cursor::Keys(key.clone()));
                    }
                }
                None
            }
        };
        let from = sessions_after.map_or(Unbounded, Excluded);
        for (id, session) in self.sessions.range((from, Unbounded)) {
            let item = Item::Session { id: *id, session: session.clone() };
            bytes += item.bytes();
            items.push(item);
            if bytes >= bytes_max {
                return (items, Cursor::Sessions(Some(*id)));
            }
        }
        items.push(Item::Clock(self.clock));
        (items, Cursor::End)
    }

    /// Adds a transferred item to a state under construction.
    pub fn restore(&mut self, item: Item) {
        match item {
            Item::Pair { key, held } => self.keys.restore(key, held),
            Item::Session { id, session } => {
                self.remove_session(id); // named twice, the later one counts
                self.insert_session(id, session);
            }
            Item::Clock(clock) => self.clock = clock,
        }
    }
}
