//! The drive below a node's disk or folder: it works, it only waits, or it fails.
//!
//! A drive that *stalls* lets nothing become durable until that is over, and says nothing: whatever is
//! written or synced waits, also what was under way when it began. (A crash meanwhile keeps a part of it, as
//! of any write.) A drive that *fails* does so once: a sync or a write ends with an error, after which it is
//! unknown what of it was done; or any other access does, and nothing is done. The process has to end, as in
//! production. It finds a drive that works
//! when it is started again; but what a folder was to sync and did not is not written by later syncs
//! ([`crate::hardware::files`]).

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

pub use crate::data::fault::DriveAccess as Access;
use crate::{data::fault::DriveFailure, report::screen::counted};

/// The number of the error that Unix calls EIO, "input/output error".
const INPUT_OUTPUT: i32 = 5;

/// What a drive says that fails so.
fn kind_of(failure: DriveFailure) -> io::ErrorKind {
    match failure {
        DriveFailure::Full => io::ErrorKind::StorageFull,
        // It has no name in the standard library.
        DriveFailure::Sync | DriveFailure::Write | DriveFailure::Access => {
            io::Error::from_raw_os_error(INPUT_OUTPUT).kind()
        }
    }
}

/// Whether it was a drive that failed.
pub fn is_failure(error: &io::Error) -> bool {
    DriveFailure::ALL.map(kind_of).contains(&error.kind())
}

#[derive(Debug, Default)]
struct State {
    /// Stalls under way.
    stalls: u32,
    /// So many more accesses that this strikes succeed, and the next one fails.
    fails_after: Option<(DriveFailure, u64)>,
    /// At what it failed, if its process has not been seen to yet.
    failed_at: Option<Access>,
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

    /// After this many more accesses that this strikes the next one fails; none, if absent.
    pub fn fails_after(&self, failure: Option<(DriveFailure, u64)>) {
        self.state().fails_after = failure;
    }

    /// At what it failed since the last time that was asked, if it did.
    pub fn take_failure(&self) -> Option<Access> {
        self.state().failed_at.take()
    }

    /// Whether it failed, and that was not asked for yet.
    pub fn has_failed(&self) -> bool {
        self.state().failed_at.is_some()
    }

    /// What is wrong with it, or will be, as lines.
    pub fn standing(&self) -> Vec<String> {
        let State { stalls, fails_after, failed_at } = &*self.state();
        let stalls = (*stalls > 0).then(|| "its drive stalls: what is written or synced waits".to_owned());
        let fails = fails_after.map(|(failure, more)| {
            let (one, many) = match failure {
                DriveFailure::Sync => ("sync", "syncs"),
                DriveFailure::Write | DriveFailure::Full => ("write", "writes"),
                DriveFailure::Access => ("access but writes and syncs", "accesses but writes and syncs"),
            };
            match more {
                0 => format!("its drive fails with the next {one}"),
                more => format!(
                    "its drive fails after {}",
                    counted(more, &format!("more {one}"), &format!("more {many}"))
                ),
            }
        });
        let failed = failed_at.map(|_| "its drive has failed".to_owned());
        [stalls, fails, failed].into_iter().flatten().collect()
    }

    /// It does not fail any more, nor does it stall.
    pub fn is_repaired(&self) {
        *self.state() = State::default();
        self.works.notify_waiters();
    }

    /// Waits until no stall is under way. What waits is done then, or fails.
    ///
    /// # Errors
    ///
    /// If the drive fails.
    pub async fn access(&self, access: Access) -> io::Result<()> {
        loop {
            let works = self.works.notified();
            if !self.is_stalled() {
                break;
            }
            works.await;
        }
        self.access_at_once(access)
    }

    /// The same, whether a stall is under way or not.
    ///
    /// # Errors
    ///
    /// If the drive fails.
    pub fn access_at_once(&self, access: Access) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.fails_after {
            Some((failure, more)) if access.is_struck_by(*failure) => {
                if *more > 0 {
                    *more -= 1;
                    return Ok(());
                }
                let kind = kind_of(*failure);
                state.fails_after = None;
                state.failed_at = Some(access);
                Err(io::Error::new(kind, "the drive fails"))
            }
            _ => Ok(()),
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
        assert!(drive.access(Access::WriteAndSync).now_or_never().is_some_and(|written| written.is_ok()));
        drive.stall();
        drive.stall();
        let mut write = Box::pin(drive.access(Access::WriteAndSync));
        drive.go_on();
        assert!((&mut write).now_or_never().is_none(), "one stall is left");
        drive.go_on();
        assert!(write.now_or_never().is_some_and(|written| written.is_ok()));
        drive.stall();
        let mut write = Box::pin(drive.access(Access::WriteAndSync));
        assert!((&mut write).now_or_never().is_none());
        drive.is_repaired();
        assert!(write.now_or_never().is_some_and(|written| written.is_ok()));
    }

    #[test]
    fn a_drive_fails_once() {
        let drive = Drive::default();
        drive.fails_after(Some((DriveFailure::Sync, 1)));
        let succeeds =
            || drive.access(Access::WriteAndSync).now_or_never().expect("it does not stall").is_ok();
        assert!(succeeds() && drive.take_failure().is_none());
        assert_eq!([succeeds(), succeeds()], [false, true]);
        assert_eq!([drive.take_failure(), drive.take_failure()], [Some(Access::WriteAndSync), None]);
    }
    #[test]
    fn a_failure_strikes_what_it_is_about_and_is_told_from_other_errors() {
        for (failure, strikes, spares) in [
            (DriveFailure::Sync, Access::Sync, Access::Write),
            (DriveFailure::Write, Access::Write, Access::Sync),
            (DriveFailure::Full, Access::Write, Access::Sync),
            (DriveFailure::Access, Access::Read, Access::Write),
            (DriveFailure::Access, Access::Rename, Access::Sync),
            (DriveFailure::Access, Access::Remove, Access::Write),
            (DriveFailure::Access, Access::Truncate, Access::Sync),
        ] {
            let drive = Drive::default();
            drive.fails_after(Some((failure, 0)));
            assert!(drive.access_at_once(spares).is_ok(), "{failure:?}");
            let error = drive.access_at_once(strikes).expect_err("it is struck");
            assert!(is_failure(&error), "{failure:?}");
            assert_eq!(drive.take_failure(), Some(strikes));
            assert_eq!(error.kind() == io::ErrorKind::StorageFull, failure == DriveFailure::Full);
            let retold = io::Error::new(error.kind(), format!("cannot write: {error}"));
            assert!(is_failure(&retold), "{failure:?}");
        }
        assert!(!is_failure(&io::Error::other("this process is dead")));
        assert!(!is_failure(&io::ErrorKind::NotFound.into()));
        assert!(!is_failure(&io::ErrorKind::InvalidData.into()));
    }
}
