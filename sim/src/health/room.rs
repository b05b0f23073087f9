//! Whether a primary refuses clients because sessions have reached a limit: by its answers, and by the state that it holds.

use std::{collections::BTreeSet, time::Duration};

use pbkv::protocol::{
    command::{Refusal, Reply, RequestBody},
    replica::{Effect, Event, Replica, RoleName, SessionLimit},
};

use super::{Health, silence::Distress};
use crate::network::NodeIndex;

/// The limits of sessions.
pub(super) const LIMITS: [SessionLimit; 2] = [SessionLimit::Count, SessionLimit::Bytes];

/// Primaries that refused somebody, and still may.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    /// What the request asks for that is being handled.
    asked: Option<SessionLimit>,
    pub(super) refusing: BTreeSet<(NodeIndex, SessionLimit)>,
}

impl Health {
    /// A server is about to take an event.
    pub fn asks(&mut self, event: &Event) {
        self.room.asked = match event {
            Event::Request { request, .. } => match request.body {
                RequestBody::OpenSession => Some(SessionLimit::Count),
                RequestBody::Update { .. } => Some(SessionLimit::Bytes),
                RequestBody::Get { .. } | RequestBody::CloseSession { .. } => None,
            },
            _ => None,
        };
    }

    /// A server took an event.
    pub fn answered(&mut self, at: Duration, node: NodeIndex, machine: &Replica, effects: &[Effect]) {
        let is_refusal = |effect: &Effect| {
            matches!(effect, Effect::Reply { reply: Reply::Refused(Refusal::TooManySessions), .. })
        };
        if let Some(limit) = self.room.asked.take()
            && effects.iter().any(is_refusal)
        {
            self.room.refusing.insert((node, limit));
        }
        // Of the second process of an address nothing is demanded.
        if self.room.refusing.is_empty() || node >= self.names.len() {
            return;
        }
        for limit in LIMITS {
            if !self.room.refusing.contains(&(node, limit)) {
                continue;
            }
            let is_full = match machine.role() {
                RoleName::Primary => self.is_full(machine, limit),
                RoleName::Backup | RoleName::Idle => Some(false),
            };
            if is_full == Some(false) {
                self.room.refusing.remove(&(node, limit));
            }
            let around = &self.surroundings;
            let runs = around.runs[node] && !around.stalled.contains(&node);
            self.look_for_silence(at);
            self.silence.is(at, node, Distress::Full(limit), is_full.filter(|_| runs));
        }
    }

    /// Whether a primary that refused somebody has as much as it may. Open as long as something may be over that is not
    /// forgotten yet, or is being added.
    fn is_full(&self, machine: &Replica, limit: SessionLimit) -> Option<bool> {
        let (state, load) = (machine.state(), machine.load());
        let (held, added, max) = match limit {
            SessionLimit::Count => (state.sessions() as u64, load.opening, self.limits.sessions_max?),
            SessionLimit::Bytes => (state.session_bytes(), load.in_flight, self.limits.session_bytes_max?),
        };
        if held < max {
            let is_sure = added == 0 || (limit == SessionLimit::Count && held + (added as u64) < max);
            return is_sure.then_some(false);
        }
        let (_, over) = state.expiries();
        over.is_some_and(|over| over > load.log_time).then_some(true)
    }
}
