//! The deterministic simulator of pbkv.

pub mod exit;
pub mod generate;
pub mod invariants;
pub mod minimise;
pub mod outcome;
#[cfg(madsim)]
pub mod run;
pub mod scenario;
pub mod scenarios;
pub mod screen;
pub mod trace;

#[cfg(madsim)]
pub use run::run;
