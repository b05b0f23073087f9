//! The deterministic simulator of pbkv.

pub mod clock;
pub mod disk;
pub mod network;
pub mod nodes;
pub mod outcome;
#[cfg(madsim)]
pub mod run;
pub mod scenario;
pub mod trace;

#[cfg(madsim)]
pub use run::run;
