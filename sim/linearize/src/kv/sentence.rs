//! Contradictions in words.

use super::describe::{describe, show_value};
use super::fact::{Fact, fact};
use super::{KvHistory, KvOperation};
use crate::verdict::{Reason, Violation};

/// How operations and times are named.
pub struct Words<'a> {
    /// Names an operation by its index and by what it did.
    pub operation: &'a dyn Fn(usize, &str) -> String,
    /// Names a time.
    pub time: &'a dyn Fn(u64) -> String,
}

/// Why some operations contradict each other, as a sentence. `find` gives the operation of an index.
pub(super) fn sentence<'a>(reason: &Reason, find: impl Fn(usize) -> &'a KvOperation) -> String {
    let operation = |index: usize, did: &str| format!("operation {index} ({did})");
    let words = Words { operation: &operation, time: &|time| time.to_string() };
    told(reason, find, &words)
}

/// The sentence of a contradiction in other words, such as lines of a file instead of indexes.
pub fn tell(history: &KvHistory, violation: &Violation, words: &Words<'_>) -> String {
    told(&violation.reason, |index| &history.operations()[index], words)
}

fn told<'a>(reason: &Reason, find: impl Fn(usize) -> &'a KvOperation, words: &Words<'_>) -> String {
    let say = |index: usize| (words.operation)(index, &describe(find(index)));
    let returned = |operation: &KvOperation| returned(operation, words);
    let called = |operation: &KvOperation| (words.time)(operation.call);
    match reason {
        Reason::Impossible { operation } => format!("{} has an answer that no state allows", say(*operation)),
        Reason::NeverWritten { read } => format!("{} saw a value that nobody had written", say(*read)),
        Reason::Gone { read } => format!(
            "{} saw a value that was overwritten before the operation was called, or never written at all",
            say(*read)
        ),
        Reason::FromTheFuture { read, write } => format!(
            "{} returned at {} with what {} wrote, which was only called at {}",
            say(*read),
            returned(find(*read)),
            say(*write),
            called(find(*write))
        ),
        Reason::TwoValuesAtOnce { first, second } => two_values(*first, *second, find, words),
        Reason::WrongOrder { earlier, later } => format!(
            "the values seen prove that {} came before {}, but the latter returned at {} and the former was called at {}",
            say(*earlier),
            say(*later),
            returned(find(*later)),
            called(find(*earlier))
        ),
        Reason::Forked { one, other } => {
            format!("{} and {} continue the same value in two ways", say(*one), say(*other))
        }
        Reason::SeenTwice { reads, write } => {
            let reads: Vec<String> = reads.iter().map(|&read| say(read)).collect();
            format!("{} took effect once but shows up twice, in {}", say(*write), reads.join(" and in "))
        }
        Reason::Circle { operations } => {
            let circle: Vec<String> = operations.iter().map(|&operation| say(operation)).collect();
            format!("each of {} found what the one before it wrote, in a circle", circle.join(", "))
        }
        Reason::NoOrder { placed, stuck } => {
            format!(
                "no order explains every answer: after at most {placed} operations, {} is stuck",
                say(*stuck)
            )
        }
    }
}

fn two_values<'a>(
    first: (Option<usize>, usize),
    second: (usize, usize),
    find: impl Fn(usize) -> &'a KvOperation,
    words: &Words<'_>,
) -> String {
    let say = |index: usize| (words.operation)(index, &describe(find(index)));
    let returned = |operation: &KvOperation| returned(operation, words);
    let called = |operation: &KvOperation| (words.time)(operation.call);
    let until = format!("the call of {} at {}", say(first.1), called(find(first.1)));
    let held = match first.0 {
        Some(begin) => format!(
            "{} was in place from the return of {} at {} to {until}",
            value(find(begin)),
            say(begin),
            returned(find(begin))
        ),
        None => format!("nothing was in place from the start to {until}"),
    };
    if second.0 == second.1 {
        let inner = find(second.0);
        return format!(
            "{held}, but {} ran from {} to {}, within that time and with another value",
            say(second.0),
            called(inner),
            returned(inner)
        );
    }
    format!(
        "{held}, but within that time another value was in place: {} returned at {}, and {} was called at {}",
        say(second.0),
        returned(find(second.0)),
        say(second.1),
        called(find(second.1))
    )
}

fn value(operation: &KvOperation) -> String {
    match fact(operation) {
        Fact::Read(value) => show_value(value),
        Fact::Write(value) | Fact::Swap { new: value, .. } => show_value(Some(value)),
        _ => "what it left".to_owned(),
    }
}

fn returned(operation: &KvOperation, words: &Words<'_>) -> String {
    operation.returned_at().map_or_else(|| "an unknown time".to_owned(), |at| (words.time)(at))
}
