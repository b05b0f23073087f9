//! What becomes of disks: bits of them rot, and they are all that is left of everything.

use testbed::{
    data::fault::{DriveFailure, Memory},
    draw::dice::Dice,
};

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

/// Of the disks that are lost in a plan without operators, so many become older copies of themselves instead,
/// in percent.
const OLDER_PERCENT: u64 = 50;

/// Some disks are not lost: they are as they were at an earlier moment, which comes to the same if the view
/// service has heard their servers since.
pub(super) fn go_back(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "disks/older");
    if plan.cluster.volatile || plan.data_loss {
        return;
    }
    if plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Own(_))) {
        return;
    }
    for fault in &mut plan.faults {
        if let FaultKind::Crash { memory, .. } | FaultKind::PowerLoss { memory, .. } = &mut fault.kind
            && *memory == Memory::Lost
            && dice.percent(OLDER_PERCENT)
        {
            *memory = Memory::Older;
        }
    }
}

/// The share of seeds in which starts find a drive that fails, in percent.
const STARTS_FAIL_PERCENT: u64 = 8;
/// How long such a drive fails if it is used, in milliseconds.
const FAILS_MS: (u64, u64) = (500, 6_000);

/// Servers that end find a drive that fails when they are started again, in some seeds.
pub(super) fn fail_starts(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "disks/starts");
    if plan.cluster.volatile || !dice.percent(STARTS_FAIL_PERCENT) {
        return;
    }
    let mut failures = Vec::new();
    for Fault { at_ms, on, after_ms, kind } in &plan.faults {
        let (FaultKind::Crash { node, down_ms: Some(down_ms), .. }
        | FaultKind::PowerLoss { node, down_ms: Some(down_ms), .. }) = kind
        else {
            continue;
        };
        // A role is another server's by then.
        let is_server = node.strip_prefix('s').is_some_and(|number| number.parse::<u32>().is_ok());
        let (lasts_ms, again_ms) = (dice.between(FAILS_MS.0, FAILS_MS.1), dice.magnitude(10, DOWN_MS_MAX));
        if is_server && on.is_none() && dice.percent(50) {
            let (node, how) = (node.clone(), DriveFailure::Access);
            let kind = FaultKind::DiskFailure { node, lasts_ms: lasts_ms + down_ms, down_ms: again_ms, how };
            failures.push(Fault { at_ms: at_ms + 1, on: *on, after_ms: *after_ms, kind });
        }
    }
    plan.faults.extend(failures);
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
