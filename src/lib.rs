//! A primary-backup key-value store that is also a deterministic simulation testbed.

pub mod protocol;

#[allow(missing_docs)]
pub mod wire {
    //! Generated from `proto/`.
    tonic::include_proto!("pbkv.v1");
}
