//! Faults of the network: which nodes they name, and for how long.

use std::time::Duration;

use super::{Done, Nemesis, Task, for_how_long};
use crate::{
    data::{fault::Mistreatment, node::NodeIndex},
    hardware::network::{Effect, Link},
    marks::Strike,
    system::Witness,
    world::{now, simulated::Simulated},
};

impl<S: Simulated> Nemesis<S> {
    /// Begins a fault of the network: of what these nodes send to those (none: to all others), or, if calls
    /// do not get through, of those that call these. A sentence says what happens between them, and how.
    pub(super) fn disturb(
        &mut self,
        fault: usize,
        from: &[String],
        to: &[String],
        effect: Effect,
        lasts_ms: Option<u64>,
        (what, how): (&str, &str),
    ) -> Result<Done, String> {
        let is_lie = matches!(effect, Effect::Mistreat { how: Mistreatment::Forge, .. });
        if is_lie && !self.world.links.has_liar() {
            return Err("nothing lies in this system: it names no `liar`".into());
        }
        let from_nodes = from.iter().map(|name| self.resolve(name)).collect::<Result<Vec<_>, _>>()?;
        let to_nodes = if to.is_empty() {
            (0..self.world.nodes.len()).filter(|node| !from_nodes.contains(node)).collect()
        } else {
            to.iter().map(|name| self.resolve(name)).collect::<Result<Vec<_>, _>>()?
        };
        let names = |nodes: &[NodeIndex]| {
            nodes.iter().map(|node| &**self.world.nodes.name(*node)).collect::<Vec<_>>().join(",")
        };
        let others = if to.is_empty() { "all others".into() } else { names(&to_nodes) };
        let said = format!("{} {what} {others} ({how}) {}", names(&from_nodes), for_how_long(lasts_ms));
        let own = &self.world.plan.faults[fault];
        let (kind, salt) = (&own.kind, own.salt());
        let named = if to.is_empty() { from_nodes.clone() } else { [&from_nodes[..], &to_nodes].concat() };
        for (from, to) in from_nodes.iter().flat_map(|from| to_nodes.iter().map(move |to| (*from, *to))) {
            let processes = self.world.nodes.processes();
            if from != to && processes.contains(&from) && processes.contains(&to) {
                self.strike(kind, &[from, to]);
            }
        }
        let link = match effect {
            Effect::Closed { .. } => Link { from: to_nodes, to: from_nodes },
            _ => Link { from: from_nodes, to: to_nodes },
        };
        if is_lie {
            self.world.observer().witness.lies_begin();
        }
        self.world.links.change(|network| network.begin(fault, salt, link, effect));
        self.world.disturbed(Strike::of(kind), &named);
        match lasts_ms {
            None => self.lasting.push(fault),
            Some(lasts_ms) => {
                self.active.push(fault);
                self.enter(now() + Duration::from_millis(lasts_ms), Task::End(fault));
            }
        }
        Ok(Done { nodes: named, what: said })
    }
}
