//! Where a protocol machine's memory is made to last.
//!
//! A machine says what changes ([`crate::protocol::log::Write`] for a replica, a whole
//! [`crate::protocol::view::Record`] for the view service); a storage makes the changes durable, in order.
//! What a storage found when it was opened is handed to the machine by whoever starts it.
//!
//! In a [`folder`], real or simulated, [`record_file`] keeps the view service's record, and [`journal`] what
//! a KV server remembers. A server without a folder remembers nothing ([`Volatile`]) and is a stranger after
//! every restart.

pub mod folder;
pub mod journal;
pub mod record_file;

use std::{future::Future, io, marker::PhantomData};

/// Durable memory of one machine.
pub trait Storage: Send + 'static {
    /// One change.
    type Write: Send + 'static;

    /// Makes the changes durable, in order; they are when it returns. After an error nothing is known about
    /// what is durable, and the server must stop.
    fn persist(&mut self, writes: Vec<Self::Write>) -> impl Future<Output = io::Result<()>> + Send;
}

/// Remembers nothing: every start is the first.
#[derive(Clone, Copy, Debug)]
pub struct Volatile<W>(PhantomData<fn(W)>);

impl<W> Volatile<W> {
    /// A memory that ends with the process.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W> Default for Volatile<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Send + 'static> Storage for Volatile<W> {
    type Write = W;

    async fn persist(&mut self, _writes: Vec<W>) -> io::Result<()> {
        Ok(())
    }
}
