//! What makes two failures alike.

use std::fmt;

use crate::{
    data::outcome::{Class, Outcome, Verdict},
    marks::Mark,
    system::{Promise, System},
};

/// What a smaller plan must still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim<S: System> {
    /// Fail for this reason.
    Failure(Signature),
    /// End well and reach this situation.
    Reaches(Mark<S>),
}

impl<S: System> Aim<S> {
    /// Whether a run does.
    pub fn is_met(&self, outcome: &Outcome<S>) -> bool {
        match self {
            Self::Failure(signature) => Signature::of(outcome).as_ref() == Some(signature),
            Self::Reaches(mark) => outcome.class() == Class::Ok && outcome.stats.marks.contains_key(mark),
        }
    }
}

impl<S: System> fmt::Display for Aim<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(signature) => signature.fmt(f),
            Self::Reaches(mark) => write!(f, "reaches {}", mark.name()),
        }
    }
}

/// The reason of a failure, as far as it can be told from outside. Two runs with the same signature are
/// taken to fail for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signature {
    /// A broken invariant, by name.
    Invariant(String),
    /// A history that is not linearizable, by the sort of its contradiction.
    NotLinearizable(&'static str),
    /// A panic, by its message without numbers.
    Panic(String),
    /// Something did not end in time.
    Stall,
    /// A promise about the system's health was broken.
    Unhealthy {
        /// Its name,
        promise: &'static str,
        /// and how it is broken.
        how: String,
    },
    /// The judge gave up.
    Undecided,
}

impl Signature {
    /// The reason for which a run failed, the gravest first; none if it did not.
    pub fn of<S: System>(outcome: &Outcome<S>) -> Option<Self> {
        if let Some(violation) = outcome.violations.first() {
            return Some(Self::Invariant(violation.invariant.clone()));
        }
        if let Verdict::Violation(contradiction) = &outcome.verdict {
            return Some(Self::NotLinearizable(S::contradiction(contradiction, outcome)));
        }
        if let Some(panic) = &outcome.panic {
            return Some(Self::Panic(without_numbers(panic.message.lines().next().unwrap_or_default())));
        }
        if outcome.stall.is_some() {
            return Some(Self::Stall);
        }
        if let Some(unhealthy) = &outcome.unhealthy {
            let (promise, how) = (unhealthy.promise.name(), unhealthy.promise.broken());
            return Some(Self::Unhealthy { promise, how });
        }
        matches!(outcome.verdict, Verdict::Undecided(_)).then_some(Self::Undecided)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(name) => write!(f, "broken invariant {name}"),
            Self::NotLinearizable(sort) => write!(f, "not linearizable: {sort}"),
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Stall => f.write_str("stall: not everything ended after the heal"),
            Self::Unhealthy { promise, how } => write!(f, "{promise}: {how}"),
            Self::Undecided => f.write_str("undecided: the judge gave up"),
        }
    }
}

/// A text in which every number is `#`: failures that differ only in numbers are one finding.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        data::outcome::{Contradiction, Violation},
        system::toy::Toy,
    };

    type Outcome = crate::data::outcome::Outcome<Toy>;

    #[test]
    fn a_contradiction_is_of_the_sort_that_the_system_says() {
        let contradiction = Contradiction {
            key: "k".into(),
            operations: Vec::new(),
            support: Vec::new(),
            sentence: String::new(),
        };
        let outcome = Outcome { verdict: Verdict::Violation(contradiction), ..Outcome::default() };
        let signature = Signature::of(&outcome).expect("it failed").to_string();
        assert_eq!(signature, "not linearizable: no order explains what clients were told");
    }

    #[test]
    fn an_invariant_goes_before_everything_else_and_success_has_no_signature() {
        let violation = Violation {
            at: Duration::ZERO,
            node: "s1".into(),
            invariant: "I5".into(),
            message: String::new(),
        };
        let outcome = Outcome {
            violations: vec![violation],
            verdict: Verdict::Undecided("so far".into()),
            ..Outcome::default()
        };
        assert_eq!(Signature::of(&outcome), Some(Signature::Invariant("I5".into())));
        assert_eq!(Signature::of(&Outcome::default()), None);
    }

    #[test]
    fn numbers_do_not_tell_panics_apart() {
        assert_eq!(without_numbers("index 12 of 3, s10"), "index # of #, s#");
    }
}
