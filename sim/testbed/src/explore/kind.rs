//! What makes two failures of an exploration the same finding.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        exit,
        outcome::{Class, Outcome},
    },
    judges::signature::Signature,
    system::System,
};

/// Characters of a reason, at most: panics can be verbose.
const REASON_MAX: usize = 200;

/// How the reason of a panic begins that is not one of the simulated processes.
pub const SIMULATOR_ITSELF: &str = "the simulator itself";

/// How grave a failure is, the gravest first. Above all that a run may show is that it does not repeat:
/// then nothing that it shows can be studied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// The same run, made twice, differed.
    NotDeterministic,
    /// Something that must never happen has happened.
    Safety,
    /// Something panicked.
    Panic,
    /// Something did not end in time; or the run itself does not end.
    Liveness,
    /// A promise about the system's health was broken.
    Health,
    /// The judge gave up.
    Undecided,
}

impl Gravity {
    /// Its exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::NotDeterministic => exit::NOT_DETERMINISTIC,
            Self::Safety => exit::SAFETY,
            Self::Panic => exit::PANIC,
            Self::Liveness => exit::LIVENESS,
            Self::Health => exit::HEALTH,
            Self::Undecided => exit::UNDECIDED,
        }
    }
}

/// A kind of failure: how grave, for which reason, and at which sort of step it went wrong.
///
/// The step is the role of the node that took it and the sort of event that it took; it keeps two bugs apart
/// that break the same promise at different places. It is known only where a step is to blame: for a
/// broken invariant and a panic inside a step. A history shows when the clients could tell, a stall when the
/// time was over; neither is where it went wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind {
    /// How grave.
    pub gravity: Gravity,
    /// Why, without what differs from seed to seed.
    pub reason: String,
    /// Where, if a step is to blame.
    pub step: Option<String>,
}

impl Kind {
    /// The kind of failure that an outcome shows, if it shows one.
    pub fn of<S: System>(outcome: &Outcome<S>) -> Option<Self> {
        let gravity = match outcome.class() {
            Class::Safety => Gravity::Safety,
            Class::Panic => Gravity::Panic,
            Class::Liveness => Gravity::Liveness,
            Class::Health => Gravity::Health,
            Class::Undecided => Gravity::Undecided,
            Class::Ok => return None,
        };
        let signature = Signature::of(outcome)?;
        let step = match signature {
            Signature::Invariant(_) | Signature::Panic(_) => outcome.failed_step.map(|step| step.to_string()),
            _ => None,
        };
        let reason = match signature {
            Signature::Panic(message) => message,
            other => other.to_string(),
        };
        Some(Self { gravity, reason: reason.chars().take(REASON_MAX).collect(), step })
    }

    /// A run that does not end.
    pub fn hang() -> Self {
        Self { gravity: Gravity::Liveness, reason: "the run itself does not end".into(), step: None }
    }

    /// Whether one more run shows it again, soon and to the end.
    pub fn shows_again(&self) -> bool {
        *self != Self::hang()
            && self.gravity != Gravity::NotDeterministic
            && !self.reason.starts_with(SIMULATOR_ITSELF)
    }

    /// Two runs of one plan that first differ in this part of a step.
    pub fn not_deterministic(part: &str, step: String) -> Self {
        let reason = format!("made twice, the run differs: {part}");
        Self { gravity: Gravity::NotDeterministic, reason, step: Some(step) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.gravity {
            Gravity::NotDeterministic => "NOT DETERMINISTIC: ",
            Gravity::Safety => "safety: ",
            Gravity::Panic => "panic: ",
            Gravity::Liveness => "liveness: ",
            Gravity::Health => "health: ",
            Gravity::Undecided => "",
        })?;
        f.write_str(&self.reason)?;
        match &self.step {
            Some(step) => write!(f, " ({step})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        data::outcome::{Panic, Stall, Violation},
        observer::step::StepName,
        system::toy::Toy,
    };

    type Outcome = crate::data::outcome::Outcome<Toy>;

    fn broken(invariant: &str, who: &'static str, what: &'static str) -> Option<Kind> {
        let violation = Violation {
            at: Duration::ZERO,
            node: "s1".into(),
            invariant: invariant.into(),
            message: "it was 17".into(),
        };
        Kind::of(&Outcome {
            violations: vec![violation],
            failed_step: Some(StepName { who, what }),
            ..Outcome::default()
        })
    }

    #[test]
    fn the_same_promise_broken_at_another_step_is_another_kind() {
        let one = broken("I6", "leader", "a request");
        assert_eq!(one, broken("I6", "leader", "a request"));
        assert_ne!(one, broken("I5", "leader", "a request"));
        assert_ne!(one, broken("I6", "leader", "a tick"));
        assert_ne!(one, broken("I6", "follower", "a request"));
        let words = one.expect("it failed").to_string();
        assert_eq!(words, "safety: broken invariant I6 (leader taking a request)");
    }

    #[test]
    fn numbers_do_not_tell_panics_apart_and_a_long_message_is_cut() {
        let panic = |message: String| {
            let panic = Panic { at: Duration::ZERO, node: "s1".into(), message };
            Kind::of(&Outcome { panic: Some(panic), ..Outcome::default() }).expect("it failed")
        };
        assert_eq!(panic("index 17 of 3".into()), panic("index 4 of 12".into()));
        assert!(panic("x".repeat(10_000)).reason.len() <= REASON_MAX);
    }

    #[test]
    fn what_waits_and_since_when_does_not_tell_stalls_apart() {
        let stall = |waiting: &str, seconds| {
            let at = Duration::from_secs(seconds);
            let stall = Stall { at, waiting: vec![waiting.into()], cluster: Vec::new() };
            Kind::of(&Outcome { stall: Some(stall), ..Outcome::default() })
        };
        let one = stall("put by c1, since 1.0; last told by s2 at 71.0: not primary", 72);
        assert!(one.is_some());
        assert_eq!(one, stall("get by c2, since 2.0; no answer from s1 since 70.2", 80));
    }

    #[test]
    fn success_is_no_kind_of_failure_and_the_gravest_come_first() {
        assert_eq!(Kind::of(&Outcome::default()), None);
        let gravities = [
            Gravity::NotDeterministic,
            Gravity::Safety,
            Gravity::Panic,
            Gravity::Liveness,
            Gravity::Health,
            Gravity::Undecided,
        ];
        assert!(gravities.is_sorted());
        assert_eq!(gravities.map(Gravity::code), [5, 1, 4, 3, 9, 6]);
    }
}
