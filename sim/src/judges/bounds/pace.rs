//! How often a machine steps although nothing comes in.

use std::time::Duration;

use super::{Excess, at_most, limits::WINDOW};

/// The sort of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something comes in.
    Input,
    /// Only time has passed.
    Tick,
    /// Nothing more comes in just now.
    Flush,
}

/// The steps of the current window.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    ticks_max: u64,
    began_at: Duration,
    inputs: u64,
    ticks: u64,
}

impl Pace {
    /// No step yet, of a machine that ticks so often at most without inputs.
    pub fn new(ticks_max: u64) -> Self {
        Self { ticks_max, began_at: Duration::ZERO, inputs: 0, ticks: 0 }
    }

    /// A step was taken.
    pub fn step(&mut self, at: Duration, step: Step) -> Result<(), Excess> {
        if at >= self.began_at + WINDOW {
            (self.began_at, self.inputs, self.ticks) = (at, 0, 0);
        }
        self.inputs += u64::from(step == Step::Input);
        self.ticks += u64::from(step == Step::Tick);
        at_most("ticks in a second", self.ticks, self.ticks_max + self.inputs)
    }
}
