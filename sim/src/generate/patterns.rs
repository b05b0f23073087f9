//! Several faults that together make a known kind of trouble: situations that single faults, however many,
//! reach too rarely.

use testbed::{
    data::fault::{Cut, Memory, Mistreatment, Node},
    draw::dice::Dice,
};

use super::faults::{Targets, cut};
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{
        fault::{Mishap, Trigger},
        setup::Reads,
    },
};

/// The share of seeds whose view service is struck while it writes its record, in percent.
const STRUCK_PERCENT: u64 = 4;

/// In a few seeds the view service ends while it writes a record, finds that record at its start, and loses
/// power soon: what it told since must still be there.
pub(super) fn strike_the_record(seed: u64, plan: &mut Plan) {
    let mut dice = Dice::new(seed, "struck record");
    if !dice.percent(STRUCK_PERCENT) {
        return;
    }
    plan.cluster.disk_ms_max = 100;
    for begin_ms in (5_000..plan.faults_ms.min(25_000)).step_by(6_000) {
        let crash = |node: &str, down_ms| FaultKind::Crash {
            node: node.into(),
            down_ms: Some(down_ms),
            memory: Memory::Kept,
        };
        let writes = Fault {
            at_ms: dice.below(101),
            on: Some(Trigger::ViewProposed),
            after_ms: begin_ms,
            kind: crash("vs", dice.between(1, 100)),
        };
        let power_loss = FaultKind::PowerLoss {
            node: "vs".into(),
            down_ms: Some(dice.between(10, 500)),
            memory: Memory::Kept,
        };
        let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
        let soon_ms = begin_ms + dice.between(200, 2_500);
        let reboot = at(begin_ms, crash("primary", dice.between(1, 50)));
        plan.faults.extend([reboot, writes, at(soon_ms, power_loss)]);
    }
}

/// The share of seeds in which nothing is wrong but that somebody lies, in percent.
const LIES_PERCENT: u64 = 3;
/// From one lie to the next, in milliseconds: the service has returned, and the primary has died and come
/// back.
const LIES_MS: u64 = 18_000;

/// In a few seeds nothing else happens but what a liar says.
pub(super) fn tell_lies(seed: u64, plan: &mut Plan) {
    let mut dice = Dice::new(seed, "lies");
    let has_twins = plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Own(Mishap::Twin { .. })));
    if dice.percent(LIES_PERCENT) && !has_twins {
        plan.faults.clear();
        lies(&mut dice, plan);
    }
}

/// Somebody who hears what servers say says it again, and lies. Later, when the service has returned, the
/// primary dies.
pub(super) fn lies(dice: &mut Dice, plan: &mut Plan) {
    let servers = Targets::of(plan).servers();
    let named = |name: &str| vec![Node::from(name)];
    for begin_ms in (5_000..plan.faults_ms.saturating_sub(4_500)).step_by(LIES_MS as usize) {
        let (from, to, on) = match dice.below(8) {
            0 => (servers.clone(), named("vs"), None),
            1 => (named("backup"), named("primary"), None),
            2 => (named("primary"), named("backup"), None),
            3 => (servers.clone(), vec![], None),
            4 => (named("idle"), named("vs"), None),
            5 => (named("vs"), servers.clone(), None),
            6 => (named("joiner"), named("primary"), Some(Trigger::TransferBegan)),
            _ => (named("primary"), named("joiner"), Some(Trigger::TransferBegan)),
        };
        // Of what is said for a short time only, most.
        let rare = matches!(from[0].as_str(), "idle" | "vs") || on.is_some();
        let percent = if rare { dice.between(40, 100) } else { dice.magnitude(1, 100) } as u32;
        let (how, lasts_ms) = (Mistreatment::Forge, dice.magnitude(if rare { 1_000 } else { 100 }, 1_500));
        let (at_ms, after_ms) = if on.is_some() { (0, begin_ms) } else { (begin_ms, 0) };
        let kind = FaultKind::Rpc { from, to, how, percent, lasts_ms };
        if on.is_some() && plan.cluster.replicas > 1 {
            // Whoever comes back with nothing is sent the state.
            let memory = Memory::Lost;
            let kind =
                FaultKind::Crash { node: "backup".into(), down_ms: Some(dice.magnitude(10, 500)), memory };
            plan.faults.push(Fault { at_ms: begin_ms, on: None, after_ms: 0, kind });
        }
        plan.faults.push(Fault { at_ms, on, after_ms, kind });
        let (node, memory) = ("primary".into(), Memory::Kept);
        let death = FaultKind::Crash { node, down_ms: Some(dice.magnitude(10, 2_000)), memory };
        plan.faults.push(Fault { at_ms: begin_ms + LIES_MS - 3_000, on: None, after_ms: 0, kind: death });
    }
}

