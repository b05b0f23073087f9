//! Faults that only one system knows.

use serde::{Serialize, de::DeserializeOwned};

use super::Data;
use crate::{data::fault::Node, marks::Strike};

/// A fault that only this system knows. In a plan its word stands where those of the testbed's faults do.
pub trait SystemFault: Data + Serialize + DeserializeOwned {
    /// The words for it in plans (`fault = "..."`).
    const WORDS: &'static [&'static str];

    /// The name under which it is counted.
    fn name(&self) -> &'static str;

    /// The node that it names, if it names one.
    fn node(&self) -> Option<&str>;

    /// The node that it names, to be changed.
    fn node_mut(&mut self) -> Option<&mut Node>;

    /// Its times, each with its least value.
    fn numbers(&mut self) -> Vec<(&mut u64, u64)>;

    /// Milder or plainer forms of it.
    fn milder(&self) -> Vec<Self>;

    /// As which kind of fault it counts when it strikes a node.
    fn strike(&self) -> Strike;
}
