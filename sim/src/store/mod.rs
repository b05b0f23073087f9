//! The store as a system under test: what the testbed cannot know of pbkv.

pub mod fault;
pub mod notice;
pub mod numbers;
pub mod operation;
pub mod settings;
pub mod setup;

pub use notice::Notice;

use crate::{judges::health::Promise, system::System};

/// pbkv: a view service, servers, and clients that read and update keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pbkv;

impl System for Pbkv {
    type Setup = setup::Cluster;
    type Fault = fault::Mishap;
    type Trigger = fault::Trigger;
    type Input = operation::Input;
    type Output = operation::Output;
    type Detail = operation::Detail;
    type Notice = Notice;
    type Numbers = numbers::Numbers;
    type Promise = Promise;
}
