//! Second processes at the address of a server.

use testbed::{
    data::{
        fault::{Cut, Memory, Node},
        plan::Clock,
    },
    draw::dice::Dice,
};

use super::faults::{Targets, cut};
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{fault::Mishap, setup::Reads},
};

/// The share of seeds in which a primary that only its clients reach has a twin, in percent,
const HOLDERS_PERCENT: u64 = 2;
/// and of those in which nothing happens but that a primary has one, and its address moves.
const MOVES_PERCENT: u64 = 2;
/// When the first of them begins, in milliseconds,
const MOVES_MS: u64 = 5_000;
/// and the next one after that.
const SHADOW_MS: u64 = 14_000;
/// So many primaries in turn.
const SHADOWS: u64 = 2;

/// The share of seeds in which a server has a twin now and then, in percent.
const TWINS_PERCENT: u64 = 4;

/// In a few seeds a server is started a second time while it runs, behind a partition or not: the first
/// process is cut off from nobody, from the view service, from the other servers, or from all but its
/// clients.
pub(super) fn make_twins(seed: u64, plan: &mut Plan) {
    let mut dice = Dice::new(seed, "twins");
    if !dice.percent(TWINS_PERCENT) {
        return;
    }
    let targets = Targets::of(plan);
    // Which of the two has the later life is a matter of the clocks.
    let skew_ms = dice.weighted(&[(2, 0), (1, 60_000), (1, -60_000)]);
    if skew_ms != 0 {
        plan.cluster.clocks.push(Clock { node: "twin".into(), skew_ms, drift_ppm: 0 });
    }
    let mut begin_ms = dice.between(3_000, 8_000);
    if dice.percent(40) {
        // Nothing else happens: who is reached serves.
        let node: Node = dice.weighted(&[(4, "primary"), (2, "backup"), (1, "idle")]).into();
        let (lasts_ms, moves) = (dice.between(14_000, 32_000), dice.percent(50));
        let kind = FaultKind::Own(Mishap::Twin { node, lasts_ms, turns_ms: None, moves });
        plan.faults = vec![Fault { at_ms: begin_ms, on: None, after_ms: 0, kind }];
        if dice.percent(50) {
            // Who follows may be the second process.
            let (node, down_ms) = ("primary".into(), Some(dice.between(3_000, 6_000)));
            let death = FaultKind::Crash { node, down_ms, memory: Memory::Kept };
            plan.faults.push(Fault { at_ms: begin_ms + 8_000, on: None, after_ms: 0, kind: death });
        }
        plan.faults_ms = plan.faults_ms.max(begin_ms + lasts_ms + 1);
        return;
    }
    while begin_ms < plan.faults_ms {
        let node: Node = dice.weighted(&[(4, "primary"), (2, "backup"), (1, "joiner"), (1, "idle")]).into();
        let lasts_ms = dice.between(1_000, 9_000);
        let turns_ms = dice.percent(35).then(|| dice.between(300, 3_000));
        let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
        let others: Vec<Node> = match dice.below(4) {
            0 => Vec::new(),
            1 => vec!["vs".into()],
            2 => targets.servers(),
            _ => targets.servers().into_iter().chain(["vs".into()]).collect(),
        };
        if !others.is_empty() {
            let (how, both_ways) = (cut(&mut dice), dice.percent(70));
            let lasts_ms = Some(dice.between(500, lasts_ms));
            let cut_off =
                FaultKind::Partition { from: vec![node.clone()], to: others, both_ways, how, lasts_ms };
            plan.faults.push(at(begin_ms.saturating_sub(dice.below(500)), cut_off));
        }
        // One that comes back begins at the clock again: the other one may have its number.
        if dice.percent(40) {
            let crash = FaultKind::Crash {
                node: "twin".into(),
                down_ms: Some(dice.magnitude(1, 500)),
                memory: Memory::Lost,
            };
            plan.faults.push(at(begin_ms + dice.below(lasts_ms), crash));
        }
        let moves = dice.percent(40);
        plan.faults.push(at(begin_ms, FaultKind::Own(Mishap::Twin { node, lasts_ms, turns_ms, moves })));
        begin_ms += lasts_ms + dice.between(2_000, 12_000);
    }
}