/// The faults of one pattern, from about `at_ms` on.
pub(super) fn pattern(dice: &mut Dice, targets: Targets, at_ms: u64, reads: Reads) -> Vec<Fault> {
    let crash = |node: &str, down_ms: u64| FaultKind::Crash {
        node: node.into(),
        down_ms: Some(down_ms),
        memory: Memory::Kept,
    };
    let partition = |from: &str, to: &str, both_ways, how, lasts_ms| FaultKind::Partition {
        from: vec![from.into()],
        to: if to.is_empty() { vec![] } else { vec![to.into()] },
        both_ways,
        how,
        lasts_ms: Some(lasts_ms),
    };
    let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
    let on = |trigger, later_ms, kind| Fault { at_ms: later_ms, on: Some(trigger), after_ms: at_ms, kind };
    let (short, long) = (dice.magnitude(10, 1_000), dice.between(1_600, 7_000));
    let (soon, how) = (dice.magnitude(1, 400), cut(dice));
    if reads == Reads::Lease && dice.percent(30) {
        return (0..3).flat_map(|round| lonely_holder(dice, targets, at_ms + round * 7_000)).collect();
    }
    match dice.below(18) {
        // The primary fails over, and its successor is cut off at once.
        0 => vec![
            at(at_ms, crash("primary", long)),
            on(Trigger::Promoted, soon, partition("primary", "", true, how, short + 1_000)),
        ],
        // A primary that does not hear that it was replaced, and still has clients.
        1 => vec![at(at_ms, partition("primary", "vs", true, how, long))],
        // As before, and it cannot be asked by its backup either.
        2 => vec![
            at(at_ms, partition("primary", "vs", true, how, long)),
            at(at_ms + soon, partition("backup", "primary", false, Cut::BlackHole, long)),
        ],
        // Both in-sync replicas live, but cannot reach each other.
        3 => vec![at(at_ms, partition("primary", "backup", true, how, long))],
        // Each side of a state transfer.
        4 => vec![on(Trigger::TransferBegan, soon, crash("joiner", short))],
        5 => vec![on(Trigger::TransferBegan, soon, crash("primary", short))],
        // The backup dies before the view with it is acknowledged.
        6 => vec![on(Trigger::ViewProposed, dice.below(20), crash("backup", long))],
        // The one who knows the new view and the one who decided it, both gone.
        7 => vec![
            on(Trigger::ViewProposed, dice.below(50), crash("vs", short)),
            at(at_ms, crash("primary", long)),
        ],
        // A primary that sleeps through its replacement and wakes up with answers on its lips.
        8 => vec![
            at(at_ms, FaultKind::Pause { node: "primary".into(), lasts_ms: Some(long) }),
            on(Trigger::Promoted, soon, partition("vs", "", true, how, short + 500)),
        ],
        // One restart after the other.
        9 => (0..)
            .zip(targets.servers())
            .map(|(n, server)| at(at_ms + n * (short + soon), crash(&server, short)))
            .collect(),
        // The backup blinks, then the primary dies.
        10 => vec![at(at_ms, crash("backup", short)), at(at_ms + short + soon, crash("primary", long))],
        // Parts of a state arrive again when the state is long past.
        11 => vec![on(
            Trigger::TransferBegan,
            0,
            FaultKind::Rpc {
                from: vec!["primary".into()],
                to: vec![],
                how: if short % 2 == 0 { Mistreatment::Duplicate } else { Mistreatment::Delay },
                percent: 50,
                lasts_ms: long,
            },
        )],
        // A view service that restarts just when it stops hearing a primary, which may hold a lease.
        12 => vec![
            at(at_ms, partition("primary", "vs", true, how, long)),
            at(at_ms + soon, crash("vs", dice.magnitude(1, 100))),
        ],
        // Two replicas that hear only each other and their clients, while a third takes over.
        13 => {
            let (from, to) = (vec!["primary".into(), "backup".into()], vec!["vs".into()]);
            let lasts_ms = Some(long);
            vec![at(at_ms, FaultKind::Partition { from, to, both_ways: true, how, lasts_ms })]
        }
        // Replicas that hold more and less of the log when the primary dies.
        14 => vec![
            at(
                at_ms,
                FaultKind::Slow {
                    from: vec!["primary".into()],
                    to: vec!["backup".into()],
                    one_way: false,
                    latency_ms: short,
                    jitter_ms: short,
                    lasts_ms: long,
                },
            ),
            at(at_ms + soon + short, crash("primary", long)),
        ],
        // A primary sleeps through its replacement, and all clients but one can ask nobody else.
        15 | 16 => {
            let mut loyal = targets.clients();
            loyal.remove(dice.below(targets.clients - 1) as usize);
            let (to, lasts_ms) = (vec!["vs".into()], Some(long + 1_000));
            let pause = FaultKind::Pause { node: "primary".into(), lasts_ms: Some(long) };
            let loyal = FaultKind::Partition { from: loyal, to, both_ways: true, how: Cut::Refuse, lasts_ms };
            vec![at(at_ms, pause), at(at_ms, loyal)]
        }
        // Late messages of an old view, while views change.
        _ => vec![
            at(
                at_ms,
                FaultKind::Slow {
                    from: vec!["primary".into()],
                    to: vec![],
                    one_way: false,
                    latency_ms: short,
                    jitter_ms: 2_000,
                    lasts_ms: long,
                },
            ),
            at(at_ms + soon, crash("primary", short)),
        ],
    }
}

/// A primary that only its clients reach, under a lease of a view service that restarts just then. One client
/// has to go elsewhere, the others stay and read.
fn lonely_holder(dice: &mut Dice, targets: Targets, at_ms: u64) -> Vec<Fault> {
    let partition = |from: Node, to: Vec<Node>, how| FaultKind::Partition {
        from: vec![from],
        to,
        both_ways: true,
        how,
        lasts_ms: Some(2_500),
    };
    // The last one may be a reader.
    let writer = format!("c{}", dice.between(1, targets.clients - 1));
    let mut others = targets.servers();
    others.push("vs".into());
    let restart =
        FaultKind::Crash { node: "vs".into(), down_ms: Some(dice.magnitude(1, 50)), memory: Memory::Kept };
    let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
    vec![
        at(at_ms, partition("primary".into(), others, Cut::BlackHole)),
        at(at_ms, partition(writer, vec!["primary".into()], Cut::Refuse)),
        at(at_ms + dice.magnitude(1, 100), restart),
    ]
}
