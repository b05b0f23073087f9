//! The drive below a node's disk or folder: it works, it only waits, or it fails.
//!
//! A drive that *stalls* lets nothing become durable until that is over, and says nothing: whatever is
//! written or synced waits, also what was under way when it began. (A crash meanwhile keeps a part of it, as
//! of any write.) A drive that *fails* does so once: a write ends with an error, after which it is unknown
//! what of it is durable, and the process has to end, as in production. It finds a drive that works when it
//! is started again.
//!
//! Left out: a sync that reports an error, and after it another one that reports success although nothing was
//! done.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::report::screen::counted;

/// What a drive that fails says.
const FAILURE: io::ErrorKind = io::ErrorKind::StorageFull;

/// Whether it was a drive that failed.
pub fn is_failure(error: &io::Error) -> bool {
    error.kind() == FAILURE
}

#[derive(Debug, Default)]
struct State {
    /// Stalls under way.
    stalls: u32,
    /// So many more writes or syncs succeed, and the next one fails.
    fails_after: Option<u64>,
    /// It failed, and its process has not been seen to yet.
    has_failed: bool,
}

/// A drive.
#[derive(Debug, Default)]
pub struct Drive {
    state: Mutex<State>,
    works: Notify,
}

impl Drive {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stall begins.
    pub fn stall(&self) {
        self.state().stalls += 1;
    }

    /// A stall is over.
    pub fn go_on(&self) {
        let mut state = self.state();
        state.stalls = state.stalls.saturating_sub(1);
        if state.stalls == 0 {
            drop(state);
            self.works.notify_waiters();
        }
    }

    /// Whether a stall is under way.
    pub fn is_stalled(&self) -> bool {
        self.state().stalls > 0
    }

    /// After this many more writes or syncs the next one fails; none, if absent.
    pub fn fails_after(&self, more: Option<u64>) {
        self.state().fails_after = more;
    }

    /// Whether it failed since the last time that was asked.
    pub fn take_failure(&self) -> bool {
        std::mem::take(&mut self.state().has_failed)
    }

    /// Whether it failed, and that was not asked for yet.
    pub fn has_failed(&self) -> bool {
        self.state().has_failed
    }

    /// What is wrong with it, or will be, as lines.
    pub fn standing(&self) -> Vec<String> {
        let State { stalls, fails_after, has_failed } = &*self.state();
        let stalls = (*stalls > 0).then(|| "its drive stalls: what is written or synced waits".to_owned());
        let fails = fails_after.map(|more| match more {
            0 => "its drive fails with the next write or sync".to_owned(),
            more => format!(
                "its drive fails after {}",
                counted(more, "more write or sync", "more writes or syncs")
            ),
        });
        let failed = has_failed.then(|| "its drive has failed".to_owned());
        [stalls, fails, failed].into_iter().flatten().collect()
    }

    /// It does not fail any more, nor does it stall.
    pub fn is_repaired(&self) {
        *self.state() = State::default();
        self.works.notify_waiters();
    }

    /// Waits until no stall is under way. What waits is written then, or fails.
    ///
    /// # Errors
    ///
    /// If the drive fails.
    pub async fn write(&self) -> io::Result<()> {
        loop {
            let works = self.works.notified();
            if !self.is_stalled() {
                break;
            }
            works.await;
        }
        let mut state = self.state();
        match &mut state.fails_after {
            None => Ok(()),
            Some(0) => {
                state.fails_after = None;
                state.has_failed = true;
                Err(io::Error::new(FAILURE, "the drive fails"))
            }
            Some(more) => {
                *more -= 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_written_waits_for_the_last_of_the_stalls() {
        let drive = Drive::default();
        assert!(drive.write().now_or_never().is_some_and(|written| written.is_ok()));
        drive.stall();
        drive.stall();
        let mut write = Box::pin(drive.write());
        drive.go_on();
        assert!((&mut write).now_or_never().is_none(), "one stall is left");
        drive.go_on();
        assert!(write.now_or_never().is_some_and(|written| written.is_ok()));
        drive.stall();
        let mut write = Box::pin(drive.write());
        assert!((&mut write).now_or_never().is_none());
        drive.is_repaired();
        assert!(write.now_or_never().is_some_and(|written| written.is_ok()));
    }

    #[test]
    fn a_drive_fails_once() {
        let drive = Drive::default();
        drive.fails_after(Some(1));
        let succeeds = || drive.write().now_or_never().expect("it does not stall").is_ok();
        assert_eq!([succeeds(), drive.take_failure(), succeeds(), succeeds()], [true, false, false, true]);
        assert_eq!([drive.take_failure(), drive.take_failure()], [true, false]);
    }
}
