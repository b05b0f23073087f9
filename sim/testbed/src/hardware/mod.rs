//! What a machine stands on, simulated: clocks, disks, files and the network, each with its faults.
//!
//! Only the adapters behind `cfg(madsim)` need the simulated world; the rest is tried by `cargo test`
//! without.

pub mod clock;
pub mod copies;
pub mod disk;
pub mod files;
pub mod network;
