//! The protocol as it is: two machines, stepped by hand, without network, disk or clock.
//!
//! * [`scripts`]: situations told as golden scripts, one claim a file, under `tests/scripts`;
//! * [`state`]: what applying an entry does;
//! * [`properties`]: random sequences of choices, which must break no promise.
//!
//! Both make things happen to the same [`cluster`] with the same [`command`]s.

mod choices;
mod clients;
mod cluster;
mod command;
mod coverage;
mod describe;
mod network;
mod nodes;
mod properties;
mod scripts;
mod state;
