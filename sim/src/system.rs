//! What the testbed must be told about a system under test. It knows no system itself.

use std::{fmt, hash::Hash};

use serde::{Serialize, de::DeserializeOwned};

use crate::data::{
    fault::Node,
    plan::{Clock, Plan},
};

/// Plain data, implemented for all such types.
pub trait Data: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static {}

impl<T: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static> Data for T {}

/// A system under test.
pub trait System: Data + Copy + Ord + Default {
    /// What a plan says about it, in `[cluster]`.
    type Setup: Setup;
    /// What can go wrong with this system alone. [`NoFault`] if there is no such thing.
    type Fault: SystemFault;
    /// What a fault may wait for (`on = "..."`). [`NoTrigger`] if there is no such thing.
    type Trigger: Data + Copy + Ord + Serialize + DeserializeOwned;
    /// What a client asks,
    type Input: Data;
    /// and what it is told.
    type Output: Data;
    /// What is kept of an operation beyond that. `()` if nothing is.
    type Detail: Data + Default;
    /// What a process reports.
    type Notice: Data;
    /// What is counted in a run. `()` if nothing is.
    type Numbers: Numbers;
    /// A promise about the system's health.
    type Promise: Promise;

    /// The roles by which faults name processes, beside their names.
    const ROLES: &'static [&'static str] = &[];

    /// Processes that only the faults of this plan need. Their nodes are behind those of the clients.
    fn spares(_plan: &Plan<Self>) -> Vec<Process> {
        Vec::new()
    }

    /// Whether it can execute a plan, beyond what is demanded of every plan.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what to change.
    fn validate(plan: &Plan<Self>) -> Result<(), String>;
}

/// What a system counts in a run.
pub trait Numbers: Clone + fmt::Debug + Default + PartialEq + Send + Sync + 'static {
    /// Adds the numbers of another run.
    fn add(&mut self, other: &Self);
}

impl Numbers for () {
    fn add(&mut self, (): &()) {}
}

/// A promise about a system's health: what must be so beyond what its clients are told.
pub trait Promise: Data + Ord {
    /// Its name.
    fn name(&self) -> &'static str;

    /// How it is broken, in a few words.
    fn broken(&self) -> String;

    /// What is promised, as a sentence.
    fn promised(&self) -> &'static str;
}

/// A set-up, as it stands in a plan.
pub trait Setup: Data + Serialize + DeserializeOwned {
    /// The processes, in the order of their addresses.
    fn processes(&self) -> Vec<Process>;

    /// Clocks that are not perfect.
    fn clocks(&self) -> &[Clock] {
        &[]
    }
}

/// A process of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What its node is called.
    pub name: String,
    /// The port on which it listens.
    pub port: u16,
}

impl Process {
    /// A process that listens on a port.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port }
    }
}

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
}
