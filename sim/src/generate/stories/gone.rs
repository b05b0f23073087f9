//! Stories of what is gone while all the others go on: the view service, or the way to a server.

use testbed::data::fault::Memory;

use super::{
    super::faults::{callers, cut},
    BEGIN_MS, Dice, LENGTH_MS, Targets, apart, at, at_least, crash, nodes, rounds,
};
use crate::{
    bound::{FaultKind, Plan},
    store::setup::Reads,
};

/// From one small misfortune to the next, in milliseconds: a backup that restarted follows again by then.
const NEXT_MS: u64 = 7_000;

/// For good, there is no view service. The primary stays, and what it needs is away for a moment only.
pub(super) fn unwatched(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    plan.cluster.reads = if dice.percent(50) { Reads::Confirm } else { Reads::Lease };
    let gone_ms = BEGIN_MS + dice.between(0, 10_000);
    let node = "vs".to_string();
    let gone = match dice.below(3) {
        0 => FaultKind::Crash { node, down_ms: None, memory: Memory::Kept },
        1 => FaultKind::PowerLoss { node, down_ms: None, memory: Memory::Kept },
        _ => FaultKind::Pause { node, lasts_ms: None },
    };
    plan.faults.push(at(gone_ms, gone));
    for begin_ms in (gone_ms + 1_000..LENGTH_MS - NEXT_MS).step_by(NEXT_MS as usize) {
        let (backup, lasts_ms) = ("backup", dice.magnitude(10, 3_000));
        let misfortune = match dice.below(5) {
            0 => crash(backup, lasts_ms, Memory::Kept),
            1 => FaultKind::Pause { node: backup.into(), lasts_ms: Some(lasts_ms) },
            2 => apart(nodes(&["primary"]), nodes(&[backup]), cut(dice), lasts_ms),
            3 => FaultKind::Pause { node: "primary".into(), lasts_ms: Some(lasts_ms) },
            _ => continue,
        };
        plan.faults.push(at(begin_ms, misfortune));
    }
}

/// Who speaks is not reached: for good, for a while again and again, or by the view service at each opening
/// of a door that does not stay open.
pub(super) fn unreached(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    plan.cluster.settings.clear();
    let (targets, how) = (Targets::of(plan), cut(dice));
    let closed = |from, to: &str, lasts_ms| FaultKind::Closed { from, to: nodes(&[to]), how, lasts_ms };
    match dice.below(3) {
        0 => {
            let begin_ms = BEGIN_MS + dice.between(0, 25_000);
            plan.faults.push(at(begin_ms, closed(vec![], "primary", None)));
        }
        1 => {
            for begin_ms in rounds() {
                let lasts_ms = Some(dice.between(2_000, 8_000));
                plan.faults.push(at(begin_ms, closed(callers(dice, targets), "primary", lasts_ms)));
            }
        }
        _ => {
            let (mut begin_ms, from) = (BEGIN_MS, if dice.percent(70) { nodes(&["vs"]) } else { vec![] });
            while begin_ms < LENGTH_MS {
                let lasts_ms = dice.between(3_300, 4_500);
                plan.faults.push(at(begin_ms, closed(from.clone(), "s1", Some(lasts_ms))));
                begin_ms += lasts_ms + dice.between(1_000, 3_500);
            }
        }
    }
}
