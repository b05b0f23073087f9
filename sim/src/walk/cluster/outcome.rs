//! What a walk yields, in the form of a simulated run: so that walks are counted, compared and told apart as
//! runs are.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

use testbed::data::{
    hash::TraceHash,
    node::NodeIndex,
    nodes::SIMULATOR,
    outcome::{Contradiction, Panic, Verdict, Violation},
};

use super::{Cluster, Failure};
use crate::{
    bound::{End, Outcome, Stats},
    store::numbers::Numbers,
    walk::{Ending, Walk},
};

/// The outcome of a walk.
pub fn outcome(walk: &Walk<Cluster>) -> Outcome {
    let mut outcome = outcome_of(&walk.world, &walk.ending);
    outcome.stats.actions = walk.actions.len() as u64;
    outcome
}

/// The outcome of a way that ended so.
pub fn outcome_of(world: &Cluster, ending: &Ending<Failure>) -> Outcome {
    let mut outcome = Outcome {
        trace_hash: world.fingerprint(),
        operations: world.judges.operations().to_vec(),
        verdict: Verdict::Linearizable,
        stats: world.stats(),
        ..Outcome::default()
    };
    match ending {
        Ending::Well => {}
        Ending::Panicked(message) => {
            let panic = Panic { at: world.now, node: SIMULATOR.into(), message: message.clone() };
            outcome.panic = Some(panic);
            outcome.failed_step = world.judges.step();
        }
        Ending::Failed(failure) => match failure.clone() {
            Failure::Invariant { node, invariant, message, step } => {
                outcome.violations.push(Violation { at: world.now, node, invariant, message });
                outcome.failed_step = step;
            }
            Failure::NotLinearizable(contradiction) => outcome.verdict = Verdict::Violation(contradiction),
            Failure::Undecided(why) => outcome.verdict = Verdict::Undecided(why),
            Failure::Stall(stall) => outcome.stall = Some(stall),
            Failure::Unhealthy(unhealthy) => outcome.unhealthy = Some(unhealthy),
        },
    }
    outcome
}

impl Cluster {
    /// Fingerprint of all that happened: which actions there were, and what came of them.
    pub fn fingerprint(&self) -> TraceHash {
        let mut hasher = self.trace.clone();
        (self.now, &self.clocks, self.counts.steps, self.flight.len()).hash(&mut hasher);
        self.viewer.machine.hash(&mut hasher);
        self.viewer.record.hash(&mut hasher);
        for server in &self.servers {
            server.machine.hash(&mut hasher);
            server.disk.log.hash(&mut hasher);
        }
        self.judges.operations().len().hash(&mut hasher);
        for operation in self.judges.operations() {
            operation.end.hash(&mut hasher);
        }
        TraceHash(hasher.finish())
    }

    fn stats(&self) -> Stats {
        let counts = &self.counts;
        let mut stats = Stats {
            virtual_time: self.now,
            own: Numbers {
                view_changes: counts.views.saturating_sub(1),
                promotions: counts.promotions,
                transfers: counts.transfers,
                copies: self.judges.health().copies().clone(),
                ..Numbers::default()
            },
            messages: counts.delivered + counts.copied,
            steps: counts.steps,
            faults: BTreeMap::from([
                ("message copied".into(), counts.copied),
                ("message lost".into(), counts.lost),
                ("crash".into(), counts.crashes),
                ("memory lost".into(), counts.wipes),
            ]),
            ..Stats::default()
        };
        for operation in self.judges.operations() {
            match operation.end {
                End::Open => {}
                End::Returned { .. } => stats.returned += 1,
                End::Unknown { .. } => stats.unknown += 1,
                End::NotExecuted { .. } => stats.not_executed += 1,
            }
        }
        stats
    }

    /// A contradiction, with the operations that it is about.
    pub(super) fn contradiction(&self, found: &Contradiction) -> Vec<String> {
        let operations = self.judges.operations();
        let told =
            found.operations.iter().map(|place| testbed::report::screen::operation(&operations[*place]));
        [found.sentence.clone()].into_iter().chain(told).collect()
    }

    /// The name of a node.
    pub(super) fn name(&self, node: impl Into<NodeIndex>) -> &str {
        self.nodes.name(node.into())
    }
}
