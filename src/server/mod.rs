//! The shell around the protocol: one task owns each machine, steps it and performs its effects; gRPC
//! services turn requests into events and wait for the answer.
//!
//! ```text
//!  gRPC handlers ──┐                                         ┌──► streams to the other replicas
//!  ping replies ───┼─► bounded inbox ─► driver ── machine ───┼──► storage, one write at a time
//!  acknowledgements┘        (one task)                       ├──► pings to the view service
//!                                                            └──► waiting handlers, the log
//! ```
//!
//! The protocol never runs inside a handler, because a handler is dropped when its caller gives up. The shell
//! decides nothing that the protocol decides; what is decided here is only when to give up on the network.
//!
//! * [`driver`]: the task, the same for both machines
//! * [`kv`], [`view`]: the two servers
//! * `calls`: many calls of a client over one stream
//! * `link`, `contact`: connections to other replicas and to the view service
//! * `notices`: what the log says of a replica
//! * `probe`: the view service's probes of the servers

mod calls;
mod contact;
pub mod driver;
pub mod kv;
mod link;
mod notices;
mod probe;
mod terms;
mod tickets;
pub mod view;

use std::io;

/// Why a server stopped on its own.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// What must be durable could not be written. Going on would break promises already made.
    #[error("the disk failed, the server has to stop: {0}")]
    Storage(#[from] io::Error),
    /// The protocol found itself in a state that cannot be. A bug.
    #[error("the protocol's task ended: {0}")]
    Stopped(String),
}
