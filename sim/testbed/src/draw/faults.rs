//! What goes wrong in a plan of any system: which kinds, how often, against which nodes.
//!
//! Faults name processes, the roles that the system knows, and clients. Memory is not lost and does not rot:
//! whether a process may forget what it holds is for the system to say, which then draws such faults itself.
//! Every fault ends. What the system's table calls impossible for every role ([`Strike::impossible`]) is not
//! drawn.

use super::dice::Dice;
use crate::{
    data::{
        fault::{Cut, DriveFailure, Fault, FaultKind, Memory, Mistreatment, Node},
        hash::stable_hash,
        plan::Plan,
    },
    marks::Strike,
    system::{Setup, System},
};

/// Faults of one plan, at most.
const FAULTS_MAX: usize = 100;
/// The longest that one node stands still, in milliseconds.
const STAND_STILL_MS_MAX: u64 = 10_000;

/// What a seed may enable. The name is that of the stream it draws from.
const KINDS: [(Kind, &str); 17] = [
    (Kind::Crash, "crash"),
    (Kind::PowerLoss, "power loss"),
    (Kind::Pause, "pause"),
    (Kind::Freeze, "freeze"),
    (Kind::Stutter, "stutter"),
    (Kind::Isolate, "isolate"),
    (Kind::Cut, "cut"),
    (Kind::Closed, "closed"),
    (Kind::Slow, "slow"),
    (Kind::DiskStall, "disk stall"),
    (Kind::DiskFailure, "disk failure"),
    (Kind::Rpc(Mistreatment::DropRequest), "drop request"),
    (Kind::Rpc(Mistreatment::DropReply), "drop reply"),
    (Kind::Rpc(Mistreatment::Duplicate), "duplicate"),
    (Kind::Rpc(Mistreatment::Delay), "delay"),
    (Kind::Rpc(Mistreatment::Hang), "hang"),
    (Kind::Rpc(Mistreatment::Cancel), "cancel"),
];

#[derive(Clone, Copy)]
enum Kind {
    Crash,
    PowerLoss,
    Pause,
    Freeze,
    Stutter,
    Isolate,
    Cut,
    Closed,
    Slow,
    DiskStall,
    DiskFailure,
    Rpc(Mistreatment),
}

/// The nodes of a plan by which a fault can name them.
struct Targets {
    processes: Vec<Node>,
    clients: Vec<Node>,
}

impl Targets {
    fn process(&self, dice: &mut Dice) -> Node {
        dice.pick(&self.processes).clone()
    }

    fn any(&self, dice: &mut Dice) -> Node {
        if self.clients.is_empty() || dice.percent(70) {
            self.process(dice)
        } else {
            dice.pick(&self.clients).clone()
        }
    }

    /// From one node to another, or to all others.
    fn link(&self, dice: &mut Dice) -> (Vec<Node>, Vec<Node>) {
        let from = self.any(dice);
        let is_process = self.processes.contains(&from);
        let clients = self.clients.iter().filter(|_| is_process);
        let others: Vec<_> = self.processes.iter().chain(clients).filter(|node| **node != from).collect();
        let is_wide = dice.percent(30) || others.is_empty();
        let to = if is_wide { vec![] } else { vec![(*dice.pick(&others)).clone()] };
        (vec![from], to)
    }
}

/// The faults of a plan that has none yet, by its seed.
pub fn swarm<S: System>(plan: &Plan<S>) -> Vec<Fault<S>> {
    let processes = plan.cluster.processes().into_iter().map(|process| process.name);
    let targets = Targets {
        processes: processes.chain(S::ROLES.iter().map(|role| (*role).to_owned())).collect(),
        clients: (1..=plan.clients.len()).map(|number| format!("c{number}")).collect(),
    };
    let mut enabled = Dice::new(plan.seed, "kinds");
    let share = enabled.weighted(&[(1, 0), (3, 15), (3, 30), (2, 60)]);
    let mut faults = Vec::new();
    for (kind, name) in KINDS {
        // Two draws for each kind, whatever comes of the first: the others stay what they are.
        let (is_enabled, mean_ms) = (enabled.percent(share), enabled.magnitude(400, 10_000));
        if !is_enabled {
            continue;
        }
        let mut dice = Dice::new(plan.seed, &format!("faults/{name}"));
        let mut at_ms = dice.wait(mean_ms);
        while at_ms < plan.faults_ms {
            let kind = fault(kind, &mut dice, &targets);
            if Strike::of(&kind).impossible::<S>().is_some() {
                break;
            }
            faults.push(Fault { at_ms, on: None, after_ms: 0, kind });
            at_ms += 1 + dice.wait(mean_ms);
        }
    }
    faults.sort_by_key(Fault::begins_ms);
    faults.truncate(FAULTS_MAX);
    faults
}

