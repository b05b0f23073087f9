//! Whether a plan can be executed.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    data::{
        fault::{Fault, FaultKind},
        line,
        nodes::Nodes,
        plan::{Clock, Plan},
    },
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
/// What is wrong with it, and what to change: a line for each thing.
pub fn validate<S: System>(plan: &Plan<S>) -> Result<(), String> {
    let mut wrong = Wrong::default();
    wrong.note(is_small(plan));
    if !wrong.is_nothing() {
        return wrong.end();
    }
    wrong.note(is_run(plan));
    wrong.note(S::validate(plan));
    match nodes(plan) {
        Ok(nodes) => {
            plan.cluster.clocks().iter().for_each(|clock| wrong.note(is_clock(clock, &nodes)));
            for (place, fault) in plan.faults.iter().enumerate() {
                wrong.note(is_fault(fault, plan, &nodes).map_err(|why| format!("fault {place} {why}")));
            }
        }
        Err(why) => wrong.note(Err(why)),
    }
    let mut scripts = Wrong::default();
    for (place, client) in plan.clients.iter().enumerate() {
        let of = |why| format!("client c{}: {why}", place + 1);
        scripts.note(is_time(client.deadline_ms).map_err(|why| of(format!("deadline_ms {why}"))));
        if client.deadline_ms == 0 {
            scripts.note(Err(of("deadline_ms must be at least 1".into())));
        }
        client.script.iter().for_each(|line| scripts.note(is_line(line, plan).map_err(of)));
    }
    // What is a line is looked at as a call, too.
    if scripts.is_nothing() {
        scripts.note(S::validate_scripts(plan));
    } else {
        let mut lines = plan.clone();
        for client in &mut lines.clients {
            client.script.retain(|line| is_line(line, plan).is_ok());
        }
        scripts.note(S::validate_scripts(&lines));
    }
    wrong.note(scripts.end());
    wrong.end()
}

/// All that is wrong with something, a line for each thing.
#[derive(Debug, Default)]
pub struct Wrong(Vec<String>);

impl Wrong {
    /// Takes what was found of one part.
    pub fn note(&mut self, found: Result<(), String>) {
        self.0.extend(found.err());
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// What was found of the whole.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn end(self) -> Result<(), String> {
        if self.is_nothing() { Ok(()) } else { Err(self.0.join("\n")) }
    }
}

/// Whether there are so few nodes that all can be looked at.
fn is_small<S: System>(plan: &Plan<S>) -> Result<(), String> {
    if plan.clients.len() > NODES_MAX {
        return Err(format!("a plan has at most {NODES_MAX} clients"));
    }
    if plan.cluster.size() > PROCESSES_MAX {
        return Err(format!("a system has 1 to {PROCESSES_MAX} processes"));
    }
    Ok(())
}

/// What does not depend on nodes.
fn is_run<S: System>(plan: &Plan<S>) -> Result<(), String> {
    let mut wrong = Wrong::default();
    let network = &plan.network;
    if network.latency_us_min >= network.latency_us_max {
        wrong.note(Err(format!(
            "latency_us_min ({}) must be smaller than latency_us_max ({})",
            network.latency_us_min, network.latency_us_max
        )));
    }
    if network.bytes_per_ms == Some(0) {
        wrong.note(Err("bytes_per_ms must not be 0: then nothing ever arrives".into()));
    }
    for (what, ms) in
        [("faults_ms", plan.faults_ms), ("settle_ms", plan.settle_ms), ("watch_ms", plan.watch_ms)]
    {
        wrong.note(is_time(ms).map_err(|why| format!("{what} {why}")));
    }
    wrong.end()
}

fn is_clock(clock: &Clock, nodes: &Nodes) -> Result<(), String> {
    if nodes.find(&clock.node).is_none_or(|node| node == nodes.simulator()) {
        return Err(format!("a clock is given for {}, which is not a node", clock.node));
    }
    if clock.drift_ppm.unsigned_abs() > 900_000 {
        return Err(format!("the clock of {} drifts by more than 900,000 ppm", clock.node));
    }
    is_time(clock.skew_ms.unsigned_abs()).map_err(|why| format!("skew_ms of {} {why}", clock.node))
}

/// A line of a script, as far as its time goes.
fn is_line<S: System>(line: &str, plan: &Plan<S>) -> Result<(), String> {
    let (at, end) = (line::time(line)?, Duration::from_millis(plan.faults_ms.saturating_add(plan.settle_ms)));
    if at >= end {
        return Err(format!(
            "'{line}' would be called at {} s, and the run ends at {} s (faults_ms and settle_ms): times of scripts \
             are in seconds",
            at.as_secs_f64(),
            end.as_secs_f64()
        ));
    }
    Ok(())
}

