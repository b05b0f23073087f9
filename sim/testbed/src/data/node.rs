//! What a node is called.

use std::sync::Arc;

/// The name of a process; `c1`, `c2`, ... are clients, `reader` is the last one, `sim` the simulator itself.
pub type NodeName = Arc<str>;

/// A node, by its place in [`crate::data::nodes::Nodes`].
pub type NodeIndex = usize;
