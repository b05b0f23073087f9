//! The real binaries, as processes on loopback: sockets, signals and the operating system's scheduler instead
//! of the simulator's. Few runs, but of exactly what is shipped.

mod bad_input;
mod busy;
mod cluster;
mod connections;
mod faults;
mod giving_up;
mod life;
mod listing;
mod lost_record;
mod memory;
mod proxy;
mod random_faults;
mod statuses;
mod takeover;
mod trust;
