//! Whether the store can execute a plan.

use std::collections::BTreeSet;

use bytes::Bytes;
use pbkv::{client::ClientOptions, protocol::options::VALUE_BYTES_MAX};
use testbed::{
    data::validate::{NODES_MAX, Wrong},
    report::screen::counted,
};

use super::{
    fault::Mishap,
    nodes::{Nodes, ROLES},
    script::{Action, Step},
};
use crate::bound::{FaultKind, Plan};

/// How often the address of a twin may go from one process to the other.
const TURNS_MAX: u64 = 10_000;

/// Whether the store can execute a plan.
///
/// # Errors
///
/// What is wrong with it, and what to change: a line for each thing.
pub fn validate(plan: &Plan) -> Result<(), String> {
    let cluster = &plan.cluster;
    if cluster.servers == 0 || cluster.servers as usize > NODES_MAX {
        return Err(format!("a cluster has 1 to {NODES_MAX} servers"));
    }
    let mut wrong = Wrong::default();
    if cluster.replicas > cluster.servers {
        wrong.note(Err(format!(
            "replicas is {}, but there are only {}: lower `replicas`, or raise `servers`",
            cluster.replicas,
            counted(cluster.servers.into(), "server", "servers")
        )));
    }
    if cluster.starts_ms.len() > cluster.servers as usize {
        wrong.note(Err("starts_ms has more times than there are servers".into()));
    }
    wrong.note(cluster.validate_settings());
    let nodes = Nodes::new(plan);
    for (place, fault) in plan.faults.iter().enumerate() {
        if let FaultKind::Own(own) = &fault.kind {
            wrong.note(validate_own(own, &nodes).map_err(|why| format!("fault {place} {why}")));
        }
    }
    wrong.end()
}

/// Whether its clients can do what their scripts say.
///
/// # Errors
///
/// The lines that they cannot, and what to write.
pub fn validate_scripts(plan: &Plan) -> Result<(), String> {
    let (mut wrong, mut emptied) = (Wrong::default(), BTreeSet::new());
    for (place, client) in plan.clients.iter().enumerate() {
        for line in &client.script {
            let found = validate_line(line, plan, &mut emptied);
            wrong.note(found.map_err(|why| format!("client c{}: {why}", place + 1)));
        }
    }
    wrong.end()
}

/// Whether a client can do what a line says. `emptied` are the keys to which lines before it wrote nothing.
fn validate_line(line: &str, plan: &Plan, emptied: &mut BTreeSet<Bytes>) -> Result<(), String> {
    let step = Step::parse(line)?;
    validate_length(&step, plan).map_err(|why| format!("'{line}' {why}"))?;
    if step.bytes == Some(0) && step.action == Action::Append {
        return Err(format!("'{line}' appends nothing: it would make a revision without a value of its own"));
    }
    if step.bytes == Some(0) && !emptied.insert(step.key) {
        return Err(format!(
            "'{line}' is the second one that writes nothing to its key: written values are unique"
        ));
    }
    Ok(())
}

fn validate_own(own: &Mishap, nodes: &Nodes) -> Result<(), String> {
    let is_server = |name: &str| {
        ROLES.contains(&name) || nodes.find(name).is_some_and(|node| nodes.servers().contains(&node))
    };
    match own {
        Mishap::Twin { node, turns_ms, .. } if !is_server(node) || *turns_ms == Some(0) => {
            Err("is no twin: servers have twins, and turns_ms must be at least 1".into())
        }
        Mishap::Twin { turns_ms: Some(turns_ms), lasts_ms, .. } if lasts_ms / turns_ms > TURNS_MAX => {
            Err(format!("turns more than {TURNS_MAX} times: a longer turns_ms"))
        }
        Mishap::Record { adopt: Some(name), .. } if !is_server(name) => {
            Err(format!("adopts the data of {name}, which is no server"))
        }
        _ => Ok(()),
    }
}

