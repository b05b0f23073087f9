//! Ordering operations, waiting for the replicas, answering clients.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    Core, Effect, Notice, Replica, Role, SessionLimit,
    feed::Peer,
    reads::{Read, Scans, Wanted},
    sessions::Remembering,
};
use crate::protocol::{
    command::{Command, Entry, Refusal, Reply, Request, RequestBody, Update},
    identity::{
        DataId, Generation, OpNumber, Position, RequestNumber, ServerId, SessionId, Ticket, ViewNumber,
    },
    log::Write,
    message::{AppendAck, AppendResult, ChunkAck, ChunkResult},
    view::{Members, View},
};

/// What was heard within so many heartbeat intervals is not about to be suspected, and a joiner must have
/// been before the primary waits for it.
const RECENT_HEARTBEATS: u32 = 3;

/// What a primary said of copies and sessions, and takes back when it is over.
#[derive(Clone, Default, Hash)]
pub(super) struct Told {
    /// It acknowledged what only so many replicas hold, fewer than wanted.
    pub(super) few_copies: Option<usize>,
    /// It refuses updates because too few replicas would hold them.
    pub(super) refuses_updates: bool,
    /// When it last refused a client because this limit was reached.
    pub(super) full: BTreeMap<SessionLimit, Duration>,
}

/// What a primary knows, for one view.
#[derive(Clone, Hash)]
pub struct Primary {
    pub(super) view: View,
    /// The end of the log at the takeover. What is up to here may have been acknowledged to clients by an
    /// earlier primary: nothing is answered before it is committed in this view.
    pub(super) takeover_end: OpNumber,
    /// The replicas, besides the primary, that must hold an operation before it is committed (`S`). Grows
    /// before the view service is told, so that no operation slips through in between.
    pub(super) waits_for: BTreeSet<ServerId>,
    /// Those of which the view service was told, or is being told (`Sack`). They may be promoted.
    announced: BTreeSet<ServerId>,
    /// The view service recorded the activation: the replicas of older views can no longer be promoted.
    pub(super) active: bool,
    /// All announced replicas answered in this view and hold what was there at the takeover (R8).
    confirmed: bool,
    /// A replica said that a later view exists; with the number of the latest ping at that time.
    pub(super) fenced: Option<u64>,
    /// The latest view of which that was said.
    fenced_by: ViewNumber,
    pub(super) suspects: BTreeSet<ServerId>,
    pub(super) peers: BTreeMap<ServerId, Peer>,
    /// Updates that are in the log but not committed: a retry joins them.
    pub(super) in_flight: BTreeMap<(SessionId, RequestNumber), OpNumber>,
    pub(super) waiting: BTreeMap<OpNumber, Vec<Ticket>>,
    pub(super) waiting_updates: usize,
    /// The bytes of the entries that are not committed.
    pub(super) waiting_bytes: u64,
    pub(super) opening: usize,
    pub(super) remembering: Remembering,
    pub(super) reads: VecDeque<Read>,
    pub(super) scans: Scans,
    /// Number of the latest round of messages to the replicas. Every append of a round carries it; a
    /// round without any message is not counted.
    pub(super) round: u64,
    /// A Get waits for the next round.
    pub(super) round_wanted: bool,
    pub(super) transfers: u64,
    pub(super) lease_until: Option<Duration>,
    /// The log's clock goes on from where it stood at the takeover: no wall clock, no jump.
    clock_at_takeover: Duration,
    took_over_at: Duration,
    /// Also in earlier views of which it was primary.
    pub(super) told: Told,
}

impl Primary {
    /// The view, as last told.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The replicas, besides the primary, that must hold an operation before it is committed.
    pub fn waits_for(&self) -> &BTreeSet<ServerId> {
        &self.waits_for
    }

    /// Those of which the view service was told, or is being told: they may be promoted.
    pub fn announced(&self) -> &BTreeSet<ServerId> {
        &self.announced
    }

