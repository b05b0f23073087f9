//! A process that stands still again and again.

use std::time::Duration;

use super::{Nemesis, Task};
use crate::{
    data::{fault::FaultKind, hash::stable_hash, node::NodeIndex},
    hardware::network::fraction,
    world::{now, simulated::Simulated},
};

impl<S: Simulated> Nemesis<S> {
    /// One of the moments in which a process that stutters stands still, and the one after it.
    pub(super) fn falter(&mut self, fault: usize, node: NodeIndex, life: u64, beat: u64) {
        let world = self.world.clone();
        let FaultKind::Stutter { pause_ms, run_ms, .. } = world.plan.faults[fault].kind else { return };
        if !self.active.contains(&fault) || self.cluster.life(node) != life {
            return;
        }
        let salt = (world.plan.seed, "stutter", node, pause_ms, run_ms, beat);
        let pause = fraction(Duration::from_millis(pause_ms), stable_hash(&salt));
        // A process that is down by now has no life to go on with.
        if self.cluster.pause(node, false).is_ok() {
            self.enter(now() + pause, Task::GoOn { fault, node, life });
            let next = Task::Falter { fault, node, life, beat: beat + 1 };
            self.enter(now() + pause + Duration::from_millis(run_ms), next);
        }
    }
}
