//! What is seen of a run: its hash chain, its trace, the messages between nodes, and the observer who sees
//! everything.

pub mod chain;
pub mod messages;
pub mod observe;
pub mod panics;
pub mod step;
pub mod trace;