fn is_fault<S: System>(fault: &Fault<S>, plan: &Plan<S>, nodes: &Nodes) -> Result<(), String> {
    if fault.begins_ms() >= plan.faults_ms {
        return Err(format!(
            "would begin at {} ms, when the time of faults is over (faults_ms is {})",
            fault.begins_ms(),
            plan.faults_ms
        ));
    }
    if fault.on.is_none() && fault.after_ms > 0 {
        return Err("has `after_ms` without `on`: say with `at_ms` when it begins".into());
    }
    let mut kind = fault.kind.clone();
    let numbers = kind.numbers().into_iter().map(|(number, _)| *number);
    for ms in numbers.chain([fault.at_ms, fault.after_ms]) {
        is_time(ms).map_err(|why| format!("has a time that {why}"))?;
    }
    // The second one may be empty: all others.
    if kind.lists().first().is_some_and(|nodes| nodes.is_empty()) {
        let list = if matches!(kind, FaultKind::Closed { .. }) { "to" } else { "from" };
        return Err(format!("does nothing: name at least one node in `{list}`"));
    }
    if let FaultKind::Rpc { percent, .. } = fault.kind
        && percent > 100
    {
        return Err(format!("strikes {percent} percent of the messages: 100 are all"));
    }
    for node in fault.kind.nodes() {
        let is_node = nodes.find(node).is_some_and(|node| node < nodes.simulator());
        if !is_node && !S::ROLES.contains(&node) {
            let names = nodes.processes().map(|node| &**nodes.name(node));
            let names: Vec<&str> = names.chain(S::ROLES.iter().copied()).collect();
            return Err(format!(
                "is about {node}, which is no node and no role: there are {}, and clients",
                names.join(", ")
            ));
        }
    }
    let is_client = |node: &str| nodes.find(node).is_some_and(|node| !nodes.is_process(node));
    match &fault.kind {
        FaultKind::Crash { node, .. } | FaultKind::PowerLoss { node, .. } if is_client(node) => {
            Err(format!("crashes {node}: clients do not crash, they give up"))
        }
        FaultKind::DiskStall { node, .. } | FaultKind::DiskFailure { node, .. } if is_client(node) => {
            Err(format!("is about the disk of {node}: clients have none"))
        }
        FaultKind::Stutter { pause_ms, run_ms, .. } if *pause_ms == 0 || *run_ms == 0 => {
            Err("stutters: pause_ms and run_ms must be at least 1".into())
        }
        _ => Ok(()),
    }
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
    fn all_that_is_wrong_is_told_at_once() {
        let mut plan = Plan { settle_ms: u64::MAX, faults_ms: 5, ..Toy::draw(0) };
        plan.network.latency_us_max = 0;
        plan.clients = vec![Client { deadline_ms: 1, script: vec!["x get a".into(), "get".into()] }];
        let pause = |node: &str, at_ms| Fault {
            at_ms,
            on: None,
            after_ms: 0,
            kind: FaultKind::Pause { node: node.into(), lasts_ms: None },
        };
        plan.faults = vec![pause("p1", 9), pause("p9", 0)];
        let why = validate(&plan).expect_err("everything is wrong with it");
        let lines: Vec<&str> = why.lines().collect();
        let parts = ["latency_us_min", "settle_ms", "fault 0", "fault 1", "'x get a'", "'get'"];
        assert_eq!(lines.len(), parts.len(), "{why}");
        assert!(lines.iter().zip(parts).all(|(line, part)| line.contains(part)), "{why}");
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
        assert!(why.contains("client c1") && why.contains("in seconds"), "{why}");
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
    fn what_can_never_happen_is_refused_with_what_was_probably_meant() {
        let script = ["19.9 put a", "20 put a", "two get a", "1 set a"].map(String::from).to_vec();
        let plan = Plan { clients: vec![Client { deadline_ms: 0, script }], ..Toy::draw(0) };
        let why = validate(&plan).expect_err("the run ends at 20 s");
        for part in ["at least 1", "'20 put a' would be called at 20 s", "'two get a'", "'1 set a'"] {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert_eq!(why.lines().count(), 4, "{why}");
        let kind = FaultKind::Pause { node: "p1".into(), lasts_ms: None };
        let faults = vec![Fault { at_ms: 1, on: None, after_ms: 5, kind }];
        let why = validate(&Plan { faults, ..Toy::draw(0) }).expect_err("nothing is waited for");
        assert!(why.contains("`at_ms`"), "{why}");
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
