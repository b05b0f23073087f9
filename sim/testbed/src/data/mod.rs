//! What is run, and what a run yields: plain data, and no simulated world.
//!
//! A plan and its faults are drawn from a seed ([`crate::draw`]) or written by hand; they are printed, saved
//! and read again. An outcome is what everything else in this crate looks at.

pub mod chance;
pub mod exit;
pub mod fault;
pub mod hash;
pub mod line;
pub mod node;
pub mod nodes;
pub mod outcome;
pub mod plan;
pub mod reading;
pub mod saved;
pub mod seed;
pub mod standing;
pub mod validate;

/// Whether a number need not be printed in a plan.
fn is_zero(number: &u64) -> bool {
    *number == 0
}
