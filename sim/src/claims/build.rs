//! The words in which claims are written.

use testbed::{
    data::{
        fault::{Cut, Memory},
        plan::{Client, Network},
    },
    marks::{Overlap, Strike},
};

use crate::{
    bound::{Fault, FaultKind, Mark, Plan},
    store::{
        fault::Trigger,
        marks::Role,
        setup::{Cluster, Reads},
    },
};

/// Three servers, two copies, everything else at its default, nobody calls, nothing goes wrong. Even seeds
/// confirm reads, odd ones lease them.
pub fn quiet(seed: u64, faults_ms: u64) -> Plan {
    Plan {
        about: String::new(),
        seed,
        faults_ms,
        settle_ms: 60_000,
        watch_ms: 0,
        cluster: Cluster {
            reads: if seed.is_multiple_of(2) { Reads::Confirm } else { Reads::Lease },
            ..Cluster::small()
        },
        network: Network { latency_us_min: 200, latency_us_max: 2_000, bytes_per_ms: None },
        reaches: Vec::new(),
        data_loss: false,
        clients: Vec::new(),
        faults: Vec::new(),
    }
}

/// A moment that shifts a little with the seed, so that faults meet every phase of a ping interval.
pub fn around(at_ms: u64, seed: u64) -> u64 {
    at_ms + seed * 173 % 500
}

/// A client that calls the given operations, one every `every_ms`, over and over.
pub fn client(deadline_ms: u64, from_ms: u64, to_ms: u64, every_ms: u64, operations: &[&str]) -> Client {
    let times = (from_ms..to_ms).step_by(every_ms as usize);
    let script = times.zip(operations.iter().cycle()).map(|(at, operation)| step(at, operation));
    Client { deadline_ms, script: script.collect() }
}

/// A client that puts `count` keys of their own, as fast as it can.
pub fn loader(count: u64) -> Client {
    Client { deadline_ms: 30_000, script: (0..count).map(|n| step(0, &format!("put cold{n}"))).collect() }
}

/// A line of a script.
pub fn step(at_ms: u64, operation: &str) -> String {
    format!("{}.{:03} {operation}", at_ms / 1000, at_ms % 1000)
}

/// A fault at a time.
pub fn at(at_ms: u64, kind: FaultKind) -> Fault {
    Fault { at_ms, on: None, after_ms: 0, kind }
}

/// A fault some time after the first such event from `after_ms` on.
pub fn on(trigger: Trigger, after_ms: u64, later_ms: u64, kind: FaultKind) -> Fault {
    Fault { at_ms: later_ms, on: Some(trigger), after_ms, kind }
}

/// A crash after which the server has what it had made durable.
pub fn crash(node: &str, down_ms: Option<u64>) -> FaultKind {
    FaultKind::Crash { node: node.into(), down_ms, memory: Memory::Kept }
}

/// A machine loses its power: nobody is told. What was durable is there again when it is started.
pub fn power_loss(node: &str, down_ms: Option<u64>) -> FaultKind {
    FaultKind::PowerLoss { node: node.into(), down_ms, memory: Memory::Kept }
}

/// A crash after which the server has nothing.
pub fn crash_forgetting(node: &str, down_ms: Option<u64>) -> FaultKind {
    FaultKind::Crash { node: node.into(), down_ms, memory: Memory::Lost }
}

/// Nothing passes between two nodes, in both directions, and nobody is told.
pub fn cut(from: &str, to: &str, lasts_ms: u64) -> FaultKind {
    FaultKind::Partition {
        from: vec![from.into()],
        to: vec![to.into()],
        both_ways: true,
        how: Cut::BlackHole,
        lasts_ms: Some(lasts_ms),
    }
}

/// That a fault strikes a node that has a role.
pub fn strikes(strike: Strike, role: Role) -> Mark {
    Overlap { strike, role: role.into() }.into()
}

/// Messages from one node to another, and back, take longer.
pub fn slow(from: &[&str], to: &[&str], latency_ms: u64, jitter_ms: u64, lasts_ms: u64) -> FaultKind {
    let names = |nodes: &[&str]| nodes.iter().map(ToString::to_string).collect();
    FaultKind::Slow { from: names(from), to: names(to), one_way: false, latency_ms, jitter_ms, lasts_ms }
}
