//! What may not be: everything by which a run is judged.
//!
//! | judge | looks at | when |
//! | --- | --- | --- |
//! | [`invariants`] | the machines' states and what they send | after each step |
//! | [`early`] | an answer that no order of the servers explains | at each answer |
//! | [`history`] | linearizability of everything that clients saw, with the order of [`order`] as a suggestion | at the end |
//! | [`revisions`] | the revisions that clients were told | at each answer |
//! | [`liveness`] | who can be served, and must be | after the heal, and while no fault is under way |
//! | [`health`] | copies, stability and silence, as far as the faults allow | all the time |
//! | [`bounds`] | what a machine holds and how often it steps, against its limits | after each step |
//!
//! A [`signature`] is what makes two failures the same.

pub mod bounds;
pub mod broken;
pub mod early;
pub mod health;
pub mod history;
pub mod invariants;
pub mod linearizability;
pub mod liveness;
pub mod order;
pub mod revisions;
pub mod signature;
