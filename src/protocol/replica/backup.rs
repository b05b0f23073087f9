//! Following a primary: operations, the commit point, transferred state.

use super::{Effect, Notice, Replica};
use crate::protocol::{
    command::Entry,
    identity::{OpNumber, Position, ViewNumber},
    log::{Log, Write},
    message::{Append, AppendAck, AppendResult, Chunk, ChunkAck, ChunkResult, PeerMessage, TransferId},
    store::{Snapshot, State},
};

/// A transferred state under construction: parts of one transfer, in order.
#[derive(Hash)]
pub(super) struct Staging {
    transfer: TransferId,
    next_part: u64,
    state: State,
}

impl Replica {
    /// R5.
    pub(super) fn on_append(&mut self, append: Append, effects: &mut Vec<Effect>) {
        if !follows_on(&append) {
            return;
        }
        match self.heed(append.generation, append.to_data, append.view, &append.from, effects) {
            None => {}
            Some(false) => {
                self.acknowledge(&append, AppendResult::Stale { view_seen: self.view_seen }, effects)
            }
            Some(true) => {
                let result = self.append(&append, effects);
                self.acknowledge(&append, result, effects);
            }
        }
    }

    /// Adds what is new, replaces what conflicts, and never removes anything without a conflict: a
    /// delayed duplicate would remove acknowledged operations.
    fn append(&mut self, append: &Append, effects: &mut Vec<Effect>) -> AppendResult {
        if let Some(hint) = self.mismatch(append.previous) {
            return AppendResult::Mismatch { hint };
        }
        for entry in &append.entries {
            let op = entry.position.op;
            if op <= self.log.base().op {
                continue; // committed and in the snapshot
            }
            match self.log.position(op) {
                Some(position) if position == entry.position => continue,
                Some(position) => {
                    assert!(
                        op > self.commit,
                        "committed operation {position:?} would be replaced by {:?}",
                        entry.position
                    );
                    self.truncate(op);
                }
                None => {}
            }
            self.log.push(entry.clone());
            self.write(Write::Entry(entry.clone()));
        }
        // Not "my last operation": what is beyond the message may differ from the primary's log.
        let matched = OpNumber(append.previous.op.0 + append.entries.len() as u64);
        self.commit_to(self.commit.max(append.commit.min(matched)), effects);
        AppendResult::Match(matched)
    }

    /// Where the primary should try, if the log does not have `previous`. Everything up to the snapshot is
    /// committed and therefore agrees.
    fn mismatch(&self, previous: Position) -> Option<OpNumber> {
        if previous.op <= self.log.base().op {
            return None;
        }
        match self.log.position(previous.op) {
            None => Some(self.log.end().op.next()),
            Some(position) if position == previous => None,
            Some(_) => Some(self.log.run_start(previous.op)),
        }
    }

    fn truncate(&mut self, from: OpNumber) {
        self.log.truncate(from);
        self.write(Write::Truncate(from));
    }

    fn acknowledge(&mut self, append: &Append, result: AppendResult, effects: &mut Vec<Effect>) {
        let Some(data) = self.data else { return };
        let ack = AppendAck {
            view: append.view,
            from: self.server.clone(),
            data,
            heartbeat: append.heartbeat,
            result,
        };
        let message = PeerMessage::AppendAck(ack);
        self.outbox.say_when_written(Effect::Send { to: append.from.clone(), message }, effects);
    }

    /// A part of a transferred state (4.4). Parts are taken in order and from one transfer only.
    pub(super) fn on_chunk(&mut self, chunk: Chunk, effects: &mut Vec<Effect>) {
        match self.heed(chunk.generation, chunk.to_data, chunk.view, &chunk.from, effects) {
            None => {}
            Some(false) => {
                self.acknowledge_chunk(&chunk, ChunkResult::Stale { view_seen: self.view_seen }, effects);
            }
            Some(true) => {
                if let Some(result) = self.stage(&chunk, effects) {
                    self.acknowledge_chunk(&chunk, result, effects);
                }
            }
        }
    }

    fn stage(&mut self, chunk: &Chunk, effects: &mut Vec<Effect>) -> Option<ChunkResult> {
        if chunk.at.op <= self.commit {
            return Some(ChunkResult::Installed(chunk.at.op)); // a late one would turn back time
        }
        let current = self.staging.as_ref().map(|staging| staging.transfer);
        if current.is_none_or(|current| chunk.transfer > current) {
            if chunk.part != 0 {
                return Some(ChunkResult::Next(0));
            }
            effects.push(Effect::Notice(Notice::ReceivingState { from: chunk.from.clone(), at: chunk.at }));
            self.staging = Some(Staging { transfer: chunk.transfer, next_part: 0, state: State::default() });
        }
        let staging = self.staging.as_mut().filter(|staging| staging.transfer == chunk.transfer)?;
        if chunk.part != staging.next_part {
            return Some(ChunkResult::Next(staging.next_part));
        }
        for item in &chunk.items {
            staging.state.restore(item.clone());
        }
        staging.next_part += 1;
        self.parts_received += 1;
        if !chunk.last {
            return Some(ChunkResult::Next(staging.next_part));
        }
        let state = self.staging.take().expect("it was just used").state;
        self.install(Snapshot { at: chunk.at, state });
        effects.push(Effect::Notice(Notice::StateInstalled { at: chunk.at }));
        Some(ChunkResult::Installed(chunk.at.op))
    }

    /// The log's entries beyond the snapshot stay only if the log runs through it.
    fn install(&mut self, snapshot: Snapshot) {
        self.state = snapshot.state.clone();
        self.commit = snapshot.at.op;
        self.checkpoint = None;
        if self.log.position(snapshot.at.op) == Some(snapshot.at) {
            self.log.compact(snapshot.clone());
            self.write(Write::Checkpoint(snapshot));
        } else {
            self.log = Log::from_snapshot(snapshot.clone());
            self.write(Write::Install(snapshot));
        }
    }

    fn acknowledge_chunk(&mut self, chunk: &Chunk, result: ChunkResult, effects: &mut Vec<Effect>) {
        let Some(data) = self.data else { return };
        let ack =
            ChunkAck { view: chunk.view, from: self.server.clone(), data, transfer: chunk.transfer, result };
        let message = PeerMessage::ChunkAck(ack);
        self.outbox.say_when_written(Effect::Send { to: chunk.from.clone(), message }, effects);
    }
}

/// Whether the entries follow on the previous position and on each other, as a primary sends them.
fn follows_on(append: &Append) -> bool {
    let mut end = append.previous;
    append.entries.iter().all(|Entry { position, .. }| {
        let follows = position.op == end.op.next() && position.view >= end.view;
        end = *position;
        follows
    }) && end.view <= append.view
        && append.view > ViewNumber(0)
}
