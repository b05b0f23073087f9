//! The replica's rules once more, as plain data: a log, how much of it is committed and durable, a view and a
//! role.
//!
//! Written from the rules in `src/protocol/mod.rs` (R1 to R8, R10, R12, R14, R19, sections 5 and 6), with
//! nothing of how the machine does it: it counts from the log what the machine keeps beside it, and looks
//! whether anything follows after every event. Left out: time (suspicions, expiry, leases), state transfer,
//! joiners, other generations and lives, and what is sent to whom when.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pbkv::protocol::{
    command::{Command, Entry, RequestBody, Update},
    identity::{OpNumber, Position, ViewNumber},
    message::AppendResult,
};

/// A view of the reference's server and one other.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub number: u64,
    /// This server is primary, or the other one.
    pub leads: bool,
    /// The primary is the only replica.
    pub alone: bool,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    NotPrimary,
    Opened(u64),
    Executed(u64),
    Expired,
    Superseded,
    Value(u64, Option<Bytes>),
}

/// An acknowledgement: of which view and message, and what was found.
pub type Ack = (u64, u64, AppendResult);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Idle,
    Backup,
    Primary(Primary),
}

/// What a primary knows in its view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    alone: bool,
    active: bool,
    takeover_end: usize,
    /// How far the other replica holds the log, and the latest message that it answered.
    matched: Option<usize>,
    answered: u64,
    /// The latest message to it.
    pub sent: u64,
    pub confirmed: bool,
    /// The latest ping when a later view was heard of.
    fenced: Option<u64>,
    waiting: BTreeMap<usize, Vec<u64>>,
    /// Each with the latest message before it.
    reads: Vec<(u64, u64)>,
}

/// What is applied: one key, and the sessions with the request each executed last.
#[derive(Clone, Debug, Default)]
struct Table {
    value: Option<Bytes>,
    sessions: BTreeMap<u64, Option<(u64, u64)>>,
}

impl Table {
    fn apply(&mut self, op: u64, command: &Command) -> Said {
        match command {
            Command::OpenSession { .. } => {
                self.sessions.insert(op, None);
                Said::Opened(op)
            }
            Command::Update { session, request, update: Update::Put { value, .. } } => {
                let Some(last) = self.sessions.get_mut(&session.0) else { return Said::Expired };
                match *last {
                    Some((executed, at)) if executed == request.0 => Said::Executed(at),
                    Some((executed, _)) if executed > request.0 => Said::Superseded,
                    _ => {
                        *last = Some((request.0, op));
                        self.value = Some(value.clone());
                        Said::Executed(op)
                    }
                }
            }
            other => unreachable!("nobody asks for {other:?}"),
        }
    }
}

/// One server.
#[derive(Clone, Debug)]
pub struct Reference {
    pub log: Vec<Entry>,
    pub commit: usize,
    table: Table,
    pub view: u64,
    pub role: Role,
    /// How much of the log is durable; the ends of the log after the writes under way.
    durable: usize,
    writes: VecDeque<usize>,
    /// Writes that were begun and ended; something is to be written.
    begun: u64,
    ended: u64,
    writes_now: bool,
    /// Nothing is said before so many writes ended.
    hold: u64,
    /// Acknowledgements, each with the writes that must have ended before.
    unsaid: Vec<(u64, Ack)>,
    /// The latest ping.
    pub pings: u64,
    /// What clients are told, and which acknowledgements are due, by the latest event.
    pub answers: Vec<(u64, Said)>,
    pub acks: Vec<Ack>,
}

impl Reference {
    /// A server that holds nothing and knows no view.
    pub fn new() -> Self {
        Self {
            log: Vec::new(),
            commit: 0,
            table: Table::default(),
            view: 0,
            role: Role::Idle,
            durable: 0,
            writes: VecDeque::new(),
            begun: 0,
            ended: 0,
            writes_now: false,
            hold: 0,
            unsaid: Vec::new(),
            pings: 0,
            answers: Vec::new(),
            acks: Vec::new(),
        }
    }

    /// What is written to a disk and not there yet holds back all that it says.
    pub fn is_held(&self) -> bool {
        self.hold > self.ended
    }

    /// The value of the key.
    pub fn value(&self) -> Option<&Bytes> {
        self.table.value.as_ref()
    }

    /// The sessions that were opened, by the log.
    pub fn opened(&self) -> Vec<u64> {
        let opens = self.log.iter().filter(|entry| matches!(entry.command, Command::OpenSession { .. }));
        opens.map(|entry| entry.position.op.0).collect()
    }

