//! Whether there is room for another session.

use std::time::Duration;

use super::Primary;
use crate::protocol::{
    identity::{RequestNumber, SessionId},
    options::ReplicaOptions,
    store::State,
};

impl Primary {
    /// Whether another session may be opened by an entry of the log time `at`. A session that is over by then makes
    /// room, unless an update of it is in flight, which was proposed before and keeps it alive.
    pub(super) fn may_open(&self, state: &State, options: &ReplicaOptions, at: Duration) -> bool {
        let is_used = |session: SessionId| {
            let mut in_flight = self.in_flight.range((session, RequestNumber(0))..);
            in_flight.next().is_some_and(|((used, _), _)| *used == session)
        };
        state.has_room_for_sessions(self.opening + 1, options.sessions_max, at, is_used)
    }
}
