//! Families of plans: features of a plan that are known without running it.

use crate::{
    data::{
        fault::{Fault, FaultKind, Memory, Mistreatment},
        plan::Plan,
    },
    generate::story_of,
    store::{
        fault::{Mishap, Trigger},
        setup::Reads,
    },
};

/// A feature of a plan; every plan has many.
pub struct Family {
    /// What its plans have in common.
    pub name: &'static str,
    holds: fn(&Plan) -> bool,
}

/// The families to which a plan belongs, as places in [`ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families(u128);

impl Families {
    /// Those of a plan.
    pub fn of(plan: &Plan) -> Self {
        let bit = |(place, family): (usize, &Family)| u128::from((family.holds)(plan)) << place;
        Self(ALL.iter().enumerate().map(bit).sum())
    }

    /// Their places.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..ALL.len()).filter(move |place| self.0 & (1 << place) != 0)
    }
}

impl FromIterator<usize> for Families {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        Self(places.into_iter().fold(0, |set, place| set | 1 << place))
    }
}

fn any(plan: &Plan, is: fn(&Fault) -> bool) -> bool {
    plan.faults.iter().any(is)
}

fn names(fault: &Fault, node: &str) -> bool {
    fault.kind.nodes().contains(&node)
}

fn mistreats(fault: &Fault, which: Mistreatment) -> bool {
    matches!(fault.kind, FaultKind::Rpc { how, .. } if how == which)
}

fn forgets(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::Crash { memory: Memory::Lost, .. } | FaultKind::PowerLoss { memory: Memory::Lost, .. }
    )
}

fn tells(plan: &Plan, story: &str) -> bool {
    story_of(plan) == Some(story)
}

macro_rules! families {
    ($($name:literal: $holds:expr,)*) => { &[$(Family { name: $name, holds: $holds },)*] };
}

