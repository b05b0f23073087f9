//! A run looked at step by step: how everything stands between two steps.
//!
//! Whatever takes a step asks for the observer, so the first to ask after a step finds what that step left.
//! The run is not held up for it, and no task is woken: it is the run that it would be if it were not looked
//! at.

use std::sync::{Arc, Weak};

use super::{World, cluster::Cluster, simulated::Simulated, standing::standing};
use crate::data::standing::{Step, Steps};

/// The steps of a run that are wanted, as they are taken.
pub(super) struct Stepping<S: Simulated> {
    wanted: Steps,
    /// The world, once it has processes and until there are enough steps.
    world: Weak<World<S>>,
    /// How many steps there were when this looked last,
    steps: u64,
    /// and how many lines of theirs were kept.
    lines: usize,
    taken: Vec<Step>,
}

impl<S: Simulated> Stepping<S> {
    /// Nothing was seen yet.
    pub fn new(wanted: Steps) -> Self {
        Self { wanted, world: Weak::new(), steps: 0, lines: 0, taken: Vec::new() }
    }

    /// The world has processes from now on.
    pub fn begin(&mut self, world: &Arc<World<S>>) {
        self.world = Arc::downgrade(world);
    }

    /// Looks whether a step was taken, and how everything stands after it. If that cannot be told now, it is
    /// told later.
    pub fn look(&mut self) {
        let Some(world) = self.world.upgrade() else { return };
        let lines = {
            let observer = world.observer_alone();
            if observer.steps() == self.steps {
                return;
            }
            observer.trace()[self.lines..].to_vec()
        };
        if !lines.is_empty() {
            let Some(standing) = standing(&Cluster::of(world.clone())) else { return };
            self.lines += lines.len();
            self.taken.push(Step { lines, standing: Some(standing) });
        }
        let mut observer = world.observer_alone();
        self.steps = observer.steps();
        if self.taken.len() == self.wanted.count {
            observer.stop();
            drop(observer);
            self.world = Weak::new();
            world.look();
        }
    }

    /// The steps. One in which the run ended, such as by a panic, is the last one.
    pub fn take(&mut self, world: &World<S>) -> Vec<Step> {
        self.world = Weak::new();
        let mut taken = std::mem::take(&mut self.taken);
        let rest = world.observer_alone().trace()[self.lines..].to_vec();
        if !rest.is_empty() && taken.len() < self.wanted.count {
            taken.push(Step { lines: rest, standing: None });
        }
        taken
    }
}
