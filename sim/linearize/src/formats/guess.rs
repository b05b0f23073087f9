//! Which object a history is about, judged by its operations.

use super::edn::Edn;
use super::event::{Event, Kind};
use super::register::{self, Keys};
use super::{ModelName, ParseError};

/// What the name of a function tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Store,
    Mutex,
    Queue,
    Set,
    Counter,
    /// A set or a counter: reads tell.
    Addition,
    /// Several have it.
    Shared,
}

fn hint(function: &str) -> Option<Hint> {
    Some(match function {
        "read" | "remove" => Hint::Shared,
        "acquire" | "release" | "lock" | "unlock" => Hint::Mutex,
        "enqueue" | "dequeue" | "drain" => Hint::Queue,
        "broadcast" => Hint::Set,
        "increment" | "incr" | "inc" | "decrement" | "decr" | "dec" => Hint::Counter,
        "add" => Hint::Addition,
        other if register::knows(other) => Hint::Store,
        _ => return None,
    })
}

/// An operation that the object at hand does not have, and which has it.
pub(super) fn found(function: &str) -> String {
    let object = match hint(function) {
        Some(Hint::Store) => "register",
        Some(Hint::Mutex) => "mutex",
        Some(Hint::Queue) => "queue",
        Some(Hint::Set) => "set",
        Some(Hint::Counter) => "counter",
        Some(Hint::Addition) => "set or --model counter",
        Some(Hint::Shared) | None => return format!(":{function}"),
    };
    format!(":{function}, which is for --model {object}")
}

/// The model of a history's object; an error at the first operation that does not fit those before it.
pub(super) fn model(events: &[Event<'_>]) -> Result<ModelName, ParseError> {
    let mut found: Option<(Hint, &Event<'_>)> = None;
    for event in events {
        let Some(hint) = hint(&event.function) else {
            let expected =
                format!("{}, or an operation of a mutex, queue, set or counter", register::EXPECTED);
            return Err(ParseError::expected(event.line, &expected, format!(":{}", event.function)));
        };
        found = match (found, hint) {
            (_, Hint::Shared) => found,
            (None, _) => Some((hint, event)),
            (Some((before, _)), _) if before == hint => found,
            (Some((Hint::Set | Hint::Counter, _)), Hint::Addition) => found,
            (Some((Hint::Addition, _)), Hint::Set | Hint::Counter) => Some((hint, event)),
            (Some((_, before)), _) => {
                let expected =
                    format!("operations of one object, as :{} of line {}", before.function, before.line);
                return Err(ParseError::expected(event.line, &expected, format!(":{}", event.function)));
            }
        };
    }
    Ok(match found.map_or(Hint::Store, |(hint, _)| hint) {
        Hint::Mutex => ModelName::Mutex,
        Hint::Queue => ModelName::Queue,
        Hint::Set => ModelName::Set,
        Hint::Counter => ModelName::Counter,
        Hint::Addition if reads_numbers(events) => ModelName::Counter,
        Hint::Addition => ModelName::Set,
        Hint::Store | Hint::Shared => store(register::keys(events)),
    })
}

/// A register if there are no keys.
pub(super) fn store(keys: Keys) -> ModelName {
    if keys == Keys::None { ModelName::Register } else { ModelName::Kv }
}

fn reads_numbers(events: &[Event<'_>]) -> bool {
    let mut reads = events.iter().filter(|event| event.kind == Kind::Ok && event.function == "read");
    reads.any(|read| match &read.value {
        Edn::Integer(_) => true,
        // Of an independent key.
        Edn::List(items) => matches!(items[..], [_, Edn::Integer(_)]) && read_calls_have_keys(events),
        _ => false,
    })
}

fn read_calls_have_keys(events: &[Event<'_>]) -> bool {
    let mut calls = events.iter().filter(|event| event.kind == Kind::Invoke && event.function == "read");
    calls.any(|call| matches!(&call.value, Edn::List(items) if matches!(items[..], [_, Edn::Nil])))
}
