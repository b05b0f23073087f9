//! Servers of other histories that the view service hears (VS-PING 1).
//!
//! They are told so and never become members. They are noted, bounded and for a dead interval, because a
//! record that was lost or exchanged looks exactly like this: the service knows nothing, and servers come
//! that hold data. All times in here are by the view service's presence (R16).

use std::{collections::BTreeMap, time::Duration};

use crate::protocol::{
    identity::{Boot, Generation, ServerId},
    message::Ping,
};

#[derive(Clone, Debug, Hash)]
struct Stranger {
    boot: Boot,
    generation: Generation,
    last_ping: Duration,
}

/// Servers of other histories, as long as they ping.
#[derive(Clone, Debug, Default, Hash)]
pub struct Strangers {
    strangers: BTreeMap<ServerId, Stranger>,
}

impl Strangers {
    /// Takes note of a stranger's ping, and says whether it is news.
    pub fn hear(&mut self, now: Duration, ping: &Ping, strangers_max: usize) -> bool {
        let known = self.strangers.get(&ping.server);
        let is_new = known.is_none_or(|known| (known.boot, known.generation) != (ping.boot, ping.generation));
        if known.is_some() || self.strangers.len() < strangers_max {
            let stranger = Stranger { boot: ping.boot, generation: ping.generation, last_ping: now };
            self.strangers.insert(ping.server.clone(), stranger);
        }
        is_new
    }

    /// Forgets those that were silent for `dead_after`.
    pub fn forget(&mut self, now: Duration, dead_after: Duration) {
        self.strangers.retain(|_, stranger| now < stranger.last_ping + dead_after);
    }

    /// All of them, and when each pinged last.
    pub fn all(&self) -> impl Iterator<Item = (&ServerId, Duration)> {
        self.strangers.iter().map(|(server, stranger)| (server, stranger.last_ping))
    }

    /// Whether this is one.
    pub fn knows(&self, server: &ServerId) -> bool {
        self.strangers.contains_key(server)
    }

    /// Those that hold data that an operator did not give up for `generation`.
    pub fn in_the_way_of(&self, generation: Generation) -> impl Iterator<Item = &ServerId> {
        let holders =
            self.strangers.iter().filter(move |(_, stranger)| !generation.is_later_than(stranger.generation));
        holders.map(|(server, _)| server)
    }
}