    /// Whether the view service recorded the activation of the view, as far as the primary knows.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// How far `server` is known to hold the log in this view.
    pub fn matched(&self, server: &ServerId) -> Option<OpNumber> {
        self.peers.get(server)?.matched
    }

    /// The end of the log at the takeover.
    pub fn takeover_end(&self) -> OpNumber {
        self.takeover_end
    }

    /// What a ping says of this view: the replicas confirmed in it, or nothing yet.
    pub(super) fn confirmed_members(&self, me: &ServerId, data: DataId) -> Members {
        if !self.confirmed {
            return Members::new();
        }
        let others = self.announced.iter().map(|server| (server.clone(), self.peers[server].data));
        others.chain([(me.clone(), data)]).collect()
    }

    /// The operation up to which all replicas that are waited for hold the log, durably and in this view.
    fn agreed(&self, own: OpNumber) -> Option<OpNumber> {
        self.waits_for.iter().try_fold(own, |agreed, server| Some(agreed.min(self.peers[server].matched?)))
    }

    fn all_hold(&self, servers: &BTreeSet<ServerId>, op: OpNumber) -> bool {
        servers.iter().all(|server| self.peers[server].matched.is_some_and(|matched| matched >= op))
    }

    pub(super) fn log_time(&self, now: Duration) -> Duration {
        self.clock_at_takeover + now.saturating_sub(self.took_over_at)
    }
}

impl Replica {
    /// R2. Nothing known about the replicas is carried over from an older view; only the work for a joiner
    /// goes on.
    pub(super) fn take_over(&mut self, now: Duration, view: View, effects: &mut Vec<Effect>) {
        self.core.pinger.cannot_follow = None;
        let end = self.core.log.end();
        let others: BTreeSet<ServerId> = view.backups().cloned().collect();
        let (mut peers_before, told) = match &mut self.role {
            Role::Primary(before) => (std::mem::take(&mut before.peers), std::mem::take(&mut before.told)),
            Role::Idle | Role::Backup(_) => Default::default(),
        };
        let peers: BTreeMap<ServerId, Peer> = view
            .insync
            .iter()
            .chain(&view.joining)
            .filter(|(server, _)| **server != self.core.server)
            .map(|(server, data)| {
                let peer = Peer::new(*data, end.op, self.core.presence.now());
                let before = peers_before.remove(server).filter(|before| before.data == *data);
                let peer = match before {
                    Some(before) if view.joining.contains_key(server) => peer.resuming(before),
                    _ => peer,
                };
                (server.clone(), peer)
            })
            .collect();
        let uncommitted: Vec<&Entry> = self.core.log.entries_from(self.core.commit.next()).collect();
        let in_flight = uncommitted.iter().filter_map(|entry| entry.request()).collect();
        let opening =
            uncommitted.iter().filter(|entry| matches!(entry.command, Command::OpenSession { .. })).count();
        let mut remembering = Remembering::default();
        uncommitted.iter().for_each(|entry| remembering.begin(&self.core.state, entry));
        let last_timestamp = uncommitted.last().map_or(Duration::ZERO, |entry| entry.timestamp);
        let primary = Primary {
            takeover_end: end.op,
            waits_for: others.clone(),
            announced: others,
            active: view.activated,
            confirmed: false,
            fenced: None,
            fenced_by: ViewNumber(0),
            suspects: BTreeSet::new(),
            peers,
            in_flight,
            waiting: BTreeMap::new(),
            waiting_updates: 0,
            waiting_bytes: uncommitted.iter().map(|entry| entry.bytes() as u64).sum(),
            opening,
            remembering,
            reads: VecDeque::new(),
            scans: Scans::default(),
            round: 0,
            round_wanted: false,
            transfers: 0,
            lease_until: None,
            clock_at_takeover: self.core.state.clock().max(last_timestamp),
            took_over_at: now,
            told,
            view,
        };
        self.set_role(Role::Primary(primary), effects);
        if let Role::Primary(primary) = &mut self.role {
            primary.advance(&mut self.core, now, effects);
        }
    }
}

