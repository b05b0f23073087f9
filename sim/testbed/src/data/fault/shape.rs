//! What a fault is made of: its name, the nodes it names, its times, and milder forms of it.

use super::{Cut, DriveFailure, FaultKind, Memory, Mistreatment, Node};
use crate::system::{System, SystemFault};

impl<S: System> FaultKind<S> {
    /// The name under which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::PowerLoss { .. } => "power loss",
            Self::Pause { .. } => "pause",
            Self::Freeze { .. } => "freeze",
            Self::Stutter { .. } => "stutter",
            Self::DiskStall { .. } => "stalled disk",
            Self::DiskFailure { .. } => "failed disk",
            Self::Partition { .. } => "partition",
            Self::Closed { .. } => "closed",
            Self::Slow { .. } => "slow",
            Self::Rpc { how, .. } => how.name(),
            Self::Own(own) => own.name(),
        }
    }

    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Self::Crash { node, .. }
            | Self::PowerLoss { node, .. }
            | Self::Pause { node, .. }
            | Self::Freeze { node, .. }
            | Self::Stutter { node, .. }
            | Self::DiskStall { node, .. }
            | Self::DiskFailure { node, .. } => vec![node],
            Self::Partition { from, to, .. }
            | Self::Closed { from, to, .. }
            | Self::Slow { from, to, .. }
            | Self::Rpc { from, to, .. } => from.iter().chain(to).map(String::as_str).collect(),
            Self::Own(own) => own.node().into_iter().collect(),
        }
    }

    /// The lists of nodes that it is about.
    pub fn lists(&mut self) -> Vec<&mut Vec<Node>> {
        match self {
            Self::Partition { from, to, .. } | Self::Slow { from, to, .. } | Self::Rpc { from, to, .. } => {
                vec![from, to]
            }
            Self::Closed { from, to, .. } => vec![to, from],
            _ => Vec::new(),
        }
    }

    /// The one node that it is about.
    pub fn single(&mut self) -> Option<&mut Node> {
        match self {
            Self::Crash { node, .. }
            | Self::PowerLoss { node, .. }
            | Self::Pause { node, .. }
            | Self::Freeze { node, .. }
            | Self::Stutter { node, .. }
            | Self::DiskStall { node, .. }
            | Self::DiskFailure { node, .. } => Some(node),
            Self::Own(own) => own.node_mut(),
            Self::Partition { .. } | Self::Closed { .. } | Self::Slow { .. } | Self::Rpc { .. } => None,
        }
    }

    /// Its times, each with its least value.
    pub fn numbers(&mut self) -> Vec<(&mut u64, u64)> {
        match self {
            Self::Crash { down_ms, .. } | Self::PowerLoss { down_ms, .. } => {
                down_ms.as_mut().map(|down_ms| (down_ms, 1)).into_iter().collect()
            }
            Self::Pause { lasts_ms, .. }
            | Self::Partition { lasts_ms, .. }
            | Self::Closed { lasts_ms, .. } => {
                lasts_ms.as_mut().map(|lasts_ms| (lasts_ms, 1)).into_iter().collect()
            }
            Self::Freeze { lasts_ms, .. } | Self::DiskStall { lasts_ms, .. } | Self::Rpc { lasts_ms, .. } => {
                vec![(lasts_ms, 1)]
            }
            Self::DiskFailure { lasts_ms, down_ms, .. } => vec![(lasts_ms, 1), (down_ms, 1)],
            Self::Stutter { pause_ms, run_ms, lasts_ms, .. } => {
                vec![(pause_ms, 1), (run_ms, 1), (lasts_ms, 1)]
            }
            Self::Slow { latency_ms, jitter_ms, lasts_ms, .. } => {
                vec![(latency_ms, 0), (jitter_ms, 0), (lasts_ms, 1)]
            }
            Self::Own(own) => own.numbers(),
        }
    }

    /// Milder or plainer forms.
    pub fn milder(&self) -> Vec<Self> {
        let with = |change: &dyn Fn(&mut Self)| {
            let mut changed = self.clone();
            change(&mut changed);
            changed
        };
        let black_hole = || {
            with(&|kind| {
                if let Self::Partition { how, .. } | Self::Closed { how, .. } = kind {
                    *how = Cut::BlackHole;
                }
            })
        };
        let remembers = |memory: Memory| {
            let milder: &[Memory] = match memory {
                Memory::Kept => &[],
                Memory::Lost => &[Memory::Kept],
                Memory::Rotten | Memory::Older => &[Memory::Kept, Memory::Lost],
            };
            let form = |milder: &Memory| {
                with(&|kind| {
                    if let Self::Crash { memory, .. } | Self::PowerLoss { memory, .. } = kind {
                        *memory = *milder;
                    }
                })
            };
            milder.iter().map(form).collect::<Vec<_>>()
        };
        match self.clone() {
            Self::PowerLoss { node, down_ms, memory } => {
                [Self::Crash { node, down_ms, memory }].into_iter().chain(remembers(memory)).collect()
            }
            Self::Crash { memory, .. } => remembers(memory),
            Self::Partition { both_ways, how, .. } => {
                let mutual = || {
                    with(&|kind| {
                        if let Self::Partition { both_ways, .. } = kind {
                            *both_ways = true;
                        }
                    })
                };
                let swallows = (how == Cut::Refuse).then(black_hole);
                swallows.into_iter().chain((!both_ways).then(mutual)).collect()
            }
            Self::Closed { how: Cut::Refuse, .. } => vec![black_hole()],
            // One pause, which the clocks count.
            Self::Freeze { node, lasts_ms } | Self::Stutter { node, lasts_ms, .. } => {
                vec![Self::Pause { node, lasts_ms: Some(lasts_ms) }]
            }
            Self::DiskFailure { node, lasts_ms, down_ms, how } => {
                let crash = Self::Crash { node: node.clone(), down_ms: Some(down_ms), memory: Memory::Kept };
                let plain = Self::DiskFailure { node, lasts_ms, down_ms, how: DriveFailure::Sync };
                [crash].into_iter().chain((how != DriveFailure::Sync).then_some(plain)).collect()
            }
            Self::Slow { one_way: true, .. } => vec![with(&|kind| {
                if let Self::Slow { one_way, .. } = kind {
                    *one_way = false;
                }
            })],
            Self::Own(own) => own.milder().into_iter().map(Self::Own).collect(),
            Self::Pause { .. }
            | Self::DiskStall { .. }
            | Self::Closed { .. }
            | Self::Slow { .. }
            | Self::Rpc { .. } => Vec::new(),
        }
    }
}

