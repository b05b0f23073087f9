//! The messages of the store's services.

use pbkv::{
    protocol::message::PeerMessage,
    wire::{self, open_session_response, refusal::Reason, update_response},
};
use testbed::world::encoding::Type;
use tonic::codegen::BoxMessage;

use super::messages;

/// All messages of the three services.
pub const TYPES: &[Type] = &[
    Type::of::<wire::PrimaryMessage>(),
    Type::of::<wire::ReplicaMessage>(),
    Type::of::<wire::PingRequest>(),
    Type::of::<wire::PingResponse>(),
    Type::of::<wire::ProbeRequest>(),
    Type::of::<wire::ProbeResponse>(),
    Type::of::<wire::GetViewRequest>(),
    Type::of::<wire::GetViewResponse>(),
    Type::of::<wire::GetRequest>(),
    Type::of::<wire::GetResponse>(),
    Type::of::<wire::PutRequest>(),
    Type::of::<wire::AppendRequest>(),
    Type::of::<wire::DeleteRequest>(),
    Type::of::<wire::CompareAndSwapRequest>(),
    Type::of::<wire::UpdateResponse>(),
    Type::of::<wire::OpenSessionRequest>(),
    Type::of::<wire::OpenSessionResponse>(),
    Type::of::<wire::CloseSessionRequest>(),
    Type::of::<wire::CloseSessionResponse>(),
    Type::of::<wire::ScanRequest>(),
    Type::of::<wire::ScanResponse>(),
    Type::of::<wire::GetStatusRequest>(),
    Type::of::<wire::GetStatusResponse>(),
];

/// What a message between servers says, which view is told, or why a server refuses what it was asked.
pub fn words(message: &BoxMessage) -> Option<String> {
    let primary =
        message.downcast_ref().cloned().map(<PeerMessage as TryFrom<wire::PrimaryMessage>>::try_from);
    let replica =
        message.downcast_ref().cloned().map(<PeerMessage as TryFrom<wire::ReplicaMessage>>::try_from);
    if let Some(Ok(message)) = primary.or(replica) {
        return Some(messages::peer(&message));
    }
    if let Some(answer) = message.downcast_ref::<wire::GetViewResponse>() {
        let view = answer.view.as_ref().map(|view| format!("v{}, primary {}", view.number, view.primary));
        return Some(view.unwrap_or_else(|| "no view yet".into()));
    }
    Some(match refusal(message)?.reason.as_ref()? {
        Reason::NotPrimary(not) if not.primary.is_empty() => format!("not primary, knows v{}", not.view),
        Reason::NotPrimary(not) => format!("not primary: that is {} in v{}", not.primary, not.view),
        Reason::SessionExpired(_) => "session expired".into(),
        Reason::Superseded(_) => "superseded".into(),
        Reason::DataLost(_) => "data lost".into(),
    })
}

fn refusal(message: &BoxMessage) -> Option<&wire::Refusal> {
    if let Some(answer) = message.downcast_ref::<wire::GetResponse>() {
        return answer.refusal.as_ref();
    }
    if let Some(answer) = message.downcast_ref::<wire::ScanResponse>() {
        return answer.refusal.as_ref();
    }
    if let Some(answer) = message.downcast_ref::<wire::CloseSessionResponse>() {
        return answer.refusal.as_ref();
    }
    if let Some(answer) = message.downcast_ref::<wire::UpdateResponse>() {
        return match answer.result.as_ref()? {
            update_response::Result::Refusal(refusal) => Some(refusal),
            update_response::Result::Executed(_) => None,
        };
    }
    match message.downcast_ref::<wire::OpenSessionResponse>()?.result.as_ref()? {
        open_session_response::Result::Refusal(refusal) => Some(refusal),
        open_session_response::Result::Opened(_) => None,
    }
}
