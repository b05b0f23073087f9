//! Servers that ping and are not reached at the address that they advertise (VS-PROBE).
//!
//! Nothing that they say is believed, and a name costs a stranger nothing: they are noted, bounded and for a
//! dead interval, only so that an operator learns why a server that runs is not taken. All times in here are
//! by the view service's presence (R16).

use std::{collections::BTreeMap, time::Duration};

use crate::protocol::identity::ServerId;

/// The first pings of each life bring no token yet. Only who has brought none for so many dead intervals is
/// told.
const TOLD_AFTER_DEAD_INTERVALS: u32 = 2;

#[derive(Clone, Debug, Hash)]
struct Attempts {
    since: Duration,
    last_ping: Duration,
    is_told: bool,
}

/// Servers that are not reached, as long as they ping.
#[derive(Clone, Debug, Default, Hash)]
pub struct Unreached {
    servers: BTreeMap<ServerId, Attempts>,
}

impl Unreached {
    /// Takes note of a ping that brought no token, and says whether the operator is to be told now.
    pub fn hear(
        &mut self,
        now: Duration,
        server: &ServerId,
        dead_after: Duration,
        servers_max: usize,
    ) -> bool {
        if !self.servers.contains_key(server) && self.servers.len() >= servers_max {
            return false;
        }
        let first = Attempts { since: now, last_ping: now, is_told: false };
        let attempts = self.servers.entry(server.clone()).or_insert(first);
        attempts.last_ping = now;
        let is_news = !attempts.is_told && now >= attempts.since + TOLD_AFTER_DEAD_INTERVALS * dead_after;
        attempts.is_told |= is_news;
        is_news
    }

    /// It was reached. Returns whether the operator was told that it was not.
    pub fn reach(&mut self, server: &ServerId) -> bool {
        self.servers.remove(server).is_some_and(|attempts| attempts.is_told)
    }

    /// Forgets those that were silent for `dead_after`, and returns those of which the operator was told.
    pub fn forget(&mut self, now: Duration, dead_after: Duration) -> Vec<ServerId> {
        let silent = |attempts: &Attempts| now >= attempts.last_ping + dead_after;
        let gone = self.servers.extract_if(.., |_, attempts| silent(attempts));
        gone.filter(|(_, attempts)| attempts.is_told).map(|(server, _)| server).collect()
    }

    /// Whether the operator was told of it.
    pub fn is_told(&self, server: &ServerId) -> bool {
        self.servers.get(server).is_some_and(|attempts| attempts.is_told)
    }

    /// Those of which the operator was told, and when each pinged last.
    pub fn told(&self) -> impl Iterator<Item = (&ServerId, Duration)> {
        let told = self.servers.iter().filter(|(_, attempts)| attempts.is_told);
        told.map(|(server, attempts)| (server, attempts.last_ping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_is_not_reached_is_told_once_and_forgotten_when_it_is() {
        let mut unreached = Unreached::default();
        let (a, b) = (ServerId::new("a:1"), ServerId::new("b:1"));
        assert!(!unreached.hear(D, &a, D, 1), "its first ping");
        assert!(!unreached.hear(D, &b, D, 1), "there is no room");
        assert!(unreached.told().next().is_none());
        assert!(unreached.hear(3 * D, &a, D, 1));
        assert!(!unreached.hear(4 * D, &a, D, 1), "told already");
        assert!(unreached.told().eq([(&a, 4 * D)]) && unreached.is_told(&a));
        assert!(unreached.reach(&a) && !unreached.reach(&a));
        assert!(unreached.told().next().is_none());
        unreached.hear(5 * D, &b, D, 1);
        assert!(unreached.forget(6 * D, D).is_empty(), "of that one nothing was told");
        assert!(!unreached.hear(8 * D, &b, D, 1), "it begins anew");
        assert!(unreached.hear(10 * D, &b, D, 1));
        assert_eq!(unreached.forget(11 * D, D), [b]);
    }
}
