//! Exploration: many seeds on all cores, folded into sums and findings as they end.
//!
//! ```text
//!  Schedule ──► workers ──► Report ──► Tally ──► summary, status
//!  what runs    run it,     what       sums,     in words
//!  next         watch it    became     findings
//!      ▲                    of it ──► Record ──► --json
//!      └────────── Store ◄─────────────┘
//!            a folder to go on from
//! ```
//!
//! A *job* is one run to be made: a regression (a plan that failed once), or a seed. [`Schedule`] alone
//! decides which job is next, and [`Steering`] may make it pass over seeds that promise little; [`Tally`]
//! alone takes what became of it. A *finding* is a [`Kind`] of failure, however many seeds show it.
//!
//! Guaranteed: memory does not grow with the number of runs or of failures, only with the number of kinds of
//! failures, and of those [`findings::KINDS_MAX`] are kept apart. What a [`Store`] holds is at every moment
//! the schedule and the tally of one instant, whatever kills the process.
//!
//! Not guaranteed: the order in which runs end. They are many at once.
//!
//! The run itself is passed in: all of this builds, and is tested, without the simulated world.

pub mod findings;
pub mod kind;
pub mod record;
pub mod schedule;
pub mod steering;
pub mod store;
pub mod summary;
pub mod tally;
pub mod workers;

pub use findings::{Finding, Findings};
pub use kind::{Gravity, Kind};
pub use record::Record;
pub use schedule::{Assignment, Job, Schedule, Shard};
pub use steering::Steering;
pub use store::Store;
pub use tally::{Report, Tally};
