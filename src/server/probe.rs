//! The view service's probes: a token is brought to whoever answers at an address. And whether anybody does:
//! a stream to each known server ends when its process does, and then a connection to its address is refused.
//!
//! Each probe opens a connection of its own, as a client would that comes anew: one that is kept would go on
//! proving what held when it was opened. How a probe ends matters to nobody; a server that was reached says
//! so in its pings.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::stream;
use tokio::{sync::mpsc, task::JoinHandle};
use tonic::{Request, Status};

use crate::{
    channel,
    clock::{Clock, before},
    process::is_refused,
    protocol::{identity::ServerId, message::Probe},
    wire::{ProbeRequest, WatchRequest, replication_client::ReplicationClient},
};

/// Addresses at which nobody was confirmed yet and that are being probed. Anybody may claim an address, so
/// these, but not the known servers, have to wait for each other.
const UNKNOWN_IN_FLIGHT_MAX: usize = 64;

/// Probes of one address on their way at once: one may hang at a machine that lost power while its successor
/// pings.
const PER_ADDRESS_MAX: usize = 2;

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Servers that are watched at once. Beyond that, whoever was not probed for longest is found dead by its
/// silence alone.
const WATCHED_MAX: usize = 1024;

/// A stream that ended sooner was no sign of life: it is opened again with the next probe.
const WATCH_LIFE_MIN: Duration = Duration::from_millis(100);

/// Nobody listens at the address of this server: a connection was refused.
#[derive(Debug)]
pub struct Gone(pub ServerId);

/// The probes on their way, and the streams to the servers that are watched.
#[derive(Debug)]
pub struct Probes<C, I> {
    clock: C,
    inbox: mpsc::Sender<I>,
    in_flight: Arc<Mutex<InFlight>>,
    watched: BTreeMap<ServerId, Watch>,
}

/// A task that watches a server. Ends when dropped.
#[derive(Debug)]
struct Watch {
    task: JoinHandle<()>,
    /// When the server was last probed.
    probed_at: Duration,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct InFlight {
    addresses: BTreeMap<ServerId, usize>,
    unknown: usize,
}

impl<C: Clock, I: From<Gone> + Send + 'static> Probes<C, I> {
    /// None yet. Who is gone is told to `inbox`.
    pub fn new(clock: C, inbox: mpsc::Sender<I>) -> Self {
        Self { clock, inbox, in_flight: Arc::default(), watched: BTreeMap::new() }
    }

    /// Brings `probe` to `server`, unless too many probes are on their way. The server will ping again. A
    /// known one is watched from now on.
    pub fn send(&mut self, server: ServerId, probe: Probe, known: bool) {
        if known {
            self.watch(&server);
        }
        let Some(place) = Place::take(&self.in_flight, &server, known) else { return };
        let clock = self.clock.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = bring(&clock, &server, probe).await {
                tracing::debug!(%server, %error, "a server is not reached at the address it advertises");
            }
        });
    }

    fn watch(&mut self, server: &ServerId) {
        let probed_at = self.clock.now();
        self.watched.retain(|_, watch| !watch.task.is_finished());
        if let Some(watch) = self.watched.get_mut(server) {
            watch.probed_at = probed_at;
            return;
        }
        if self.watched.len() >= WATCHED_MAX {
            let longest = self.watched.iter().min_by_key(|(_, watch)| watch.probed_at);
            let longest = longest.map(|(server, _)| server.clone()).expect("there are many");
            self.watched.remove(&longest);
        }
        let task = tokio::spawn(watch(self.clock.clone(), server.clone(), self.inbox.clone()));
        self.watched.insert(server.clone(), Watch { task, probed_at });
    }
}

/// Keeps a stream to `server`. It ends when the process does, or when the connection breaks: which of them,
/// the next one shows. One that is refused is told; whatever else keeps it from being opened proves nothing.
async fn watch<C: Clock, I: From<Gone>>(clock: C, server: ServerId, inbox: mpsc::Sender<I>) {
    loop {
        let opened_at = clock.now();
        match follow(&clock, &server).await {
            Ok(()) if clock.now() < opened_at + WATCH_LIFE_MIN => return,
            Ok(()) => {}
            Err(status) if is_refused(&status) => {
                // Fails only if the view service is going away.
                let _ = inbox.send(Gone(server).into()).await;
                return;
            }
            Err(status) => {
                tracing::debug!(%server, error = channel::cause(&status), "a server is not watched");
                return;
            }
        }
    }
}

/// Returns when a stream to `server` ends.
async fn follow<C: Clock>(clock: &C, server: &ServerId) -> Result<(), Status> {
    let channel = channel::lazy(server.as_str()).map_err(Status::invalid_argument)?;
    let mut client = ReplicationClient::new(channel);
    let nothing = Request::new(stream::pending::<WatchRequest>());
    let opened = before(clock, clock.now() + PROBE_TIMEOUT, client.watch(nothing)).await;
    let mut watching = opened.ok_or_else(|| Status::deadline_exceeded("no answer in time"))??.into_inner();
    while let Ok(Some(_)) = watching.message().await {}
    Ok(())
}

async fn bring<C: Clock>(clock: &C, server: &ServerId, probe: Probe) -> Result<(), String> {
    let mut client = ReplicationClient::new(channel::lazy(server.as_str())?);
    before(clock, clock.now() + PROBE_TIMEOUT, client.probe(ProbeRequest::from(probe)))
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
