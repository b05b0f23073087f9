//! Clients at work: first they fill the store, then they are measured.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future;
use pbkv::{
    client::ClientError,
    clock::{Clock, SystemClock},
};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::watch;

use super::{
    load::{Load, Operation},
    pace::Pace,
    tally::{Asked, Tally},
    target::Target,
};

/// How long a client waits after an error in a closed loop. A store that refuses connections fails at once,
/// and would be asked again without a pause.
const FAILED_PAUSE: Duration = Duration::from_millis(100);

/// A client and what it draws from.
pub struct Worker<T> {
    target: T,
    rng: StdRng,
}

impl<T: Target> Worker<T> {
    pub fn new(target: T, seed: u64, number: u64) -> Self {
        Self { target, rng: StdRng::seed_from_u64(seed ^ number.rotate_right(16)) }
    }
}

/// Puts every key once. Returns the clients, for what is measured then.
///
/// # Errors
///
/// The first one, if a key cannot be put; and in words, if a client ended early.
pub async fn fill<T: Target>(
    workers: Vec<Worker<T>>,
    load: &Arc<Load>,
    filled: &Arc<AtomicU64>,
) -> Result<Result<Vec<Worker<T>>, ClientError>, String> {
    let taken = Arc::new(AtomicU64::new(0));
    let fills = workers.into_iter().map(|mut worker| {
        let (load, filled, taken) = (load.clone(), filled.clone(), taken.clone());
        tokio::spawn(async move {
            loop {
                let number = taken.fetch_add(1, Ordering::Relaxed);
                if number >= load.keys() {
                    return Ok(worker);
                }
                let (key, value) = load.first(number, &mut worker.rng);
                if let Err(error) = worker.target.put(key, value).await {
                    taken.store(load.keys(), Ordering::Relaxed); // the others need not go on
                    return Err(error);
                }
                filled.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let filled = future::try_join_all(fills).await.map_err(ended_early)?;
    Ok(filled.into_iter().collect())
}

/// What clients share while they are measured.
pub struct Measurement {
    load: Arc<Load>,
    pace: Pace,
    tally: Mutex<Tally>,
    until: Duration,
    /// Ends it early, for all clients: what is being asked is still waited for.
    stop: watch::Sender<bool>,
}

impl Measurement {
    /// Begins now.
    pub fn new(load: Arc<Load>, rate: Option<u64>, warmup: Duration, time: Duration) -> Self {
        let begins = SystemClock.now(); // what the set-up took is not the store's time
        let until = begins + warmup + time;
        let tally = Mutex::new(Tally::new(begins + warmup, until));
        Self { load, pace: Pace::new(begins, rate), tally, until, stop: watch::Sender::new(false) }
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no client panicked")
    }

    /// Lets no more operations begin.
    pub fn stop(&self) {
        self.tally().end(SystemClock.now());
        self.stop.send_replace(true);
    }

    /// How many operations were due and not sent.
    pub fn unsent(&self) -> u64 {
        self.pace.waiting()
    }

    /// Lets the clients work until the time is over.
    ///
    /// # Errors
    ///
    /// In words, if a client ended early.
    pub async fn run<T: Target>(self: &Arc<Self>, workers: Vec<Worker<T>>) -> Result<(), String> {
        let paced = self.clone();
        let pacer = tokio::task::spawn_blocking(move || {
            let stopped = paced.stop.subscribe();
            paced.pace.run(paced.until, || *stopped.borrow());
        });
        let works = workers.into_iter().map(|worker| tokio::spawn(self.clone().work(worker)));
        future::try_join_all(works).await.map_err(ended_early)?;
        pacer.await.map_err(ended_early)
    }

    async fn work<T: Target>(self: Arc<Self>, mut worker: Worker<T>) {
        let mut stopped = self.stop.subscribe();
        while let Some(due) = self.next(&mut stopped).await {
            let (asked, came_to) = match self.load.next(&mut worker.rng) {
                Operation::Get(key) => (Asked::Read, worker.target.get(key).await),
                Operation::Put(key, value) => {
                    (Asked::Update, worker.target.put(key, value).await.map(|()| true))
                }
            };
            let now = SystemClock.now(); // before it waits for the others to note theirs
            let is_failed = came_to.is_err();
            let is_last = {
                let mut tally = self.tally();
                tally.note(asked, due, now, came_to);
                tally.ended_by().is_some()
            };
            if is_last {
                self.stop();
            } else if is_failed && !self.pace.is_open() {
                SystemClock.sleep_until(self.until.min(now + FAILED_PAUSE)).await;
            }
        }
        if !*stopped.borrow() {
            worker.target.close().await;
        }
    }

    /// When the next operation is due, at that time or as soon as there is a client; none if it is over.
    async fn next(&self, stopped: &mut watch::Receiver<bool>) -> Option<Duration> {
        if *stopped.borrow() || SystemClock.now() >= self.until {
            return None;
        }
        if !self.pace.is_open() {
            return Some(self.pace.next().await);
        }
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => None,
            due = self.pace.next() => Some(due),
            () = SystemClock.sleep_until(self.until) => None,
        }
    }
}

fn ended_early(error: impl std::fmt::Display) -> String {
    format!("a client ended early: {error}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::Value as Json;

    use super::*;

    /// A store that answers at once, but for one time in which it does not answer at all.
    #[derive(Clone, Copy)]
    struct Stalls {
        from: Duration,
        until: Duration,
    }

    impl Target for Stalls {
        async fn get(&mut self, _key: Bytes) -> Result<bool, ClientError> {
            if SystemClock.now() >= self.from {
                SystemClock.sleep_until(self.until).await;
            }
            Ok(true)
        }

        async fn put(&mut self, _key: Bytes, _value: Bytes) -> Result<(), ClientError> {
            unreachable!("everything is read")
        }
    }

    const TIME: Duration = Duration::from_millis(1000);

    /// What is told of a store that stalls for this part of the time, asked by two clients.
    fn measured(rate: Option<u64>, from: f64, until: f64) -> (Json, u64) {
        let measured = async {
            let load = Load::new(1, None, 1.0, 0, &mut StdRng::seed_from_u64(0));
            let measurement = Arc::new(Measurement::new(load.into(), rate, Duration::ZERO, TIME));
            let begins = SystemClock.now();
            let target = Stalls { from: begins + TIME.mul_f64(from), until: begins + TIME.mul_f64(until) };
            let workers = (0..2).map(|number| Worker::new(target, 0, number)).collect();
            measurement.run(workers).await.expect("no client panics");
            (measurement.tally().json(), measurement.unsent())
        };
        pbkv::process::block_on(measured).expect("threads")
    }

    /// A store that fails at once.
    struct Refuses;

    impl Target for Refuses {
        async fn get(&mut self, _key: Bytes) -> Result<bool, ClientError> {
            Err(ClientError::NotExecuted { why: "refused".into() })
        }

        async fn put(&mut self, _key: Bytes, _value: Bytes) -> Result<(), ClientError> {
            unreachable!("everything is read")
        }
    }

    #[test]
    fn a_store_that_fails_at_once_is_not_asked_without_a_pause() {
        let failed = async {
            let load = Load::new(1, None, 1.0, 0, &mut StdRng::seed_from_u64(0));
            let time = 3 * FAILED_PAUSE;
            let measurement = Arc::new(Measurement::new(load.into(), None, Duration::ZERO, time));
            let workers = (0..2).map(|number| Worker::new(Refuses, 0, number)).collect();
            measurement.run(workers).await.expect("no client panics");
            measurement.tally().so_far().1
        };
        let failed = pbkv::process::block_on(failed).expect("threads");
        assert!((2..=6).contains(&failed), "{failed}");
    }

    fn p50(told: &Json) -> f64 {
        told["reads"]["latency_ms"]["p50"].as_f64().expect("there were reads")
    }

    #[test]
    fn a_server_that_stalls_shows_in_the_latency_of_all_that_was_due_meanwhile() {
        // Four fifths of all operations are due while it stalls: half of all wait for 300 ms at least.
        let (told, unsent) = measured(Some(1000), 0.1, 0.9);
        assert!(p50(&told) > 250.0, "{told}");
        let ok = told["reads"]["ok"].as_u64().expect("a number");
        assert_eq!(ok + unsent, 1000, "each is answered or told as not sent: {told}");

        // In a closed loop two operations see it, and the others do not.
        let (told, unsent) = measured(None, 0.1, 0.9);
        assert!(p50(&told) < 100.0 && unsent == 0, "{told}");
    }

    #[test]
    fn operations_that_no_client_was_free_for_are_told() {
        let (told, unsent) = measured(Some(1000), 0.2, 1.1);
        let ok = told["reads"]["ok"].as_u64().expect("a number");
        assert_eq!(ok + unsent, 1000, "{told}");
        assert!(unsent >= 700, "{unsent}");
    }
}
