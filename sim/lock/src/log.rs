//! The log of grants: what the server needs of a disk, real or simulated.

use std::{future::Future, io};

use crate::grants::Record;

/// An append-only log.
pub trait Log: Send + 'static {
    /// All records in the order in which they were appended, durable on return. Called once, at the start.
    ///
    /// The last append before a crash may be missing if it never returned.
    fn load(&mut self) -> impl Future<Output = io::Result<Vec<Record>>> + Send;

    /// Appends a record; durable on return. After an error nothing is known about it, and the server stops:
    /// a disk that failed to sync once can report success the next time without having written anything.
    fn append(&mut self, record: &Record) -> impl Future<Output = io::Result<()>> + Send;
}