    fn position(&self, op: usize) -> Option<Position> {
        if op == 0 { Some(Position::default()) } else { self.log.get(op - 1).map(|entry| entry.position) }
    }

    /// R12.
    fn sends_all_away(&mut self) {
        let Role::Primary(primary) = &mut self.role else { return };
        let updates = std::mem::take(&mut primary.waiting).into_values().flatten();
        let reads = std::mem::take(&mut primary.reads).into_iter().map(|(ticket, _)| ticket);
        self.answers.extend(updates.chain(reads).map(|ticket| (ticket, Said::NotPrimary)));
    }

    /// R1.
    fn adopt(&mut self, number: u64) {
        self.sends_all_away();
        self.unsaid.clear();
        self.view = number;
        self.writes_now = true;
        self.hold = self.begun + 1;
    }

    /// The view service answered a ping.
    pub fn told(&mut self, view: View, activated: bool, ping: u64) {
        if let Role::Primary(primary) = &mut self.role
            && view.number == self.view
        {
            primary.fenced.take_if(|fenced| ping > *fenced); // R19
        }
        if view.number > self.view {
            self.adopt(view.number);
            self.role = if view.leads {
                Role::Primary(Primary {
                    alone: view.alone,
                    active: activated,
                    takeover_end: self.log.len(),
                    matched: None,
                    answered: 0,
                    sent: 0,
                    confirmed: false,
                    fenced: None,
                    waiting: BTreeMap::new(),
                    reads: Vec::new(),
                })
            } else if view.alone {
                Role::Idle
            } else {
                Role::Backup
            };
        } else if view.number == self.view
            && let Role::Primary(primary) = &mut self.role
        {
            primary.active |= activated; // R1b
        }
        self.ends();
    }

    /// A client asks.
    pub fn asked(&mut self, ticket: u64, body: &RequestBody) {
        let Role::Primary(primary) = &mut self.role else {
            return self.answers.push((ticket, Said::NotPrimary));
        };
        if primary.fenced.is_some() {
            return self.answers.push((ticket, Said::NotPrimary));
        }
        let command = match body {
            RequestBody::Get { .. } => {
                primary.reads.push((ticket, primary.sent));
                return self.ends();
            }
            RequestBody::OpenSession => Command::OpenSession { ttl: std::time::Duration::ZERO },
            RequestBody::Update { session, request, update } => {
                // R3.
                match self.table.sessions.get(&session.0).copied().flatten() {
                    Some((last, at)) if last == request.0 => {
                        return self.answers.push((ticket, Said::Executed(at)));
                    }
                    Some((last, _)) if last > request.0 => {
                        return self.answers.push((ticket, Said::Superseded));
                    }
                    _ => {}
                }
                let is_it = |entry: &Entry| matches!(&entry.command, Command::Update { session: s, request: r, .. } if s == session && r == request);
                if let Some(place) = self.log[self.commit..].iter().rposition(is_it) {
                    primary.waiting.entry(self.commit + place + 1).or_default().push(ticket);
                    return;
                }
                Command::Update { session: *session, request: *request, update: update.clone() }
            }
            other @ (RequestBody::CloseSession { .. } | RequestBody::Scan(_)) => {
                unreachable!("nobody asks for {other:?}")
            }
        };
        let op = self.log.len() + 1;
        primary.waiting.insert(op, vec![ticket]);
        let position = Position { view: ViewNumber(self.view), op: OpNumber(op as u64) };
        self.log.push(Entry { position, timestamp: std::time::Duration::ZERO, command });
        self.writes_now = true;
        self.ends();
    }

    /// A later view is heard of, and not from the view service.
    fn is_fenced(&mut self, view: u64) {
        let (current, pings) = (self.view, self.pings);
        let Role::Primary(primary) = &mut self.role else { return };
        if view > current && primary.fenced.is_none() {
            primary.fenced = Some(pings);
            self.sends_all_away();
        }
    }

