//! Stories of an operator who loses the view service's record, takes an old copy for it, or declares all data
//! lost.

use testbed::{
    data::fault::{Memory, Node},
    draw::dice::Dice,
};

use super::{super::faults::cut, BEGIN_MS, Targets, apart, at, at_least, crash, nodes};
use crate::{
    bound::{FaultKind, Plan},
    store::{fault::Mishap, setup::Reads},
};

/// From one mistake of an operator to the next, in milliseconds: a view service that adopts listens for four
/// dead intervals.
const MISTAKE_MS: u64 = 17_000;
/// How long after a mistake was started the operator looks, in milliseconds: longer than a view service that
/// adopts listens.
const LOOK_MS: u64 = 9_000;
/// From a primary's crash to the mistake, in milliseconds: it is up again, and views were told since.
const AFTER_CRASH_MS: u64 = 5_000;
/// From a cut to the mistake, in milliseconds: another primary was made, and the old one has not heard of it.
const AFTER_CUT_MS: u64 = 4_500;
/// How long the two stay apart, in milliseconds: well into the time of the mistake.
const APART_MS: u64 = 12_000;

/// The share of mistakes that give all data up, in percent.
const GIVEN_UP_PERCENT: u64 = 30;

/// The share of those that do so while the holders are only cut off, in percent.
const CUT_OFF_PERCENT: u64 = 45;
/// The share of mistakes after which an operator has the data of a server go on, whatever others hold, in
/// percent.
const ANYWAY_PERCENT: u64 = 20;

/// The share of other mistakes in which the server that is named lags behind, in percent.
const BEHIND_PERCENT: u64 = 35;
/// How long that one is down, in milliseconds: another one is primary by then, and clients have written.
const BEHIND_MS: u64 = 4_000;

/// From the return of data that were given up to the operator's look, in milliseconds: both sides have told
/// of it by then.
const MEET_MS: u64 = 12_000;

/// All servers that hold the data are cut off, and an operator declares it lost. They come back, running,
/// with what they held: first the view service reaches them and is reached, and later clients and other
/// servers. (A primary that clients reach before it has heard of that goes on answering them: an operator has
/// to see to that.) They are looked after late.
fn given_up_while_cut_off(dice: &mut Dice, plan: &mut Plan) {
    let spares = dice.weighted(&[(1, 0), (3, 1), (1, 2)]);
    at_least(plan, 2 + spares, 2);
    (plan.cluster.servers, plan.cluster.replicas) = (2 + spares, 2);
    plan.cluster.settings.clear();
    let how = cut(dice);
    let others = [Targets::of(plan).servers(), Targets::of(plan).clients()].concat();
    let accepted_ms = BEGIN_MS + dice.between(1_000, 4_000);
    let down_ms = dice.magnitude(100, 1_000);
    let heard_ms = accepted_ms + down_ms + dice.between(500, 3_000);
    let back_ms = heard_ms + dice.between(3_000, 4_000);
    for node in ["primary", "backup"] {
        let unheard = apart(nodes(&[node]), nodes(&["vs"]), how, heard_ms - BEGIN_MS);
        let alone = apart(nodes(&[node]), others.clone(), how, back_ms - BEGIN_MS);
        plan.faults.extend([at(BEGIN_MS, unheard), at(BEGIN_MS, alone)]);
    }
    let runs_ms = back_ms + MEET_MS - accepted_ms - down_ms;
    plan.faults.push(at(accepted_ms, FaultKind::Own(Mishap::AcceptLoss { down_ms, runs_ms })));
}

/// The record of a pair is lost, and just then the view service does not reach the primary any more, which
/// speaks. An operator has the data of the backup go on nevertheless: that one holds all of it, and the
/// primary completes nothing without it.
fn adopted_anyway(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    (plan.cluster.servers, plan.cluster.replicas) = (2, 2);
    plan.cluster.settings.clear();
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let down_ms = dice.magnitude(100, 1_500);
        let anyway = dice.percent(80);
        let mistake = FaultKind::Own(Mishap::Record {
            adopt: Some("backup".into()),
            anyway,
            down_ms,
            runs_ms: LOOK_MS,
        });
        let closed = FaultKind::Closed {
            from: nodes(&["vs"]),
            to: nodes(&["primary"]),
            how: cut(dice),
            lasts_ms: Some(down_ms + dice.between(7_500, 8_800)),
        };
        plan.faults.extend([at(begin_ms, mistake), at(begin_ms + 1, closed)]);
    }
}

/// The record is lost while the first server is down, and that one is named. It comes back before the view
/// service does, so that nobody brings it up to date: others hold more, and what it holds must not go on.
fn named_behind(dice: &mut Dice, plan: &mut Plan) {
    let copies = dice.weighted(&[(3, 2), (1, 3)]);
    at_least(plan, copies, copies);
    plan.cluster.settings.clear();
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        plan.faults.push(at(begin_ms, crash("s1", BEHIND_MS, Memory::Kept)));
        let lost_ms = begin_ms + BEHIND_MS - dice.between(50, 500);
        let down_ms = dice.between(600, 1_500);
        let mistake = FaultKind::Own(Mishap::Record {
            adopt: Some("s1".into()),
            anyway: false,
            down_ms,
            runs_ms: LOOK_MS,
        });
        plan.faults.push(at(lost_ms, mistake));
    }
}

