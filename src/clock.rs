//! A node's own time, behind an interface: leases and time-outs trust one clock, and a test of them must
//! be able to make that clock wrong.

use std::{future::Future, time::Duration};

/// A node's monotonic clock.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Time since some fixed start. Never goes back.
    fn now(&self) -> Duration;

    /// Completes once [`Self::now`] has reached `at`, not before.
    fn sleep_until(&self, at: Duration) -> impl Future<Output = ()> + Send;

    /// Lets everything else have its turn, by a task that has more to do at once. Where time passes only
    /// while all tasks wait, some has to pass here.
    fn give_way(&self) -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }
}

/// The operating system's clock, which on Linux also counts the time the machine was suspended: a lease
/// must not survive a closed lid. Sleeping relies on the runtime's timer, which may wake late after a
/// suspend but never early.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(target_os = "linux")]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        let now = rustix::time::clock_gettime(CLOCK);
        let seconds = u64::try_from(now.tv_sec).expect("this clock starts at 0");
        let nanoseconds = u32::try_from(now.tv_nsec).expect("less than a second");
        Duration::new(seconds, nanoseconds)
    }

    async fn sleep_until(&self, at: Duration) {
        while let Some(rest) = at.checked_sub(self.now()).filter(|rest| !rest.is_zero()) {
            tokio::time::sleep(rest).await;
        }
    }
}

/// What `future` resolves to, or nothing if the clock reaches `at` first.
pub async fn before<C: Clock, F: Future>(clock: &C, at: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep_until(at) => None,
    }
}