    /// R5: the other server, as primary of a view, says that these entries follow `previous`, and how much is
    /// committed.
    pub fn appended(
        &mut self,
        view: u64,
        heartbeat: u64,
        previous: Position,
        entries: &[Entry],
        commit: usize,
    ) {
        let acknowledges = |result| (view, heartbeat, result);
        if view < self.view {
            let ack = acknowledges(AppendResult::Stale { view_seen: ViewNumber(self.view) });
            self.unsaid.push((self.begun, ack));
            return self.ends();
        }
        if matches!(self.role, Role::Primary(_)) {
            self.is_fenced(view);
            return self.ends();
        }
        if view > self.view {
            self.adopt(view);
        }
        self.role = Role::Backup;
        let before = previous.op.0 as usize;
        let positions = entries.iter().map(|entry| entry.position);
        let contradicts = [previous].into_iter().chain(positions).any(|position| {
            position.op.0 as usize <= self.commit && self.position(position.op.0 as usize) != Some(position)
        });
        if contradicts {
            return self.ends(); // R19
        }
        let result = match self.position(before) {
            None => AppendResult::Mismatch { hint: OpNumber(self.log.len() as u64 + 1) },
            Some(own) if own != previous => {
                let in_run = |op: &usize| self.position(*op).is_some_and(|it| it.view == own.view);
                let first =
                    (1..=before).rev().take_while(in_run).last().expect("the place itself is in its run");
                AppendResult::Mismatch { hint: OpNumber(first as u64) }
            }
            Some(_) => {
                for entry in entries {
                    let op = entry.position.op.0 as usize;
                    if self.position(op) == Some(entry.position) {
                        continue;
                    }
                    if op <= self.log.len() {
                        self.log.truncate(op - 1);
                        self.durable = self.durable.min(op - 1);
                        self.writes.iter_mut().for_each(|end| *end = (*end).min(op - 1));
                    }
                    self.log.push(entry.clone());
                    self.writes_now = true;
                }
                let end = before + entries.len();
                self.commits(commit.min(end));
                AppendResult::Match(OpNumber(end as u64))
            }
        };
        self.unsaid.push((self.begun + u64::from(self.writes_now), acknowledges(result)));
        self.ends();
    }

    /// R6: the other server answers.
    pub fn acknowledged(&mut self, view: u64, heartbeat: u64, result: AppendResult) {
        let (current, end) = (self.view, self.log.len());
        let Role::Primary(primary) = &mut self.role else { return };
        if view != current || primary.alone {
            return;
        }
        match result {
            AppendResult::Match(op) if op.0 as usize > end => {}
            AppendResult::Match(op) => {
                primary.answered = primary.answered.max(heartbeat);
                primary.matched = primary.matched.max(Some(op.0 as usize));
            }
            AppendResult::Mismatch { .. } => primary.answered = primary.answered.max(heartbeat),
            AppendResult::Stale { view_seen } => self.is_fenced(view_seen.0),
        }
        self.ends();
    }

    /// The oldest write is durable.
    pub fn persisted(&mut self) {
        let Some(end) = self.writes.pop_front() else { return };
        self.ended += 1;
        self.durable = end;
        self.ends();
    }

    fn commits(&mut self, to: usize) {
        while self.commit < to {
            let entry = &self.log[self.commit];
            self.commit += 1;
            let said = self.table.apply(self.commit as u64, &entry.command);
            if let Role::Primary(primary) = &mut self.role {
                let waiting = primary.waiting.remove(&self.commit).unwrap_or_default();
                self.answers.extend(waiting.into_iter().map(|ticket| (ticket, said.clone())));
            }
        }
    }

    /// What follows from what is known now (R7, R8, R10), and what may be said.
    fn ends(&mut self) {
        if std::mem::take(&mut self.writes_now) {
            self.begun += 1;
            self.writes.push_back(self.log.len());
        }
        if let Role::Primary(primary) = &mut self.role {
            let all_hold = |op| primary.alone || primary.matched.is_some_and(|matched| matched >= op);
            primary.confirmed |= all_hold(primary.takeover_end);
            let other = if primary.alone { Some(usize::MAX) } else { primary.matched };
            if let Some(agreed) = other.filter(|_| primary.active).map(|other| other.min(self.durable)) {
                self.commits(agreed);
            }
        }
        let (held, commit) = (self.is_held(), self.commit);
        if let Role::Primary(primary) = &mut self.role
            && primary.active
            && primary.fenced.is_none()
            && commit >= primary.takeover_end
            && !held
        {
            let confirmed = |(_, sent): &mut (u64, u64)| primary.alone || primary.answered > *sent;
            for (ticket, _) in primary.reads.extract_if(.., confirmed) {
                self.answers.push((ticket, Said::Value(commit as u64, self.table.value.clone())));
            }
        }
        let due = self.unsaid.extract_if(.., |(after, _)| *after <= self.ended);
        self.acks.extend(due.map(|(_, ack)| ack));
    }
}
