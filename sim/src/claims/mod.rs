//! Claims about the whole system that can be false.
//!
//! A claim is a plan with fixed faults and fixed scripts, the marks that are its point ([`testbed::marks`]),
//! and what must be seen in its outcome beyond what the general judges demand of every run. It holds, and its
//! marks are reached, for every seed: seeds vary latencies, the phase of faults against pings and heartbeats,
//! and how Gets are answered. Each claim is made a second time with a view service that crashes and comes
//! back in the middle.

mod build;
mod cut_off;
mod durability;
mod evidence;
mod exactly_once;
mod machines;
mod takeover;
mod transfer;

use std::time::Duration;

use evidence::Evidence;
use testbed::{data::fault::Memory, marks::Strike};

use crate::{
    bound::{FaultKind, Mark, Outcome, Plan},
    store::marks::Role,
};

/// Seeds for which a claim is tried unless somebody wants more.
pub const SEEDS_DEFAULT: u64 = 5;

/// How long clients may have to wait while a server is replaced: until it is found dead, until the view is
/// adopted and acknowledged, and until the client tries again.
const TAKEOVER: Duration = Duration::from_secs(5);

/// A claim and the plan that tests it.
pub struct Claim {
    /// The claim as an identifier.
    pub name: String,
    /// The claim as a sentence.
    pub about: &'static str,
    /// Builds the plan for a seed.
    pub plan: Box<dyn Fn(u64) -> Plan>,
    patience: Duration,
    holds: fn(&Evidence) -> Result<(), String>,
}

impl Claim {
    /// Whether an outcome that passed the general judges bears the claim out; if not, what was seen instead.
    pub fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        (self.holds)(&Evidence { outcome, patience: self.patience })
    }
}

/// A claim as its file writes it down.
struct Draft {
    name: &'static str,
    about: &'static str,
    /// Without these situations a run says nothing about the claim: two to five.
    reaches: Vec<Mark>,
    /// When a crash of the view service hurts most, in milliseconds.
    middle_ms: u64,
    plan: fn(u64) -> Plan,
    holds: fn(&Evidence) -> Result<(), String>,
}

/// All claims, each followed by its variant with a view service that restarts.
pub fn all() -> Vec<Claim> {
    let drafts = [
        takeover::drafts(),
        durability::drafts(),
        cut_off::drafts(),
        transfer::drafts(),
        exactly_once::drafts(),
        machines::drafts(),
    ];
    drafts
        .into_iter()
        .flatten()
        .flat_map(|draft| [plain(&draft), with_view_service_restart(&draft)])
        .collect()
}

fn plain(draft: &Draft) -> Claim {
    Claim {
        name: draft.name.into(),
        about: draft.about,
        plan: Box::new(named(draft)),
        patience: TAKEOVER,
        holds: draft.holds,
    }
}

fn with_view_service_restart(draft: &Draft) -> Claim {
    const DOWN_MS: [u64; 4] = [20, 300, 1_000, 2_500];
    let (build, middle_ms) = (named(draft), draft.middle_ms);
    let plan = move |seed: u64| {
        let mut plan = build(seed);
        let down_ms = Some(DOWN_MS[(seed % 4) as usize]);
        let crash = FaultKind::Crash { node: "vs".into(), down_ms, memory: Memory::Kept };
        plan.faults.push(build::at(middle_ms + seed * 331 % 1_500, crash));
        plan.reaches.push(build::strikes(Strike::Crash, Role::ViewService));
        plan
    };
    Claim {
        name: format!("{}_while_the_view_service_restarts", draft.name),
        about: draft.about,
        plan: Box::new(plan),
        // Down for at most 2.5 s, and a full dead interval before anybody is declared dead.
        patience: TAKEOVER + Duration::from_secs(4),
        holds: draft.holds,
    }
}

fn named(draft: &Draft) -> impl Fn(u64) -> Plan + use<> {
    let (build, about, reaches) = (draft.plan, draft.about, draft.reaches.clone());
    move |seed| Plan { about: about.into(), reaches: reaches.clone(), ..build(seed) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;
    use crate::bound::{Outcome, Plan};

    #[test]
    fn names_are_unique_and_every_claim_is_made_twice() {
        let claims = all();
        let names: BTreeSet<&str> = claims.iter().map(|claim| claim.name.as_str()).collect();
        assert_eq!(names.len(), claims.len());
        assert!(
            names.iter().filter(|name| name.ends_with("_while_the_view_service_restarts")).count() * 2
                == names.len()
        );
    }

    #[test]
    fn every_claim_says_which_situations_are_its_point() {
        for claim in all() {
            let reaches = (claim.plan)(0).reaches;
            let distinct: BTreeSet<_> = reaches.iter().collect();
            assert!(distinct.len() == reaches.len() && reaches.len() >= 2, "{}: {reaches:?}", claim.name);
        }
    }

    #[test]
    fn no_claim_holds_for_a_run_in_which_nothing_happened() {
        for claim in all() {
            assert!(claim.judge(&Outcome::default()).is_err(), "{} cannot fail", claim.name);
        }
    }

    #[test]
    fn plans_are_plans_like_any_other() {
        for claim in all() {
            let plan = (claim.plan)(3);
            assert_eq!(testbed::data::validate::validate(&plan), Ok(()), "{}", claim.name);
            let text = toml::to_string(&plan).expect("a plan is made of what TOML can say");
            assert_eq!(toml::from_str::<Plan>(&text).expect("what was printed can be read"), plan);
        }
    }
}
