//! What makes two failures alike.

use std::fmt;

use crate::{
    data::outcome::{Class, Contradiction, End, Outcome, Verdict},
    marks::Mark,
    store::operation::{Input, Output},
    system::Promise,
};

/// What a smaller plan must still do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Fail for this reason.
    Failure(Signature),
    /// End well and reach this situation.
    Reaches(Mark),
}

impl Aim {
    /// Whether a run does.
    pub fn is_met(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Failure(signature) => Signature::of(outcome).as_ref() == Some(signature),
            Self::Reaches(mark) => outcome.class() == Class::Ok && outcome.stats.marks.contains_key(mark),
        }
    }
}

impl fmt::Display for Aim {
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
    /// A history that is not linearizable.
    NotLinearizable(Sort),
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

/// The sorts of contradictions a client can be shown. One bug shows itself in several shapes (a stale value
/// contradicts now a Put, now another Get), so the sorts are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// One write shows up twice in a value.
    Twice,
    /// A value that nobody wrote.
    Invented,
    /// A write that returned is missing, or an old value came back.
    Stale,
}

impl Signature {
    /// The reason for which a run failed, the gravest first; none if it did not.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        if let Some(violation) = outcome.violations.first() {
            return Some(Self::Invariant(violation.invariant.clone()));
        }
        if let Verdict::Violation(contradiction) = &outcome.verdict {
            return Some(Self::NotLinearizable(Sort::of(contradiction, outcome)));
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

impl Sort {
    /// Judged by what the contradicting operations returned and what the supporting ones may have written.
    fn of(contradiction: &Contradiction, outcome: &Outcome) -> Self {
        let involved = contradiction.operations.iter().chain(&contradiction.support);
        let involved: Vec<_> = involved.filter_map(|index| outcome.operations.get(*index)).collect();
        let written: Vec<&[u8]> = involved
            .iter()
            .filter_map(|operation| match &operation.input {
                Input::Put { value, .. } | Input::Append { value, .. } => Some(&**value),
                Input::CompareAndSwap { new, .. } => Some(&**new),
                Input::Get { .. } | Input::Delete { .. } => None,
            })
            .filter(|value| !value.is_empty())
            .collect();
        let seen: Vec<&[u8]> = involved
            .iter()
            .filter_map(|operation| match &operation.end {
                End::Returned { output: Output::Value(Some(value)), .. } => Some(&**value),
                End::Returned { output: Output::Swapped { previous: Some(Some(value)), .. }, .. } => {
                    Some(&**value)
                }
                _ => None,
            })
            .collect();
        if seen.iter().any(|value| written.iter().any(|part| occurrences(value, part) > 1)) {
            return Self::Twice;
        }
        let known =
            |value: &&[u8]| value.is_empty() || written.iter().any(|part| occurrences(value, part) > 0);
        if seen.iter().all(known) { Self::Stale } else { Self::Invented }
    }
}

fn occurrences(value: &[u8], part: &[u8]) -> usize {
    value.windows(part.len()).filter(|window| *window == part).count()
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invariant(name) => write!(f, "broken invariant {name}"),
            Self::NotLinearizable(Sort::Twice) => f.write_str("not linearizable: a write took effect twice"),
            Self::NotLinearizable(Sort::Invented) => {
                f.write_str("not linearizable: a value that nobody wrote")
            }
            Self::NotLinearizable(Sort::Stale) => f.write_str("not linearizable: a stale or lost value"),
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

    use bytes::Bytes;

    use super::*;
    use crate::data::outcome::{Operation, Violation};

    fn operation(input: Input, output: Output) -> Operation {
        let end = End::Returned { at: Duration::from_secs(2), output };
        Operation { end, ..Operation::called("c1".into(), Duration::from_secs(1), input) }
    }

    fn key() -> Bytes {
        Bytes::from_static(b"k")
    }

    fn sort(written: &[&'static str], read: Option<&'static str>) -> Option<Signature> {
        let mut operations: Vec<Operation> = written
            .iter()
            .map(|value| operation(Input::Append { key: key(), value: (*value).into() }, Output::Done))
            .collect();
        operations.push(operation(Input::Get { key: key() }, Output::Value(read.map(Bytes::from))));
        let contradiction = Contradiction {
            key: key(),
            operations: (0..operations.len()).collect(),
            support: Vec::new(),
            sentence: String::new(),
        };
        let verdict = Verdict::Violation(contradiction);
        Signature::of(&Outcome { operations, verdict, ..Outcome::default() })
    }

    #[test]
    fn contradictions_are_told_apart_by_what_a_client_saw() {
        assert_eq!(sort(&["a.", "b."], Some("a.")), Some(Signature::NotLinearizable(Sort::Stale)));
        assert_eq!(sort(&["a."], None), Some(Signature::NotLinearizable(Sort::Stale)));
        assert_eq!(sort(&["a.", "b."], Some("a.b.a.")), Some(Signature::NotLinearizable(Sort::Twice)));
        assert_eq!(sort(&["a."], Some("x.")), Some(Signature::NotLinearizable(Sort::Invented)));
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
