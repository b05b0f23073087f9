//! The protocol as it is: two machines, stepped by hand, without network, disk or clock.
//!
//! * [`scripts`]: situations told as golden scripts, one claim a file, under `tests/scripts`;
//! * [`state`]: what applying an entry does;
//! * [`views`]: how often the view changes in the long run;
//! * [`properties`]: random sequences of choices, which must break no promise;
//! * [`agreement`]: random sequences of events, in which a replica must do what a small
//!   [`reference`](mod@reference) does.
//!
//! * [`joining`]: a [`pair`] of primary and joiner, under load and with links that take their time;
//! * [`memory`]: limits in bytes, and in copies;
//! * [`leases`]: to whom leases are granted;
//! * [`limits`]: options at their edges;
//! * [`walks`]: walks of the simulator as scripts;
//! * [`forged`]: messages that no server should send;
//! * [`pages`]: pages of keys;
//! * [`statuses`]: what an operator is told of servers.
//!
//! [`scripts`], [`views`], [`properties`] and [`limits`] make things happen to the same [`cluster`] with the
//! same [`command`]s.

mod agreement;
mod choices;
mod clients;
mod cluster;
mod command;
mod coverage;
mod describe;
mod forged;
mod joining;
mod leases;
mod limits;
mod memory;
mod network;
mod nodes;
mod old_record;
mod pages;
mod pair;
mod pings;
mod properties;
mod reference;
mod scripts;
mod silence;
mod state;
mod statuses;
mod views;
mod walks;
