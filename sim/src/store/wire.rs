//! The messages of the store's services.

use pbkv::{
    protocol::message::PeerMessage,
    wire::{self, answer, call, open_session_response, refusal::Reason, update_response},
};
use testbed::world::encoding::Type;
use tonic::codegen::BoxMessage;

use super::messages;

/// All messages of the services.
pub const TYPES: &[Type] = &[
    Type::of::<wire::PrimaryMessage>(),
    Type::of::<wire::ReplicaMessage>(),
    Type::of::<wire::PingRequest>(),
    Type::of::<wire::PingResponse>(),
    Type::of::<wire::ProbeRequest>(),
    Type::of::<wire::ProbeResponse>(),
    Type::of::<wire::WatchRequest>(),
    Type::of::<wire::WatchResponse>(),
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
    Type::of::<wire::Calls>(),
    Type::of::<wire::Answers>(),
    Type::of::<wire::GetStatusRequest>(),
    Type::of::<wire::GetStatusResponse>(),
];

/// What a message between servers says, which view is told, what a client asks and is told on a stream, or
/// why a server refuses what it was asked.
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
    if let Some(wire::Calls { calls }) = message.downcast_ref() {
        return Some(calls.iter().map(call).collect::<Vec<_>>().join(", "));
    }
    if let Some(wire::Answers { answers }) = message.downcast_ref() {
        return Some(answers.iter().map(answer).collect::<Vec<_>>().join(", "));
    }
    said(refusal(message)?)
}

/// Why a server refuses.
fn said(refusal: &wire::Refusal) -> Option<String> {
    Some(match refusal.reason.as_ref()? {
        Reason::NotPrimary(not) if not.primary.is_empty() => format!("not primary, knows v{}", not.view),
        Reason::NotPrimary(not) => format!("not primary: that is {} in v{}", not.primary, not.view),
        Reason::SessionExpired(_) => "session expired".into(),
        Reason::Superseded(_) => "superseded".into(),
        Reason::DataLost(_) => "data lost".into(),
    })
}

/// A call of a stream.
fn call(call: &wire::Call) -> &'static str {
    use call::Request as Call;
    match call.request {
        Some(Call::Get(_)) => "Get",
        Some(Call::Put(_)) => "Put",
        Some(Call::Append(_)) => "Append",
        Some(Call::Delete(_)) => "Delete",
        Some(Call::CompareAndSwap(_)) => "CompareAndSwap",
        Some(Call::OpenSession(_)) => "OpenSession",
        Some(Call::CloseSession(_)) => "CloseSession",
        None => "nothing",
    }
}

/// An answer on a stream.
fn answer(answer: &wire::Answer) -> String {
    use answer::Result as Answer;
    let (name, refusal) = match &answer.result {
        Some(Answer::Get(get)) => ("answer to Get", get.refusal.as_ref()),
        Some(Answer::Update(update)) => ("answer to an update", refused_update(update)),
        Some(Answer::OpenSession(open)) => ("answer to OpenSession", refused_session(open)),
        Some(Answer::CloseSession(close)) => ("answer to CloseSession", close.refusal.as_ref()),
        Some(Answer::Failure(failure)) => return failure.message.clone(),
        Some(Answer::TooLong(_)) => return "too long for the stream".into(),
        None => ("nothing", None),
    };
    refusal.and_then(said).unwrap_or_else(|| name.into())
}

fn refused_update(answer: &wire::UpdateResponse) -> Option<&wire::Refusal> {
    match answer.result.as_ref()? {
        update_response::Result::Refusal(refusal) => Some(refusal),
        update_response::Result::Executed(_) => None,
    }
}

fn refused_session(answer: &wire::OpenSessionResponse) -> Option<&wire::Refusal> {
    match answer.result.as_ref()? {
        open_session_response::Result::Refusal(refusal) => Some(refusal),
        open_session_response::Result::Opened(_) => None,
    }
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
    if let Some(answer) = message.downcast_ref() {
        return refused_update(answer);
    }
    refused_session(message.downcast_ref()?)
}
