//! Stories of an operator who loses the view service's record, takes an old copy for it, or declares all data lost.

use super::{super::faults::cut, BEGIN_MS, Dice, apart, at, at_least, crash, nodes};
use crate::scenario::{FaultKind, Memory, Node, Reads, Scenario};

/// From one mistake of an operator to the next, in milliseconds: a view service that adopts listens for four dead intervals.
const MISTAKE_MS: u64 = 17_000;
/// How long after a mistake was started the operator looks, in milliseconds: longer than a view service that adopts listens.
const LOOK_MS: u64 = 9_000;
/// From a primary's crash to the mistake, in milliseconds: it is up again, and views were told since.
const AFTER_CRASH_MS: u64 = 5_000;
/// From a cut to the mistake, in milliseconds: another primary was made, and the old one has not heard of it.
const AFTER_CUT_MS: u64 = 4_500;
/// How long the two stay apart, in milliseconds: well into the time of the mistake.
const APART_MS: u64 = 12_000;

/// The share of mistakes that give all data up, in percent.
const GIVEN_UP_PERCENT: u64 = 30;

/// All servers that hold the data, or some of them, are down, and an operator declares it lost. They come back with what
/// they held: clients must not see it again.
fn given_up_too_soon(dice: &mut Dice, scenario: &mut Scenario) {
    let copies = dice.weighted(&[(3, 2), (2, 3)]);
    at_least(scenario, copies, copies);
    scenario.cluster.settings.clear();
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let mut down = vec!["primary"];
        down.extend((1..copies).filter(|_| dice.percent(80)).map(|_| "backup"));
        let accepted_ms = begin_ms + dice.magnitude(100, 4_000);
        for (place, node) in (0..).zip(down) {
            let at_ms = begin_ms + 20 * place;
            let down_ms = accepted_ms - at_ms + dice.magnitude(1, 7_000);
            scenario.faults.push(at(at_ms, crash(node, down_ms, Memory::Kept)));
        }
        accept_loss(dice, scenario, accepted_ms);
    }
}

/// An operator declares all data lost at this time. Now and then the view service of the next generation ends soon, too.
pub(super) fn accept_loss(dice: &mut Dice, scenario: &mut Scenario, at_ms: u64) {
    let down_ms = dice.magnitude(100, 2_000);
    scenario.faults.push(at(at_ms, FaultKind::AcceptLoss { down_ms, runs_ms: LOOK_MS }));
    if dice.percent(30) {
        let soon_ms = at_ms + down_ms + dice.magnitude(1, 3_000);
        scenario.faults.push(at(soon_ms, crash("vs", dice.magnitude(10, 1_000), Memory::Kept)));
    }
}

/// The primary of a pair is cut off and replaced, and is still cut off from the other one when the view service runs with a
/// copy of its record in which it is primary.
fn forgotten_replacement(dice: &mut Dice, scenario: &mut Scenario) {
    (scenario.cluster.servers, scenario.cluster.replicas) = (2, 2);
    if dice.percent(50) {
        scenario.cluster.reads = Reads::Lease;
    }
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let (how, down_ms) = (cut(dice), dice.magnitude(100, 2_000));
        let until_it_is_up = AFTER_CUT_MS + down_ms / 2;
        scenario.faults.push(at(begin_ms, apart(nodes(&["primary"]), nodes(&["vs"]), how, until_it_is_up)));
        scenario.faults.push(at(begin_ms, apart(nodes(&["primary"]), nodes(&["backup"]), how, APART_MS)));
        let mistake = FaultKind::Record { adopt: None, down_ms, runs_ms: LOOK_MS };
        scenario.faults.push(at(begin_ms + AFTER_CUT_MS, mistake));
    }
}

/// A primary dies, and later an operator has the data of a server go on without a record, or takes a copy from before that
/// death for the record. All servers run by then: what only a missing one knew could be lost.
pub(super) fn mistakes(dice: &mut Dice, scenario: &mut Scenario) {
    let mut own = Dice::new(scenario.seed, "story/given up");
    if own.percent(GIVEN_UP_PERCENT) {
        return given_up_too_soon(&mut own, scenario);
    }
    let copies = dice.weighted(&[(3, 2), (2, 3)]);
    at_least(scenario, copies, copies);
    scenario.cluster.settings.clear();
    if dice.percent(40) {
        return forgotten_replacement(dice, scenario);
    }
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let memory = if dice.percent(50) { Memory::Kept } else { Memory::Lost };
        scenario.faults.push(at(begin_ms, crash("primary", dice.magnitude(10, 1_500), memory)));
        let adopt = dice.weighted(&[(4, None), (4, Some("primary")), (2, Some("backup")), (1, Some("idle"))]);
        let down_ms = dice.magnitude(100, 2_000);
        let mistake = FaultKind::Record { adopt: adopt.map(Node::from), down_ms, runs_ms: LOOK_MS };
        scenario.faults.push(at(begin_ms + AFTER_CRASH_MS, mistake));
    }
}