impl Mistreatment {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DropRequest,
        Self::DropReply,
        Self::Duplicate,
        Self::Delay,
        Self::Hang,
        Self::Cancel,
        Self::Forge,
    ];

    /// The word for it in plans.
    pub fn word(self) -> &'static str {
        match self {
            Self::DropRequest => "drop_request",
            Self::DropReply => "drop_reply",
            _ => self.name(),
        }
    }

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropRequest => "drop request",
            Self::DropReply => "drop reply",
            Self::Duplicate => "duplicate",
            Self::Delay => "delay",
            Self::Hang => "hang",
            Self::Cancel => "cancel",
            Self::Forge => "forge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::Toy;

    type Kind = FaultKind<Toy>;

    fn crash(memory: Memory) -> Kind {
        FaultKind::Crash { node: "p1".into(), down_ms: Some(7), memory }
    }

    #[test]
    fn what_rots_or_goes_back_may_be_kept_or_lost_instead() {
        assert_eq!(crash(Memory::Older).milder(), [crash(Memory::Kept), crash(Memory::Lost)]);
        assert_eq!(crash(Memory::Rotten).milder(), [crash(Memory::Kept), crash(Memory::Lost)]);
        assert_eq!(crash(Memory::Lost).milder(), [crash(Memory::Kept)]);
        assert_eq!(crash(Memory::Kept).milder(), []);
        let power_loss = FaultKind::PowerLoss { node: "p1".into(), down_ms: Some(7), memory: Memory::Rotten };
        assert!(power_loss.milder().contains(&crash(Memory::Rotten)));
    }

    #[test]
    fn a_drive_that_fails_in_the_plainest_way_is_milder() {
        let fails =
            |how| -> Kind { FaultKind::DiskFailure { node: "p1".into(), lasts_ms: 5, down_ms: 7, how } };
        let plain = fails(DriveFailure::Sync);
        assert_eq!(plain.milder(), [crash(Memory::Kept)]);
        for how in [DriveFailure::Write, DriveFailure::Full, DriveFailure::Access] {
            assert_eq!(fails(how).milder(), [crash(Memory::Kept), plain.clone()]);
        }
    }
}