impl Primary {
    /// R12: whoever waits is sent elsewhere; what is in the log may still be committed by another. The
    /// caller sets the new role.
    pub(super) fn step_down(&mut self, core: &Core, effects: &mut Vec<Effect>) {
        let updates = std::mem::take(&mut self.waiting).into_values().flatten();
        self.waiting_updates = 0;
        let readers = self.take_readers();
        for ticket in updates.chain(readers).collect::<Vec<_>>() {
            core.refuse(ticket, effects);
        }
    }

    /// R1b: the same view again, perhaps with its activation or the join of a backup recorded.
    pub(super) fn on_same_view(
        &mut self,
        core: &mut Core,
        now: Duration,
        view: &View,
        effects: &mut Vec<Effect>,
    ) {
        if view.activated && !self.active {
            self.active = true;
            effects.push(Effect::Notice(Notice::Activated { view: view.number }));
        }
        if view.insync.len() >= self.view.insync.len() {
            self.view = view.clone(); // unless it is an older copy
        }
        self.advance(core, now, effects);
    }

    /// R3, R10, R14.
    pub(super) fn on_request(
        &mut self,
        core: &mut Core,
        now: Duration,
        ticket: Ticket,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        if self.fenced.is_some() || request.generation.is_later_than(core.generation) {
            return core.refuse(ticket, effects);
        }
        let mut refuse = |refusal| effects.push(Effect::Reply { ticket, reply: Reply::Refused(refusal) });
        if request.generation != Generation::UNKNOWN && request.generation != core.generation {
            return refuse(Refusal::DataLost { generation: core.generation });
        }
        if self.waiting() >= core.options.waiting_max {
            return refuse(Refusal::Busy);
        }
        match request.body {
            RequestBody::Get { key } => self.read(core, now, ticket, Wanted::Key(key), effects),
            RequestBody::Scan(scan) => self.scan(core, now, ticket, scan, effects),
            RequestBody::OpenSession => {
                let at = self.log_time(now);
                if !self.may_open(&core.state, &core.options, at) {
                    return self.refuse_for_sessions(core, now, ticket, SessionLimit::Count, effects);
                }
                if let Err(refusal) = self.admits(&core.options) {
                    return refuse(refusal);
                }
                self.opening += 1;
                self.propose(core, now, ticket, Command::OpenSession { ttl: core.options.session_ttl });
            }
            RequestBody::CloseSession { session } => {
                if let Err(refusal) = self.admits(&core.options) {
                    return refuse(refusal);
                }
                self.propose(core, now, ticket, Command::CloseSession { session });
            }
            RequestBody::Update { session, request, update } => {
                // An unknown session is no reason to refuse here: this server may have been replaced
                // without knowing it, and the session opened since. Only the log can say.
                match core.state.session(session).and_then(|session| session.last.as_ref()) {
                    Some((last, executed)) if *last == request => {
                        let reply = self.acknowledgement(&core.options, Reply::Executed(executed.clone()));
                        return effects.push(Effect::Reply { ticket, reply });
                    }
                    Some((last, _)) if *last > request => return refuse(Refusal::Superseded),
                    _ => {}
                }
                if let Some(op) = self.in_flight.get(&(session, request)) {
                    self.waiting.entry(*op).or_default().push(ticket);
                    self.waiting_updates += 1;
                    return;
                }
                if let Err(refusal) = self.admits(&core.options) {
                    return refuse(refusal);
                }
                let remembers = matches!(update, Update::CompareAndSwap { .. });
                let at = self.log_time(now);
                if remembers && !self.may_remember(&core.state, &core.options, session, at) {
                    return self.refuse_for_sessions(core, now, ticket, SessionLimit::Bytes, effects);
                }
                self.propose(core, now, ticket, Command::Update { session, request, update });
            }
        }
    }

