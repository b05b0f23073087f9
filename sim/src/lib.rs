//! The deterministic simulator of pbkv.

pub mod clock;
#[cfg(madsim)]
pub mod cluster;
pub mod disk;
pub mod exit;
pub mod generate;
pub mod invariants;
pub mod judge;
#[cfg(madsim)]
pub mod links;
pub mod messages;
pub mod minimise;
#[cfg(madsim)]
pub mod nemesis;
pub mod network;
pub mod nodes;
pub mod observe;
pub mod outcome;
pub mod report;
#[cfg(madsim)]
pub mod run;
pub mod saved;
pub mod scenario;
pub mod scenarios;
pub mod screen;
pub mod script;
#[cfg(madsim)]
pub mod serve;
#[cfg(madsim)]
mod stream;
pub mod timeline;
pub mod trace;
#[cfg(madsim)]
pub mod workload;
#[cfg(madsim)]
pub mod world;

#[cfg(madsim)]
pub use run::run;
