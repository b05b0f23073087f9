//! Families of plans: features of a plan that are known without running it.

use crate::{
    data::{
        fault::{Fault, FaultKind, Memory, Mistreatment},
        plan::Plan,
    },
    system::{Setup, System},
};

/// A feature of a plan; every plan has many.
#[derive(Clone, Copy, Debug)]
pub struct Family<S: System> {
    /// What its plans have in common.
    pub name: &'static str,
    holds: fn(&Plan<S>) -> bool,
}

/// The families to which a plan belongs, as places in the system's table ([`System::FAMILIES`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families(u128);

impl Families {
    /// Those of a plan.
    pub fn of<S: System>(plan: &Plan<S>) -> Self {
        const { assert!(S::FAMILIES.len() <= 128, "a set is a word") };
        let bit = |(place, family): (usize, &Family<S>)| u128::from((family.holds)(plan)) << place;
        Self(S::FAMILIES.iter().enumerate().map(bit).sum())
    }

    /// Their places.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..128).filter(move |place| self.0 & (1 << place) != 0)
    }
}

impl FromIterator<usize> for Families {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        Self(places.into_iter().fold(0, |set, place| set | 1 << place))
    }
}

/// The families that there are in every system.
macro_rules! families {
    ($($constant:ident $name:literal: $holds:expr,)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub const $constant: Self = Self::new($name, $holds);
        )*

        /// All families that there are in every system.
        pub const PLAIN: &'static [Self] = &[$(Self::$constant,)*];
    };
}

impl<S: System> Family<S> {
    /// The plans for which this holds.
    pub const fn new(name: &'static str, holds: fn(&Plan<S>) -> bool) -> Self {
        Self { name, holds }
    }

    families! {
        CRASH "crash": |s| any(s, |f| matches!(f.kind, FaultKind::Crash { .. })),
        POWER_LOSS "power loss": |s| any(s, |f| matches!(f.kind, FaultKind::PowerLoss { .. })),
        MEMORY_LOST "memory lost": |s| any(s, forgets),
        PAUSE "pause": |s| any(s, |f| matches!(f.kind, FaultKind::Pause { .. } | FaultKind::Freeze { .. })),
        STUTTER "stutter": |s| any(s, |f| matches!(f.kind, FaultKind::Stutter { .. })),
        STALLED_DISK "stalled disk": |s| any(s, |f| matches!(f.kind, FaultKind::DiskStall { .. })),
        FAILED_DISK "failed disk": |s| any(s, |f| matches!(f.kind, FaultKind::DiskFailure { .. })),
        PARTITION "partition": |s| any(s, |f| matches!(f.kind, FaultKind::Partition { both_ways: true, .. })),
        ONE_WAY_PARTITION "one-way partition":
            |s| any(s, |f| matches!(f.kind, FaultKind::Partition { both_ways: false, .. })),
        CLOSED "closed": |s| any(s, |f| matches!(f.kind, FaultKind::Closed { .. })),
        SLOW "slow": |s| any(s, |f| matches!(f.kind, FaultKind::Slow { .. })),
        LOST_REQUEST "lost request": |s| any(s, |f| mistreats(f, Mistreatment::DropRequest)),
        LOST_REPLY "lost reply": |s| any(s, |f| mistreats(f, Mistreatment::DropReply)),
        DUPLICATE "duplicate": |s| any(s, |f| mistreats(f, Mistreatment::Duplicate)),
        DELAY "delay": |s| any(s, |f| mistreats(f, Mistreatment::Delay)),
        HANG "hang": |s| any(s, |f| mistreats(f, Mistreatment::Hang)),
        CANCEL "cancel": |s| any(s, |f| mistreats(f, Mistreatment::Cancel)),
        MANY_FAULTS "many faults": |s| s.faults.len() >= 30,
        FEW_FAULTS "few faults": |s| s.faults.len() < 8,
        DRIFTING_CLOCKS "drifting clocks": |s| s.cluster.clocks().iter().any(|clock| clock.drift_ppm.unsigned_abs() > 200),
        WRONG_CLOCKS "wrong clocks": |s| s.cluster.clocks().iter().any(|clock| clock.skew_ms.unsigned_abs() > 100),
        SLOW_NETWORK "slow network": |s| s.network.latency_us_max > 10_000,
        LONG_LIFE "long life": |s| s.faults_ms > 60_000,
        MANY_OPERATIONS "many operations":
            |s| s.clients.iter().map(|client| client.script.len()).sum::<usize>() > 500,
    }
}

/// Whether a fault of the plan is so.
pub fn any<S: System>(plan: &Plan<S>, is: fn(&Fault<S>) -> bool) -> bool {
    plan.faults.iter().any(is)
}

fn mistreats<S: System>(fault: &Fault<S>, which: Mistreatment) -> bool {
    matches!(fault.kind, FaultKind::Rpc { how, .. } if how == which)
}

fn forgets<S: System>(fault: &Fault<S>) -> bool {
    matches!(
        fault.kind,
        FaultKind::Crash { memory: Memory::Lost, .. } | FaultKind::PowerLoss { memory: Memory::Lost, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::{self, Toy};

    #[test]
    fn a_plan_is_of_the_families_that_hold_for_it() {
        let names = |plan: &Plan<Toy>| -> Vec<&str> {
            Families::of(plan).iter().map(|place| Toy::FAMILIES[place].name).collect()
        };
        let mut plan = toy::plan();
        assert_eq!(names(&plan), ["few faults"]);
        let crash = FaultKind::Crash { node: "p1".into(), down_ms: Some(10), memory: Memory::Lost };
        plan.faults = vec![Fault { at_ms: 5, on: None, after_ms: 0, kind: crash }];
        plan.faults_ms = 60_001;
        assert_eq!(names(&plan), ["crash", "memory lost", "few faults", "long life"]);
    }
}