    /// Appends to the log. The operation leaves for the replicas with the next flush.
    fn propose(&mut self, core: &mut Core, now: Duration, ticket: Ticket, command: Command) {
        let op = core.log.end().op.next();
        let position = Position { view: core.view_seen, op };
        let command = command.detached();
        if let Command::Update { session, request, .. } = &command {
            self.in_flight.insert((*session, *request), op);
        }
        self.waiting.insert(op, vec![ticket]);
        self.waiting_updates += 1;
        let entry = Entry { position, timestamp: self.log_time(now), command };
        self.waiting_bytes += entry.bytes() as u64;
        self.remembering.begin(&core.state, &entry);
        core.log.push(entry.clone());
        core.write(Write::Entry(entry));
    }

    /// R6.
    pub(super) fn on_append_ack(
        &mut self,
        core: &mut Core,
        now: Duration,
        ack: AppendAck,
        effects: &mut Vec<Effect>,
    ) {
        let end = core.log.end().op;
        let present = core.presence.now();
        let sent = self.round;
        let Some(peer) = self.peer(core, ack.view, &ack.from, ack.data).filter(|_| ack.round <= sent) else {
            return;
        };
        match ack.result {
            AppendResult::Match(op) if op <= end => {
                peer.last_heard = present;
                peer.round_answered = peer.round_answered.max(ack.round);
                peer.has(op, present);
            }
            AppendResult::Match(_) => return, // no replica of this view can hold more than its primary
            AppendResult::Mismatch { hint } => {
                peer.last_heard = present;
                peer.round_answered = peer.round_answered.max(ack.round);
                self.rewind(core, &ack.from, hint, ack.round, effects);
            }
            AppendResult::Stale { view_seen } => return self.on_stale(core, view_seen, effects),
        }
        self.advance(core, now, effects);
    }

    /// The receiver's side of a state transfer.
    pub(super) fn on_chunk_ack(
        &mut self,
        core: &mut Core,
        now: Duration,
        ack: ChunkAck,
        effects: &mut Vec<Effect>,
    ) {
        let end = core.log.end().op;
        let present = core.presence.now();
        let Some(peer) = self.peer(core, ack.view, &ack.from, ack.data) else { return };
        match ack.result {
            ChunkResult::Next(part) => {
                peer.last_heard = present;
                if !peer.wants_part(ack.transfer, part) {
                    self.begin_transfer(core, &ack.from, effects);
                }
            }
            ChunkResult::Installed(op) if op <= end => {
                peer.last_heard = present;
                peer.has(op, present);
                if peer.completes(ack.transfer) {
                    effects.push(Effect::Notice(Notice::TransferCompleted { to: ack.from, at: op }));
                }
            }
            ChunkResult::Installed(_) => return,
            ChunkResult::Stale { view_seen } => return self.on_stale(core, view_seen, effects),
        }
        self.advance(core, now, effects);
    }

    /// The replica that answers, if it is a member of this very view with these very contents.
    fn peer(&mut self, core: &Core, view: ViewNumber, from: &ServerId, data: DataId) -> Option<&mut Peer> {
        let current = core.view_seen;
        self.peers.get_mut(from).filter(|peer| view == current && peer.data == data)
    }

    /// Somebody knows a later view. What this server is in it, only the view service can say.
    pub(super) fn on_stale(&mut self, core: &mut Core, view: ViewNumber, effects: &mut Vec<Effect>) {
        if view > core.view_seen && self.fenced.is_none() {
            self.fenced = Some(core.pinger.number);
            core.pinger.wanted = true;
            if view > self.fenced_by {
                self.fenced_by = view;
                effects.push(Effect::Notice(Notice::Fenced { view }));
            }
            self.step_down(core, effects);
        }
    }

    /// The view service told view `number` in its answer to `ping`. If that is this primary's view, and the
    /// ping was sent after a replica spoke of a later one, there is no later one (V-c): the replica was
    /// wrong.
    pub(super) fn unfence(&mut self, core: &Core, ping: u64, number: ViewNumber) {
        self.fenced.take_if(|fenced| number == core.view_seen && ping > *fenced);
    }

