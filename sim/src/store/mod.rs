//! The store as a system under test: what the testbed cannot know of pbkv.

pub mod fault;
pub mod settings;
pub mod setup;

use crate::system::System;

/// pbkv: a view service, servers, and clients that read and update keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pbkv;

impl System for Pbkv {
    type Setup = setup::Cluster;
    type Fault = fault::Mishap;
    type Trigger = fault::Trigger;
}
