//! What a plan says about a system, and its processes.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::Data;
use crate::{data::plan::Clock, observer::messages::MessageKind};

/// A set-up, as it stands in a plan. Its default is that of a plan that says nothing about it. With
/// `#[serde(default)]` a plan may leave out each of its fields, too.
pub trait Setup: Data + Default + Serialize + DeserializeOwned {
    /// The processes, in the order of their addresses.
    fn processes(&self) -> Vec<Process>;

    /// Clocks that are not perfect.
    fn clocks(&self) -> &[Clock] {
        &[]
    }

    /// In a few words, such as `3 nodes, reads by quorum`.
    fn summary(&self) -> String {
        let processes = self.processes().len();
        format!("{processes} process{}", if processes == 1 { "" } else { "es" })
    }

    /// The same as names and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("processes", self.processes().len().to_string())]
    }

    /// In what the size of a set-up is counted,
    const SIZE: &'static str = "processes";
    /// what is done to make it smaller,
    const REMOVING: &'static str = "removing processes";

    /// and how large it is.
    fn size(&self) -> usize {
        self.processes().len()
    }

    /// Without what it says about one of the nodes.
    fn forget(&mut self, _node: &str) {}

    /// A node gets another name.
    fn rename(&mut self, _from: &str, _to: &str) {}

    /// Smaller ones, the smallest first. What is left keeps its name.
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }

    /// Plainer ones: first with all options plain at once, then with one of them.
    fn plainer(&self) -> Vec<Self> {
        Vec::new()
    }

    /// Other forms, which are not plainer, but in which fewer operations may do the same.
    const FORMS: &'static [fn(&mut Self)] = &[];

    /// The longest a write to disk takes, in milliseconds; each takes between nothing and that. If it is 0,
    /// no crash ever tears a write.
    fn disk_ms_max(&self) -> u64 {
        20
    }

    /// Whether the handler of a call ends when its caller has left; else it runs to its end.
    fn callers_leave(&self) -> bool {
        false
    }

    /// Whether messages travel as bytes, and are refused by a receiver to which they are too long.
    fn is_encoded(&self) -> bool {
        false
    }

    /// Within this time each machine that runs takes a step, whatever happens. The state of every machine is
    /// looked at once more in it when a run is over.
    fn steps_within(&self) -> Duration {
        Duration::ZERO
    }
}

/// A process of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What its node is called.
    pub name: String,
    /// The port on which it listens.
    pub port: u16,
    /// What clients say to it is not their operations, and is shown with this conversation.
    pub aside: Option<MessageKind>,
    /// When it is first started.
    pub starts_at: Duration,
}

impl Process {
    /// A process that listens on a port.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port, starts_at: Duration::ZERO, aside: None }
    }

    /// The same, but first started at this time.
    #[must_use]
    pub fn starting_at(self, starts_at: Duration) -> Self {
        Self { starts_at, ..self }
    }

    /// The same, if clients ask it for other things than their operations.
    pub fn aside(self, kind: MessageKind) -> Self {
        Self { aside: Some(kind), ..self }
    }
}
