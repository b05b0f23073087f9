//! The store as a system under test: what the testbed cannot know of pbkv.

pub mod fault;
pub mod nodes;
pub mod notice;
pub mod numbers;
pub mod operation;
pub mod script;
pub mod settings;
pub mod setup;
mod validate;

pub use notice::Notice;

use crate::{
    data::{
        fault::{Fault, FaultKind},
        plan::Plan,
    },
    judges::health::Promise,
    system::{Process, System},
};

/// pbkv: a view service, servers, and clients that read and update keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    const ROLES: &'static [&'static str] = nodes::ROLES;

    fn spares(plan: &Plan) -> Vec<Process> {
        let is_twin = |fault: &Fault| matches!(fault.kind, FaultKind::Own(fault::Mishap::Twin { .. }));
        let has_twin = plan.faults.iter().any(is_twin);
        has_twin.then(|| Process::new(nodes::TWIN, setup::SERVER_PORT)).into_iter().collect()
    }

    fn validate(plan: &Plan) -> Result<(), String> {
        validate::validate(plan)
    }
}
