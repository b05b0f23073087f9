//! A stretch of a run in which nothing is wrong owes what the end of the run owes.
//!
//! A *calm* begins when no fault is under way, and ends with the next one. Who is owed what in it is worked
//! out as after the heal ([`crate::judges::liveness`]), from the same surroundings, and excused for the same
//! reasons. What is called when the cluster has had time to recover must succeed. Left out are clients whose
//! deadline a slow disk alone can exceed, and plans with limits that few clients reach: under load they are
//! refused, and may be.

use std::{collections::BTreeMap, time::Duration};

use super::{Nemesis, Task};
use crate::{
    data::{
        node::NodeIndex,
        outcome::{End, Operation},
    },
    judges::liveness::{Prospect, broken_promises},
    system::Witness,
    world::{now, simulated::Simulated},
};

/// Clients with a shorter deadline may fail for no other reason than that.
const DEADLINE_MIN: Duration = Duration::from_millis(1_500);

/// How much later than its deadline a call may end.
const DEADLINE_SLACK: Duration = Duration::from_secs(1);

/// A stretch of time in which no fault is under way.
pub(super) struct Calm {
    since: Duration,
    prospects: BTreeMap<NodeIndex, Prospect>,
}

impl<S: Simulated> Nemesis<S> {
    /// Something was done. If no fault is under way now, a calm begins.
    pub(super) fn calm_begins(&mut self) {
        if self.schedule.values().all(|task| matches!(task, Task::Begin(_))) {
            self.calm = Some(Calm { since: now(), prospects: S::prospects(&self.cluster) });
        }
    }

    /// Something is about to be done, or the time of faults is over: what was owed in the calm was done, or
    /// is a failure.
    pub(super) fn calm_ends(&mut self) {
        let Some(Calm { since, prospects }) = self.calm.take() else { return };
        let world = &self.world;
        let observer = world.observer();
        let Some(recovered) = observer.witness.serves_within().map(|within| since + within) else { return };
        if recovered >= now() || observer.is_stopped() {
            return;
        }
        let first = world.nodes.clients().start;
        let deadline = |client: NodeIndex| match world.plan.clients.get(client.wrapping_sub(first)) {
            Some(script) => Duration::from_millis(script.deadline_ms),
            None => Duration::ZERO,
        };
        let is_due = |operation: &&Operation<S>| {
            let deadline = deadline(world.nodes.find(&operation.client).expect("clients are nodes"));
            let had_time = operation.called + deadline + DEADLINE_SLACK < now();
            let ended = !matches!(operation.end, End::Open) || had_time;
            operation.called >= recovered && deadline >= DEADLINE_MIN && ended
        };
        let due: Vec<_> = observer.operations().iter().filter(is_due).cloned().collect();
        drop(observer);
        let at_end = S::prospects(&self.cluster);
        let throughout = |(client, prospect): (NodeIndex, Prospect)| {
            let end = at_end[&client].clone();
            (client, prospect.throughout(end))
        };
        let prospects = prospects.into_iter().map(throughout).collect();
        self.overdue = broken_promises(&world.nodes, &due, &prospects, since, recovered);
    }
}
