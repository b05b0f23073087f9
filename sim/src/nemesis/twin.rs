//! A server has a second process for a while.

use std::time::Duration;

use super::{Done, Nemesis, Task};
use crate::{
    data::{fault::FaultKind, outcome::Happening},
    marks::Strike,
    store::fault::Mishap,
    world::now,
};

impl Nemesis {
    /// A second process begins at the address of a server.
    pub(super) fn begin_twin(&mut self, fault: usize, node: &str, lasts_ms: u64) -> Result<Done, String> {
        let world = self.world.clone();
        let node = self.resolve(node)?;
        self.cluster.begin_twin(node)?;
        self.strike_all(fault);
        world.observer().mark(|marks| marks.struck(Strike::MemoryLoss, &[node]));
        let FaultKind::Own(Mishap::Twin { turns_ms, .. }) = world.plan.faults[fault].kind else {
            unreachable!("fault {fault} makes a twin");
        };
        let ends_at = now() + Duration::from_millis(lasts_ms);
        let turns = turns_ms.into_iter().flat_map(|turns_ms| (1..).map(move |n| n * turns_ms));
        for (ms, to_twin) in turns.take_while(|ms| *ms < lasts_ms).zip([false, true].into_iter().cycle()) {
            self.enter(now() + Duration::from_millis(ms), Task::Turn { fault, to_twin });
        }
        self.enter(ends_at, Task::EndTwin { fault });
        Ok(Done::to(node, format!("{} has a twin for {lasts_ms} ms", world.nodes.name(node))))
    }

    /// What was owed beside a twin and not done: if nothing was done to anybody for a while, the servers that
    /// are reached at their addresses serve.
    pub(super) fn twin_ends(&mut self) {
        let (served_at, complete_at) = {
            let mut observer = self.world.observer();
            let health = observer.health();
            (
                self.done_at + health.serves_within(),
                health.complete_within().map(|within| self.done_at + within),
            )
        };
        let around = self.cluster.surroundings(self.stutters());
        let is_calm = around.apart.is_empty()
            && around.stalled.is_empty()
            && !around.disturbed
            && around.runs.iter().all(|runs| *runs);
        if served_at < now() && is_calm {
            let is_complete = complete_at.is_some_and(|complete_at| complete_at < now());
            self.overdue.extend(self.cluster.lacks_service(is_complete));
        }
    }

    /// One of the two processes ends.
    pub(super) fn end_twin(&mut self, fault: usize) {
        let FaultKind::Own(Mishap::Twin { moves, .. }) = self.world.plan.faults[fault].kind else {
            unreachable!("fault {fault} makes a twin");
        };
        if self.cluster.end_twin(moves).is_some() {
            self.strike_all(fault);
            self.say(Happening::FaultEnded { fault });
        }
    }
}
