//! What a system names that has no such thing: faults and triggers of its own, promises, a witness.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Promise, System, SystemFault, Witness};
use crate::{
    data::{
        fault::{Mistreatment, Node},
        node::NodeIndex,
        outcome::{Happening, Outcome, RunOptions},
        plan::Plan,
    },
    marks::{Role, Strike, struck::Struck},
};

/// The faults of a system that has none of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NoFault {}

impl SystemFault for NoFault {
    const WORDS: &'static [&'static str] = &[];

    fn name(&self) -> &'static str {
        match *self {}
    }

    fn node(&self) -> Option<&str> {
        match *self {}
    }

    fn node_mut(&mut self) -> Option<&mut Node> {
        match *self {}
    }

    fn numbers(&mut self) -> Vec<(&mut u64, u64)> {
        match *self {}
    }

    fn milder(&self) -> Vec<Self> {
        match *self {}
    }

    fn strike(&self) -> Strike {
        match *self {}
    }
}

/// The triggers of a system that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoTrigger {}

/// Nothing is promised beyond what clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoPromise {}

impl Promise for NoPromise {
    fn name(&self) -> &'static str {
        match *self {}
    }

    fn broken(&self) -> String {
        match *self {}
    }

    fn promised(&self) -> &'static str {
        match *self {}
    }
}

/// Sees nothing of the processes but what strikes them: the clients' history and their deadlines are
/// the judges.
#[derive(Clone, Debug)]
pub struct NoWitness<S: System>(Option<Struck<S>>);

impl<S: System> NoWitness<S> {
    fn mark(&mut self, see: impl FnOnce(&mut Struck<S>)) {
        if let Some(struck) = &mut self.0 {
            see(struck);
        }
    }
}

impl<S: System> Witness<S> for NoWitness<S> {
    fn new(plan: &Plan<S>, options: &RunOptions) -> Self {
        Self((!options.skip_marks).then(|| Struck::new(plan)))
    }

    fn happened(&mut self, _: Duration, node: NodeIndex, event: &Happening<S>) {
        self.mark(|struck| struck.happened(node, event));
    }

    fn struck(&mut self, strike: Strike, nodes: &[NodeIndex]) {
        self.mark(|struck| struck.nodes(strike, nodes));
    }

    fn mistreated(&mut self, how: Mistreatment, role: Role) {
        self.mark(|struck| struck.role(Strike::Message(how), role));
    }

    fn conclude(&self, outcome: &mut Outcome<S>) {
        outcome.stats.marks = self.0.iter().flat_map(Struck::reached).map(|mark| (mark, 1)).collect();
    }
}
