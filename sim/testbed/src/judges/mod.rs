//! The judges of a run of any system.
//!
//! | judge | looks at | when |
//! | --- | --- | --- |
//! | [`linearizability`] | everything that clients saw | at the end |
//! | [`early`] | an answer that no order explains | at each answer |
//! | [`liveness`] | which clients can be served, and must be | after the heal, and while no fault is under way |
//! | [`idle`] | faults of a plan that never struck | at the end |
//! | [`broken`] | what the system's own [`Witness`](crate::system::Witness) checks | after each step |
//!
//! A [`signature`] is what makes two failures the same.

pub mod broken;
pub mod early;
pub mod idle;
pub mod linearizability;
pub mod liveness;
pub mod signature;
