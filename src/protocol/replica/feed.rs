//! What the primary sends to each replica, and when.
//!
//! In a new view the primary first asks where the logs agree, with an empty message; then it streams
//! operations, several messages ahead of the acknowledgements. A lost message shows as a mismatch at
//! the next heartbeat, and the stream is rewound. A replica whose log ends before the primary's begins
//! gets the state instead, part by part, while operations go on; the log that follows it is kept until the
//! replica has caught up.

use std::time::Duration;

use super::{Core, Effect, Notice, Primary, backup::PRIMARY_SILENT_SHARE};
use crate::protocol::{
    identity::{DataId, OpNumber, ServerId},
    machine::{AT_ONCE, NEVER},
    message::{Append, Chunk, PeerMessage, TransferId},
    options::ReplicaOptions,
    store::{Cursor, Snapshot},
};

/// A part of the state that is not acknowledged is sent again after so many heartbeat intervals, if a round
/// that left after it was answered: one that travels slowly is not lost, and copies of it would be in the way
/// of the next one.
const PART_RETRY_HEARTBEATS: u32 = 2;

/// A state transfer under way.
#[derive(Clone, Hash)]
struct Transfer {
    id: TransferId,
    snapshot: Snapshot,
    /// The part on its way, where it begins and where the next one does.
    part: u64,
    cursor: Cursor,
    next_cursor: Cursor,
    /// When the part was sent, and in which round.
    sent: Option<(Duration, u64)>,
}

impl Transfer {
    /// When the part is to be sent again, if ever, to a replica that answered this round.
    fn due(&self, answered: u64, options: &ReplicaOptions) -> Duration {
        match self.sent {
            None => AT_ONCE,
            Some((_, round)) if answered <= round => NEVER,
            Some((at, _)) => at + options.heartbeat_interval * PART_RETRY_HEARTBEATS,
        }
    }
}

/// A round of catching up (R9): it is over when the replica holds what was the end of the log when it began.
#[derive(Clone, Hash)]
struct CatchUp {
    began_at: Duration,
    end: OpNumber,
}

/// What the primary knows of another replica in this view. Times are by the primary's presence (R16).
#[derive(Clone, Hash)]
pub struct Peer {
    pub(super) data: DataId,
    /// It holds the log up to here, durably and in this view; unknown before its first answer.
    pub(super) matched: Option<OpNumber>,
    /// What it held in an older view of the same primary; no match, but a reason to keep the log after it.
    held_at_least: Option<OpNumber>,
    /// The next operation to send.
    next: OpNumber,
    /// The latest round it answered.
    pub(super) round_answered: u64,
    /// Mismatches of messages up to this round are old news: the stream was rewound since.
    rewound_at: u64,
    pub(super) last_heard: Duration,
    /// When its match last grew, or nothing was outstanding.
    pub(super) progressed_at: Duration,
    catch_up: CatchUp,
    last_sent: Option<Duration>,
    transfer: Option<Transfer>,
}

impl Peer {
    /// A replica of a view whose primary's log ends at `end`.
    pub(super) fn new(data: DataId, end: OpNumber, present: Duration) -> Self {
        Self {
            data,
            matched: None,
            held_at_least: None,
            next: end.next(),
            round_answered: 0,
            rewound_at: 0,
            last_heard: present,
            progressed_at: present,
            catch_up: CatchUp { began_at: present, end },
            last_sent: None,
            transfer: None,
        }
    }

    /// Goes on with what the same primary was doing for the same contents in an older view: the parts of a
    /// transfer are of committed state, which no later view takes back. A match is not carried over (R2), but
    /// the question where the logs agree is asked where they last did.
    pub(super) fn resuming(mut self, before: Self) -> Self {
        self.held_at_least = before.log_needed_after();
        self.next = self.held_at_least.map_or(self.next, OpNumber::next);
        self.transfer = before.transfer;
        if let Some(transfer) = &mut self.transfer {
            transfer.sent = None;
        }
        self
    }

    /// It holds the log up to `op`.
    pub(super) fn has(&mut self, op: OpNumber, present: Duration) {
        if self.matched < Some(op) {
            self.matched = Some(op);
            self.progressed_at = present;
        }
        self.next = self.next.max(op.next());
    }

    /// Whether it is being sent a state.
    pub(super) fn is_sent_a_state(&self) -> bool {
        self.transfer.is_some()
    }

    /// The operation after which it still needs the log, if it ever answered.
    fn log_needed_after(&self) -> Option<OpNumber> {
        let transfer = self.transfer.as_ref().map(|transfer| transfer.snapshot.at.op);
        transfer.or(self.matched).or(self.held_at_least)
    }

