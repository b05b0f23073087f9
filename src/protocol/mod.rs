//! The replication protocol, pure: no async, no clock, no randomness, no IO, no protobuf.

pub mod command;
pub mod identity;
pub mod log;
pub mod machine;
pub mod message;
pub mod options;
pub mod replica;
pub mod store;
pub mod view;
pub mod view_service;
