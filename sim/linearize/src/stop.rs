//! Ending a check before its budget does: by the clock, or from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::verdict::{Limit, Options};

/// A flag that ends a check, and how far its search came, for another thread to look at.
///
/// Clones are the same flag. One flag may serve several checks, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    configurations: AtomicU64,
    keys: AtomicUsize,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the check soon, with [`crate::Verdict::Undecided`] unless it knows better by then.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Configurations that searches have visited so far, in all checks, to a few thousand.
    pub fn configurations(&self) -> u64 {
        self.0.configurations.load(Ordering::Relaxed)
    }

    /// Independent objects that are being searched.
    pub fn keys(&self) -> usize {
        self.0.keys.load(Ordering::Relaxed)
    }
}

impl PartialEq for Cancel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cancel {}

/// What may end a search early.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    deadline: Option<Instant>,
    cancel: Option<Cancel>,
}

impl Stop {
    pub(crate) fn of(options: &Options) -> Self {
        Stop { deadline: options.deadline, cancel: options.cancel.clone() }
    }

    /// What ends the search now, if anything.
    pub(crate) fn reached(&self) -> Option<Limit> {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Some(Limit::Cancelled);
        }
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(Limit::Deadline)
    }

    /// Counts configurations for whoever looks.
    pub(crate) fn count(&self, configurations: u64) {
        if let Some(Cancel(shared)) = &self.cancel {
            shared.configurations.fetch_add(configurations, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_keys(&self, keys: usize) {
        if let Some(Cancel(shared)) = &self.cancel {
            shared.keys.store(keys, Ordering::Relaxed);
        }
    }
}
