//! What becomes of disks: bits of them rot, and they are all that is left of everything.

use testbed::{data::fault::Memory, draw::dice::Dice};

use super::faults::{REJOIN_MS, Targets};
use crate::bound::{Fault, FaultKind, Plan};

/// Of the disks that are lost in a plan, so many rot instead, in percent.
const ROTTEN_PERCENT: u64 = 40;

/// The share of seeds in which everything ends at once, in percent, if servers have disks.
const EVERYTHING_PERCENT: u64 = 8;

/// One process after the other ends within this time, in milliseconds,
const ENDS_WITHIN_MS: u64 = 300;
/// and each is away for so long at most.
const DOWN_MS_MAX: u64 = 4_000;

/// Some disks are not lost: a bit of them is another one, which comes to the same if the server notices.
pub(super) fn rot(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "disks/rot");
    for fault in &mut plan.faults {
        if let FaultKind::Crash { memory, .. } | FaultKind::PowerLoss { memory, .. } = &mut fault.kind
            && *memory == Memory::Lost
            && !plan.cluster.volatile
            && dice.percent(ROTTEN_PERCENT)
        {
            *memory = Memory::Rotten;
        }
    }
}

/// All servers and the view service end, in some seeds, and are started again in any order.
pub(super) fn end_everything(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "disks/everything");
    if plan.cluster.volatile || !dice.percent(EVERYTHING_PERCENT) {
        return;
    }
    let servers = Targets::of(plan).servers();
    let mut begin_ms = REJOIN_MS;
    while begin_ms + ENDS_WITHIN_MS + DOWN_MS_MAX < plan.faults_ms {
        let within_ms = dice.magnitude(1, ENDS_WITHIN_MS);
        let all_power = dice.percent(50);
        for node in servers.iter().cloned().chain(["vs".into()]) {
            let (memory, down_ms) = (Memory::Kept, Some(dice.magnitude(1, DOWN_MS_MAX)));
            let kind = if all_power || dice.percent(30) {
                FaultKind::PowerLoss { node, down_ms, memory }
            } else {
                FaultKind::Crash { node, down_ms, memory }
            };
            plan.faults.push(Fault { at_ms: begin_ms + dice.below(within_ms), on: None, after_ms: 0, kind });
        }
        begin_ms += DOWN_MS_MAX + dice.between(REJOIN_MS, 3 * REJOIN_MS);
    }
}
