//! Exploration: many seeds on all cores, folded into sums and findings as they end.
//!
//! ```text
//!  Schedule ──► workers ──► Report ──► Tally ──► summary
//!  which seed   run it      what       sums,     words
//!  is next      anywhere    became     findings
//!                           of it      Record ──► --json
//! ```
//!
//! [`Schedule`] alone decides which seed runs next; [`Tally`] alone takes what became of it. Nothing else is kept
//! of a run, so that an exploration needs no more memory the longer it lasts.
//!
//! The run itself is passed in: all of this builds, and is tested, without the simulated world.

pub mod findings;
pub mod record;
pub mod schedule;
pub mod summary;
pub mod tally;
pub mod workers;

pub use findings::{Finding, Findings};
pub use record::Record;
pub use schedule::Schedule;
pub use tally::{Report, Tally};
