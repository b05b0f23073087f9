//! When operations are due.
//!
//! *Closed loop*: a client asks again when it has its answer. A server that stalls is asked less, and few
//! operations see it. *Open loop*: operations are due at a rate, whatever the server does, and wait for a
//! client. Their latency counts from when they were due, so that all of them see a server that stalls.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use pbkv::clock::{Clock, SystemClock};
use tokio::sync::Semaphore;

/// How long the pacer sleeps at most, so that it hears that it is to end.
const NAP_MAX: Duration = Duration::from_millis(50);
const SECOND_NANOSECONDS: u128 = 1_000_000_000;

/// When operations are due, for all clients.
#[derive(Debug)]
pub struct Pace {
    begins: Duration,
    /// Operations a second; none in a closed loop.
    rate: Option<u64>,
    /// Operations that are due and that no client has taken yet.
    due: Semaphore,
    taken: AtomicU64,
}

impl Pace {
    pub fn new(begins: Duration, rate: Option<u64>) -> Self {
        Self { begins, rate, due: Semaphore::new(0), taken: AtomicU64::new(0) }
    }

    /// Waits until an operation is due, and says when it was. Without a rate, one always is.
    pub async fn next(&self) -> Duration {
        let Some(rate) = self.rate else { return SystemClock.now() };
        self.due.acquire().await.expect("it is never closed").forget();
        self.at(rate, self.taken.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether a client has to wait for an operation.
    pub fn is_open(&self) -> bool {
        self.rate.is_some()
    }

    /// How many operations were due and not taken.
    pub fn waiting(&self) -> u64 {
        self.due.available_permits() as u64
    }

    /// Lets operations be due until `until`, or until it is to end. It blocks: timers of the runtime are a
    /// millisecond late, which would count as the server's.
    pub fn run(&self, until: Duration, is_ended: impl Fn() -> bool) {
        let Some(rate) = self.rate else { return };
        let mut released = 0;
        while !is_ended() {
            let now = SystemClock.now();
            let due = self.due_before(rate, now.min(until));
            self.due.add_permits(usize::try_from(due - released).expect("a rate times a time is no more"));
            released = due;
            if now >= until {
                return;
            }
            let nap = self.at(rate, released).min(until).saturating_sub(now).min(NAP_MAX);
            // rules: allow thread: it runs on a thread that may block
            std::thread::sleep(nap);
        }
    }

    /// How many operations are due before this time.
    fn due_before(&self, rate: u64, at: Duration) -> u64 {
        let since = at.saturating_sub(self.begins).as_nanos();
        u64::try_from((since * u128::from(rate)).div_ceil(SECOND_NANOSECONDS)).unwrap_or(u64::MAX)
    }

    /// When an operation is due.
    fn at(&self, rate: u64, number: u64) -> Duration {
        let nanoseconds = u128::from(number) * SECOND_NANOSECONDS / u128::from(rate);
        self.begins.saturating_add(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_due_at_the_rate() {
        let begins = Duration::from_secs(7);
        for rate in [1, 3, 1000, 7_000_000] {
            let pace = Pace::new(begins, Some(rate));
            assert_eq!(pace.due_before(rate, begins), 0);
            assert_eq!(pace.due_before(rate, begins + Duration::from_secs(2)), 2 * rate);
            for number in [0, 1, 2, 10, 12_345] {
                let at = pace.at(rate, number);
                assert_eq!(pace.due_before(rate, at + Duration::from_nanos(1)), number + 1, "{rate}");
            }
        }
    }
}
