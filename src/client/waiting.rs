//! What a call waits for, for those who wait with it, and whether an update of it may take effect, for those
//! who end before it does.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// What a call that goes on trying waits for, until when, and whether it was sent.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    why: Option<String>,
    until: Duration,
    /// An update was sent, and it is not proved that it has no effect.
    doubt: bool,
    /// No update may be sent any more.
    is_stopped: bool,
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

    /// Whether an update of the latest call was sent, and may have taken effect or may still do so.
    pub fn is_in_doubt(&self) -> bool {
        self.state().doubt
    }

    /// For a caller that has told how its latest call ended: nothing is in doubt any more.
    pub fn settle(&self) {
        self.state().doubt = false;
    }

    /// For a process that ends at once: no update is sent from now on. Says whether one is in doubt.
    pub fn stop(&self) -> bool {
        let mut state = self.state();
        state.is_stopped = true;
        state.doubt
    }

    /// What is known between two attempts.
    pub(super) fn doubts(&self, doubt: bool) {
        self.state().doubt = doubt;
    }

    /// An update is about to be sent, if it may be.
    pub(super) fn sends(&self) -> bool {
        let mut state = self.state();
        state.doubt |= !state.is_stopped;
        !state.is_stopped
    }

    pub(super) fn note(&self, why: Option<String>) {
        self.state().why = why;
    }

    pub(super) fn begin(&self, until: Duration) {
        let mut state = self.state();
        *state = State { why: None, until, doubt: false, is_stopped: state.is_stopped };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }
}