/// All families.
pub const ALL: &[Family] = families! {
    "crash": |s| any(s, |f| matches!(f.kind, FaultKind::Crash { .. })),
    "power loss": |s| any(s, |f| matches!(f.kind, FaultKind::PowerLoss { .. })),
    "memory lost": |s| any(s, forgets),
    "view service down": |s| any(s, |f| names(f, "vs") && matches!(f.kind, FaultKind::Crash { .. } | FaultKind::PowerLoss { .. })),
    "twin": |s| any(s, |f| matches!(f.kind, FaultKind::Own(Mishap::Twin { .. }))),
    "pause": |s| any(s, |f| matches!(f.kind, FaultKind::Pause { .. } | FaultKind::Freeze { .. })),
    "stutter": |s| any(s, |f| matches!(f.kind, FaultKind::Stutter { .. })),
    "stalled disk": |s| any(s, |f| matches!(f.kind, FaultKind::DiskStall { .. })),
    "failed disk": |s| any(s, |f| matches!(f.kind, FaultKind::DiskFailure { .. })),
    "partition": |s| any(s, |f| matches!(f.kind, FaultKind::Partition { both_ways: true, .. })),
    "one-way partition": |s| any(s, |f| matches!(f.kind, FaultKind::Partition { both_ways: false, .. })),
    "closed": |s| any(s, |f| matches!(f.kind, FaultKind::Closed { .. })),
    "slow": |s| any(s, |f| matches!(f.kind, FaultKind::Slow { .. })),
    "lost request": |s| any(s, |f| mistreats(f, Mistreatment::DropRequest)),
    "lost reply": |s| any(s, |f| mistreats(f, Mistreatment::DropReply)),
    "duplicate": |s| any(s, |f| mistreats(f, Mistreatment::Duplicate)),
    "delay": |s| any(s, |f| mistreats(f, Mistreatment::Delay)),
    "hang": |s| any(s, |f| mistreats(f, Mistreatment::Hang)),
    "cancel": |s| any(s, |f| mistreats(f, Mistreatment::Cancel)),
    "on transfer": |s| any(s, |f| matches!(f.on, Some(Trigger::TransferBegan | Trigger::TransferCompleted))),
    "on view": |s| any(s, |f| matches!(f.on, Some(Trigger::ViewProposed | Trigger::ViewActivated | Trigger::Promoted))),
    "on a primary's word": |s| any(s, |f| matches!(f.on, Some(Trigger::Joined | Trigger::Confirmed | Trigger::Suspected))),
    "aimed at joiner": |s| any(s, |f| names(f, "joiner")),
    "aimed at idle": |s| any(s, |f| names(f, "idle")),
    "aimed at view service": |s| any(s, |f| names(f, "vs")),
    "many faults": |s| s.faults.len() >= 30,
    "few faults": |s| s.faults.len() < 8,
    "two servers": |s| s.cluster.servers == 2,
    "four servers or more": |s| s.cluster.servers >= 4,
    "one copy": |s| s.cluster.replicas == 1,
    "three copies": |s| s.cluster.replicas == 3,
    "leases": |s| s.cluster.reads == Reads::Lease,
    "nothing on disk": |s| s.cluster.volatile,
    "settings": |s| !s.cluster.settings.is_empty(),
    "encoded": |s| s.cluster.encoded,
    "short log": |s| s.cluster.checkpoint_interval < 20,
    "medium log": |s| (20..100).contains(&s.cluster.checkpoint_interval),
    "small parts": |s| s.cluster.chunk_bytes_max < 256,
    "short window": |s| s.cluster.append_window < 8,
    "wide window": |s| s.cluster.append_window >= 64,
    "short sessions": |s| s.cluster.session_ttl_ms < 60_000,
    "slow disk": |s| s.cluster.disk_ms_max >= 20,
    "instant disk": |s| s.cluster.disk_ms_max == 0,
    "late starts": |s| !s.cluster.starts_ms.is_empty(),
    "drifting clocks": |s| s.cluster.clocks.iter().any(|clock| clock.drift_ppm.abs() > 200),
    "wrong clocks": |s| s.cluster.clocks.iter().any(|clock| clock.skew_ms.abs() > 100),
    "slow network": |s| s.network.latency_us_max > 10_000,
    "patient joining": |s| s.cluster.join_lag_max_ms <= 100,
    "an acknowledgement is overtaken by the next view": |s| tells(s, "an acknowledgement is overtaken by the next view"),
    "a lease comes late": |s| tells(s, "a lease comes late"),
    "the holder of a lease sleeps": |s| tells(s, "the holder of a lease sleeps"),
    "a former life speaks": |s| tells(s, "a former life speaks"),
    "everything is lost": |s| tells(s, "everything is lost"),
    "the promoted server's clock is ahead": |s| tells(s, "the promoted server's clock is ahead"),
    "a primary is replaced unawares": |s| tells(s, "a primary is replaced unawares"),
    "answers outlive their view": |s| tells(s, "answers outlive their view"),
    "updates outlive their sessions": |s| tells(s, "updates outlive their sessions"),
    "a state is transferred under fire": |s| tells(s, "a state is transferred under fire"),
    "a primary is chosen twice": |s| tells(s, "a primary is chosen twice"),
    "the cluster is split in two": |s| tells(s, "the cluster is split in two"),
    "a joiner is chased by the load": |s| tells(s, "a joiner is chased by the load"),
    "nobody hears the primary": |s| tells(s, "nobody hears the primary"),
    "a liar is among them": |s| tells(s, "a liar is among them"),
    "a full primary is left alone": |s| tells(s, "a full primary is left alone"),
    "the load does not end": |s| tells(s, "the load does not end"),
    "an operator errs": |s| tells(s, "an operator errs"),
    "a joiner holds more than is known": |s| tells(s, "a joiner holds more than is known"),
    "a thousand clients come and go": |s| tells(s, "a thousand clients come and go"),
    "more is asked than there is room for": |s| tells(s, "more is asked than there is room for"),
    "nobody watches over the primary": |s| tells(s, "nobody watches over the primary"),
    "who speaks is not reached": |s| tells(s, "who speaks is not reached"),
    "a disk only waits": |s| tells(s, "a disk only waits"),
    "a disk fails": |s| tells(s, "a disk fails"),
    "long life": |s| s.faults_ms > 60_000,
    "closing clients": |s| s.clients.iter().flat_map(|client| &client.script).any(|line| line.contains(" close ")),
    "restarting clients": |s| s.clients.iter().flat_map(|client| &client.script).any(|line| line.contains(" restart ")),
    "limited values": |s| s.cluster.settings.iter().any(|own| own.key_bytes_max.or(own.value_bytes_max).is_some()),
    "many operations": |s| s.clients.iter().map(|client| client.script.len()).sum::<usize>() > 500,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::generate::{STORIES, generate};

    #[test]
    fn every_family_holds_for_some_seeds_and_not_for_all() {
        assert!(ALL.len() <= 128, "a set is a word");
        let names: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        let plans: Vec<Families> = (0..1000).map(|seed| Families::of(&generate(seed))).collect();
        for (place, family) in ALL.iter().enumerate() {
            let held = plans.iter().filter(|plan| plan.iter().any(|own| own == place)).count();
            assert!((1..1000).contains(&held), "{}: {held}", family.name);
        }
    }

    #[test]
    fn every_story_is_a_family() {
        for story in STORIES {
            assert!(ALL.iter().any(|family| family.name == story), "{story}");
        }
    }
}