/// All servers that hold the data, or some of them, are down, and an operator declares it lost. They come
/// back with what they held: clients must not see it again.
fn given_up_too_soon(dice: &mut Dice, plan: &mut Plan) {
    let mut own = Dice::new(plan.seed, "story/cut off");
    if own.percent(CUT_OFF_PERCENT) {
        return given_up_while_cut_off(&mut own, plan);
    }
    let copies = dice.weighted(&[(3, 2), (2, 3)]);
    at_least(plan, copies, copies);
    plan.cluster.settings.clear();
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let mut down = vec!["primary"];
        down.extend((1..copies).filter(|_| dice.percent(80)).map(|_| "backup"));
        let accepted_ms = begin_ms + dice.magnitude(100, 4_000);
        for (place, node) in (0..).zip(down) {
            let at_ms = begin_ms + 20 * place;
            let down_ms = accepted_ms - at_ms + dice.magnitude(1, 7_000);
            plan.faults.push(at(at_ms, crash(node, down_ms, Memory::Kept)));
        }
        accept_loss(dice, plan, accepted_ms);
    }
}

/// An operator declares all data lost at this time. Now and then the view service of the next generation ends
/// soon, too.
pub(super) fn accept_loss(dice: &mut Dice, plan: &mut Plan, at_ms: u64) {
    let down_ms = dice.magnitude(100, 2_000);
    plan.faults.push(at(at_ms, FaultKind::Own(Mishap::AcceptLoss { down_ms, runs_ms: LOOK_MS })));
    if dice.percent(30) {
        let soon_ms = at_ms + down_ms + dice.magnitude(1, 3_000);
        plan.faults.push(at(soon_ms, crash("vs", dice.magnitude(10, 1_000), Memory::Kept)));
    }
}

/// The primary of a pair is cut off and replaced, and is still cut off from the other one when the view
/// service runs with a copy of its record in which it is primary.
fn forgotten_replacement(dice: &mut Dice, plan: &mut Plan) {
    (plan.cluster.servers, plan.cluster.replicas) = (2, 2);
    if dice.percent(50) {
        plan.cluster.reads = Reads::Lease;
    }
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let (how, down_ms) = (cut(dice), dice.magnitude(100, 2_000));
        let until_it_is_up = AFTER_CUT_MS + down_ms / 2;
        plan.faults.push(at(begin_ms, apart(nodes(&["primary"]), nodes(&["vs"]), how, until_it_is_up)));
        plan.faults.push(at(begin_ms, apart(nodes(&["primary"]), nodes(&["backup"]), how, APART_MS)));
        let mistake =
            FaultKind::Own(Mishap::Record { adopt: None, anyway: false, down_ms, runs_ms: LOOK_MS });
        plan.faults.push(at(begin_ms + AFTER_CUT_MS, mistake));
    }
}

/// A primary dies, and later an operator has the data of a server go on without a record, or takes a copy
/// from before that death for the record. All servers run by then: what only a missing one knew could be
/// lost.
pub(super) fn mistakes(dice: &mut Dice, plan: &mut Plan) {
    let mut own = Dice::new(plan.seed, "story/given up");
    if own.percent(GIVEN_UP_PERCENT) {
        return given_up_too_soon(&mut own, plan);
    }
    let mut own = Dice::new(plan.seed, "story/anyway");
    if own.percent(ANYWAY_PERCENT) {
        return adopted_anyway(&mut own, plan);
    }
    let mut own = Dice::new(plan.seed, "story/behind");
    if own.percent(BEHIND_PERCENT) {
        return named_behind(&mut own, plan);
    }
    let copies = dice.weighted(&[(3, 2), (2, 3)]);
    at_least(plan, copies, copies);
    plan.cluster.settings.clear();
    if dice.percent(40) {
        return forgotten_replacement(dice, plan);
    }
    for begin_ms in [BEGIN_MS, BEGIN_MS + MISTAKE_MS] {
        let memory = if dice.percent(50) { Memory::Kept } else { Memory::Lost };
        plan.faults.push(at(begin_ms, crash("primary", dice.magnitude(10, 1_500), memory)));
        let adopt = dice.weighted(&[(4, None), (4, Some("primary")), (2, Some("backup")), (1, Some("idle"))]);
        let down_ms = dice.magnitude(100, 2_000);
        let mistake = FaultKind::Own(Mishap::Record {
            adopt: adopt.map(Node::from),
            anyway: false,
            down_ms,
            runs_ms: LOOK_MS,
        });
        plan.faults.push(at(begin_ms + AFTER_CRASH_MS, mistake));
    }
}