/// A drive fails, in a way that the other fields choose.
pub fn disk_failure<S: System>(node: Node, lasts_ms: u64, down_ms: u64) -> FaultKind<S> {
    let how = match stable_hash(&("what fails", &node, lasts_ms, down_ms)) % 4 {
        _ if stable_hash(&("an access fails", &node, lasts_ms, down_ms)).is_multiple_of(5) => {
            DriveFailure::Access
        }
        0 => DriveFailure::Write,
        1 => DriveFailure::Full,
        _ => DriveFailure::Sync,
    };
    FaultKind::DiskFailure { node, lasts_ms, down_ms, how }
}

fn fault<S: System>(kind: Kind, dice: &mut Dice, targets: &Targets) -> FaultKind<S> {
    let down_ms = |dice: &mut Dice| Some(dice.magnitude(10, 6_000));
    let lasts_ms = |dice: &mut Dice| dice.magnitude(50, 6_000);
    let how = |dice: &mut Dice| if dice.percent(50) { Cut::Refuse } else { Cut::BlackHole };
    match kind {
        Kind::Crash => {
            let (node, down_ms) = (targets.process(dice), down_ms(dice));
            FaultKind::Crash { node, down_ms, memory: Memory::Kept }
        }
        Kind::PowerLoss => {
            let (node, down_ms) = (targets.process(dice), down_ms(dice));
            FaultKind::PowerLoss { node, down_ms, memory: Memory::Kept }
        }
        Kind::Pause => FaultKind::Pause {
            node: targets.any(dice),
            lasts_ms: Some(dice.magnitude(50, STAND_STILL_MS_MAX)),
        },
        Kind::Freeze => {
            FaultKind::Freeze { node: targets.any(dice), lasts_ms: dice.magnitude(50, STAND_STILL_MS_MAX) }
        }
        Kind::Stutter => FaultKind::Stutter {
            node: targets.any(dice),
            pause_ms: dice.magnitude(2, 400),
            run_ms: dice.magnitude(1, 16),
            lasts_ms: dice.magnitude(500, 4_000),
        },
        Kind::Isolate => FaultKind::Partition {
            from: vec![targets.any(dice)],
            to: vec![],
            both_ways: true,
            how: how(dice),
            lasts_ms: Some(lasts_ms(dice)),
        },
        Kind::Cut => {
            let (from, to) = targets.link(dice);
            let (both_ways, how) = (dice.percent(50), how(dice));
            FaultKind::Partition { from, to, both_ways, how, lasts_ms: Some(lasts_ms(dice)) }
        }
        Kind::Closed => FaultKind::Closed {
            from: vec![],
            to: vec![targets.process(dice)],
            how: how(dice),
            lasts_ms: Some(lasts_ms(dice)),
        },
        Kind::Slow => {
            let (from, to) = targets.link(dice);
            FaultKind::Slow {
                from,
                to,
                one_way: dice.percent(30),
                latency_ms: dice.magnitude(1, 600),
                jitter_ms: dice.magnitude(1, 1_500),
                lasts_ms: lasts_ms(dice),
            }
        }
        Kind::DiskStall => FaultKind::DiskStall { node: targets.process(dice), lasts_ms: lasts_ms(dice) },
        Kind::DiskFailure => {
            let node = targets.process(dice);
            disk_failure(node, dice.magnitude(10, 4_000), dice.magnitude(10, 6_000))
        }
        Kind::Rpc(how) => {
            let (from, to) = targets.link(dice);
            let percent = dice.magnitude(1, 100) as u32;
            FaultKind::Rpc { from, to, how, percent, lasts_ms: lasts_ms(dice) }
        }
    }
}
