//! An operator loses the view service's record, takes an old copy for it, or declares all data lost.

use std::time::Duration;

use pbkv::protocol::view_service::adoption::{Adopt, LISTEN_DEAD_INTERVALS};

use super::{Done, Nemesis, START_INTERVAL, Task};
use crate::{
    data::{
        fault::{FaultKind, Memory},
        node::NodeIndex,
        outcome::{Down, Happening},
    },
    marks::Strike,
    store::{fault::Mishap, nodes::Nodes},
    world::now,
};

/// How long after it looked for servers whose data was given up an operator looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Nemesis {
    /// An operator loses the record or finds an old copy.
    pub(super) fn mistake(&mut self, fault: usize) -> Result<Done, String> {
        let world = self.world.clone();
        let FaultKind::Own(Mishap::Record { adopt, anyway, down_ms, runs_ms }) =
            &world.plan.faults[fault].kind
        else {
            unreachable!("fault {fault} is about the record");
        };
        let adopt = adopt.as_deref().map(|name| self.resolve(name)).transpose()?;
        let server = adopt.map(|node| Adopt { server: world.nodes.id(node).clone(), anyway: *anyway });
        self.cluster.stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept)?;
        let done = self.cluster.lose_record(server);
        let life = self.cluster.life(Nodes::VIEW_SERVICE);
        let up_at = now() + Duration::from_millis(*down_ms);
        self.enter(up_at, Task::Mistake { fault, life });
        self.enter(up_at + Duration::from_millis(*runs_ms), Task::Correct { fault });
        self.strike_all(fault);
        done?;
        self.world.observer().mark(|marks| marks.struck(Strike::MemoryLoss, &[Nodes::VIEW_SERVICE]));
        let what = match adopt {
            Some(node) => format!(
                "the record is lost; after {down_ms} ms the data of {} is to go on",
                self.world.nodes.name(node)
            ),
            None => format!("after {down_ms} ms the view service runs with an old copy of its record"),
        };
        Ok(Done { nodes: [Nodes::VIEW_SERVICE].into_iter().chain(adopt).collect(), what })
    }

    /// An operator who had the data of a server go on whatever others hold looks, after long enough: it does.
    pub(super) fn adoption_is_due(&mut self) {
        let cluster = &self.world.plan.cluster;
        let dead_after = cluster.lives().map(|life| cluster.view_service_options(life).dead_after).max();
        // It listens for so many dead intervals by its own clock, and by then was pinged.
        let listens = dead_after.unwrap_or_default() * (LISTEN_DEAD_INTERVALS + 1) * 9 / 8;
        if !self.world.observer().health().is_quiet_for(now(), listens) {
            return;
        }
        self.overdue.extend(self.cluster.is_disobeyed());
    }

    /// An operator looks whether a server's data goes on. If what others hold was to be given up, those that
    /// held more are started again empty.
    pub(super) fn correct(&mut self, fault: usize) {
        if !self.cluster.find_record() {
            return;
        }
        let FaultKind::Own(Mishap::Record { anyway, .. }) = self.world.plan.faults[fault].kind else {
            unreachable!("fault {fault} is about the record");
        };
        if anyway {
            for node in self.cluster.left_behind() {
                self.start_empty(fault, node, now());
            }
        }
        self.strike_all(fault);
        self.say(Happening::FaultEnded { fault });
    }

    /// An operator declares all data lost, and starts whatever runs again, empty.
    pub(super) fn accept_loss(&mut self, fault: usize, down_ms: u64, runs_ms: u64) -> Result<Done, String> {
        self.cluster.stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept)?;
        let done = self.cluster.accept_loss();
        let life = self.cluster.life(Nodes::VIEW_SERVICE);
        let up_at = now() + Duration::from_millis(down_ms);
        self.enter(up_at, Task::Mistake { fault, life });
        self.strike_all(fault);
        done?;
        let running = self.cluster.up();
        let mut within_reach: Vec<_> = self.world.nodes.servers().filter(|node| running[*node]).collect();
        within_reach.retain(|node| self.is_reached(*node));
        for node in within_reach {
            self.start_empty(fault, node, up_at);
        }
        self.enter(up_at + Duration::from_millis(runs_ms), Task::Clean { fault });
        self.world.observer().mark(|marks| marks.struck(Strike::MemoryLoss, &[Nodes::VIEW_SERVICE]));
        let what = format!(
            "all data is declared lost; after {down_ms} ms the view service and empty servers are started"
        );
        Ok(Done::to(Nodes::VIEW_SERVICE, what))
    }

    /// Ends a server that runs, and starts it at a time, or soon after it, without what it held.
    fn start_empty(&mut self, fault: usize, node: NodeIndex, at: Duration) {
        if self.cluster.empty(node).is_ok() {
            let life = self.cluster.life(node);
            let in_order = START_INTERVAL * u32::try_from(node).expect("fewer than 2^32 servers");
            self.enter(at + in_order, Task::Restart { fault, node, life });
        }
    }

    /// An operator looks for servers that hold data which was given up, and starts them again, empty; once
    /// more a second later, as long as one is down that may come back with such data.
    pub(super) fn clean(&mut self, fault: usize) {
        let (strangers, running) = (self.cluster.strangers(), self.cluster.up());
        let comes_back = |node: NodeIndex| {
            self.schedule.values().any(|task| matches!(task, Task::Restart { node: of, .. } if *of == node))
        };
        let later = strangers.iter().any(|node| match running[*node] {
            true => !self.is_reached(*node),
            false => comes_back(*node),
        });
        for node in strangers.into_iter().filter(|node| running[*node]) {
            if self.is_reached(node) {
                self.start_empty(fault, node, now());
            }
        }
        if later {
            return self.enter(now() + LOOK_AGAIN, Task::Clean { fault });
        }
        self.cluster.cleaned();
        self.strike_all(fault);
        self.say(Happening::FaultEnded { fault });
    }

    /// Whether an operator, who is where the view service is, reaches a server. What never ends is in
    /// nobody's way.
    fn is_reached(&self, node: NodeIndex) -> bool {
        !self.world.links.network().parted_for_a_while(Nodes::VIEW_SERVICE, node, &self.lasting)
    }

    /// The fault concerns the view service and all servers.
    pub(super) fn strike_all(&self, fault: usize) {
        let last = *self.world.nodes.servers().end();
        self.strike(&self.world.plan.faults[fault].kind, &(0..=last).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        claims,
        data::{
            fault::{Fault, FaultKind},
            outcome::{Class, RunOptions},
            plan::Plan,
        },
        store::fault::Mishap,
        world::run::run,
    };

    /// A run in which the data of a server is to go on whatever others hold, and an operator looks after this
    /// time whether it does.
    fn looked_at_after(runs_ms: u64) -> Plan {
        let claim = claims::all().into_iter().next().expect("there are claims");
        let kind =
            FaultKind::Own(Mishap::Record { adopt: Some("s1".into()), anyway: true, down_ms: 100, runs_ms });
        let fault = Fault { at_ms: 4_000, on: None, after_ms: 0, kind };
        Plan { faults_ms: 12_000, faults: vec![fault], ..(claim.plan)(0) }
    }

    /// That what is owed later is demanded, the mutant `adoption_anyway_is_refused_like_any` shows.
    #[test]
    fn an_operator_who_looks_early_demands_nothing() {
        for runs_ms in [200, 1_000, 3_000, 7_000] {
            let outcome = run(&looked_at_after(runs_ms), &RunOptions::default());
            assert_eq!(outcome.stats.faults.get("record"), Some(&1), "after {runs_ms} ms");
            assert_eq!(outcome.class(), Class::Ok, "after {runs_ms} ms");
        }
    }
}
