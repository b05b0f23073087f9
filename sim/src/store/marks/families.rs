//! Families of plans: which features of a plan explorations learn from. Their order is that of what an
//! exploration stores.

use testbed::marks::family::{Family, any};

use super::super::{
    Pbkv,
    fault::{Mishap, Trigger},
    setup::Reads,
};
use crate::{
    bound::{Fault, FaultKind, Plan},
    generate::story_of,
};

fn names(fault: &Fault, node: &str) -> bool {
    fault.kind.nodes().contains(&node)
}

fn has(plan: &Plan, action: &str) -> bool {
    plan.clients.iter().flat_map(|client| &client.script).any(|line| line.contains(action))
}

/// The plans that tell this story.
macro_rules! story {
    ($story:literal) => {
        Family::new($story, |s| story_of(s) == Some($story))
    };
}

/// All families.
pub const FAMILIES: &[Family<Pbkv>] = &[
    Family::CRASH,
    Family::POWER_LOSS,
    Family::MEMORY_LOST,
    Family::new("view service down", |s| {
        any(s, |f| names(f, "vs") && matches!(f.kind, FaultKind::Crash { .. } | FaultKind::PowerLoss { .. }))
    }),
    Family::new("twin", |s| any(s, |f| matches!(f.kind, FaultKind::Own(Mishap::Twin { .. })))),
    Family::PAUSE,
    Family::STUTTER,
    Family::STALLED_DISK,
    Family::FAILED_DISK,
    Family::PARTITION,
    Family::ONE_WAY_PARTITION,
    Family::CLOSED,
    Family::SLOW,
    Family::LOST_REQUEST,
    Family::LOST_REPLY,
    Family::DUPLICATE,
    Family::DELAY,
    Family::HANG,
    Family::CANCEL,
    Family::new("on transfer", |s| {
        any(s, |f| matches!(f.on, Some(Trigger::TransferBegan | Trigger::TransferCompleted)))
    }),
    Family::new("on view", |s| {
        any(s, |f| matches!(f.on, Some(Trigger::ViewProposed | Trigger::ViewActivated | Trigger::Promoted)))
    }),
    Family::new("on a primary's word", |s| {
        any(s, |f| matches!(f.on, Some(Trigger::Joined | Trigger::Confirmed | Trigger::Suspected)))
    }),
    Family::new("aimed at joiner", |s| any(s, |f| names(f, "joiner"))),
    Family::new("aimed at idle", |s| any(s, |f| names(f, "idle"))),
    Family::new("aimed at view service", |s| any(s, |f| names(f, "vs"))),
    Family::MANY_FAULTS,
    Family::FEW_FAULTS,
    Family::new("two servers", |s| s.cluster.servers == 2),
    Family::new("four servers or more", |s| s.cluster.servers >= 4),
    Family::new("one copy", |s| s.cluster.replicas == 1),
    Family::new("three copies", |s| s.cluster.replicas == 3),
    Family::new("leases", |s| s.cluster.reads == Reads::Lease),
    Family::new("nothing on disk", |s| s.cluster.volatile),
    Family::new("settings", |s| !s.cluster.settings.is_empty()),
    Family::new("encoded", |s| s.cluster.encoded),
    Family::new("short log", |s| s.cluster.checkpoint_interval < 20),
    Family::new("medium log", |s| (20..100).contains(&s.cluster.checkpoint_interval)),
    Family::new("small parts", |s| s.cluster.chunk_bytes_max < 256),
    Family::new("short window", |s| s.cluster.append_window < 8),
    Family::new("wide window", |s| s.cluster.append_window >= 64),
    Family::new("short sessions", |s| s.cluster.session_ttl_ms < 60_000),
    Family::new("slow disk", |s| s.cluster.disk_ms_max >= 20),
    Family::new("instant disk", |s| s.cluster.disk_ms_max == 0),
    Family::new("late starts", |s| !s.cluster.starts_ms.is_empty()),
    Family::DRIFTING_CLOCKS,
    Family::WRONG_CLOCKS,
    Family::SLOW_NETWORK,
    Family::new("patient joining", |s| s.cluster.join_lag_max_ms <= 100),
    story!("an acknowledgement is overtaken by the next view"),
    story!("a lease comes late"),
    story!("the holder of a lease sleeps"),
    story!("a former life speaks"),
    story!("everything is lost"),
    story!("the promoted server's clock is ahead"),
    story!("a primary is replaced unawares"),
    story!("answers outlive their view"),
    story!("updates outlive their sessions"),
    story!("a state is transferred under fire"),
    story!("a primary is chosen twice"),
    story!("the cluster is split in two"),
    story!("a joiner is chased by the load"),
    story!("nobody hears the primary"),
    story!("a liar is among them"),
    story!("a full primary is left alone"),
    story!("the load does not end"),
    story!("an operator errs"),
    story!("a joiner holds more than is known"),
    story!("a thousand clients come and go"),
    story!("more is asked than there is room for"),
    story!("nobody watches over the primary"),
    story!("who speaks is not reached"),
    story!("a disk only waits"),
    story!("a disk fails"),
    Family::LONG_LIFE,
    Family::new("closing clients", |s| has(s, " close ")),
    Family::new("restarting clients", |s| has(s, " restart ")),
    Family::new("limited values", |s| {
        s.cluster.settings.iter().any(|own| own.key_bytes_max.or(own.value_bytes_max).is_some())
    }),
    Family::MANY_OPERATIONS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::generate::{STORIES, generate};
    use testbed::marks::family::Families;

    #[test]
    fn every_family_holds_for_some_seeds_and_not_for_all() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        let plans: Vec<Families> = (0..1000).map(|seed| Families::of(&generate(seed))).collect();
        for (place, family) in FAMILIES.iter().enumerate() {
            let held = plans.iter().filter(|plan| plan.iter().any(|own| own == place)).count();
            assert!((1..1000).contains(&held), "{}: {held}", family.name);
        }
    }

    #[test]
    fn every_story_is_a_family() {
        for story in STORIES {
            assert!(FAMILIES.iter().any(|family| family.name == story), "{story}");
        }
    }
}
