//! A primary-backup key-value store that is also a deterministic simulation testbed.

pub mod client;
pub mod options;
pub mod process;
pub mod proto;
pub mod protocol;
pub mod server;
pub mod storage;

#[allow(missing_docs)]
pub mod wire {
    //! Generated from `proto/`.
    tonic::include_proto!("pbkv.v1");
}
