//! The store as a system under test: what the testbed cannot know of pbkv.

#[cfg(madsim)]
pub mod client;
pub mod fault;
#[cfg(madsim)]
pub mod forgery;
pub mod hardware;
pub mod marks;
pub mod messages;
pub mod nodes;
pub mod notice;
pub mod numbers;
pub mod observe;
pub mod operation;
#[cfg(madsim)]
pub mod operator;
#[cfg(madsim)]
mod process;
#[cfg(madsim)]
mod prospects;
pub mod reachability;
#[cfg(madsim)]
mod record;
pub mod script;
pub mod settings;
pub mod setup;
#[cfg(madsim)]
pub mod shared;
#[cfg(madsim)]
mod simulated;
mod smaller;
pub mod step;
#[cfg(all(test, madsim))]
mod tests;
#[cfg(madsim)]
mod twin;
mod validate;
#[cfg(madsim)]
mod wire;
pub mod witness;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use linearizability::{Budget, kv::Kv};
use testbed::{
    data::{
        node::NodeIndex,
        outcome::{Contradiction, Verdict},
    },
    marks::{Table, family::Family},
    system::{
        Conversation, Process, System, Verb,
        notice::{EraWords, LaneChange, State},
    },
};

pub use self::notice::Notice;
use self::operation::{Input, Output};
use crate::{
    bound::{Fault, FaultKind, Operation, Outcome, Plan},
    generate::generate,
    judges::{health::Promise, history},
};

/// pbkv: a view service, servers, and clients that read and update keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pbkv;

impl System for Pbkv {
    type Setup = setup::Cluster;
    type Fault = fault::Mishap;
    type Trigger = fault::Trigger;
    type Input = Input;
    type Output = Output;
    type Model = Kv;
    type Detail = operation::Detail;
    type Notice = Notice;
    type Numbers = numbers::Numbers;
    type Promise = Promise;
    type Witness = witness::Witness;

    const HAS_STEPS: bool = true;
    const ROLES: &'static [&'static str] = nodes::ROLES;
    const MARKS: &'static Table = &marks::TABLE;
    const FAMILIES: &'static [Family<Self>] = marks::families::FAMILIES;
    const VERBS: &'static [Verb] = operation::VERBS;
    const CONVERSATIONS: &'static [Conversation] = messages::CONVERSATIONS;
    const STATES: &'static [State] = notice::STATES;
    const ACTIVITIES: &'static [State] = notice::ACTIVITIES;
    const ERAS: Option<EraWords> = Some(notice::VIEWS);

    const LEGEND: &'static [(&'static str, &'static str)] = &[
        ("s1:8001", "the server s1, by its address"),
        ("s17", "the session that operation 17 opened; r3 is its third update"),
        ("v4/op9", "operation 9, as view 4 numbered it; op0 is before the first"),
        ("b5", "a life of a server, larger for each start"),
        ("d5.aed2", "the data of a server: the life in which it received them, and a nonce"),
        (
            "g1.92486217",
            "generation 1 of the data, and a nonce; an operator who gives up all data begins another",
        ),
        ("t8, w6", "a caller that waits at this node, and a write to its disk: each is answered by number"),
    ];

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

    fn state(value: &Option<Bytes>) -> String {
        value.as_ref().map_or_else(|| "(absent)".into(), |value| value.escape_ascii().to_string())
    }

    fn contradiction(found: &Contradiction, outcome: &Outcome) -> &'static str {
        operation::contradiction(found, outcome)
    }

    fn spares(plan: &Plan) -> Vec<Process> {
        let is_twin = |fault: &Fault| matches!(fault.kind, FaultKind::Own(fault::Mishap::Twin { .. }));
        let has_twin = plan.faults.iter().any(is_twin);
        has_twin.then(|| Process::new(nodes::TWIN, setup::SERVER_PORT)).into_iter().collect()
    }

    fn parse(words: &str, _client: &str, unique: &str) -> Result<Input, String> {
        let step = script::Step::parse(&format!("0 {words}"))?;
        let value = step.value(unique);
        let asked = script::Seen::default().asked(&step, value);
        asked.map(|asked| asked.input).ok_or_else(|| format!("'{words}' is about no key"))
    }

    fn draw(seed: u64) -> Plan {
        generate(seed)
    }

    fn regressions() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests").join("plans")
    }

    fn validate(plan: &Plan) -> Result<(), String> {
        validate::validate(plan)
    }

    fn validate_scripts(plan: &Plan) -> Result<(), String> {
        validate::validate_scripts(plan)
    }

    fn object(input: &Input) -> Bytes {
        input.key().clone()
    }

    fn judge_object(operations: &[Operation], place: usize, budget: Budget) -> Verdict {
        history::judge_key(operations, &operations[place], budget)
    }
}

#[cfg(test)]
mod regressions {
    use super::*;
    use testbed::data::saved;

    #[test]
    fn the_plans_of_the_repository_are_usable() {
        let plans: Result<Vec<_>, _> = saved::list::<Pbkv>(&Pbkv::regressions()).into_iter().collect();
        assert_ne!(plans.expect("every file is a plan that says what it shows").len(), 0);
    }
}
