//! Who gets a place among the connections of a process.
//!
//! Most places are for anybody. Some are kept for *peers*, that is other servers and the view service: a
//! server that clients fill must go on hearing its primary and being reached by the view service, or it would
//! be taken for dead. Nobody knows for whom a connection is before its first request, so one that comes when
//! all other places are taken is *on trial* in one of these: a peer stays in it, a client is refused as by a
//! server that is busy.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::Either;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
    server::NamedService,
};
use tower::Service;

use crate::proto::not_executed;

/// Places that are kept for peers, at most,
pub const PEERS_MAX: usize = 64;
/// and of few places this share.
const PEERS_SHARE: usize = 4;

/// A connection on trial that asks for nothing ends after so long.
const TRIAL_MAX: Duration = Duration::from_secs(1);

/// One that was refused ends when there was time to say so.
const FAREWELL: Duration = Duration::from_millis(20);

/// What only peers ask for.
const PEERS_REQUESTS: [&str; 2] = ["/pbkv.v1.Replication/", "/pbkv.v1.ViewService/Ping"];

/// The places of a process.
#[derive(Debug)]
pub struct Places {
    anybody: Arc<Semaphore>,
    peers: Arc<Semaphore>,
    /// Places for anybody.
    pub room: usize,
}

impl Places {
    /// `room` places, a few of them for peers.
    pub fn new(room: usize) -> Self {
        let peers = PEERS_MAX.min(room / PEERS_SHARE);
        let (anybody, peers) = (Semaphore::new(room - peers), Semaphore::new(peers));
        Self { room: anybody.available_permits(), anybody: Arc::new(anybody), peers: Arc::new(peers) }
    }

    /// Places that are free for anybody.
    pub fn free(&self) -> usize {
        self.anybody.available_permits()
    }

    /// Waits for a place.
    pub async fn take(&self) -> Guest {
        let stay = tokio::select! {
            biased;
            place = self.anybody.clone().acquire_owned() => Stay::Admitted(place.expect("it is never closed")),
            place = self.peers.clone().acquire_owned() => Stay::Trial(place.expect("it is never closed")),
        };
        Guest { stay: Arc::new(Mutex::new(stay)), anybody: self.anybody.clone(), came_at: Instant::now() }
    }
}

/// A connection's place, shared with its requests.
#[derive(Clone, Debug)]
pub struct Guest {
    stay: Arc<Mutex<Stay>>,
    anybody: Arc<Semaphore>,
    came_at: Instant,
}

#[derive(Debug)]
enum Stay {
    Admitted(OwnedSemaphorePermit),
    Trial(OwnedSemaphorePermit),
    Refused { _place: OwnedSemaphorePermit, at: Instant },
    Over,
}

impl Guest {
    /// Whether a request may be answered on this connection.
    pub fn admits(&self, is_of_peer: bool) -> bool {
        let mut stay = self.stay();
        let (next, admitted) = match std::mem::replace(&mut *stay, Stay::Over) {
            Stay::Trial(place) if is_of_peer => (Stay::Admitted(place), true),
            Stay::Trial(place) => match self.anybody.clone().try_acquire_owned() {
                Ok(free) => (Stay::Admitted(free), true),
                Err(_) => (Stay::Refused { _place: place, at: Instant::now() }, false),
            },
            Stay::Admitted(place) => (Stay::Admitted(place), true),
            other => (other, false),
        };
        *stay = next;
        admitted
    }

    /// Its connection is there: if it is on trial, that begins now, and ends at once if there is room again.
    pub fn arrive(&mut self) {
        self.came_at = Instant::now();
        let mut stay = self.stay();
        if matches!(*stay, Stay::Trial(_))
            && let Ok(free) = self.anybody.clone().try_acquire_owned()
        {
            *stay = Stay::Admitted(free);
        }
    }

    /// When the connection has to end, whatever it says.
    pub fn ends_at(&self) -> Option<Instant> {
        match *self.stay() {
            Stay::Admitted(_) => None,
            Stay::Trial(_) => Some(self.came_at + TRIAL_MAX),
            Stay::Refused { at, .. } => Some(at + FAREWELL),
            Stay::Over => Some(self.came_at),
        }
    }

    /// The connection is over. Requests may outlive it.
    pub fn leave(&self) {
        *self.stay() = Stay::Over;
    }

    fn stay(&self) -> MutexGuard<'_, Stay> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that answers on connections that have a place, and refuses on the others.
#[derive(Clone, Debug)]
pub struct Guarded<S>(pub S);

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let is_of_peer = PEERS_REQUESTS.iter().any(|peers| path.starts_with(peers));
        let guest = request.extensions().get::<Guest>();
        if guest.is_none_or(|guest| guest.admits(is_of_peer)) {
            return Either::Left(self.0.call(request));
        }
        let why = "this server has no room for more connections; try again after a pause";
        Either::Right(ready(Ok(not_executed(Status::resource_exhausted(why)).into_http())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trial_begins_with_the_connection() {
        let places = Places::new(8);
        let mut clients = Vec::new();
        for _ in 0..places.room {
            clients.push(places.take().await);
        }
        let (mut early, mut lucky) = (places.take().await, places.take().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let came_at = Instant::now();
        early.arrive();
        assert!(early.ends_at().is_some_and(|at| at >= came_at + TRIAL_MAX), "nobody came all the while");
        clients.pop().expect("there are some").leave();
        lucky.arrive();
        assert_eq!(lucky.ends_at(), None, "there is room again");
    }

    #[tokio::test]
    async fn the_last_places_are_for_peers() {
        let places = Places::new(8);
        let mut clients = Vec::new();
        for _ in 0..places.room {
            clients.push(places.take().await);
        }
        assert!(clients.iter().all(|client| client.admits(false) && client.ends_at().is_none()));
        let (late, peer) = (places.take().await, places.take().await);
        assert!(late.ends_at().is_some(), "nobody knows yet for whom it is");
        assert!(!late.admits(false) && !late.admits(true), "refused once, refused for good");
        assert!(peer.admits(true) && peer.ends_at().is_none() && peer.admits(false));
        late.leave();
        let lucky = places.take().await;
        clients.pop().expect("there are some").leave();
        assert!(lucky.admits(false), "a client on trial takes a place that became free");
    }
}
