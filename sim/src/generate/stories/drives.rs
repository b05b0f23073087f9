//! Stories of drives that only wait, or fail, when something must become durable.

use testbed::{data::fault::Memory, draw::faults::disk_failure};

use super::{
    super::faults::{REJOIN_MS, stall_ms},
    Dice, ROUND_MS, at, at_least, crash, on, rounds,
};
use crate::{
    bound::{FaultKind, Plan},
    store::fault::Trigger,
};

fn stall(node: &str, lasts_ms: u64) -> FaultKind {
    FaultKind::DiskStall { node: node.into(), lasts_ms }
}

/// A drive stalls, or several at once, as those of one storage do. Before that is over, somebody ends, so
/// that a view has to become durable, or what was written does not.
pub(super) fn waiting(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    // From when on a backup may lose its memory: the one that lost it before is in sync again.
    let mut rejoined_ms = 0;
    for begin_ms in rounds() {
        let lasts_ms = stall_ms(dice);
        let stalled: &[&str] = match dice.below(8) {
            0 | 1 => &["primary"],
            2 | 3 => &["backup"],
            4 | 5 => &["vs"],
            6 => &["primary", "backup"],
            _ => &["primary", "backup", "vs"],
        };
        plan.faults.extend(stalled.iter().map(|node| at(begin_ms, stall(node, lasts_ms))));
        let (later_ms, down_ms) = (begin_ms + dice.between(1, lasts_ms), dice.magnitude(10, 4_000));
        let power_loss = |node: &str| FaultKind::PowerLoss {
            node: node.into(),
            down_ms: Some(down_ms),
            memory: Memory::Kept,
        };
        let misfortune = match dice.below(8) {
            0 | 1 => crash("primary", down_ms, Memory::Kept),
            2 => power_loss("primary"),
            3 if later_ms < rejoined_ms => crash("backup", down_ms, Memory::Kept),
            3 => {
                rejoined_ms = later_ms + down_ms + REJOIN_MS;
                crash("backup", down_ms, Memory::Lost)
            }
            4 => power_loss("backup"),
            5 => power_loss("vs"),
            _ => continue,
        };
        plan.faults.push(at(later_ms, misfortune));
        // The one that comes back has to write what it is sent.
        if dice.percent(40) {
            let stalls = stall("joiner", dice.magnitude(100, ROUND_MS / 2));
            plan.faults.push(on(Trigger::TransferBegan, later_ms, dice.magnitude(1, 100), stalls));
        }
    }
}

/// A drive fails with what has to be durable before anybody hears of it.
pub(super) fn failing(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    let fails = |dice: &mut Dice, node: &str| {
        disk_failure(node.into(), dice.between(500, 3_000), dice.magnitude(10, 3_000))
    };
    for begin_ms in rounds() {
        match dice.below(6) {
            0 => plan.faults.push(at(begin_ms, fails(dice, "primary"))),
            1 => plan.faults.push(at(begin_ms, fails(dice, "backup"))),
            // The record does not become durable with which a failure is answered.
            2 | 3 => {
                plan.faults.push(at(begin_ms, crash("primary", 4_000, Memory::Kept)));
                plan.faults.push(at(begin_ms + 500, fails(dice, "vs")));
            }
            // Nor does the view at the one that is promoted,
            4 => {
                plan.faults.push(at(begin_ms, crash("primary", 4_000, Memory::Kept)));
                plan.faults.push(at(begin_ms + 500, fails(dice, "backup")));
            }
            // nor a state that was transferred.
            _ => {
                let forget = crash("backup", dice.magnitude(10, 500), Memory::Lost);
                plan.faults.push(at(begin_ms.max(REJOIN_MS), forget));
                let fails = fails(dice, "joiner");
                plan.faults.push(on(Trigger::TransferBegan, begin_ms, dice.magnitude(1, 50), fails));
            }
        }
    }
}
