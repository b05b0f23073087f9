//! VS-PROBE: which pings come from the process that answers at the address they name.
//!
//! A ping names its sender, and nothing on the way proves it. So the view service sends a [`Token`] to that
//! address, and believes a ping only if it brings one back. Only a process that is reached there can have it:
//! whoever pings under a name that is not its own has none, and neither has a server that advertises a wrong
//! address, or stands behind a firewall that lets nothing in.
//!
//! A token says when it was made, and a seal shows that this life of the view service made it for that
//! address. So nothing need be remembered of addresses that are not confirmed, however many pings claim them.

use std::{hash::Hasher, time::Duration};

use siphasher::sip::SipHasher24;

use super::{ServerId, servers::Server};
use crate::protocol::message::Token;

/// How many probes a server that pings gets within a dead interval.
const PROBES_PER_DEAD_INTERVAL: u32 = 3;

/// A token is good for so many dead intervals: as long as an echo.
pub(super) const TOKEN_DEAD_INTERVALS: u32 = 2;

/// Random, and different in each life: makes the seals of one life of the view service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SealKey(pub u64, pub u64);

impl SealKey {
    /// A token for whoever answers at `server`.
    pub(super) fn token(self, server: &ServerId, at: Duration) -> Token {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(&at.as_nanos().to_le_bytes());
        hasher.write(server.as_str().as_bytes());
        Token { at, seal: hasher.finish() }
    }

    /// When a token was made that came back from `server`; none if it was not made for that address in this
    /// life, or too long ago.
    pub(super) fn reached_at(
        self,
        server: &ServerId,
        token: Token,
        now: Duration,
        dead_after: Duration,
    ) -> Option<Duration> {
        let genuine = token == self.token(server, token.at);
        (genuine && now < token.at + TOKEN_DEAD_INTERVALS * dead_after).then_some(token.at)
    }
}

/// Whether a server whose ping was believed is to be probed again.
pub(super) fn is_due(server: &Server, now: Duration, dead_after: Duration) -> bool {
    now >= server.probed_at + dead_after / PROBES_PER_DEAD_INTERVAL
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(1);

    #[test]
    fn a_token_is_for_one_address_one_life_and_a_while() {
        let (key, other) = (SealKey(1, 2), SealKey(1, 3));
        let (a, b) = (ServerId::new("a:1"), ServerId::new("b:1"));
        let token = key.token(&a, 5 * D);
        assert_eq!(key.reached_at(&a, token, 6 * D, D), Some(5 * D));
        assert_eq!(key.reached_at(&b, token, 6 * D, D), None, "made for another address");
        assert_eq!(other.reached_at(&a, token, 6 * D, D), None, "made by another life");
        assert_eq!(key.reached_at(&a, token, 7 * D, D), None, "too old");
        let later = Token { at: 6 * D, ..token };
        assert_eq!(key.reached_at(&a, later, 7 * D, D), None, "a time of the sender's own");
    }
}
