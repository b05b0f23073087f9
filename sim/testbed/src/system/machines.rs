//! The set-up of a system whose processes are the same in every plan.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::{Process, Setup, System};
use crate::{
    data::plan::Clock,
    draw::{self, dice::Dice},
};

/// The disks and clocks of [`System::PROCESSES`].
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, bound = "")]
pub struct Machines<S: System> {
    /// The longest a write to disk takes, in milliseconds.
    pub disk_ms_max: u64,
    /// Clocks that are not perfect.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "clock")]
    pub clocks: Vec<Clock>,
    #[serde(skip)]
    of: PhantomData<S>,
}

impl<S: System> Machines<S> {
    /// Those of a seed: their disks take no time, some, or a lot; their clocks are right, or wrong.
    pub fn draw(seed: u64) -> Self {
        Self {
            disk_ms_max: Dice::new(seed, "disk").weighted(&[(2, 0), (1, 20), (1, 200)]),
            clocks: draw::clocks(seed, S::PROCESSES.iter().map(|(name, _)| *name)),
            of: PhantomData,
        }
    }
}

impl<S: System> Setup for Machines<S> {
    fn processes(&self) -> Vec<Process> {
        const { assert!(!S::PROCESSES.is_empty(), "name the processes in `System::PROCESSES`") };
        S::PROCESSES.iter().map(|(name, port)| Process::new(*name, *port)).collect()
    }

    fn forget(&mut self, node: &str) {
        self.clocks.retain(|clock| clock.node != node);
    }

    fn rename(&mut self, from: &str, to: &str) {
        for clock in self.clocks.iter_mut().filter(|clock| clock.node == from) {
            to.clone_into(&mut clock.node);
        }
    }

    fn clocks(&self) -> &[Clock] {
        &self.clocks
    }

    fn plainer(&self) -> Vec<Self> {
        let quick = Self { disk_ms_max: 0, ..self.clone() };
        let right = Self { clocks: Vec::new(), ..self.clone() };
        vec![Self { clocks: Vec::new(), ..quick.clone() }, quick, right]
    }

    fn disk_ms_max(&self) -> u64 {
        self.disk_ms_max
    }
}