    /// Whether it still needs entries up to `op` of a log that begins at `base`.
    fn needs_log(&self, base: OpNumber, op: OpNumber) -> bool {
        self.log_needed_after().is_some_and(|after| (base..op).contains(&after))
    }

    /// Whether it lags so little, in time, that operations may wait for it (R9a): its last round of catching
    /// up took at most `lag_max`, or nothing is left to catch up. `base` is where the log begins.
    pub(super) fn keeps_up(
        &mut self,
        present: Duration,
        base: OpNumber,
        end: OpNumber,
        lag_max: Duration,
    ) -> bool {
        let streams = self.transfer.is_none();
        let Some(matched) = self.matched.filter(|matched| streams && *matched >= self.catch_up.end.max(base))
        else {
            return false;
        };
        let caught_up = std::mem::replace(&mut self.catch_up, CatchUp { began_at: present, end });
        matched == end || present <= caught_up.began_at + lag_max
    }

    /// Whether it answers nothing, or takes nothing although operations are outstanding, for so long (R11).
    pub(super) fn is_stuck(&self, present: Duration, limit: Duration) -> bool {
        present >= self.last_heard.min(self.progressed_at) + limit
    }

    /// Whether the transfer is the one under way and done, and if so forgets it.
    pub(super) fn completes(&mut self, id: TransferId) -> bool {
        self.transfer.take_if(|transfer| transfer.id == id).is_some()
    }

    /// It wants this part next; the following one if all is well. False if it forgot what it was sent, so
    /// that only another transfer can help.
    pub(super) fn wants_part(&mut self, id: TransferId, part: u64) -> bool {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.id == id) else { return true };
        if part == transfer.part + 1 {
            transfer.part = part;
            transfer.cursor = std::mem::take(&mut transfer.next_cursor);
            transfer.sent = None;
        }
        part > 0 || transfer.part == 0
    }
}

impl Primary {
    /// Whether some replica still needs entries up to `op` of a log that begins at `base`: those after the
    /// state that it is sent, or after what it holds. They are kept until it has them, not only until the
    /// state has arrived, or one transfer would follow another for as long as the load lasts.
    pub(super) fn needs_log(&self, base: OpNumber, op: OpNumber) -> bool {
        self.peers.values().any(|peer| peer.needs_log(base, op))
    }

    /// Entries up to `op` are kept no longer: what needed them gets a later state, once it answers.
    pub(super) fn leave_behind(&mut self, base: OpNumber, op: OpNumber, effects: &mut Vec<Effect>) {
        for (server, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.needs_log(base, op)) {
            peer.transfer = None;
            effects.push(Effect::Notice(Notice::TransferAbandoned { to: server.clone() }));
        }
    }

    /// When the next message to any replica is due.
    pub(super) fn feed_due(&self, options: &ReplicaOptions) -> Duration {
        let heartbeat = |peer: &Peer| peer.last_sent.map_or(AT_ONCE, |at| at + options.heartbeat_interval);
        let part = |peer: &Peer| {
            let due = |transfer: &Transfer| transfer.due(peer.round_answered, options);
            peer.transfer.as_ref().map_or(NEVER, due)
        };
        self.peers.values().map(|peer| heartbeat(peer).min(part(peer))).min().unwrap_or(NEVER)
    }

    /// Sends to each replica what it lacks, or a heartbeat if it is time.
    pub(super) fn feed_replicas(&mut self, core: &Core, now: Duration, effects: &mut Vec<Effect>) {
        let wanted = std::mem::take(&mut self.round_wanted);
        let said = effects.len();
        self.round += 1;
        for server in self.peers.keys().cloned().collect::<Vec<_>>() {
            let sent = self.send_part(core, now, &server, effects)
                | self.send_operations(core, now, &server, effects);
            let peer = self.peers.get_mut(&server).expect("it was just there");
            let due = peer.last_sent.is_none_or(|at| now >= at + core.options.heartbeat_interval);
            if due || (wanted && !sent && self.waits_for.contains(&server)) {
                let next = peer.next;
                self.send_append(core, now, &server, next, effects);
            }
        }
        if effects.len() == said {
            self.round -= 1; // a round in which nothing is said is none
        }
    }

    /// Streams operations, as far as the window allows. True if the last message answers for a round.
    fn send_operations(
        &mut self,
        core: &Core,
        now: Duration,
        server: &ServerId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let end = core.log.end().op;
        let mut sent = false;
        loop {
            let peer = &self.peers[server];
            let Some(matched) = peer.matched else { return sent };
            let full = peer.next.0 - matched.0 > core.options.append_window;
            if peer.transfer.is_some() || peer.next > end || full {
                return sent;
            }
            let next = peer.next;
            if next <= core.log.base().op {
                self.begin_transfer(core, server, effects);
                return self.send_part(core, now, server, effects);
            }
            self.send_append(core, now, server, next, effects);
            sent = true;
        }
    }

