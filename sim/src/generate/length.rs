//! Long lives: the plan of a seed, stretched. What takes longer than an ordinary run shows itself only here:
//! a silence after which a server is forgotten, a suspicion that has doubled several times, a session that
//! ends by itself. And lives with a rest in the middle, in which nothing new goes wrong: what heals itself
//! only when a run ends shows itself there.

use testbed::{data::fault::Memory, draw::dice::Dice};

use crate::{
    bound::{FaultKind, Plan},
    store::{fault::Mishap, script::Step},
};

/// The share of seeds that live long, in percent. Their cost is that of as many ordinary ones as they are
/// longer.
const LONG_PERCENT: u64 = 3;
/// How much longer they live.
pub(super) const TIMES: u64 = 8;

/// The share of the other seeds with a rest, in percent,
const REST_PERCENT: u64 = 4;
/// which lasts so long: after it messages that a fault held back have arrived, and clients are served again,
/// and then some.
pub(super) const REST_MS: u64 = 40_000;

/// Lets some seeds rest: what begins in the second half begins later, and the load of that half fills the
/// rest, too.
fn rest(plan: &mut Plan) {
    if !Dice::new(plan.seed, "rest").percent(REST_PERCENT) {
        return;
    }
    let (half_ms, end_ms) = (plan.faults_ms / 2, plan.faults_ms);
    plan.faults_ms += REST_MS;
    for line in plan.clients.iter_mut().flat_map(|client| &mut client.script) {
        *line = at_other_time(line, |at_ms| {
            let late_ms = at_ms.saturating_sub(half_ms);
            at_ms + late_ms * REST_MS / (end_ms - half_ms)
        });
    }
    for fault in &mut plan.faults {
        let begins_ms = if fault.on.is_some() { &mut fault.after_ms } else { &mut fault.at_ms };
        if *begins_ms >= half_ms {
            *begins_ms += REST_MS;
        }
    }
}

/// Lets some seeds live long, with as much to do as any other.
pub(super) fn stretch(plan: &mut Plan) {
    if !Dice::new(plan.seed, "length").percent(LONG_PERCENT) {
        return rest(plan);
    }
    plan.faults_ms *= TIMES;
    for client in &mut plan.clients {
        let each = client.script.iter().step_by(TIMES as usize);
        client.script = each.map(|line| at_other_time(line, |at_ms| at_ms * TIMES)).collect();
    }
    for fault in &mut plan.faults {
        // What waits for something comes as soon after it as ever.
        let begins = if fault.on.is_some() { &mut fault.after_ms } else { &mut fault.at_ms };
        *begins *= TIMES;
        match &mut fault.kind {
            FaultKind::Crash { down_ms, memory: Memory::Kept, .. }
            | FaultKind::PowerLoss { down_ms, memory: Memory::Kept, .. } => {
                down_ms.iter_mut().for_each(|down_ms| *down_ms *= TIMES);
            }
            FaultKind::Pause { lasts_ms, .. }
            | FaultKind::Partition { lasts_ms, .. }
            | FaultKind::Closed { lasts_ms, .. } => {
                lasts_ms.iter_mut().for_each(|lasts_ms| *lasts_ms *= TIMES);
            }
            FaultKind::Own(Mishap::Twin { lasts_ms, .. })
            | FaultKind::Slow { lasts_ms, .. }
            | FaultKind::Rpc { lasts_ms, .. } => *lasts_ms *= TIMES,
            FaultKind::Crash { .. }
            | FaultKind::PowerLoss { .. }
            | FaultKind::Own(Mishap::Record { .. })
            | FaultKind::Own(Mishap::AcceptLoss { .. })
            | FaultKind::Freeze { .. }
            | FaultKind::Stutter { .. }
            | FaultKind::DiskStall { .. }
            | FaultKind::DiskFailure { .. } => {}
        }
    }
}

/// A line of a script at another time, in milliseconds.
fn at_other_time(line: &str, when: impl Fn(u64) -> u64) -> String {
    let (_, rest) = line.split_once(' ').expect("a line has a time");
    let at_ms = when(Step::parse(line).map_or(0, |step| step.at.as_millis() as u64));
    format!("{}.{:03} {rest}", at_ms / 1_000, at_ms % 1_000)
}
