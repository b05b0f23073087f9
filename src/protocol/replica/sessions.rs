//! Whether there is room for another session, and for another answer that a session remembers.
//!
//! Clients that find no room are asked to come again, and cannot know whether that helps. So an operator is
//! told when the first one is refused; and when there is room again and none was refused for as long as a
//! replica may be silent: at the limit one is refused, the next one taken, and the log is to say so once.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::{Core, Effect, Notice, Primary, SessionLimit};
use crate::protocol::{
    command::{Command, Entry, Refusal, Reply, Update},
    identity::{OpNumber, RequestNumber, SessionId, Ticket},
    options::ReplicaOptions,
    store::State,
};

/// By how much the compare-and-swaps in flight may add to what sessions remember, in bytes.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Remembering {
    /// What updates in flight make of the values of these keys.
    keys: BTreeMap<Bytes, Growth>,
    swaps: BTreeMap<OpNumber, u64>,
    bytes: u64,
}

/// How long the value of a key may be after the updates in flight.
#[derive(Clone, Debug, Default, Hash)]
struct Growth {
    updates: usize,
    /// The longest value that one of them sets.
    longest: u64,
    /// What they append.
    appended: u64,
}

impl Remembering {
    /// How many keys are noted.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Takes note of an entry that was appended to the log, before it is applied to `state`.
    pub(super) fn begin(&mut self, state: &State, entry: &Entry) {
        let Command::Update { session, update, .. } = &entry.command else { return };
        let growth = self.keys.get(update.key());
        if let Update::CompareAndSwap { key, .. } = update {
            let now = state.get(key).map_or(0, |found| found.value.len() as u64);
            let then = growth.map_or(now, |growth| now.max(growth.longest) + growth.appended);
            let adds = then.saturating_sub(state.bytes_of(*session));
            self.bytes += adds;
            self.swaps.insert(entry.position.op, adds);
        }
        let growth = self.keys.entry(update.key().clone()).or_default();
        growth.updates += 1;
        match update {
            Update::Put { value: set, .. } | Update::CompareAndSwap { new: set, .. } => {
                growth.longest = growth.longest.max(set.len() as u64);
            }
            Update::Append { value, .. } => growth.appended += value.len() as u64,
            Update::Delete { .. } => {}
        }
    }

    /// Takes note of an entry that was applied.
    pub(super) fn end(&mut self, entry: &Entry) {
        let Command::Update { update, .. } = &entry.command else { return };
        self.bytes -= self.swaps.remove(&entry.position.op).unwrap_or_default();
        if let Some(growth) = self.keys.get_mut(update.key()) {
            growth.updates -= 1;
            if growth.updates == 0 {
                self.keys.remove(update.key());
            }
        }
    }
}

impl Primary {
    /// Whether another session may be opened by an entry of the log time `at`. A session that is over by then
    /// makes room, unless an update of it is in flight, which was proposed before and keeps it alive.
    pub(super) fn may_open(&self, state: &State, options: &ReplicaOptions, at: Duration) -> bool {
        state.has_room_for_sessions(self.opening + 1, options.sessions_max, at, |id| self.is_used(id))
    }

    /// Whether a session may remember another answer, to an entry of the log time `at`. What it remembers
    /// already and what sessions remember that are over by then makes room, as above.
    pub(super) fn may_remember(
        &self,
        state: &State,
        options: &ReplicaOptions,
        session: SessionId,
        at: Duration,
    ) -> bool {
        let max = options.session_bytes_max.saturating_add(state.bytes_of(session));
        let remembered = state.session_bytes() + self.remembering.bytes;
        remembered < max || remembered - state.bytes_over(at, |id| id == session || self.is_used(id)) < max
    }

    fn is_used(&self, session: SessionId) -> bool {
        let mut in_flight = self.in_flight.range((session, RequestNumber(0))..);
        in_flight.next().is_some_and(|((used, _), _)| *used == session)
    }

    /// Whether nothing stands in the way of another session, or of another answer of one that remembers
    /// nothing yet.
    fn has_room(&self, state: &State, options: &ReplicaOptions, limit: SessionLimit, at: Duration) -> bool {
        match limit {
            SessionLimit::Count => self.may_open(state, options, at),
            SessionLimit::Bytes => {
                let remembered = state.session_bytes() + self.remembering.bytes;
                remembered - state.bytes_over(at, |id| self.is_used(id)) < options.session_bytes_max
            }
        }
    }

    /// There is no room for what the client asks for.
    pub(super) fn refuse_for_sessions(
        &mut self,
        core: &Core,
        now: Duration,
        ticket: Ticket,
        limit: SessionLimit,
        effects: &mut Vec<Effect>,
    ) {
        if self.told.full.insert(limit, now).is_none() {
            let max = match limit {
                SessionLimit::Count => core.options.sessions_max as u64,
                SessionLimit::Bytes => core.options.session_bytes_max,
            };
            effects.push(Effect::Notice(Notice::SessionsFull { limit, held: self.held(core, limit), max }));
        }
        effects.push(Effect::Reply { ticket, reply: Reply::Refused(Refusal::TooManySessions) });
    }

    /// How much there is, with what operations in flight will add.
    fn held(&self, core: &Core, limit: SessionLimit) -> u64 {
        match limit {
            SessionLimit::Count => (core.state.sessions() + self.opening) as u64,
            SessionLimit::Bytes => core.state.session_bytes() + self.remembering.bytes,
        }
    }

    /// Takes back what was said of a limit when that is over.
    pub(super) fn watch_sessions(&mut self, core: &Core, now: Duration, effects: &mut Vec<Effect>) {
        let (at, quiet) = (self.log_time(now), core.options.suspect_after);
        let has_room = |limit| self.has_room(&core.state, &core.options, limit, at);
        let over = self
            .told
            .full
            .iter()
            .filter(|(limit, refused_at)| now >= **refused_at + quiet && has_room(**limit));
        for limit in over.map(|(limit, _)| *limit).collect::<Vec<_>>() {
            self.told.full.remove(&limit);
            effects.push(Effect::Notice(Notice::SessionsHaveRoom { limit, held: self.held(core, limit) }));
        }
    }
}
