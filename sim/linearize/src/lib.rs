//! A linearizability checker that is nearly linear in the length of the history.

mod check;
pub mod formats;
pub mod history;
pub mod html;
pub mod kv;
mod minimise;
pub mod model;
pub mod oracle;
mod search;
pub mod verdict;
pub mod witness;

pub use check::check;
pub use history::{History, HistoryError, Operation, Outcome, Recorder};
pub use model::{Decision, Model};
pub use verdict::{Budget, Options, Reason, Undecided, Verdict, Violation};
