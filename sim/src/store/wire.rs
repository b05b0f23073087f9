//! The messages of the store's services.

use pbkv::wire;
use testbed::world::encoding::Type;

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
