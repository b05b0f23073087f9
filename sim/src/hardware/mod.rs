//! What a machine stands on, simulated: clocks, disks, files and the network, each with its faults.
//!
//! Nothing in here needs the simulated world, so that `cargo test` tries it without.

pub mod clock;
pub mod disk;
pub mod files;
pub mod network;