/// In a few seeds a primary is cut off from all but its clients, and a second process appears at its address
/// at once: its lease has to be waited for. One client has to go elsewhere, another one reads on.
pub(super) fn shadow_holders(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "twin of a holder");
    let cluster = &mut plan.cluster;
    if !dice.percent(HOLDERS_PERCENT) || plan.clients.len() < 2 {
        return;
    }
    (cluster.servers, cluster.replicas, cluster.reads) = (cluster.servers.max(3), 2, Reads::Lease);
    cluster.disk_ms_max = cluster.disk_ms_max.min(5);
    cluster.starts_ms.clear();
    cluster.settings.clear();
    cluster.clocks.clear();
    (plan.network.latency_us_min, plan.network.latency_us_max) = (400, 800);
    plan.faults.clear();
    plan.faults_ms = plan.faults_ms.max(MOVES_MS + SHADOWS * SHADOW_MS);
    let others: Vec<Node> = Targets::of(plan).servers().into_iter().chain(["vs".into()]).collect();
    plan.clients.truncate(2);
    for client in &mut plan.clients {
        client.deadline_ms = 5_000;
        client.script = vec!["1.600 put hot0".into()];
    }
    for begin_ms in (0..SHADOWS).map(|round| MOVES_MS + round * SHADOW_MS) {
        let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
        let apart = |from: &str, to: Vec<Node>, how, lasts_ms| FaultKind::Partition {
            from: vec![from.into()],
            to,
            both_ways: true,
            how,
            lasts_ms: Some(lasts_ms),
        };
        let (lasts_ms, turn_ms, moves) =
            (dice.between(3_000, 6_000), dice.between(100, 300), dice.percent(30));
        let twin =
            FaultKind::Own(Mishap::Twin { node: "primary".into(), lasts_ms, turns_ms: Some(turn_ms), moves });
        plan.faults.extend([
            at(begin_ms, apart("primary", others.clone(), Cut::BlackHole, lasts_ms.min(4_000))),
            at(begin_ms, apart("c1", vec!["primary".into()], Cut::Refuse, lasts_ms)),
            at(begin_ms, twin),
        ]);
        let line = |ms: u64, what: &str| format!("{}.{:03} {what} hot0", ms / 1_000, ms % 1_000);
        let writes = (begin_ms + 20..begin_ms + 1_500).step_by(200).map(|ms| line(ms, "put"));
        plan.clients[0].script.extend(writes);
        // Who is sent elsewhere by the second process stays there: it is asked for nothing before the first
        // one is back.
        let reads = (begin_ms + turn_ms + 5..begin_ms + 2 * turn_ms).step_by(20);
        plan.clients[1].script.extend([begin_ms - 40].into_iter().chain(reads).map(|ms| line(ms, "get")));
    }
}

/// In a few seeds nothing happens but that a primary has a twin for a while, and then one of the two is left,
/// most often the second one. Both know of each other by then.
pub(super) fn move_addresses(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "address moves");
    if !dice.percent(MOVES_PERCENT) {
        return;
    }
    let cluster = &mut plan.cluster;
    if dice.percent(60) {
        (cluster.servers, cluster.replicas) = (1, 1);
    }
    cluster.starts_ms.clear();
    cluster.settings.clear();
    cluster.clocks.clear();
    let (lasts_ms, turns_ms) =
        (dice.between(2_000, 9_000), dice.percent(30).then(|| dice.between(300, 1_500)));
    let kind =
        FaultKind::Own(Mishap::Twin { node: "primary".into(), lasts_ms, turns_ms, moves: dice.percent(80) });
    let at_ms = dice.between(2_000, 8_000);
    plan.faults = vec![Fault { at_ms, on: None, after_ms: 0, kind }];
    plan.faults_ms = plan.faults_ms.max(at_ms + lasts_ms + 4_000);
}
