//! Long lives: the plan of a seed, stretched. What takes longer than an ordinary run shows itself only here: a silence after
//! which a server is forgotten, a suspicion that has doubled several times, a session that ends by itself.

use super::Dice;
use crate::{
    scenario::{FaultKind, Memory, Scenario},
    script::Step,
};

/// The share of seeds that live long, in percent. Their cost is that of as many ordinary ones as they are longer.
const LONG_PERCENT: u64 = 3;
/// How much longer they live.
pub(super) const TIMES: u64 = 8;

/// Lets some seeds live long, with as much to do as any other.
pub(super) fn stretch(scenario: &mut Scenario) {
    if !Dice::new(scenario.seed, "length").percent(LONG_PERCENT) {
        return;
    }
    scenario.faults_ms *= TIMES;
    for client in &mut scenario.clients {
        let each = client.script.iter().step_by(TIMES as usize);
        client.script = each.map(|line| later(line)).collect();
    }
    for fault in &mut scenario.faults {
        // What waits for something comes as soon after it as ever.
        let begins = if fault.on.is_some() { &mut fault.after_ms } else { &mut fault.at_ms };
        *begins *= TIMES;
        match &mut fault.kind {
            FaultKind::Crash { down_ms, memory: Memory::Kept, .. }
            | FaultKind::PowerLoss { down_ms, memory: Memory::Kept, .. } => {
                down_ms.iter_mut().for_each(|down_ms| *down_ms *= TIMES);
            }
            FaultKind::Pause { lasts_ms, .. } | FaultKind::Partition { lasts_ms, .. } => {
                lasts_ms.iter_mut().for_each(|lasts_ms| *lasts_ms *= TIMES);
            }
            FaultKind::Slow { lasts_ms, .. } | FaultKind::Rpc { lasts_ms, .. } => *lasts_ms *= TIMES,
            FaultKind::Crash { .. }
            | FaultKind::PowerLoss { .. }
            | FaultKind::Record { .. }
            | FaultKind::Freeze { .. }
            | FaultKind::Stutter { .. } => {}
        }
    }
}

fn later(line: &str) -> String {
    let (_, rest) = line.split_once(' ').expect("a line has a time");
    let at_ms = Step::parse(line).map_or(0, |step| step.at.as_millis() as u64) * TIMES;
    format!("{}.{:03} {rest}", at_ms / 1_000, at_ms % 1_000)
}
