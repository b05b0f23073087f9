//! Steps by name: who took one, and what sort of event it was.

use std::fmt;

use pbkv::protocol::{
    message::PeerMessage,
    replica::{self, Replica, RoleName},
    view_service,
};

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
    /// A client calls.
    pub const CALL: Self = Self { who: "client", what: "a call" };
    /// A client's call ends.
    pub const RETURN: Self = Self { who: "client", what: "an answer" };
    /// A change of a server's memory became durable.
    pub const DISK: Self = Self { who: "disk", what: "a write" };

    /// The step in which a server takes an event, by the role that it has before.
    pub fn replica(machine: &Replica, event: &replica::Event) -> Self {
        let who = match machine.role() {
            RoleName::Idle => "idle server",
            RoleName::Backup => "backup",
            RoleName::Primary => "primary",
        };
        let what = match event {
            replica::Event::Request { .. } => "a request",
            replica::Event::PingReply(_) => "a ping's answer",
            replica::Event::Probe(_) => "a probe",
            replica::Event::Peer(PeerMessage::Append(_)) => "an append",
            replica::Event::Peer(PeerMessage::AppendAck(_)) => "an append's answer",
            replica::Event::Peer(PeerMessage::Chunk(_)) => "a chunk",
            replica::Event::Peer(PeerMessage::ChunkAck(_)) => "a chunk's answer",
            replica::Event::Persisted(_) => "a completed write",
            replica::Event::Tick => "a tick",
            replica::Event::Flush => "a flush",
        };
        Self { who, what }
    }

    /// The step in which the view service takes an event.
    pub fn view_service(event: &view_service::Event) -> Self {
        let what = match event {
            view_service::Event::Ping { .. } => "a ping",
            view_service::Event::GetView { .. } => "a question",
            view_service::Event::Persisted(_) => "a completed write",
            view_service::Event::Tick => "a tick",
            view_service::Event::Flush => "a flush",
        };
        Self { who: "view service", what }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taking {}", self.who, self.what)
    }
}
