//! Steps by name: what took one, and what sort of event it was.

use std::fmt;

/// A step without its particulars: the role that a node has, and the sort of event that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepName {
    /// Who.
    pub who: &'static str,
    /// What.
    pub what: &'static str,
}

impl StepName {
    /// The simulator did something to a node, or says that a node did something that is no step of a machine.
    pub const SIMULATOR: Self = Self { who: "simulator", what: "a turn" };
    /// A process hears a message.
    pub const MESSAGE: Self = Self { who: "process", what: "a message" };
    /// A client calls.
    pub const CALL: Self = Self { who: "client", what: "a call" };
    /// A client's call ends.
    pub const RETURN: Self = Self { who: "client", what: "an answer" };
    /// A change of a process's memory became durable.
    pub const DISK: Self = Self { who: "disk", what: "a write" };
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taking {}", self.who, self.what)
    }
}
