//! The store as a system under test: what the testbed cannot know of pbkv.

pub mod fault;
pub mod messages;
pub mod nodes;
pub mod notice;
pub mod numbers;
pub mod operation;
pub mod script;
pub mod settings;
pub mod setup;
mod smaller;
mod validate;

pub use notice::Notice;

use bytes::Bytes;
use linearizability::kv::Kv;
use operation::{Input, Output};

use crate::{
    data::{
        fault::{Fault, FaultKind},
        node::NodeIndex,
        outcome::{Contradiction, Operation, Outcome},
        plan::Plan,
    },
    judges::health::Promise,
    system::{
        Conversation, Process, System, Verb,
        notice::{EraWords, LaneChange, State},
    },
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
    type Model = Kv;
    type Detail = operation::Detail;
    type Notice = Notice;
    type Numbers = numbers::Numbers;
    type Promise = Promise;

    const ROLES: &'static [&'static str] = nodes::ROLES;
    const VERBS: &'static [Verb] = operation::VERBS;
    const CONVERSATIONS: &'static [Conversation] = messages::CONVERSATIONS;
    const STATES: &'static [State] = notice::STATES;
    const ACTIVITIES: &'static [State] = notice::ACTIVITIES;
    const ERAS: Option<EraWords> = Some(notice::VIEWS);

    fn up(node: NodeIndex, life: u64) -> LaneChange {
        notice::up(node, life)
    }

    fn verb(input: &Input) -> Verb {
        operation::verb(input)
    }

    fn asked(operation: &Operation) -> String {
        operation::asked(operation)
    }

    fn told(output: &Output) -> String {
        operation::told(output)
    }

    fn state(value: &Option<Bytes>) -> Option<String> {
        value.as_ref().map(|value| value.escape_ascii().to_string())
    }

    fn contradiction(found: &Contradiction, outcome: &Outcome) -> &'static str {
        operation::contradiction(found, outcome)
    }

    fn spares(plan: &Plan) -> Vec<Process> {
        let is_twin = |fault: &Fault| matches!(fault.kind, FaultKind::Own(fault::Mishap::Twin { .. }));
        let has_twin = plan.faults.iter().any(is_twin);
        has_twin.then(|| Process::new(nodes::TWIN, setup::SERVER_PORT)).into_iter().collect()
    }

    fn validate(plan: &Plan) -> Result<(), String> {
        validate::validate(plan)
    }
}
