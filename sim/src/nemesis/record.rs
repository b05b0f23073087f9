//! An operator loses the view service's record, or takes an old copy for it.

use std::time::Duration;

use super::{Deed, Nemesis};
use crate::{marks::Strike, nodes::Nodes, outcome::Down, scenario::Memory, world::now};

impl Nemesis {
    /// An operator loses the record or finds an old copy.
    pub(super) fn mistake(
        &mut self,
        fault: usize,
        adopt: Option<&str>,
        down_ms: u64,
        runs_ms: u64,
    ) -> Result<String, String> {
        let adopt = adopt.map(|name| self.resolve(name)).transpose()?;
        let server = adopt.map(|node| self.world.nodes.id(node).clone());
        self.cluster.stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept)?;
        let done = self.cluster.lose_record(server);
        let life = self.cluster.life(Nodes::VIEW_SERVICE);
        let up_at = now() + Duration::from_millis(down_ms);
        self.enter(up_at, Deed::Mistake { fault, life });
        self.enter(up_at + Duration::from_millis(runs_ms), Deed::Correct { fault });
        self.strike_all(fault);
        done?;
        self.world.observer().mark(|marks| marks.struck(Strike::MemoryLoss, &[Nodes::VIEW_SERVICE]));
        Ok(match adopt {
            Some(node) => format!(
                "the record is lost; after {down_ms} ms the data of {} is to go on",
                self.world.nodes.name(node)
            ),
            None => format!("after {down_ms} ms the view service runs with an old copy of its record"),
        })
    }

    /// The fault concerns the view service and all servers.
    pub(super) fn strike_all(&self, fault: usize) {
        let last = *self.world.nodes.servers().end();
        self.strike(&self.world.scenario.faults[fault].kind, &(0..=last).collect::<Vec<_>>());
    }
}
