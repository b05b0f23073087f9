//! Counters over gRPC. The server answers when what it says is on disk; a client asks until it is answered.

pub mod client;
pub mod server;

#[allow(missing_docs)]
pub mod wire {
    //! Generated from `proto/`.
    tonic::include_proto!("counter.v1");
}
