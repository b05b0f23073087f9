//! What a node is called.

use std::sync::Arc;

/// `vs`, `s1`, `c1`, ...; `sim` is the simulator itself.
pub type NodeName = Arc<str>;

/// A node, by its place in [`crate::data::nodes::Nodes`].
pub type NodeIndex = usize;
