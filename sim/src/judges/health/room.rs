//! Whether a primary refuses clients because sessions have reached a limit: by its answers, and by the state
//! that it holds.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{
    command::{Refusal, Reply, RequestBody},
    replica::{Effect, Event, Load, Notice, Replica, RoleName, SessionLimit},
    store::State,
};
use testbed::data::node::NodeIndex;

use super::{Health, silence::Distress};

/// The limits of sessions.
pub(super) const LIMITS: [SessionLimit; 2] = [SessionLimit::Count, SessionLimit::Bytes];

/// Primaries that refused a client, until they say that there is room again.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    /// What the request asks for that is being handled.
    asked: Option<SessionLimit>,
    /// Whether a client was refused since there was room for the last time. If none was, a primary that has
    /// no room again may have told so before, and not have taken it back, or may not have told it.
    pub(super) refusing: BTreeMap<(NodeIndex, SessionLimit), bool>,
}

impl Room {
    /// Notes whether there is no room; returns whether that has to be told, or taken back.
    fn note(
        &mut self,
        whose: (NodeIndex, SessionLimit),
        is_full: Option<bool>,
        is_taken_back: bool,
    ) -> Option<bool> {
        let refused = self.refusing.get(&whose) == Some(&true) && is_full != Some(false);
        self.refusing.insert(whose, refused);
        if is_taken_back && !refused {
            self.refusing.remove(&whose);
        }
        is_full.filter(|is_full| refused || !is_full)
    }
}

impl Health {
    /// A server is about to take an event.
    pub fn asks(&mut self, event: &Event) {
        self.room.asked = match event {
            Event::Request { request, .. } => match request.body {
                RequestBody::OpenSession => Some(SessionLimit::Count),
                RequestBody::Update { .. } => Some(SessionLimit::Bytes),
                RequestBody::Get { .. } | RequestBody::Scan(_) | RequestBody::CloseSession { .. } => None,
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
            self.room.refusing.insert((node, limit), true);
        }
        // Of the second process of an address nothing is demanded.
        if self.room.refusing.is_empty() || node >= self.names.len() {
            return;
        }
        for limit in LIMITS {
            if !self.room.refusing.contains_key(&(node, limit)) {
                continue;
            }
            let is_primary = machine.role() == RoleName::Primary;
            let is_full = if is_primary { self.is_full(machine, limit) } else { Some(false) };
            let is_taken_back = effects.iter().any(|effect| {
                matches!(effect, Effect::Notice(Notice::SessionsHaveRoom { limit: room, .. }) if *room == limit)
            });
            let is_full = self.room.note((node, limit), is_full, is_taken_back || !is_primary);
            let around = &self.surroundings;
            let runs = around.runs[node] && !around.stalled.contains(&node);
            self.look_for_silence(at);
            self.silence.is(at, node, Distress::Full(limit), is_full.filter(|_| runs));
        }
    }

    /// Whether a primary that refused somebody has as much as it may.
    fn is_full(&self, machine: &Replica, limit: SessionLimit) -> Option<bool> {
        let max = match limit {
            SessionLimit::Count => self.limits.sessions_max?,
            SessionLimit::Bytes => self.limits.session_bytes_max?,
        };
        is_full(machine.state(), &machine.load(), limit, max)
    }
}

/// Whether there is no room. What is over makes room, but for what is in use: which that is, only the primary
/// knows. So it is open as long as the one is the case with what is over, the other without it, and something
/// is in flight.
fn is_full(state: &State, load: &Load, limit: SessionLimit, max: u64) -> Option<bool> {
    let has_room = |is_used: bool| match limit {
        SessionLimit::Count => {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            state.has_room_for_sessions(load.opening + 1, max, load.log_time, |_| is_used)
        }
        SessionLimit::Bytes => state.session_bytes() - state.bytes_over(load.log_time, |_| is_used) < max,
    };
    if !has_room(false) {
        return Some(true);
    }
    // What swaps in flight will have to remember, only the primary knows, too.
    let is_sure = load.in_flight == 0 || (limit == SessionLimit::Count && has_room(true));
    is_sure.then_some(false)
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::{
        command::{Command, Entry},
        identity::{OpNumber, Position, ViewNumber},
    };

    use super::*;

    #[test]
    fn a_table_that_is_full_again_is_told_when_a_client_is_refused_again() {
        let whose = (1, SessionLimit::Count);
        let mut room = Room::default();
        room.refusing.insert(whose, true);
        assert_eq!(room.note(whose, Some(true), false), Some(true));
        assert_eq!(room.note(whose, Some(false), false), Some(false));
        assert_eq!(room.note(whose, Some(true), false), None, "told before, or not: nobody was refused");
        room.refusing.insert(whose, true);
        assert_eq!(room.note(whose, Some(true), true), Some(true), "refused since it was taken back");
        assert_eq!(room.note(whose, Some(false), true), Some(false));
        assert!(room.refusing.is_empty());
    }

    #[test]
    fn sessions_that_are_over_are_room() {
        let ttl = Duration::from_secs(10);
        let mut state = State::default();
        for op in 1..=3 {
            let position = Position { op: OpNumber(op), view: ViewNumber(1) };
            state.apply(&Entry {
                position,
                timestamp: Duration::ZERO,
                command: Command::OpenSession { ttl },
            });
        }
        let full = |seconds, opening, in_flight, max| {
            let log_time = Duration::from_secs(seconds);
            is_full(
                &state,
                &Load { log_time, opening, in_flight, ..Load::default() },
                SessionLimit::Count,
                max,
            )
        };
        assert_eq!(full(5, 0, 0, 3), Some(true));
        assert_eq!(full(5, 0, 9, 4), Some(false));
        assert_eq!(full(5, 1, 0, 4), Some(true), "one is being opened");
        assert_eq!(full(20, 0, 0, 3), Some(false), "all are over");
        assert_eq!(full(20, 0, 1, 3), None, "one may be in use");
        assert_eq!(full(20, 3, 0, 3), Some(true), "as many are being opened");
    }
}
