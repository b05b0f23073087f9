//! A drive stalls, or fails and takes its process with it.

use std::time::Duration;

use super::{Done, Nemesis, Task};
use crate::{
    data::{
        fault::{DriveFailure, Memory},
        hash::stable_hash,
        node::NodeIndex,
        outcome::Down,
    },
    marks::Strike,
    system::Witness,
    world::{cluster::Status, now, simulated::Simulated},
};

/// Drives of which something is wrong, by the fault that made it so.
#[derive(Debug, Default)]
pub(super) struct Drives {
    stalled: Vec<(usize, NodeIndex)>,
    /// Those that fail, and when the process is started again after that.
    failing: Vec<(usize, NodeIndex, Duration)>,
}

impl<S: Simulated> Nemesis<S> {
    /// A node that has a drive.
    fn resolve_drive(&self, name: &str) -> Result<NodeIndex, String> {
        let node = self.resolve(name)?;
        S::has_drive(&self.world, node).map(|()| node)
    }

    /// A drive stalls.
    pub(super) fn stall(&mut self, fault: usize, node: &str, lasts_ms: u64) -> Result<Done, String> {
        let node = self.resolve_drive(node)?;
        let world = self.world.clone();
        let kind = &world.plan.faults[fault].kind;
        world.drive(node).stall();
        self.drives.stalled.push((fault, node));
        self.strike(kind, &[node]);
        world.observer().witness.struck(Strike::of(kind), &[node]);
        self.note_stalls();
        self.active.push(fault);
        self.enter(now() + Duration::from_millis(lasts_ms), Task::End(fault));
        Ok(Done::to(node, format!("the drive of {} stalls for {lasts_ms} ms", world.nodes.name(node))))
    }

    /// The next write makes a drive fail, or a later part of it, or its sync.
    pub(super) fn fail(
        &mut self,
        fault: usize,
        node: &str,
        (lasts_ms, down_ms): (u64, u64),
        how: DriveFailure,
    ) -> Result<Done, String> {
        let node = self.resolve_drive(node)?;
        let world = self.world.clone();
        let hash = stable_hash(&(world.plan.seed, "drive", node, lasts_ms, down_ms));
        let more = match how {
            DriveFailure::Sync => hash % S::parts_of_a_write(node),
            DriveFailure::Write | DriveFailure::Full => 0,
            // The next one, or one of a start, if that comes.
            DriveFailure::Access if hash.is_multiple_of(2) => 0,
            DriveFailure::Access => hash / 2 % S::accesses_of_a_start(node),
        };
        world.drive(node).fails_after(Some((how, more)));
        self.drives.failing.push((fault, node, Duration::from_millis(down_ms)));
        self.active.push(fault);
        self.enter(now() + Duration::from_millis(lasts_ms), Task::End(fault));
        let name = world.nodes.name(node);
        let fails = match how {
            DriveFailure::Sync => "makes its drive fail",
            DriveFailure::Write => "is cut short by an error of its drive",
            DriveFailure::Full => "is cut short because its drive is full",
            DriveFailure::Access => {
                let told =
                    format!("what {name} reads, renames, removes or cuts off within {lasts_ms} ms fails");
                return Ok(Done::to(node, told));
            }
        };
        Ok(Done::to(node, format!("what {name} writes within {lasts_ms} ms {fails}")))
    }

    /// A fault of a drive, if it is one, is over. What failed before, failed.
    pub(super) fn relieve(&mut self, fault: usize) {
        self.look_after_drives();
        for (_, node) in self.drives.stalled.extract_if(.., |(by, _)| *by == fault) {
            self.world.drive(node).go_on();
        }
        self.note_stalls();
        self.disarm(|by, _| by == fault);
    }

    fn note_stalls(&self) {
        let stalled = self.drives.stalled.iter().map(|(_, node)| *node).collect();
        self.world.observer().witness.drives_stall(stalled);
    }

    fn disarm(&mut self, is: impl Fn(usize, NodeIndex) -> bool) -> Option<(usize, Duration)> {
        let failing = &mut self.drives.failing;
        let (fault, node, down) = failing.remove(failing.iter().position(|(by, node, _)| is(*by, *node))?);
        if failing.iter().all(|(_, other, _)| *other != node) {
            self.world.drive(node).fails_after(None);
        }
        Some((fault, down))
    }

    /// Looks after processes whose drives failed, which ended or are about to: they are started again after a
    /// while.
    pub(super) fn look_after_drives(&mut self) {
        let processes = self.world.nodes.processes();
        let failed = |node| self.world.drive(node).take_failure().map(|access| (node, access));
        for (node, access) in processes.filter_map(failed).collect::<Vec<_>>() {
            let Some((fault, down)) = self.disarm(|_, failing| failing == node) else { continue };
            if !matches!(self.cluster.status(node), Status::Up | Status::Paused(_)) {
                continue;
            }
            self.calm_ends();
            let world = self.world.clone();
            let kind = &world.plan.faults[fault].kind;
            world.observer().witness.struck(Strike::of(kind), &[node]);
            world.observer().witness.drive_failed(node, access);
            self.cluster.stop(node, Down::Crash, Memory::Kept).expect("it runs");
            self.strike(kind, &[node]);
            let life = self.cluster.life(node);
            self.enter(now() + down, Task::Restart { fault, node, life });
            self.look_around(Some(kind.name()));
        }
    }

    /// All drives work.
    pub(super) fn repair_drives(&mut self) {
        self.look_after_drives();
        self.drives = Drives::default();
        self.note_stalls();
        for node in self.world.nodes.processes() {
            self.world.drive(node).is_repaired();
        }
    }
}
