//! Whether a plan can be executed.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    data::{fault::FaultKind, line, nodes::Nodes, plan::Plan},
    system::{Setup, System},
};

/// The largest number of nodes of one kind.
pub const NODES_MAX: usize = 1000;

/// The largest number of processes, of all kinds.
const PROCESSES_MAX: usize = 2 * NODES_MAX;

/// The longest time that a plan may name, in milliseconds: 115 days. Sums of a few of them can be counted in
/// nanoseconds.
pub const TIME_MS_MAX: u64 = 10_000_000_000;

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
    for (what, ms) in
        [("faults_ms", plan.faults_ms), ("settle_ms", plan.settle_ms), ("watch_ms", plan.watch_ms)]
    {
        is_time(ms).map_err(|why| format!("{what} {why}"))?;
    }
    S::validate(plan)?;
    let nodes = nodes(plan)?;
    for clock in plan.cluster.clocks() {
        if nodes.find(&clock.node).is_none_or(|node| node == nodes.simulator()) {
            return Err(format!("a clock is given for {}, which is not a node", clock.node));
        }
        if clock.drift_ppm.unsigned_abs() > 900_000 {
            return Err(format!("the clock of {} drifts by more than 900,000 ppm", clock.node));
        }
        is_time(clock.skew_ms.unsigned_abs()).map_err(|why| format!("skew_ms of {} {why}", clock.node))?;
    }
    for (index, client) in plan.clients.iter().enumerate() {
        let wrong = |why| format!("client c{}: {why}", index + 1);
        is_time(client.deadline_ms).map_err(|why| wrong(format!("deadline_ms {why}")))?;
        for line in &client.script {
            let at = line::time(line).map_err(wrong)?;
            if at > Duration::from_millis(TIME_MS_MAX) {
                return Err(wrong(format!("'{line}' would be called when the run is over")));
            }
        }
    }
    S::validate_scripts(plan)?;
    for (index, fault) in plan.faults.iter().enumerate() {
        if fault.begins_ms() >= plan.faults_ms {
            return Err(format!(
                "fault {index} would begin at {} ms, when the time of faults is over (faults_ms is {})",
                fault.begins_ms(),
                plan.faults_ms
            ));
        }
        let mut kind = fault.kind.clone();
        let numbers = kind.numbers().into_iter().map(|(number, _)| *number);
        for ms in numbers.chain([fault.at_ms, fault.after_ms]) {
            is_time(ms).map_err(|why| format!("fault {index}: a time {why}"))?;
        }
        // The second one may be empty: all others.
        if kind.lists().first().is_some_and(|nodes| nodes.is_empty()) {
            let list = if matches!(kind, FaultKind::Closed { .. }) { "to" } else { "from" };
            return Err(format!("fault {index} does nothing: name at least one node in `{list}`"));
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

/// The nodes of a plan, if each can be told from the others.
fn nodes<S: System>(plan: &Plan<S>) -> Result<Nodes, String> {
    let (processes, spares) = (plan.cluster.processes().len(), S::spares(plan).len());
    if processes == 0 || processes + spares > PROCESSES_MAX {
        return Err(format!("a system has 1 to {PROCESSES_MAX} processes"));
    }
    let nodes = Nodes::new(plan);
    let mut names = BTreeSet::new();
    match (0..nodes.len()).map(|node| nodes.name(node)).find(|name| !names.insert(&**name)) {
        Some(name) => Err(format!("two nodes are called {name}: give the process another name")),
        None => Ok(nodes),
    }
}

fn is_time(ms: u64) -> Result<(), String> {
    let why = || format!("is {ms} ms: at most {TIME_MS_MAX} can be waited for");
    if ms <= TIME_MS_MAX { Ok(()) } else { Err(why()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{
            fault::{Fault, Mistreatment},
            plan::{Client, Clock},
        },
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
            let kind = FaultKind::Rpc { from: vec!["p1".into()], to: vec![], how, percent, lasts_ms: 1 };
            plan.faults = vec![Fault { at_ms, on: None, after_ms: 0, kind }];
            validate(&plan)
        };
        assert_eq!(told(499, 100), Ok(()));
        assert!(told(500, 100).is_err_and(|why| why.contains("at 500 ms")));
        assert!(told(0, 101).is_err_and(|why| why.contains("101 percent")));
    }
    #[test]
    fn numbers_beyond_all_sense_are_refused_and_not_computed_with() {
        let told = |change: &dyn Fn(&mut Plan<Toy>)| {
            let mut plan = Toy::draw(0);
            change(&mut plan);
            validate(&plan).expect_err("it is refused")
        };
        let clock = |skew_ms, drift_ppm| Clock { node: "p1".into(), skew_ms, drift_ppm };
        let why = told(&|plan| plan.cluster.clocks = vec![clock(0, i64::MIN)]);
        assert!(why.contains("drifts"), "{why}");
        let why = told(&|plan| plan.cluster.clocks = vec![clock(i64::MIN, 0)]);
        assert!(why.contains("skew_ms"), "{why}");
        let why = told(&|plan| plan.settle_ms = u64::MAX);
        assert!(why.contains("settle_ms"), "{why}");
        let client = |line: &str| Client { deadline_ms: 1, script: vec![line.into()] };
        let why = told(&|plan| plan.clients = vec![client("1e19 get a")]);
        assert!(why.contains("client c1") && why.contains("over"), "{why}");
        let kind = FaultKind::Stutter { node: "p1".into(), pause_ms: 1, run_ms: 1, lasts_ms: u64::MAX };
        let fault = Fault { at_ms: 0, on: None, after_ms: 0, kind };
        let why = told(&|plan| plan.faults = vec![fault.clone()]);
        assert!(why.contains("fault 0"), "{why}");
        for count in [0, PROCESSES_MAX + 1] {
            let why = told(&|plan| plan.cluster.count = count);
            assert!(why.contains("1 to 2000 processes"), "{why}");
        }
    }

    #[test]
    fn a_script_is_read_and_a_fault_of_no_node_refused_whatever_else_a_system_demands() {
        let mut plan = Toy::draw(0);
        plan.clients = vec![Client { deadline_ms: 1, script: vec!["1 gat a".into()] }];
        let why = validate(&plan).expect_err("there is no such verb");
        assert!(why.contains("client c1: '1 gat a': write put, get or append"), "{why}");
        let none = |from: &[&str]| {
            let (from, to) = (from.iter().map(|name| (*name).to_owned()).collect(), vec![]);
            let kind = FaultKind::Slow { from, to, one_way: true, latency_ms: 1, jitter_ms: 1, lasts_ms: 1 };
            let faults = vec![Fault { at_ms: 0, on: None, after_ms: 0, kind }];
            validate(&Plan { faults, ..Toy::draw(0) })
        };
        assert_eq!(none(&["p1"]), Ok(()));
        assert!(none(&[]).is_err_and(|why| why.contains("`from`")));
    }

    #[test]
    fn what_a_script_asks_is_asked_again_at_the_end_once() {
        let mut plan = Toy::draw(0);
        let script = ["1 put a", "2 get a", "3.5 put a", "4 get b"].map(String::from).to_vec();
        plan.clients = vec![Client { deadline_ms: 1, script: Vec::new() }, Client { deadline_ms: 1, script }];
        assert_eq!(Toy::finally(&plan, "c2"), ["put a", "get a", "get b"]);
        assert_eq!(Toy::finally(&plan, "c1"), [""; 0]);
        assert_eq!(Toy::finally(&plan, "reader"), [""; 0]);
        assert_eq!(
            Toy::look(&plan),
            ["get a", "get b"],
            "the reader asks what was read, and changes nothing"
        );
    }
}
