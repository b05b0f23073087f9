//! What a call waits for, for those who wait with it.

use std::sync::{Arc, Mutex};

/// What a call that goes on trying waits for.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Option<String>>>);

impl Waiting {
    /// What was seen last; nothing while no attempt has failed.
    pub fn why(&self) -> Option<String> {
        self.0.lock().expect("no panic while it is held").clone()
    }

    pub(super) fn note(&self, why: Option<String>) {
        *self.0.lock().expect("no panic while it is held") = why;
    }
}
