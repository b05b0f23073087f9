//! A lock service: named locks, each with at most one owner, and a log of grants that survives every crash.
//!
//! ```text
//!  client ───gRPC───► server ───► grants   what a request means (pure)
//!  retries until      one at  └─► log      a record is durable before its answer leaves
//!  its deadline       a time
//! ```
//!
//! In reading order: [`grants`], [`log`], its [`file`](mod@file) and the [`disk`] below, [`server`],
//! [`client`]; the binary has the rest. Server and client run on sockets or in a simulator: one build flag
//! decides which `tokio` and `tonic` they get.
//!
//! # Requests that arrive twice, or late
//!
//! A client that gets no answer sends its request again, and the network may deliver the first copy a minute
//! later. So a change names the *version* of the lock that it changes, and versions only grow: the copy finds
//! another version and changes nothing. A retry finds another version, too, if only its answer was lost.
//! [`Grants::acquire`](grants::Grants::acquire) then sees that the caller holds the lock and grants it again.
//!
//! Left out: leases (an owner that disappears keeps its locks), waiting in a queue, two calls of one owner at
//! the same time (both may be told that they released), a log that is ever shortened, and more than one
//! record in a write.

pub mod client;
pub mod disk;
pub mod file;
pub mod grants;
pub mod log;
pub mod server;

#[allow(missing_docs)]
pub mod wire {
    //! Generated from `proto/`.
    tonic::include_proto!("lock.v1");
}
