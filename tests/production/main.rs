//! The real binaries, as processes on loopback: sockets, signals and the operating system's scheduler instead of the
//! simulator's. Few runs, but of exactly what is shipped.

mod bad_input;
mod cluster;
mod faults;
mod life;
