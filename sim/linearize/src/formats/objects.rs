//! Events of mutexes, queues, sets and counters.
//!
//! | object | `:f` | `:value` |
//! | --- | --- | --- |
//! | mutex | `:acquire`, `:release`, also `:lock`, `:unlock` | - |
//! | queue | `:enqueue`, `:dequeue` | the item; of a dequeue `nil`, then what was taken (`nil`: the queue was empty) |
//! | | `:drain` | `nil`, then a list of what was taken: as many dequeues one after the other, and one more that found the queue empty |
//! | set | `:add`, `:broadcast`, `:remove` | the element |
//! | | `:read` | `nil`, then a list or set of all elements |
//! | counter | `:add`, `:increment`, `:decrement` and shorter names | the amount; without one, 1 |
//! | | `:read` | `nil`, then the number |
//!
//! As with registers, `:fail` did not take place, `:info` may have, and a key stands beside the function or
//! with the value, `[key value]`.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::edn::{Edn, Reader};
use super::event::{Clocked, End, Event, Events, Kind, Lines};
use super::{ModelName, ParseError, guess};
use crate::objects::{Action, Input, Object, ObjectHistory, Output};

pub(super) fn read(events: &mut Events<'_>, name: ModelName) -> Result<(ObjectHistory, Lines), ParseError> {
    let keys_inside = keys_inside(&events.list);
    let drained = drained(&events.list)?;
    let mut clocked = Clocked::new();
    for (place, event) in events.list.iter().enumerate() {
        let (line, process) = (event.line, event.process);
        let (key, value) = keyed(event, keys_inside)?;
        if event.function == "drain" && name == ModelName::Queue {
            let Some(drain) = drained.get(&place) else { continue };
            // It ends when it finds nothing more.
            for number in 0..=drain.items.len() {
                let process = events.names.named(&format!("drain {}, item {number}", drain.line));
                if event.kind == Kind::Invoke {
                    let action = Action::Drain { drain: drain.line as u64, place: number as u32 };
                    clocked.call(line, process, Input { key: key.clone(), action })?;
                } else {
                    let item = Output::Item(drain.items.get(number).map(text));
                    clocked.end(line, process, End::Returned(item))?;
                }
            }
            continue;
        }
        let asked = action(name, event, value)?;
        if event.kind == Kind::Invoke {
            clocked.call(line, process, Input { key, action: asked })?;
            continue;
        }
        let open = &clocked.open(line, process)?.action;
        if std::mem::discriminant(open) != std::mem::discriminant(&asked) {
            let found = format!(":{}", event.function);
            return Err(ParseError::expected(line, "the end of what this process called", found));
        }
        if event.kind == Kind::Ok && contradicts(open, &asked, value) {
            return Err(ParseError::expected(line, "the value of the call, or none", value));
        }
        let end = match event.kind {
            Kind::Fail => End::Withdrawn,
            Kind::Info | Kind::Invoke => End::Unknown,
            Kind::Ok => answer(name, line, open, value)?,
        };
        clocked.end(line, process, end)?;
    }
    let names = &events.names;
    Ok(clocked.finish_as(|process| names.settle(process)))
}

/// The object with the state in which it begins.
pub(super) fn object(name: ModelName, initial: Option<&str>) -> Result<Object, ParseError> {
    let wrong = |expected: &str, found: &str| ParseError::expected(0, expected, format!("{found:?}"));
    let items = |text: &str| match Reader::new(text, 0).value() {
        Ok(Edn::List(items) | Edn::Set(items)) => Ok(items.iter().map(self::text).collect::<Vec<_>>()),
        _ => Err(wrong("items to begin with, such as [1 2]", text)),
    };
    Ok(match (name, initial) {
        (ModelName::Mutex, None | Some("free")) => Object::Mutex { held: false },
        (ModelName::Mutex, Some("held" | "locked")) => Object::Mutex { held: true },
        (ModelName::Mutex, Some(other)) => return Err(wrong("free or held", other)),
        (ModelName::Queue, None) => Object::Queue(VecDeque::new()),
        (ModelName::Queue, Some(text)) => Object::Queue(items(text)?.into()),
        (ModelName::Set, None) => Object::Set(Default::default()),
        (ModelName::Set, Some(text)) => Object::Set(items(text)?.into_iter().collect()),
        (_, None) => Object::Counter(0),
        (_, Some(text)) => Object::Counter(text.parse().map_err(|_| wrong("a whole number", text))?),
    })
}

/// Whether keys stand before the values: a dequeue, a read or an acquisition has nothing else to say when it
/// is called.
fn keys_inside(events: &[Event<'_>]) -> bool {
    let asks = ["dequeue", "drain", "read", "acquire", "release", "lock", "unlock"];
    events.iter().any(|event| {
        event.kind == Kind::Invoke
            && asks.contains(&&*event.function)
            && matches!(&event.value, Edn::List(items) if matches!(items[..], [_, Edn::Nil]))
    })
}

fn keyed<'a, 'b>(event: &'b Event<'a>, inside: bool) -> Result<(Bytes, &'b Edn<'a>), ParseError> {
    match (&event.key, &event.value) {
        (Some(key), value) => Ok((text(key), value)),
        (None, Edn::List(items)) if inside && items.len() == 2 => Ok((text(&items[0]), &items[1])),
        (None, value) if inside && event.kind == Kind::Invoke => {
            Err(ParseError::expected(event.line, "[key value]", value))
        }
        (None, value) => Ok((Bytes::new(), value)),
    }
}

/// A drain that ended well, at each of its two ends.
struct Drain<'a, 'b> {
    line: usize,
    items: &'b [Edn<'a>],
}

