//! Where a protocol machine's memory is made to last.
//!
//! A machine says what changes ([`crate::protocol::log::Write`] for a replica, a whole
//! [`crate::protocol::view::Record`] for the view service); a storage makes the changes durable, in order.
//! What a storage found when it was opened is handed to the machine by whoever starts it.
//!
//! In a [`folder`], real or simulated, [`record_file`] keeps the view service's record, and [`journal`] what
//! a KV server remembers. A server without a folder remembers nothing and is a stranger after every restart.

pub mod folder;
pub mod journal;
pub mod record_file;

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Durable memory of one machine.
pub trait Storage: Send + 'static {
    /// One change.
    type Write: Send + 'static;

    /// Makes the changes durable, in order; they are when it returns. After an error nothing is known about
    /// what is durable, and the server must stop.
    fn persist(&mut self, writes: Vec<Self::Write>) -> impl Future<Output = io::Result<()>> + Send;

    /// Does what is to be done between two writes and nobody waits for. As for [`persist`](Self::persist)
    /// after an error.
    fn keep_up(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        async { Ok(()) }
    }

    /// How far a write has come that is under way.
    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// Counts the steps of what may take long: as long as it grows, something is done.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// One more step is done.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many steps were done.
    pub fn steps(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// None remembers nothing: every start is the first.
impl<S: Storage> Storage for Option<S> {
    type Write = S::Write;

    async fn persist(&mut self, writes: Vec<S::Write>) -> io::Result<()> {
        match self {
            Some(storage) => storage.persist(writes).await,
            None => Ok(()),
        }
    }

    async fn keep_up(&mut self) -> io::Result<()> {
        match self {
            Some(storage) => storage.keep_up().await,
            None => Ok(()),
        }
    }

    fn progress(&self) -> Progress {
        self.as_ref().map(S::progress).unwrap_or_default()
    }
}
