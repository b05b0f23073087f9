//! What may not be: everything by which a run is judged.
//!
//! | judge | looks at | when |
//! | --- | --- | --- |
//! | [`invariants`] | the machines' states and what they send | after each step |
//! | [`history`] | linearizability of everything that clients saw, with the order of [`order`] as a suggestion | at the end |
//! | [`revisions`] | the revisions that clients were told | at each answer |
//! | [`pages`] | the pages of keys that clients were told | at each page |
//! | [`health`] | copies, stability and silence, as far as the faults allow | all the time |
//! | [`bounds`] | what a machine holds and how often it steps, against its limits | after each step |
//!
//! What is demanded of any system (linearizability, answers after the heal) is judged by the
//! [testbed](testbed::judges).

pub mod bounds;
pub mod disks;
pub mod health;
pub mod history;
pub mod invariants;
pub mod order;
pub mod pages;
pub mod revisions;