    /// Whatever follows from what is known now: commits, confirmation, joins, reads (R7 to R10).
    pub(super) fn advance(&mut self, core: &mut Core, now: Duration, effects: &mut Vec<Effect>) {
        let durable = core.outbox.durable();
        if !self.confirmed && self.all_hold(&self.announced, self.takeover_end) {
            self.confirmed = true;
            core.pinger.wanted = true;
            effects.push(Effect::Notice(Notice::Confirmed { view: core.view_seen }));
        }
        let agreed = if self.active { self.agreed(durable) } else { None };
        let agreed = agreed.filter(|agreed| *agreed > core.commit);
        if let Some(agreed) = agreed {
            core.commit_to(agreed, Some(self), effects);
        }
        self.admit_joiners(core, effects);
        self.note_copies(core, agreed.is_some(), effects);
        self.note_refusals(core, effects);
        self.serve_reads(core, now, effects);
    }

    /// R9: first wait for the joiner, then tell the view service. Announced, it may be promoted, so it
    /// must hold all that is committed; and it is waited for until a later view releases it.
    fn admit_joiners(&mut self, core: &mut Core, effects: &mut Vec<Effect>) {
        let (base, end, present) = (core.log.base().op, core.log.end().op, core.presence.now());
        let recent = core.options.heartbeat_interval * RECENT_HEARTBEATS;
        let mut joining = Vec::new();
        let waits_for = &self.waits_for;
        for (server, peer) in self.peers.iter_mut().filter(|(server, _)| !waits_for.contains(*server)) {
            let close = peer.keeps_up(present, base, end, core.options.join_lag_max);
            if close && present < peer.last_heard + recent {
                joining.push(server.clone());
            }
        }
        self.waits_for.extend(joining);
        if !self.confirmed {
            return;
        }
        let enough = core.commit.max(self.takeover_end);
        for server in self.waits_for.difference(&self.announced).cloned().collect::<Vec<_>>() {
            if let Some(at) = self.peers[&server].matched.filter(|matched| *matched >= enough) {
                self.announced.insert(server.clone());
                core.pinger.wanted = true;
                effects.push(Effect::Notice(Notice::Joined { server, at }));
            }
        }
    }

    /// R11: a replica that is silent, or that answers and takes nothing, is reported; one that was not
    /// announced yet is no longer waited for. R16: silent while the primary was there to hear it.
    pub(super) fn watch_replicas(&mut self, core: &mut Core, now: Duration, effects: &mut Vec<Effect>) {
        let end = core.log.end().op;
        if self.fenced.is_some() {
            return; // they may rightly serve another
        }
        let (present, limit) = (core.presence.now(), core.options.suspect_after);
        for peer in self.peers.values_mut().filter(|peer| peer.matched == Some(end)) {
            peer.progressed_at = present; // nothing is outstanding
        }
        let stuck = |server: &ServerId| self.peers[server].is_stuck(present, limit);
        let (announced, joining): (Vec<_>, Vec<_>) = self
            .waits_for
            .iter()
            .filter(|server| stuck(server))
            .cloned()
            .partition(|server| self.announced.contains(server));
        // If none is heard, that says something of this primary: whoever is about to be silent for too long
        // is waited for.
        let recent = core.options.heartbeat_interval * RECENT_HEARTBEATS;
        let undecided = self
            .announced
            .iter()
            .any(|server| !stuck(server) && present >= self.peers[server].last_heard + recent);
        for server in self.suspects.extract_if(.., |server| !stuck(server)).collect::<Vec<_>>() {
            core.pinger.wanted = true;
            effects.push(Effect::Notice(Notice::HeardAgain { server }));
        }
        for server in announced.into_iter().filter(|_| !undecided) {
            if self.suspects.insert(server.clone()) {
                core.pinger.wanted = true;
                effects.push(Effect::Notice(Notice::Suspected { server }));
            }
        }
        if !joining.is_empty() {
            self.waits_for.retain(|server| !joining.contains(server));
            self.advance(core, now, effects);
        }
    }
}
