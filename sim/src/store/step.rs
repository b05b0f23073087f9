//! Steps of the store's machines by name.

use pbkv::protocol::{
    message::PeerMessage,
    replica::{self, Replica, RoleName},
    view_service,
};
use testbed::observer::step::StepName;

/// The step in which a server takes an event, by the role that it has before.
pub fn replica_step(machine: &Replica, event: &replica::Event) -> StepName {
    let who = match machine.role() {
        RoleName::Idle => "idle server",
        RoleName::Backup => "backup",
        RoleName::Primary => "primary",
    };
    let what = match event {
        replica::Event::Request { .. } => "a request",
        replica::Event::PingReply(_) => "a ping's answer",
        replica::Event::Probe(_) => "a probe",
        replica::Event::Refused(_) => "a stream that was refused",
        replica::Event::Peer(PeerMessage::Append(_)) => "an append",
        replica::Event::Peer(PeerMessage::AppendAck(_)) => "an append's answer",
        replica::Event::Peer(PeerMessage::Chunk(_)) => "a chunk",
        replica::Event::Peer(PeerMessage::ChunkAck(_)) => "a chunk's answer",
        replica::Event::Persisted(_) => "a completed write",
        replica::Event::Writing => "a write under way",
        replica::Event::Tick => "a tick",
        replica::Event::Flush => "a flush",
    };
    StepName { who, what }
}

/// The step in which the view service takes an event.
pub fn view_service_step(event: &view_service::Event) -> StepName {
    let what = match event {
        view_service::Event::Ping { .. } => "a ping",
        view_service::Event::GetView { .. } | view_service::Event::GetStatus { .. } => "a question",
        view_service::Event::Gone(_) => "a refused connection",
        view_service::Event::Persisted(_) => "a completed write",
        view_service::Event::Tick => "a tick",
        view_service::Event::Flush => "a flush",
    };
    StepName { who: "view service", what }
}
