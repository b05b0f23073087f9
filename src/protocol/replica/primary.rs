//! Ordering operations, waiting for the replicas, answering clients.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{Effect, Notice, Replica, Role, SessionLimit, feed::Peer, reads::Read, sessions::Remembering};
use crate::protocol::{
    command::{Command, Entry, Refusal, Reply, Request, RequestBody, Update},
    identity::{
        DataId, Generation, OpNumber, Position, RequestNumber, ServerId, SessionId, Ticket, ViewNumber,
    },
    log::Write,
    message::{AppendAck, AppendResult, ChunkAck, ChunkResult},
    view::{Members, View},
};

/// What was heard within so many heartbeat intervals is not about to be suspected, and a joiner must have been before the
/// primary waits for it.
const RECENT_HEARTBEATS: u32 = 3;

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
    /// Number of the latest round of messages to the replicas. Every message of a round carries it; a round without any is not counted.
    pub(super) round: u64,
    /// A Get waits for the next round.
    pub(super) round_wanted: bool,
    pub(super) transfers: u64,
    pub(super) lease_until: Option<Duration>,
    /// The log's clock goes on from where it stood at the takeover: no wall clock, no jump.
    clock_at_takeover: Duration,
    took_over_at: Duration,
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

    fn waiting(&self) -> usize {
        self.waiting_updates + self.reads.len()
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
        let end = self.log.end();
        let others: BTreeSet<ServerId> = view.backups().cloned().collect();
        let mut peers_before: BTreeMap<ServerId, Peer> = match &mut self.role {
            Role::Primary(before) => std::mem::take(&mut before.peers),
            Role::Idle | Role::Backup => BTreeMap::new(),
        };
        let peers: BTreeMap<ServerId, Peer> = view
            .insync
            .iter()
            .chain(&view.joining)
            .filter(|(server, _)| **server != self.server)
            .map(|(server, data)| {
                let peer = Peer::new(*data, end.op, self.presence.now());
                let before = peers_before.remove(server).filter(|before| before.data == *data);
                let peer = match before {
                    Some(before) if view.joining.contains_key(server) => peer.resuming(before),
                    _ => peer,
                };
                (server.clone(), peer)
            })
            .collect();
        let uncommitted: Vec<&Entry> = self.log.entries_from(self.commit.next()).collect();
        let in_flight = uncommitted.iter().filter_map(|entry| entry.request()).collect();
        let opening =
            uncommitted.iter().filter(|entry| matches!(entry.command, Command::OpenSession { .. })).count();
        let mut remembering = Remembering::default();
        uncommitted.iter().for_each(|entry| remembering.begin(&self.state, entry));
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
            round: 0,
            round_wanted: false,
            transfers: 0,
            lease_until: None,
            clock_at_takeover: self.state.clock().max(last_timestamp),
            took_over_at: now,
            view,
        };
        self.set_role(Role::Primary(primary), effects);
        self.advance(now, effects);
    }

    /// R12: whoever waits is sent elsewhere; what is in the log may still be committed by another. The
    /// caller sets the new role.
    pub(super) fn step_down(&mut self, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let updates = std::mem::take(&mut primary.waiting).into_values().flatten();
        primary.waiting_updates = 0;
        let reads = std::mem::take(&mut primary.reads).into_iter().map(|read| read.ticket);
        for ticket in updates.chain(reads).collect::<Vec<_>>() {
            self.refuse(ticket, effects);
        }
    }

    /// R1b: the same view again, perhaps with its activation or the join of a backup recorded.
    pub(super) fn on_same_view(&mut self, now: Duration, view: &View, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &mut self.role else { return };
        if view.activated && !primary.active {
            primary.active = true;
            effects.push(Effect::Notice(Notice::Activated { view: view.number }));
        }
        if view.insync.len() >= primary.view.insync.len() {
            primary.view = view.clone(); // unless it is an older copy
        }
        self.advance(now, effects);
    }

    /// R3, R10, R14.
    pub(super) fn on_request(
        &mut self,
        now: Duration,
        ticket: Ticket,
        request: Request,
        effects: &mut Vec<Effect>,
    ) {
        let Role::Primary(primary) = &mut self.role else { return self.refuse(ticket, effects) };
        if primary.fenced.is_some() || request.generation.is_later_than(self.generation) {
            return self.refuse(ticket, effects);
        }
        let mut refuse = |refusal| effects.push(Effect::Reply { ticket, reply: Reply::Refused(refusal) });
        if request.generation != Generation::UNKNOWN && request.generation != self.generation {
            return refuse(Refusal::DataLost { generation: self.generation });
        }
        if primary.waiting() >= self.options.waiting_max {
            return refuse(Refusal::Busy);
        }
        match request.body {
            RequestBody::Get { key } => {
                primary.round_wanted = true;
                let round = primary.round + 1;
                primary.reads.push_back(Read { ticket, key, round });
                self.serve_reads(now, effects);
            }
            RequestBody::OpenSession => {
                let at = primary.log_time(now);
                if !primary.may_open(&self.state, &self.options, at) {
                    return self.refuse_for_sessions(now, ticket, SessionLimit::Count, effects);
                }
                if let Err(refusal) = primary.admits(&self.options) {
                    return refuse(refusal);
                }
                primary.opening += 1;
                self.propose(now, ticket, Command::OpenSession { ttl: self.options.session_ttl });
            }
            RequestBody::CloseSession { session } => {
                if let Err(refusal) = primary.admits(&self.options) {
                    return refuse(refusal);
                }
                self.propose(now, ticket, Command::CloseSession { session });
            }
            RequestBody::Update { session, request, update } => {
                // An unknown session is no reason to refuse here: this server may have been replaced
                // without knowing it, and the session opened since. Only the log can say.
                match self.state.session(session).and_then(|session| session.last.as_ref()) {
                    Some((last, executed)) if *last == request => {
                        let reply = primary.acknowledgement(&self.options, Reply::Executed(executed.clone()));
                        return effects.push(Effect::Reply { ticket, reply });
                    }
                    Some((last, _)) if *last > request => return refuse(Refusal::Superseded),
                    _ => {}
                }
                if let Some(op) = primary.in_flight.get(&(session, request)) {
                    primary.waiting.entry(*op).or_default().push(ticket);
                    primary.waiting_updates += 1;
                    return;
                }
                if let Err(refusal) = primary.admits(&self.options) {
                    return refuse(refusal);
                }
                let remembers = matches!(update, Update::CompareAndSwap { .. });
                let at = primary.log_time(now);
                if remembers && !primary.may_remember(&self.state, &self.options, session, at) {
                    return self.refuse_for_sessions(now, ticket, SessionLimit::Bytes, effects);
                }
                self.propose(now, ticket, Command::Update { session, request, update });
            }
        }
    }

    /// Appends to the log. The operation leaves for the replicas with the next flush.
    fn propose(&mut self, now: Duration, ticket: Ticket, command: Command) {
        let Role::Primary(primary) = &mut self.role else { unreachable!("only a primary proposes") };
        let op = self.log.end().op.next();
        let position = Position { view: self.view_seen, op };
        let command = command.detached();
        if let Command::Update { session, request, .. } = &command {
            primary.in_flight.insert((*session, *request), op);
        }
        primary.waiting.insert(op, vec![ticket]);
        primary.waiting_updates += 1;
        let entry = Entry { position, timestamp: primary.log_time(now), command };
        primary.waiting_bytes += entry.bytes() as u64;
        primary.remembering.begin(&self.state, &entry);
        self.log.push(entry.clone());
        self.write(Write::Entry(entry));
    }

    /// R6.
    pub(super) fn on_append_ack(&mut self, now: Duration, ack: AppendAck, effects: &mut Vec<Effect>) {
        let end = self.log.end().op;
        let base = self.log.base().op;
        let present = self.presence.now();
        let sent = self.as_primary().map_or(0, |primary| primary.round);
        let Some(peer) = self.member(ack.view, &ack.from, ack.data).filter(|_| ack.round <= sent) else {
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
                self.rewind(&ack.from, hint, ack.round, sent, base, effects);
            }
            AppendResult::Stale { view_seen } => return self.on_stale(view_seen, effects),
        }
        self.advance(now, effects);
    }

    /// The receiver's side of a state transfer.
    pub(super) fn on_chunk_ack(&mut self, now: Duration, ack: ChunkAck, effects: &mut Vec<Effect>) {
        let end = self.log.end().op;
        let present = self.presence.now();
        let Some(peer) = self.member(ack.view, &ack.from, ack.data) else { return };
        match ack.result {
            ChunkResult::Next(part) => {
                peer.last_heard = present;
                if !peer.wants_part(ack.transfer, part) {
                    self.begin_transfer(&ack.from, effects);
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
            ChunkResult::Stale { view_seen } => return self.on_stale(view_seen, effects),
        }
        self.advance(now, effects);
    }

    /// The replica that answers, if it is a member of this very view with these very contents.
    fn member(&mut self, view: ViewNumber, from: &ServerId, data: DataId) -> Option<&mut Peer> {
        let current = self.view_seen;
        let Role::Primary(primary) = &mut self.role else { return None };
        primary.peers.get_mut(from).filter(|peer| view == current && peer.data == data)
    }

    /// Somebody knows a later view. What this server is in it, only the view service can say.
    pub(super) fn on_stale(&mut self, view: ViewNumber, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &mut self.role else { return };
        if view > self.view_seen && primary.fenced.is_none() {
            primary.fenced = Some(self.pinger.number);
            self.pinger.wanted = true;
            if view > primary.fenced_by {
                primary.fenced_by = view;
                effects.push(Effect::Notice(Notice::Fenced { view }));
            }
            self.step_down(effects);
        }
    }

    /// The view service told view `number` in its answer to `ping`. If that is this primary's view, and the ping
    /// was sent after a replica spoke of a later one, there is no later one (V-c): the replica was wrong.
    pub(super) fn unfence(&mut self, ping: u64, number: ViewNumber) {
        let Role::Primary(primary) = &mut self.role else { return };
        primary.fenced.take_if(|fenced| number == self.view_seen && ping > *fenced);
    }

    /// Whatever follows from what is known now: commits, confirmation, joins, reads (R7 to R10).
    pub(super) fn advance(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let durable = self.outbox.durable();
        let Role::Primary(primary) = &mut self.role else { return };
        if !primary.confirmed && primary.all_hold(&primary.announced, primary.takeover_end) {
            primary.confirmed = true;
            self.pinger.wanted = true;
            effects.push(Effect::Notice(Notice::Confirmed { view: self.view_seen }));
        }
        let agreed = if primary.active { primary.agreed(durable) } else { None };
        let agreed = agreed.filter(|agreed| *agreed > self.commit);
        if let Some(agreed) = agreed {
            self.commit_to(agreed, effects);
        }
        self.admit_joiners(effects);
        self.note_copies(agreed.is_some(), effects);
        self.note_refusals(effects);
        self.serve_reads(now, effects);
    }

    /// R9: first wait for the joiner, then tell the view service. Announced, it may be promoted, so it
    /// must hold all that is committed; and it is waited for until a later view releases it.
    fn admit_joiners(&mut self, effects: &mut Vec<Effect>) {
        let (base, end, present) = (self.log.base().op, self.log.end().op, self.presence.now());
        let Role::Primary(primary) = &mut self.role else { return };
        let recent = self.options.heartbeat_interval * RECENT_HEARTBEATS;
        let mut joining = Vec::new();
        let waits_for = &primary.waits_for;
        for (server, peer) in primary.peers.iter_mut().filter(|(server, _)| !waits_for.contains(*server)) {
            let close = peer.keeps_up(present, base, end, self.options.join_lag_max);
            if close && present < peer.last_heard + recent {
                joining.push(server.clone());
            }
        }
        primary.waits_for.extend(joining);
        if !primary.confirmed {
            return;
        }
        let enough = self.commit.max(primary.takeover_end);
        for server in primary.waits_for.difference(&primary.announced).cloned().collect::<Vec<_>>() {
            if let Some(at) = primary.peers[&server].matched.filter(|matched| *matched >= enough) {
                primary.announced.insert(server.clone());
                self.pinger.wanted = true;
                effects.push(Effect::Notice(Notice::Joined { server, at }));
            }
        }
    }

    /// R11: a replica that is silent, or that answers and takes nothing, is reported; one that was not announced
    /// yet is no longer waited for. R16: silent while the primary was there to hear it.
    pub(super) fn watch_replicas(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let end = self.log.end().op;
        let Role::Primary(primary) = &mut self.role else { return };
        if primary.fenced.is_some() {
            return; // they may rightly serve another
        }
        let (present, limit) = (self.presence.now(), self.options.suspect_after);
        for peer in primary.peers.values_mut().filter(|peer| peer.matched == Some(end)) {
            peer.progressed_at = present; // nothing is outstanding
        }
        let stuck = |server: &ServerId| primary.peers[server].is_stuck(present, limit);
        let (announced, joining): (Vec<_>, Vec<_>) = primary
            .waits_for
            .iter()
            .filter(|server| stuck(server))
            .cloned()
            .partition(|server| primary.announced.contains(server));
        // If none is heard, that says something of this primary: whoever is about to be silent for too long is waited for.
        let recent = self.options.heartbeat_interval * RECENT_HEARTBEATS;
        let undecided = primary
            .announced
            .iter()
            .any(|server| !stuck(server) && present >= primary.peers[server].last_heard + recent);
        for server in primary.suspects.extract_if(.., |server| !stuck(server)).collect::<Vec<_>>() {
            self.pinger.wanted = true;
            effects.push(Effect::Notice(Notice::HeardAgain { server }));
        }
        for server in announced.into_iter().filter(|_| !undecided) {
            if primary.suspects.insert(server.clone()) {
                self.pinger.wanted = true;
                effects.push(Effect::Notice(Notice::Suspected { server }));
            }
        }
        if !joining.is_empty() {
            primary.waits_for.retain(|server| !joining.contains(server));
            self.advance(now, effects);
        }
    }
}