/// Why a history with such an operation is refused.
const UNKNOWN_DRAIN: &str =
    "a drain of unknown outcome took an unknown number of items, which cannot be judged";

fn drained<'a, 'b>(events: &'b [Event<'a>]) -> Result<BTreeMap<usize, Drain<'a, 'b>>, ParseError> {
    let mut open = BTreeMap::new();
    let mut drained = BTreeMap::new();
    for (place, event) in events.iter().enumerate().filter(|(_, event)| event.function == "drain") {
        match (event.kind, &event.value) {
            (Kind::Invoke, _) => drop(open.insert(event.process, place)),
            (Kind::Ok, Edn::List(items) | Edn::Set(items)) => {
                let Some(begin) = open.remove(&event.process) else { continue };
                let line = events[begin].line;
                drained.insert(begin, Drain { line, items });
                drained.insert(place, Drain { line, items });
            }
            (Kind::Ok, other) => return Err(ParseError::expected(event.line, "what was drained", other)),
            (Kind::Fail, _) => drop(open.remove(&event.process)),
            (Kind::Info, _) => return Err(ParseError::new(event.line, UNKNOWN_DRAIN)),
        }
    }
    match open.values().min() {
        Some(place) => Err(ParseError::new(events[*place].line, UNKNOWN_DRAIN)),
        None => Ok(drained),
    }
}

fn action(name: ModelName, event: &Event<'_>, value: &Edn<'_>) -> Result<Action, ParseError> {
    let amount = |sign: i64| match value {
        Edn::Nil => Ok(sign),
        Edn::Integer(amount) if amount.checked_mul(sign).is_some() => Ok(amount * sign),
        // What a failed or unknown one says is no amount.
        _ if event.kind != Kind::Invoke => Ok(sign),
        other => Err(ParseError::expected(event.line, "a whole number to add", other)),
    };
    Ok(match (name, &*event.function) {
        (ModelName::Mutex, "acquire" | "lock") => Action::Acquire,
        (ModelName::Mutex, "release" | "unlock") => Action::Release,
        (ModelName::Queue, "enqueue") => Action::Enqueue(text(value)),
        (ModelName::Queue, "dequeue") => Action::Dequeue,
        (ModelName::Set, "add" | "broadcast") => Action::Add(text(value)),
        (ModelName::Set, "remove") => Action::Remove(text(value)),
        (ModelName::Counter, "add" | "increment" | "incr" | "inc") => Action::Increase(amount(1)?),
        (ModelName::Counter, "decrement" | "decr" | "dec") => Action::Increase(amount(-1)?),
        (ModelName::Set | ModelName::Counter, "read") => Action::Read,
        (_, other) => {
            let expected = format!("an operation of a {name}");
            return Err(ParseError::expected(event.line, &expected, guess::found(other)));
        }
    })
}

fn answer(name: ModelName, line: usize, asked: &Action, value: &Edn<'_>) -> Result<End<Output>, ParseError> {
    Ok(End::Returned(match (asked, value) {
        (Action::Dequeue, Edn::Nil) => Output::Item(None),
        (Action::Dequeue, item) => Output::Item(Some(text(item))),
        (Action::Read, Edn::Nil) => return Ok(End::Withdrawn),
        (Action::Read, Edn::List(items) | Edn::Set(items)) if name == ModelName::Set => {
            Output::Items(items.iter().map(text).collect())
        }
        (Action::Read, Edn::Integer(number)) if name == ModelName::Counter => Output::Number(*number),
        (Action::Read, other) => {
            let expected = match name {
                ModelName::Set => {
                    "the elements of a set that were read (--model counter reads a whole number)"
                }
                _ => "the whole number of a counter that was read (--model set reads elements)",
            };
            return Err(ParseError::expected(line, expected, other));
        }
        _ => Output::Done,
    }))
}

/// Whether the end of an operation says that it did something else than its call. It need not say anything,
/// and may say more: a map, or a list that holds the value.
fn contradicts(open: &Action, told: &Action, value: &Edn<'_>) -> bool {
    match (open, value) {
        (_, Edn::Nil | Edn::Map(_)) => false,
        (
            Action::Enqueue(item) | Action::Add(item) | Action::Remove(item),
            Edn::List(items) | Edn::Set(items),
        ) => open != told && !items.iter().any(|told| text(told) == item),
        (Action::Increase(_), Edn::Integer(_)) => open != told,
        (Action::Enqueue(_) | Action::Add(_) | Action::Remove(_), _) => open != told,
        _ => false,
    }
}

fn text(value: &Edn<'_>) -> Bytes {
    value.text().into()
}
