//! A fault-tolerant primary-backup key-value store that is also a deterministic simulation testbed.
//!
//! ```text
//!              events                                effects
//!  gRPC    ─────────────►  protocol machines  ─────────────►  gRPC, disk, timers
//!  disk, timers            (pure)                             answers to callers
//! ```
//!
//! A *view service* decides who is primary and who is backup. The *primary* orders operations and answers
//! when every in-sync *backup* holds them. A *client* finds the primary and fails over by itself. All
//! decisions are taken in [`protocol`], which can neither wait nor act; everything else carries them out. So
//! the same code runs on sockets, inside a seeded simulator, and in tests that drive the machines alone.
//!
//! In reading order:
//!
//! * [`protocol`]: the rules in prose, then the two machines. Imports nothing but data structures.
//! * [`server`]: one task owns each machine, performs its effects and answers callers. Decides nothing.
//! * [`storage`]: durable memory behind a small interface.
//! * [`proto`] and [`wire`]: conversions between the protocol's types and the generated ones, which stop
//!   there.
//! * [`client`]: the client library.
//! * [`channel`] and [`clock`]: connections and time, for servers and clients alike.
//! * [`options`] and [`process`]: limits, and what the programs share (addresses, logs, signals).
//!
//! `bin` uses `client`, `server` and `process`; these use `channel`, `clock`, `proto`, `storage` and
//! `options`; all use `protocol`. `client` and `server` do not know each other. Nothing in here knows the
//! simulator: which world it runs in is decided by the renamed dependencies in `Cargo.toml` (`tokio`,
//! `tonic`) and one build flag.

pub mod channel;
pub mod client;
pub mod clock;
pub mod options;
pub mod process;
pub mod proto;
pub mod protocol;
pub mod server;
pub mod storage;

#[allow(missing_docs)]
pub mod wire {
    //! Generated from `proto/`.
    tonic::include_proto!("pbkv.v1");
}
