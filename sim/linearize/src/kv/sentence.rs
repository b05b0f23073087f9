//! Contradictions in words.

use super::describe::{describe, show_value};
use super::fact::{Fact, fact};
use super::{Input, KvHistory, KvOperation};
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
    let mut sentence = told(&violation.reason, |index| &history.operations()[index], words);
    if let Reason::NeverWritten { read } = violation.reason {
        let mut others = violation.operations.iter().filter(|&&other| other != read);
        let is_proof =
            |&&other: &&usize| saw_what_it_wrote(&history.operations()[other], &history.operations()[read]);
        let seen_by = others.find(is_proof).copied();
        sentence = never_written(read, seen_by, |index| &history.operations()[index], words);
        let read = &history.operations()[read];
        let mut writes = (0..).zip(history.operations()).filter(|(_, other)| wrote(other, read));
        if let Some((index, later)) = writes.find(|(_, write)| read.precedes(write)) {
            let write = (words.operation)(index, &describe(later));
            sentence.push_str(&format!(": {write} was only called at {}", (words.time)(later.call)));
        } else if let Some(failed) = history.withdrawn().iter().rfind(|failed| wrote(failed, read)) {
            let did = describe(failed).replace(" of unknown outcome", "");
            let called = (words.time)(failed.call);
            sentence.push_str(&format!(": {did}, called at {called}, failed, but its value was seen"));
        }
    }
    sentence
}

fn never_written<'a>(
    read: usize,
    seen_by: Option<usize>,
    find: impl Fn(usize) -> &'a KvOperation,
    words: &Words<'_>,
) -> String {
    let say = |index: usize| (words.operation)(index, &describe(find(index)));
    match (find(read).output(), fact(find(read))) {
        (None, Fact::Swap { expected, .. }) => {
            let seen_by = seen_by.map_or_else(|| "another operation".to_owned(), say);
            let needed = show_value(expected);
            format!(
                "{seen_by} saw what {} wrote, and that needed {needed}, which nobody had written",
                say(read)
            )
        }
        _ => format!("{} saw a value that nobody had written", say(read)),
    }
}

/// Whether an operation saw the value that a swap writes.
pub(super) fn saw_what_it_wrote(seer: &KvOperation, swap: &KvOperation) -> bool {
    match (fact(seer), fact(swap)) {
        (Fact::Read(Some(seen)) | Fact::Swap { expected: Some(seen), .. }, Fact::Swap { new, .. }) => {
            seen == new
        }
        _ => false,
    }
}

/// Whether an operation writes the value that another one of its key saw, or its last piece.
fn wrote(write: &KvOperation, read: &KvOperation) -> bool {
    let (Fact::Read(Some(value)) | Fact::Swap { expected: Some(value), .. }) = fact(read) else {
        return false;
    };
    let is_it = match &write.input {
        Input::Put { value: written, .. } | Input::CompareAndSwap { new: written, .. } => value == written,
        Input::Append { value: piece, .. } => !piece.is_empty() && value.ends_with(piece),
        Input::Get { .. } | Input::Delete { .. } => false,
    };
    is_it && write.input.key() == read.input.key()
}

fn told<'a>(reason: &Reason, find: impl Fn(usize) -> &'a KvOperation, words: &Words<'_>) -> String {
    let say = |index: usize| (words.operation)(index, &describe(find(index)));
    let returned = |operation: &KvOperation| returned(operation, words);
    let called = |operation: &KvOperation| (words.time)(operation.call);
    match reason {
        Reason::Impossible { operation } => format!("{} has an answer that no state allows", say(*operation)),
        Reason::NeverWritten { read } => never_written(*read, None, find, words),
        Reason::Gone { read } => format!(
            "{} saw a value that was overwritten before the operation was called, or never written at all",
            say(*read)
        ),
        Reason::Stale { read, write, by } => Stale { read: *read, by: *by, before: *write }.told(find, words),
        Reason::FromTheFuture { read, write } => format!(
            "{} returned at {} with what {} wrote, which was only called at {}",
            say(*read),
            returned(find(*read)),
            say(*write),
            called(find(*write))
        ),
        Reason::TwoValuesAtOnce { first, second } => two_values(*first, *second, find, words),
        Reason::WrongOrder { earlier, later } if matches!(fact(find(*earlier)), Fact::Read(_)) => format!(
            "{} is stale: the values seen prove that {} came after it, but that returned at {}, before the former was \
             called at {}",
            say(*earlier),
            say(*later),
            returned(find(*later)),
            called(find(*earlier))
        ),
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

/// What was read, what came in between, and what had returned before that.
struct Stale {
    read: usize,
    by: usize,
    before: Option<usize>,
}

impl Stale {
    /// The same, if that is what two values at one instant come to.
    fn of<'a>(
        first: (Option<usize>, usize),
        second: (usize, usize),
        find: &impl Fn(usize) -> &'a KvOperation,
    ) -> Option<Stale> {
        let is_read = matches!(fact(find(first.1)), Fact::Read(_));
        // If one saw a value and another one absence, either may be wrong.
        let is_newer = second.0 == second.1 && fact(find(second.0)) != Fact::Read(None);
        (is_read && is_newer).then_some(Stale { read: first.1, by: second.0, before: first.0 })
    }

    /// The same of an append.
    fn misses<'a>(&self, find: impl Fn(usize) -> &'a KvOperation, words: &Words<'_>) -> String {
        let say = |index: usize| (words.operation)(index, &describe(find(index)));
        let called = |index: usize| (words.time)(find(index).call);
        let returned = |index: usize| returned(find(index), words);
        let Stale { read, by, before } = *self;
        let after = before.map(|before| {
            format!(
                " was called at {}, after {} had returned at {}, and",
                called(by),
                say(before),
                returned(before)
            )
        });
        format!(
            "{} misses what {} added, which{} had returned at {}, before the former was called at {}",
            say(read),
            say(by),
            after.unwrap_or_default(),
            returned(by),
            called(read)
        )
    }

    fn told<'a>(&self, find: impl Fn(usize) -> &'a KvOperation, words: &Words<'_>) -> String {
        let say = |index: usize| (words.operation)(index, &describe(find(index)));
        let called = |index: usize| (words.time)(find(index).call);
        let returned = |index: usize| returned(find(index), words);
        let Stale { read, by, before } = *self;
        let value = value(find(read));
        let had = match fact(find(by)) {
            Fact::Append(_) => return self.misses(find, words),
            Fact::Read(_) => "had seen another value".to_owned(),
            Fact::Erase { .. } => format!("had removed {value}"),
            _ => format!("had replaced {value}"),
        };
        let after = match before {
            Some(before) => format!(", after {} had returned at {}", say(before), returned(before)),
            None => String::new(),
        };
        format!(
            "{} is stale: it was called at {}, but {} {had} between {} and {}{after}",
            say(read),
            called(read),
            say(by),
            called(by),
            returned(by)
        )
    }
}

fn two_values<'a>(
    first: (Option<usize>, usize),
    second: (usize, usize),
    find: impl Fn(usize) -> &'a KvOperation,
    words: &Words<'_>,
) -> String {
    if let Some(stale) = Stale::of(first, second, &find) {
        return stale.told(find, words);
    }
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