    /// One message with the operations from `next` on, as far as the window allows; none if the logs are not
    /// known to agree there yet.
    fn send_append(
        &mut self,
        core: &Core,
        now: Duration,
        server: &ServerId,
        next: OpNumber,
        effects: &mut Vec<Effect>,
    ) {
        let peer = self.peers.get_mut(server).expect("only members are fed");
        // A replica that is behind the snapshot is asked at the snapshot: its answer starts a transfer.
        let previous = OpNumber(next.0 - 1).max(core.log.base().op);
        let previous = core.log.position(previous).expect("within the log");
        let mut entries = Vec::new();
        let mut bytes = 0;
        let streaming = peer.transfer.is_none() && previous.op.next() == next;
        if let Some(matched) = peer.matched.filter(|_| streaming) {
            let room = matched.next().0.saturating_add(core.options.append_window).saturating_sub(next.0);
            for entry in core.log.entries_from(next).take(usize::try_from(room).unwrap_or(usize::MAX)) {
                bytes += entry.bytes();
                if bytes > core.options.append_bytes_max && !entries.is_empty() {
                    break;
                }
                entries.push(entry.clone());
            }
            peer.next = OpNumber(next.0 + entries.len() as u64);
        }
        peer.last_sent = Some(now);
        let append = Append {
            generation: core.generation,
            view: core.view_seen,
            from: core.server.clone(),
            to_data: peer.data,
            round: self.round,
            previous,
            entries,
            commit: core.commit,
            silence_max: core.options.suspect_after / PRIMARY_SILENT_SHARE,
        };
        let message = PeerMessage::Append(append);
        effects.push(Effect::Send { to: server.clone(), message });
    }

    /// The logs do not agree before what was sent: go back to `hint`, but never behind what the replica is
    /// known to hold.
    pub(super) fn rewind(
        &mut self,
        core: &Core,
        server: &ServerId,
        hint: OpNumber,
        answered: u64,
        effects: &mut Vec<Effect>,
    ) {
        let (end, present) = (core.log.end().op, core.presence.now());
        let peer = self.peers.get_mut(server).expect("it just answered");
        if peer.transfer.is_some() || answered <= peer.rewound_at {
            return;
        }
        peer.rewound_at = self.round;
        let floor = peer.matched.map_or(OpNumber(1), OpNumber::next);
        let next = hint.max(floor).min(end.next());
        if peer.matched.is_none() && next < peer.next {
            peer.progressed_at = present; // the search for where the logs agree goes on
        }
        peer.next = next;
        if peer.next <= core.log.base().op {
            return self.begin_transfer(core, server, effects);
        }
        if peer.matched.is_none() {
            peer.last_sent = None; // ask again at once
        }
    }

    /// Takes a consistent cut of the applied state and begins to send it.
    pub(super) fn begin_transfer(&mut self, core: &Core, server: &ServerId, effects: &mut Vec<Effect>) {
        let Some(at) = core.log.position(core.commit) else { return };
        self.transfers += 1;
        let id = TransferId { view: core.view_seen, number: self.transfers };
        let peer = self.peers.get_mut(server).expect("only members are fed");
        peer.transfer = Some(Transfer {
            id,
            snapshot: Snapshot { at, state: core.state.clone() },
            part: 0,
            cursor: Cursor::Start,
            next_cursor: Cursor::Start,
            sent: None,
        });
        peer.next = at.op.next();
        effects.push(Effect::Notice(Notice::TransferBegan { to: server.clone(), at }));
    }

    /// Sends the current part of a transfer if it is due, and says whether.
    fn send_part(
        &mut self,
        core: &Core,
        now: Duration,
        server: &ServerId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let peer = self.peers.get_mut(server).expect("only members are fed");
        let Some(transfer) = &mut peer.transfer else { return false };
        if now < transfer.due(peer.round_answered, &core.options) {
            return false;
        }
        transfer.sent = Some((now, self.round));
        let (items, next) = transfer.snapshot.state.part(&transfer.cursor, core.options.chunk_bytes_max);
        let last = next == Cursor::End;
        transfer.next_cursor = next;
        let chunk = Chunk {
            generation: core.generation,
            view: core.view_seen,
            from: core.server.clone(),
            to_data: peer.data,
            transfer: transfer.id,
            at: transfer.snapshot.at,
            part: transfer.part,
            items,
            last,
        };
        let message = PeerMessage::Chunk(chunk);
        effects.push(Effect::Send { to: server.clone(), message });
        false // a part answers for no round
    }
}
