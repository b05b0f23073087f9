//! Whether a plan can be executed.

use std::collections::BTreeSet;

use pbkv::{client::ClientOptions, protocol::options::VALUE_BYTES_MAX};

use super::{Action, Step};
use crate::{
    data::{
        fault::FaultKind,
        nodes::{Nodes, is_symbolic},
        plan::Plan,
    },
    store::fault::Mishap,
};

/// The largest number of nodes of one kind.
const NODES_MAX: usize = 1000;

/// Whether a plan can be executed.
///
/// # Errors
///
/// The first thing that is wrong with it, and what to change.
pub fn validate(plan: &Plan) -> Result<(), String> {
    let cluster = &plan.cluster;
    if cluster.servers == 0 || cluster.servers as usize > NODES_MAX || plan.clients.len() > NODES_MAX {
        return Err(format!("a cluster has 1 to {NODES_MAX} servers and at most {NODES_MAX} clients"));
    }
    if plan.network.latency_us_min >= plan.network.latency_us_max {
        return Err("latency_us_min must be smaller than latency_us_max".into());
    }
    if plan.network.bytes_per_ms == Some(0) {
        return Err("bytes_per_ms must not be 0: then nothing ever arrives".into());
    }
    if cluster.starts_ms.len() > cluster.servers as usize {
        return Err("starts_ms has more times than there are servers".into());
    }
    cluster.validate_settings()?;
    let nodes = Nodes::new(plan);
    for clock in &cluster.clocks {
        if nodes.find(&clock.node).is_none() {
            return Err(format!("a clock is given for {}, which is not a node", clock.node));
        }
        if clock.drift_ppm.abs() > 900_000 {
            return Err(format!("the clock of {} drifts by more than 900,000 ppm", clock.node));
        }
    }
    let mut emptied = BTreeSet::new();
    for (index, client) in plan.clients.iter().enumerate() {
        for line in &client.script {
            let step = Step::parse(line).map_err(|why| format!("client c{}: {why}", index + 1))?;
            validate_length(&step, plan).map_err(|why| format!("client c{}: '{line}' {why}", index + 1))?;
            if step.bytes == Some(0) && step.action == Action::Append {
                return Err(format!(
                    "client c{}: '{line}' appends nothing: it would make a revision without a value of its own",
                    index + 1
                ));
            }
            if step.bytes == Some(0) && !emptied.insert(step.key) {
                return Err(format!(
                    "client c{}: '{line}' is the second one that writes nothing to its key: written values are unique",
                    index + 1
                ));
            }
        }
    }
    for (index, fault) in plan.faults.iter().enumerate() {
        if fault.begins_ms() >= plan.faults_ms {
            return Err(format!(
                "fault {index} would begin at {} ms, when the time of faults is over (faults_ms is {})",
                fault.begins_ms(),
                plan.faults_ms
            ));
        }
        if let FaultKind::Rpc { percent, .. } = fault.kind
            && percent > 100
        {
            return Err(format!("fault {index} strikes {percent} percent of the messages: 100 are all"));
        }
        for node in fault.kind.nodes() {
            let is_node = nodes.find(node).is_some_and(|node| node < nodes.simulator());
            if !is_node && !is_symbolic(node) {
                return Err(format!("fault {index} is about {node}, which is no node and no role"));
            }
        }
        let is_client = |node: &str| {
            nodes.find(node).is_some_and(|node| node != Nodes::VIEW_SERVICE && !nodes.serves(node))
        };
        match &fault.kind {
            FaultKind::Crash { node, .. } | FaultKind::PowerLoss { node, .. } if is_client(node) => {
                return Err(format!("fault {index} crashes {node}: clients do not crash, they give up"));
            }
            FaultKind::DiskStall { node, .. } | FaultKind::DiskFailure { node, .. } if is_client(node) => {
                return Err(format!("fault {index} is about the disk of {node}: clients have none"));
            }
            _ => {}
        }
        if let FaultKind::Own(Mishap::Twin { node, turns_ms, .. }) = &fault.kind {
            let is_server =
                is_symbolic(node) || nodes.find(node).is_some_and(|node| nodes.servers().contains(&node));
            if !is_server || *turns_ms == Some(0) {
                return Err(format!("fault {index}: servers have twins, and turns_ms must be at least 1"));
            }
        }
        if let FaultKind::Stutter { pause_ms, run_ms, .. } = fault.kind
            && (pause_ms == 0 || run_ms == 0)
        {
            return Err(format!("fault {index} stutters: pause_ms and run_ms must be at least 1"));
        }
    }
    Ok(())
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
    use super::*;
    use crate::data::fault::{Fault, Mistreatment};

    #[test]
    fn faults_name_nodes_and_not_the_simulator() {
        let names = |node: &str| {
            let mut plan = crate::generate::generate(0);
            let kind = FaultKind::Pause { node: node.into(), lasts_ms: Some(1) };
            plan.faults = vec![Fault { at_ms: 0, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!((names("s1"), names("vs"), names("backup")), (Ok(()), Ok(()), Ok(())));
        assert!(names("sim").is_err_and(|why| why.contains("sim, which is no node")));
    }

    #[test]
    fn what_would_do_nothing_or_more_than_all_is_refused() {
        let told = |at_ms, percent| {
            let mut plan = Plan { faults_ms: 500, ..crate::generate::generate(0) };
            let how = Mistreatment::Hang;
            let kind = FaultKind::Rpc { from: vec![], to: vec![], how, percent, lasts_ms: 1 };
            plan.faults = vec![Fault { at_ms, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!(told(499, 100), Ok(()));
        assert!(told(500, 100).is_err_and(|why| why.contains("at 500 ms")));
        assert!(told(0, 101).is_err_and(|why| why.contains("101 percent")));
    }

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
}
