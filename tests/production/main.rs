//! The real binaries, as processes on loopback: sockets, signals and the operating system's scheduler instead
//! of the simulator's. Few runs, but of exactly what is shipped.

mod backup;
mod bad_input;
mod bench;
mod busy;
mod cluster;
mod command_line;
mod connections;
mod data_lost;
mod durability;
mod faults;
mod giving_up;
mod life;
mod listing;
mod logs;
mod lost_record;
mod memory;
mod not_used;
mod printing;
mod proxy;
mod random_faults;
mod readme;
mod saving;
mod signals;
mod statuses;
mod takeover;
mod terminal;
mod together;
mod trust;
mod wrong_pages;
