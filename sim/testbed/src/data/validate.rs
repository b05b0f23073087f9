//! Whether a plan can be executed.

use crate::{
    data::{fault::FaultKind, line, nodes::Nodes, plan::Plan},
    system::{Setup, System},
};

/// The largest number of nodes of one kind.
pub const NODES_MAX: usize = 1000;

/// Whether a plan can be executed.
///
/// # Errors
///
/// The first thing that is wrong with it, and what to change.
pub fn validate<S: System>(plan: &Plan<S>) -> Result<(), String> {
    if plan.clients.len() > NODES_MAX {
        return Err(format!("a plan has at most {NODES_MAX} clients"));
    }
    if plan.network.latency_us_min >= plan.network.latency_us_max {
        return Err("latency_us_min must be smaller than latency_us_max".into());
    }
    if plan.network.bytes_per_ms == Some(0) {
        return Err("bytes_per_ms must not be 0: then nothing ever arrives".into());
    }
    S::validate(plan)?;
    let nodes = Nodes::new(plan);
    for clock in plan.cluster.clocks() {
        if nodes.find(&clock.node).is_none() {
            return Err(format!("a clock is given for {}, which is not a node", clock.node));
        }
        if clock.drift_ppm.abs() > 900_000 {
            return Err(format!("the clock of {} drifts by more than 900,000 ppm", clock.node));
        }
    }
    for (index, client) in plan.clients.iter().enumerate() {
        for line in &client.script {
            line::time(line).map_err(|why| format!("client c{}: {why}", index + 1))?;
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
            if !is_node && !S::ROLES.contains(&node) {
                return Err(format!("fault {index} is about {node}, which is no node and no role"));
            }
        }
        let is_client = |node: &str| nodes.find(node).is_some_and(|node| !nodes.is_process(node));
        match &fault.kind {
            FaultKind::Crash { node, .. } | FaultKind::PowerLoss { node, .. } if is_client(node) => {
                return Err(format!("fault {index} crashes {node}: clients do not crash, they give up"));
            }
            FaultKind::DiskStall { node, .. } | FaultKind::DiskFailure { node, .. } if is_client(node) => {
                return Err(format!("fault {index} is about the disk of {node}: clients have none"));
            }
            FaultKind::Stutter { pause_ms, run_ms, .. } if *pause_ms == 0 || *run_ms == 0 => {
                return Err(format!("fault {index} stutters: pause_ms and run_ms must be at least 1"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::fault::{Fault, Mistreatment},
        system::toy::Toy,
    };

    #[test]
    fn faults_name_nodes_and_not_the_simulator() {
        let names = |node: &str| {
            let mut plan = Toy::draw(0);
            let kind = FaultKind::Pause { node: node.into(), lasts_ms: Some(1) };
            plan.faults = vec![Fault { at_ms: 0, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!((names("p1"), names("reader")), (Ok(()), Ok(())));
        assert!(names("sim").is_err_and(|why| why.contains("sim, which is no node")));
        assert!(names("p9").is_err_and(|why| why.contains("p9, which is no node")));
    }

    #[test]
    fn what_would_do_nothing_or_more_than_all_is_refused() {
        let told = |at_ms, percent| {
            let mut plan = Plan { faults_ms: 500, ..Toy::draw(0) };
            let how = Mistreatment::Hang;
            let kind = FaultKind::Rpc { from: vec![], to: vec![], how, percent, lasts_ms: 1 };
            plan.faults = vec![Fault { at_ms, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!(told(499, 100), Ok(()));
        assert!(told(500, 100).is_err_and(|why| why.contains("at 500 ms")));
        assert!(told(0, 101).is_err_and(|why| why.contains("101 percent")));
    }
}
