//! What the primary sends to each replica, and when.
//!
//! In a new view the primary first asks where the logs agree, with an empty message; then it streams
//! operations, several messages ahead of the acknowledgements. A lost message shows as a mismatch at
//! the next heartbeat, and the stream is rewound. A replica whose log ends before the primary's begins
//! gets the state instead, part by part, while operations go on.

use std::time::Duration;

use super::{Effect, Notice, Primary, Replica, Role};
use crate::protocol::{
    identity::{DataId, OpNumber, ServerId},
    message::{Append, Chunk, PeerMessage, TransferId},
    options::ReplicaOptions,
    store::{Cursor, Snapshot},
};

/// A part of the state that is not acknowledged is sent again after so many heartbeat intervals.
const PART_RETRY_HEARTBEATS: u32 = 2;

/// A state transfer under way.
#[derive(Hash)]
struct Transfer {
    id: TransferId,
    snapshot: Snapshot,
    /// The part on its way, where it begins and where the next one does.
    part: u64,
    cursor: Cursor,
    next_cursor: Cursor,
    sent_at: Option<Duration>,
}

/// What the primary knows of another replica in this view.
#[derive(Hash)]
pub struct Peer {
    pub(super) data: DataId,
    /// It holds the log up to here, durably and in this view; unknown before its first answer.
    pub(super) matched: Option<OpNumber>,
    /// The next operation to send.
    next: OpNumber,
    /// The latest heartbeat it answered.
    pub(super) heartbeat_acked: u64,
    /// Mismatches of messages up to this heartbeat are old news: the stream was rewound since.
    rewound_at: u64,
    pub(super) last_heard: Duration,
    last_sent: Option<Duration>,
    transfer: Option<Transfer>,
}

impl Peer {
    pub(super) fn new(data: DataId, next: OpNumber, now: Duration) -> Self {
        Self {
            data,
            matched: None,
            next,
            heartbeat_acked: 0,
            rewound_at: 0,
            last_heard: now,
            last_sent: None,
            transfer: None,
        }
    }

    /// It holds the log up to `op`.
    pub(super) fn has(&mut self, op: OpNumber) {
        self.matched = self.matched.max(Some(op));
        self.next = self.next.max(op.next());
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
            transfer.sent_at = None;
        }
        part > 0 || transfer.part == 0
    }
}

impl Primary {
    /// The earliest operation that a running transfer ends at: entries after it are still needed.
    pub(super) fn transfer_base(&self) -> Option<OpNumber> {
        self.peers.values().filter_map(|peer| Some(peer.transfer.as_ref()?.snapshot.at.op)).min()
    }

    /// Gives up all running transfers; each begins anew, from a later state, when its replica answers.
    pub(super) fn abandon_transfers(&mut self, effects: &mut Vec<Effect>) {
        for (server, peer) in &mut self.peers {
            if peer.transfer.take().is_some() {
                effects.push(Effect::Notice(Notice::TransferAbandoned { to: server.clone() }));
            }
        }
    }

    /// When the next message to any replica is due.
    pub(super) fn feed_due(&self, options: &ReplicaOptions) -> Duration {
        let heartbeat =
            |peer: &Peer| peer.last_sent.map_or(Duration::ZERO, |at| at + options.heartbeat_interval);
        let part = |peer: &Peer| {
            peer.transfer.as_ref().map_or(Duration::MAX, |transfer| {
                let retry = options.heartbeat_interval * PART_RETRY_HEARTBEATS;
                transfer.sent_at.map_or(Duration::ZERO, |at| at + retry)
            })
        };
        self.peers.values().map(|peer| heartbeat(peer).min(part(peer))).min().unwrap_or(Duration::MAX)
    }
}

impl Replica {
    /// Sends to each replica what it lacks, or a heartbeat if it is time.
    pub(super) fn feed_replicas(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let round = std::mem::take(&mut primary.heartbeat_wanted);
        primary.heartbeat += 1;
        for server in primary.peers.keys().cloned().collect::<Vec<_>>() {
            let sent = self.send_part(now, &server, effects) | self.send_operations(now, &server, effects);
            let Role::Primary(primary) = &mut self.role else { return };
            let peer = primary.peers.get_mut(&server).expect("it was just there");
            let due = peer.last_sent.is_none_or(|at| now >= at + self.options.heartbeat_interval);
            if due || (round && !sent && primary.waits_for.contains(&server)) {
                let next = peer.next;
                self.send_append(now, &server, next, effects);
            }
        }
    }

    /// Streams operations, as far as the window allows. True if the last message answers for a heartbeat.
    fn send_operations(&mut self, now: Duration, server: &ServerId, effects: &mut Vec<Effect>) -> bool {
        let end = self.log.end().op;
        let mut sent = false;
        loop {
            let Role::Primary(primary) = &mut self.role else { return sent };
            let peer = &primary.peers[server];
            let Some(matched) = peer.matched else { return sent };
            let full = peer.next.0 - matched.0 > self.options.append_window;
            if peer.transfer.is_some() || peer.next > end || full {
                return sent;
            }
            let next = peer.next;
            if next <= self.log.base().op {
                self.begin_transfer(server, effects);
                return self.send_part(now, server, effects);
            }
            self.send_append(now, server, next, effects);
            sent = true;
        }
    }

