//! The view service's probes: a token is brought to whoever answers at an address.
//!
//! Each probe opens a connection of its own, as a client would that comes anew: one that is kept would go on
//! proving what held when it was opened. How a probe ends matters to nobody; a server that was reached says
//! so in its pings.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    channel,
    clock::{Clock, before},
    protocol::{identity::ServerId, message::Token},
    wire::{ProbeRequest, replication_client::ReplicationClient},
};

/// Addresses at which nobody was confirmed yet and that are being probed. Anybody may claim an address, so
/// these, but not the known servers, have to wait for each other.
const UNKNOWN_IN_FLIGHT_MAX: usize = 64;

/// Probes of one address on their way at once: one may hang at a machine that lost power while its successor
/// pings.
const PER_ADDRESS_MAX: usize = 2;

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The probes on their way.
#[derive(Debug)]
pub struct Probes<C> {
    clock: C,
    in_flight: Arc<Mutex<InFlight>>,
}

#[derive(Debug, Default)]
struct InFlight {
    addresses: BTreeMap<ServerId, usize>,
    unknown: usize,
}

impl<C: Clock> Probes<C> {
    /// None yet.
    pub fn new(clock: C) -> Self {
        Self { clock, in_flight: Arc::default() }
    }

    /// Brings `token` to `server`, unless too many probes are on their way. The server will ping again.
    pub fn send(&mut self, server: ServerId, token: Token, known: bool) {
        let Some(place) = Place::take(&self.in_flight, &server, known) else { return };
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = probe(&clock, &server, token).await {
                tracing::debug!(%server, %error, "a server is not reached at the address it advertises");
            }
        });
    }
}

async fn probe<C: Clock>(clock: &C, server: &ServerId, token: Token) -> Result<(), String> {
    let mut client = ReplicationClient::new(channel::lazy(server.as_str())?);
    before(clock, clock.now() + PROBE_TIMEOUT, client.probe(ProbeRequest::from(token)))
        .await
        .ok_or_else(|| format!("no answer within {PROBE_TIMEOUT:?}"))?
        .map_err(|status| channel::cause(&status))?;
    Ok(())
}

/// A probe's place among those on their way; free again when dropped.
#[derive(Debug)]
struct Place {
    in_flight: Arc<Mutex<InFlight>>,
    server: ServerId,
    known: bool,
}

impl Place {
    fn take(in_flight: &Arc<Mutex<InFlight>>, server: &ServerId, known: bool) -> Option<Self> {
        let mut now = lock(in_flight);
        let full = now.addresses.get(server).is_some_and(|probes| *probes >= PER_ADDRESS_MAX)
            || (!known && now.unknown >= UNKNOWN_IN_FLIGHT_MAX);
        if full {
            return None;
        }
        *now.addresses.entry(server.clone()).or_default() += 1;
        now.unknown += usize::from(!known);
        Some(Self { in_flight: in_flight.clone(), server: server.clone(), known })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut now = lock(&self.in_flight);
        now.unknown -= usize::from(!self.known);
        let probes = now.addresses.get_mut(&self.server).expect("counted when it was taken");
        *probes -= 1;
        if *probes == 0 {
            now.addresses.remove(&self.server);
        }
    }
}

fn lock(in_flight: &Mutex<InFlight>) -> MutexGuard<'_, InFlight> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_addresses_are_bounded_and_known_servers_do_not_wait() {
        let in_flight = Arc::default();
        let take = |server: String, known| Place::take(&in_flight, &ServerId::new(server), known);
        let mut places: Vec<_> = (0..UNKNOWN_IN_FLIGHT_MAX).map(|i| take(format!("x:{i}"), false)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(take("y:1".into(), false).is_none(), "too many claims");
        places.extend((0..PER_ADDRESS_MAX).map(|_| take("a:1".into(), true)));
        assert!(places.iter().all(Option::is_some));
        assert!(take("a:1".into(), true).is_none(), "two at one address");
        drop(places);
        let now = lock(&in_flight);
        assert_eq!((now.unknown, now.addresses.len()), (0, 0));
    }
}
