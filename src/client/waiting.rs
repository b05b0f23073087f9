//! What a call waits for, for those who wait with it.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// What a call that goes on trying waits for, and until when.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    why: Option<String>,
    until: Duration,
}

impl Waiting {
    /// What was seen last; nothing while no attempt has failed.
    pub fn why(&self) -> Option<String> {
        self.state().why.clone()
    }

    /// The deadline of the latest call, on the client's clock.
    pub fn until(&self) -> Duration {
        self.state().until
    }

    pub(super) fn note(&self, why: Option<String>) {
        self.state().why = why;
    }

    pub(super) fn begin(&self, until: Duration) {
        *self.state() = State { why: None, until };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}