    /// One message with the operations from `next` on, as far as the window allows; none if the logs are not
    /// known to agree there yet.
    fn send_append(&mut self, now: Duration, server: &ServerId, next: OpNumber, effects: &mut Vec<Effect>) {
        let Role::Primary(primary) = &mut self.role else { return };
        let peer = primary.peers.get_mut(server).expect("only members are fed");
        // A replica that is behind the snapshot is asked at the snapshot: its answer starts a transfer.
        let previous = OpNumber(next.0 - 1).max(self.log.base().op);
        let previous = self.log.position(previous).expect("within the log");
        let mut entries = Vec::new();
        let mut bytes = 0;
        let streaming = peer.transfer.is_none() && previous.op.next() == next;
        if let Some(matched) = peer.matched.filter(|_| streaming) {
            let room = (matched.next().0 + self.options.append_window).saturating_sub(next.0);
            for entry in self.log.entries_from(next).take(usize::try_from(room).unwrap_or(usize::MAX)) {
                bytes += entry.bytes();
                if bytes > self.options.append_bytes_max && !entries.is_empty() {
                    break;
                }
                entries.push(entry.clone());
            }
            peer.next = OpNumber(next.0 + entries.len() as u64);
        }
        peer.last_sent = Some(now);
        let append = Append {
            generation: self.generation,
            view: self.view_seen,
            from: self.server.clone(),
            to_data: peer.data,
            heartbeat: primary.heartbeat,
            previous,
            entries,
            commit: self.commit,
        };
        let message = PeerMessage::Append(append);
        self.outbox.say(Effect::Send { to: server.clone(), message }, effects);
    }

    /// The logs do not agree before what was sent: go back to `hint`, but never behind what the replica is
    /// known to hold.
    pub(super) fn rewind(
        &mut self,
        server: &ServerId,
        hint: OpNumber,
        answered: u64,
        current: u64,
        base: OpNumber,
        effects: &mut Vec<Effect>,
    ) {
        let end = self.log.end().op;
        let Role::Primary(primary) = &mut self.role else { return };
        let peer = primary.peers.get_mut(server).expect("it just answered");
        if peer.transfer.is_some() || answered <= peer.rewound_at {
            return;
        }
        peer.rewound_at = current;
        let floor = peer.matched.map_or(OpNumber(1), OpNumber::next);
        peer.next = hint.max(floor).min(end.next());
        if peer.next <= base {
            return self.begin_transfer(server, effects);
        }
        if peer.matched.is_none() {
            peer.last_sent = None; // ask again at once
        }
    }

    /// Takes a consistent cut of the applied state and begins to send it.
    pub(super) fn begin_transfer(&mut self, server: &ServerId, effects: &mut Vec<Effect>) {
        let Some(at) = self.log.position(self.commit) else { return };
        let Role::Primary(primary) = &mut self.role else { return };
        primary.transfers += 1;
        let id = TransferId { view: self.view_seen, number: primary.transfers };
        let peer = primary.peers.get_mut(server).expect("only members are fed");
        peer.transfer = Some(Transfer {
            id,
            snapshot: Snapshot { at, state: self.state.clone() },
            part: 0,
            cursor: Cursor::Start,
            next_cursor: Cursor::Start,
            sent_at: None,
        });
        peer.next = at.op.next();
        effects.push(Effect::Notice(Notice::TransferBegan { to: server.clone(), at }));
    }

    /// Sends the current part of a transfer if it is due, and says whether.
    fn send_part(&mut self, now: Duration, server: &ServerId, effects: &mut Vec<Effect>) -> bool {
        let retry = self.options.heartbeat_interval * PART_RETRY_HEARTBEATS;
        let Role::Primary(primary) = &mut self.role else { return false };
        let peer = primary.peers.get_mut(server).expect("only members are fed");
        let Some(transfer) = &mut peer.transfer else { return false };
        if transfer.sent_at.is_some_and(|at| now < at + retry) {
            return false;
        }
        transfer.sent_at = Some(now);
        let (items, next) = transfer.snapshot.state.part(&transfer.cursor, self.options.chunk_bytes_max);
        let last = next == Cursor::End;
        transfer.next_cursor = next;
        let chunk = Chunk {
            generation: self.generation,
            view: self.view_seen,
            from: self.server.clone(),
            to_data: peer.data,
            transfer: transfer.id,
            at: transfer.snapshot.at,
            part: transfer.part,
            items,
            last,
        };
        let message = PeerMessage::Chunk(chunk);
        self.outbox.say(Effect::Send { to: server.clone(), message }, effects);
        false // a part answers for no heartbeat
    }
}
