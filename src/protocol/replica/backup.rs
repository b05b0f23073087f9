//! Following a primary: operations, the commit point, transferred state.

use std::time::Duration;

use super::{Core, Effect, Implausible, Notice, Replica, Role};
use crate::protocol::{
    command::Entry,
    identity::{DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
    log::{Log, Write},
    machine::NEVER,
    message::{
        Append, AppendAck, AppendResult, Chunk, ChunkAck, ChunkResult, PeerMessage, TransferId, VIEW_LEAP_MAX,
    },
    store::{Snapshot, State},
};

/// A transferred state under construction: parts of one transfer, in order. It outlives a view change, as the
/// transfer does if the primary stays the same.
#[derive(Clone, Hash)]
pub(super) struct Staging {
    from: ServerId,
    transfer: TransferId,
    /// The state is that after this operation.
    at: OpNumber,
    next_part: u64,
    state: State,
}

impl Staging {
    /// The operation after which it is the state, and how many parts of it have arrived.
    pub(super) fn load(&self) -> (OpNumber, u64) {
        (self.at, self.next_part)
    }
}

/// A backup reports a primary that was silent for this share of the time after which that primary reports a
/// replica. It decides nothing alone, so it may be early; it must not come too late to count.
pub(super) const PRIMARY_SILENT_SHARE: u32 = 2;

/// After so many heartbeat intervals without a word of the primary a backup begins to look at the time.
const WATCH_AFTER_HEARTBEATS: u32 = 2;

/// What becomes of a message that claims to be a primary's.
enum Heed {
    /// Nothing: it is not meant for these contents, or not believed.
    Ignored,
    /// It is of an older view: its sender is told.
    Outdated,
    /// Its sender is this server's primary.
    Obeyed,
}

/// What only a backup has.
#[derive(Clone, Hash)]
pub(super) struct Backup {
    /// When the primary was last heard, by the presence.
    heard_at: Duration,
    /// The primary, if it has been silent for too long since, and its silence is reported.
    pub(super) silent: Option<ServerId>,
}

impl Backup {
    pub(super) fn new(core: &Core) -> Self {
        Self { heard_at: core.presence.now(), silent: None }
    }

    /// The primary spoke, or there is another one.
    fn primary_is_there(&mut self, core: &Core, effects: &mut Vec<Effect>) {
        self.heard_at = core.presence.now();
        if let Some(server) = self.silent.take() {
            effects.push(Effect::Notice(Notice::PrimarySilenceEnds { server }));
        }
    }

    /// R11: a primary that is silent is reported. R16: silent while this backup was there to hear it.
    pub(super) fn watch_primary(&mut self, core: &mut Core, effects: &mut Vec<Effect>) {
        // The primary says how often it shows itself; until it has, it is taken for one like this server.
        let own = core.options.suspect_after / PRIMARY_SILENT_SHARE;
        let limit = core.primary_silence_max.unwrap_or(own);
        let silent = core.presence.now() >= self.heard_at + limit;
        if !silent || self.silent.is_some() {
            return;
        }
        if let Some(server) = core.primary_hint.clone() {
            self.silent = Some(server.clone());
            core.pinger.wanted = true;
            effects.push(Effect::Notice(Notice::PrimarySilent { server }));
        }
    }

    /// When to look whether the primary is silent. As long as it speaks, its messages come first.
    pub(super) fn watch_due(&self, core: &Core) -> Duration {
        if self.silent.is_some() {
            return NEVER;
        }
        let interval = core.options.heartbeat_interval;
        let recent = core.presence.now() < self.heard_at + interval;
        core.presence.stepped_at() + interval * if recent { WATCH_AFTER_HEARTBEATS } else { 1 }
    }
}

impl Replica {
    /// If this is a backup, its primary spoke, or is about to be another one.
    pub(super) fn primary_is_there(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Backup(backup) = &mut self.role {
            backup.primary_is_there(&self.core, effects);
        }
    }

    /// Whether a message of the primary of `view` to these contents is obeyed; adopts its view if it is a
    /// later one.
    fn heed(
        &mut self,
        generation: Generation,
        to_data: DataId,
        view: ViewNumber,
        from: &ServerId,
        effects: &mut Vec<Effect>,
    ) -> Heed {
        // R22: until the view service accepts this life, what it found on its disk may be an older copy.
        let is_meant = generation == self.core.generation && self.core.data == Some(to_data);
        if !is_meant || *from == self.core.server || !self.core.pinger.accepted {
            return Heed::Ignored;
        }
        if view < self.core.view_seen {
            return Heed::Outdated;
        }
        if view.0 > self.core.pinger.view_told.0 + VIEW_LEAP_MAX {
            self.core.refuse_peer(from, Implausible::View, effects);
            return Heed::Ignored;
        }
        if let Role::Primary(primary) = &mut self.role {
            // I1: a view has one primary. A later one exists only if the view service says so, too (R19).
            primary.on_stale(&mut self.core, view, effects);
            return Heed::Ignored;
        }
        if view > self.core.view_seen {
            self.adopt(view, effects);
        }
        self.become_backup(effects);
        self.core.primary_hint = Some(from.clone());
        self.core.pinger.cannot_follow = None;
        self.primary_is_there(effects);
        Heed::Obeyed
    }

    /// R5.
    pub(super) fn on_append(&mut self, append: Append, effects: &mut Vec<Effect>) {
        if !follows_on(&append) {
            return;
        }
        match self.heed(append.generation, append.to_data, append.view, &append.from, effects) {
            Heed::Ignored => {}
            Heed::Outdated => self.core.acknowledge(
                &append,
                AppendResult::Stale { view_seen: self.core.view_seen },
                effects,
            ),
            Heed::Obeyed => {
                self.core.primary_silence_max = Some(append.silence_max);
                if self.core.contradicts(&append) {
                    return self.core.refuse_peer(&append.from, Implausible::Operations, effects);
                }
                let result = self.core.append(&append, effects);
                // A state that the log has overtaken is of no use any more.
                self.core.staging.take_if(|staging| staging.at <= self.core.commit);
                self.core.acknowledge(&append, result, effects);
            }
        }
    }

    /// A part of a transferred state (4.4). Parts are taken in order and from one transfer only.
    pub(super) fn on_chunk(&mut self, chunk: Chunk, effects: &mut Vec<Effect>) {
        match self.heed(chunk.generation, chunk.to_data, chunk.view, &chunk.from, effects) {
            Heed::Ignored => {}
            Heed::Outdated => {
                self.core.acknowledge_chunk(
                    &chunk,
                    ChunkResult::Stale { view_seen: self.core.view_seen },
                    effects,
                );
            }
            Heed::Obeyed => {
                if let Some(result) = self.core.stage(&chunk, effects) {
                    self.core.acknowledge_chunk(&chunk, result, effects);
                }
            }
        }
    }
}

impl Core {
    /// R19: a message is refused that no server that follows the protocol sends: it is answered by nothing,
    /// and reported once for each view. Its sender takes this server for silent.
    pub(super) fn refuse_peer(&mut self, from: &ServerId, why: Implausible, effects: &mut Vec<Effect>) {
        if self.refused_in != Some(self.view_seen) {
            self.refused_in = Some(self.view_seen);
            effects.push(Effect::Notice(Notice::PeerRefused { from: from.clone(), why }));
        }
    }

    /// Whether the message holds another operation at a place where one is committed.
    fn contradicts(&self, append: &Append) -> bool {
        let positions = append.entries.iter().map(|entry| entry.position);
        let mut committed = [append.previous].into_iter().chain(positions).filter(|it| it.op <= self.commit);
        committed.any(|position| self.log.position(position.op).is_some_and(|own| own != position))
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
                    assert!(op > self.commit, "committed operation {position:?} would be replaced");
                    self.truncate(op);
                }
                None => {}
            }
            let entry = entry.detached();
            self.log.push(entry.clone());
            self.write(Write::Entry(entry));
        }
        // Not "my last operation": what is beyond the message may differ from the primary's log.
        let matched = OpNumber(append.previous.op.0 + append.entries.len() as u64);
        if matched > self.matched {
            self.matched = matched;
            self.progress += 1;
        }
        self.commit_to(self.commit.max(append.commit.min(matched)), None, effects);
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
        let ack =
            AppendAck { view: append.view, from: self.server.clone(), data, round: append.round, result };
        let message = PeerMessage::AppendAck(ack);
        self.outbox.acknowledge(append.from.clone(), message, effects);
    }

    fn stage(&mut self, chunk: &Chunk, effects: &mut Vec<Effect>) -> Option<ChunkResult> {
        if chunk.at.op <= self.commit {
            return Some(ChunkResult::Installed(chunk.at.op)); // a late one would turn back time
        }
        let own = self.log.position(self.commit).map(|position| position.view);
        if chunk.at.view > chunk.view || own.is_some_and(|own| chunk.at.view < own) {
            self.refuse_peer(&chunk.from, Implausible::State, effects);
            return None;
        }
        let staged = self.staging.as_ref().filter(|staging| staging.from == chunk.from);
        let current = staged.map(|staging| staging.transfer);
        if current.is_none_or(|current| chunk.transfer > current) {
            if chunk.part != 0 {
                return Some(ChunkResult::Next(0));
            }
            effects.push(Effect::Notice(Notice::ReceivingState { from: chunk.from.clone(), at: chunk.at }));
            let Chunk { from, transfer, at, .. } = chunk;
            let (from, transfer, at) = (from.clone(), *transfer, at.op);
            self.staging = Some(Staging { from, transfer, at, next_part: 0, state: State::default() });
        }
        let staging = self.staging.as_mut().filter(|staging| staging.transfer == chunk.transfer)?;
        if chunk.part != staging.next_part {
            return Some(ChunkResult::Next(staging.next_part));
        }
        for item in &chunk.items {
            staging.state.restore(item.detached());
        }
        staging.next_part += 1;
        self.progress += 1;
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
        self.bytes_since_checkpoint = 0;
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
        self.outbox.acknowledge(chunk.from.clone(), message, effects);
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
