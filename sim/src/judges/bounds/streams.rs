//! What a primary has on its way to each replica, and how often it repeats itself.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{
    identity::{OpNumber, ServerId, ViewNumber},
    message::{Append, AppendResult, Chunk, ChunkResult, PeerMessage, TransferId},
    replica::{Notice, Replica},
};

use super::{
    Excess, at_most,
    limits::{Limits, WINDOW},
};

/// What is said to all replicas.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    to: BTreeMap<ServerId, Stream>,
    began_at: Duration,
    /// Requests in the current window: each may ask every replica.
    asked: u64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    view: ViewNumber,
    /// The last operation that was sent in this view.
    sent: OpNumber,
    transfer: Option<TransferId>,
    /// The last part that was sent, and the one that the replica wants.
    part: u64,
    wanted: u64,
    /// In the current window: messages that say nothing new, and answers that ask for one.
    repetitions: u64,
    mismatches: u64,
}

impl Streams {
    fn pass(&mut self, at: Duration) {
        if at >= self.began_at + WINDOW {
            (self.began_at, self.asked) = (at, 0);
            for stream in self.to.values_mut() {
                (stream.repetitions, stream.mismatches) = (0, 0);
            }
        }
    }

    /// A client asks.
    pub fn asked(&mut self, at: Duration) {
        self.pass(at);
        self.asked += 1;
    }

    /// Another server spoke.
    pub fn heard(&mut self, at: Duration, message: &PeerMessage) {
        self.pass(at);
        match message {
            PeerMessage::AppendAck(ack) => {
                if let AppendResult::Mismatch { hint } = ack.result {
                    let stream = self.to.entry(ack.from.clone()).or_default();
                    stream.mismatches += 1;
                    stream.sent = stream.sent.min(OpNumber(hint.0.saturating_sub(1)));
                }
            }
            PeerMessage::ChunkAck(ack) => {
                let stream = self.to.entry(ack.from.clone()).or_default();
                if let ChunkResult::Next(part) = ack.result
                    && stream.transfer == Some(ack.transfer)
                {
                    stream.wanted = stream.wanted.max(part);
                }
            }
            PeerMessage::Append(_) | PeerMessage::Chunk(_) => {}
        }
    }

    /// A transfer begins: what was sent before it may be sent again after it.
    pub fn noticed(&mut self, notice: &Notice) {
        if let Notice::TransferBegan { to, at } = notice {
            let stream = self.to.entry(to.clone()).or_default();
            stream.sent = stream.sent.min(at.op);
        }
    }

    /// The server says something.
    pub fn said(
        &mut self,
        at: Duration,
        machine: &Replica,
        limits: &Limits,
        to: &ServerId,
        message: &PeerMessage,
    ) -> Result<(), Excess> {
        self.pass(at);
        let asked = self.asked;
        let stream = match message {
            PeerMessage::Append(_) | PeerMessage::Chunk(_) => self.to.entry(to.clone()).or_default(),
            PeerMessage::AppendAck(_) | PeerMessage::ChunkAck(_) => return Ok(()),
        };
        let is_new = match message {
            PeerMessage::Append(append) => {
                let matched = machine.as_primary().and_then(|primary| primary.matched(to));
                stream.append(append, matched, limits)?
            }
            PeerMessage::Chunk(chunk) => stream.chunk(chunk, limits)?,
            PeerMessage::AppendAck(_) | PeerMessage::ChunkAck(_) => true,
        };
        stream.repetitions += u64::from(!is_new);
        let limit = limits.repetitions + asked + stream.mismatches;
        at_most("repetitions to one replica in a second", stream.repetitions, limit)
    }
}

impl Stream {
    /// Whether it holds an operation that was not sent before.
    fn append(
        &mut self,
        append: &Append,
        matched: Option<OpNumber>,
        limits: &Limits,
    ) -> Result<bool, Excess> {
        if self.view != append.view {
            (self.view, self.sent) = (append.view, OpNumber(0));
        }
        let Some(last) = append.entries.last() else { return Ok(false) };
        let last_op = last.position.op;
        let unacknowledged = last_op.0.saturating_sub(matched.unwrap_or_default().0);
        at_most("operations on their way to a replica", unacknowledged, limits.append_window)?;
        if append.entries.len() > 1 {
            let bytes = append.entries.iter().map(|entry| entry.bytes() as u64).sum();
            at_most("bytes of operations in a message", bytes, limits.append_bytes_max)?;
        }
        let is_new = last_op > self.sent;
        self.sent = self.sent.max(last_op);
        Ok(is_new)
    }

    /// Whether it is a part that was not sent before.
    fn chunk(&mut self, chunk: &Chunk, limits: &Limits) -> Result<bool, Excess> {
        let but_last = chunk.items.split_last().map_or(&[][..], |(_, others)| others);
        let bytes: u64 = but_last.iter().map(|item| item.bytes() as u64).sum();
        at_most("bytes of a part before its last item", bytes, limits.chunk_bytes_max)?;
        if self.transfer != Some(chunk.transfer) {
            (self.transfer, self.part, self.wanted) = (Some(chunk.transfer), chunk.part, chunk.part);
            return Ok(true);
        }
        let ahead = (chunk.part + 1).saturating_sub(self.wanted);
        at_most("parts on their way to a replica", ahead, 1)?;
        let is_new = chunk.part > self.part;
        self.part = self.part.max(chunk.part);
        Ok(is_new)
    }
}