/// Whether a value can be so long. A simulated message arrives whole, and a client waits so long for one.
fn validate_length(step: &Step, plan: &Plan) -> Result<(), String> {
    let bytes = step.bytes.unwrap_or_default() as u64;
    if bytes > VALUE_BYTES_MAX {
        return Err(format!("writes {bytes} bytes: no value may have more than {VALUE_BYTES_MAX}"));
    }
    let Some(bytes_per_ms) = plan.network.bytes_per_ms else { return Ok(()) };
    let travels_ms = bytes / bytes_per_ms.max(1);
    let waits_ms = ClientOptions::new(String::new()).attempt_timeout.as_millis();
    if u128::from(travels_ms) >= waits_ms {
        return Err(format!(
            "writes a value that travels for {travels_ms} ms ({bytes} bytes, bytes_per_ms = {bytes_per_ms}): \
             it arrives whole here, and a client that reads it waits for {waits_ms} ms"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use testbed::data::validate::validate;

    use crate::{
        bound::{Fault, FaultKind},
        store::fault::Mishap,
    };

    #[test]
    fn a_value_must_arrive_while_a_client_waits() {
        let told = |line: &str, bytes_per_ms| {
            let mut plan = crate::generate::generate(0);
            plan.network.bytes_per_ms = bytes_per_ms;
            plan.clients[0].script = vec![line.into()];
            validate(&plan)
        };
        assert_eq!((told("1 put a 19999", Some(20)), told("1 put a 20000", None)), (Ok(()), Ok(())));
        let why = told("1 put a 20000", Some(20)).expect_err("the answer takes a second");
        assert!(why.contains("1000 ms (20000 bytes, bytes_per_ms = 20)"), "{why}");
        assert!(told("1 put a 99999999999", None).is_err_and(|why| why.contains("67108864")));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut plan = crate::generate::generate(0);
        (plan.cluster.servers, plan.cluster.replicas) = (2, 3);
        plan.cluster.starts_ms = vec![0; 3];
        plan.faults.clear();
        plan.clients[0].script = vec!["1 append a 0".into(), "2 gat a".into()];
        let why = validate(&plan).expect_err("everything is wrong with it");
        let lines: Vec<&str> = why.lines().collect();
        let parts =
            ["replicas is 3, but there are only 2 servers", "starts_ms", "'1 append a 0'", "'2 gat a'"];
        assert!(lines.len() >= parts.len(), "{why}");
        assert!(parts.iter().all(|part| why.contains(part)), "{why}");
    }

    #[test]
    fn what_an_operator_adopts_is_the_data_of_a_server() {
        let told = |name: &str| {
            let mut plan = crate::generate::generate(0);
            let adopt = Some(name.into());
            let kind = FaultKind::Own(Mishap::Record { adopt, anyway: true, down_ms: 1, runs_ms: 1 });
            plan.faults = vec![Fault { at_ms: 0, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!((told("s1"), told("primary")), (Ok(()), Ok(())));
        for name in ["vs", "c1", "reader"] {
            assert!(told(name).is_err_and(|why| why.contains(name)), "{name}");
        }
    }

    #[test]
    fn a_twin_that_turns_without_end_is_refused_and_not_computed_with() {
        let told = |lasts_ms, turns_ms| {
            let mut plan = crate::generate::generate(0);
            let kind = Mishap::Twin { node: "s1".into(), lasts_ms, turns_ms: Some(turns_ms), moves: true };
            plan.faults = vec![Fault { at_ms: 0, on: None, after_ms: 0, kind: FaultKind::Own(kind) }];
            validate(&plan)
        };
        assert_eq!((told(10_000, 1), told(u64::from(u32::MAX), 1_000_000)), (Ok(()), Ok(())));
        assert!(told(10_001, 1).is_err_and(|why| why.contains("10000 times")));
        assert!(told(1, 0).is_err_and(|why| why.contains("at least 1")));
    }

    #[test]
    fn an_interval_beyond_all_sense_is_refused_and_not_computed_with() {
        let mut plan = crate::generate::generate(0);
        plan.cluster.checkpoint_interval = u64::MAX;
        assert!(validate(&plan).is_err_and(|why| why.contains("checkpoint-interval")));
    }
}
