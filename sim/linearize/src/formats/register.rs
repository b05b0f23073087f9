//! Events of registers, keys and lists, as operations of the key-value store.
//!
//! | `:f` | `:value` | here |
//! | --- | --- | --- |
//! | `:read`, `:get`, `:r` | `nil`, then what was read | `Get` |
//! | `:write`, `:put`, `:set`, `:w` | the value | `Put` |
//! | `:cas` and longer names of it | `[expected new]` | `CompareAndSwap` |
//! | `:append` | what to add | `Append` |
//! | `:delete`, `:remove` | - | `Delete` |
//! | `:txn` of one `[:r k nil]` or `[:read k nil]` | `[[:r k [1 2]]]` or `[[:r k 7]]` | `Get` |
//! | `:txn` of one `[:append k 3]` | the same | `Append` of `3,` |
//! | `:txn` of one `[:w k 7]` or `[:write k 7]` | the same | `Put` |
//!
//! A key stands beside the function (`:key`), or with the value: `[key value]`, for a swap `[key [expected
//! new]]` or `[key expected new]`; in one history all keys stand in one place. Where a read is called, the
//! key alone may stand. A list of items becomes the string of its items, each with a comma after it, so that
//! lists keep their appends apart. A transaction of several operations cannot be judged key by key and is
//! refused.
//!
//! How the ends of operations are understood is told in [`super`].

use bytes::Bytes;

use super::edn::Edn;
use super::event::{Clocked, End, Event, Events, Kind, Lines};
use super::{Nil, ParseError, guess};
use crate::kv::{Input, KvHistory, Output};

const SINGLE: Bytes = Bytes::from_static(b"register");

/// Where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Nowhere: one register.
    None,
    /// Before the value: `[key value]`.
    Inside,
    /// Beside the function.
    Beside,
}

/// How the events of one history are to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) keys: Keys,
    /// The empty string is "absent", as in the key-value text of porcupine, whose keys begin empty.
    pub(super) empty_is_absent: bool,
    /// A failed swap found another value than it expected.
    pub(super) failed_swap_tells: bool,
    pub(super) nil: Nil,
}

/// The function of an event, by its many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Read,
    Write,
    Swap,
    Append,
    Delete,
    Transaction,
}

pub(super) const EXPECTED: &str = ":f and :read, :write, :cas, :get, :put, :append, :delete or :txn";

fn function(name: &str) -> Option<Function> {
    match name {
        "read" | "get" | "r" => Some(Function::Read),
        "write" | "put" | "set" | "w" => Some(Function::Write),
        "cas" | "compare-and-set" | "compare-and-swap" | "compareAndSet" => Some(Function::Swap),
        "append" => Some(Function::Append),
        "delete" | "remove" => Some(Function::Delete),
        "txn" => Some(Function::Transaction),
        _ => None,
    }
}

/// Whether the function is one of a register's, keys' or lists'.
pub(super) fn knows(name: &str) -> bool {
    function(name).is_some()
}

/// Where the keys of a history stand.
pub(super) fn keys(events: &[Event<'_>]) -> Keys {
    if events.iter().any(|event| event.key.is_some()) {
        return Keys::Beside;
    }
    let calls = || events.iter().filter(|event| event.kind == Kind::Invoke && micro(&event.value).is_none());
    let pair = |value: &Edn<'_>| matches!(value, Edn::List(items) if items.len() == 2);
    let of = |wanted: Function| calls().filter(move |event| function(&event.function) == Some(wanted));
    // Reads tell it best: without a key there is nothing to say.
    match of(Function::Read).next().map(|read| &read.value) {
        Some(Edn::Nil) => return Keys::None,
        Some(value) if pair(value) => return Keys::Inside,
        _ => {}
    }
    let keyed_swap = |value: &Edn<'_>| match value {
        Edn::List(items) => items.len() == 3 || matches!(items.get(1), Some(Edn::List(_))),
        _ => false,
    };
    if let Some(swap) = of(Function::Swap).next() {
        return if keyed_swap(&swap.value) { Keys::Inside } else { Keys::None };
    }
    let writes =
        |event: &&Event<'_>| matches!(function(&event.function), Some(Function::Write | Function::Append));
    let mut written = calls().filter(writes).peekable();
    let has_transactions = events.iter().any(|event| micro(&event.value).is_some());
    let is_keyed =
        if written.peek().is_some() { written.all(|event| pair(&event.value)) } else { has_transactions };
    if is_keyed { Keys::Inside } else { Keys::None }
}

pub(super) fn read(events: &Events<'_>, dialect: Dialect) -> Result<(KvHistory, Lines), ParseError> {
    let mut clocked = Clocked::new();
    for event in &events.list {
        let (line, process) = (event.line, events.names.settle(event.process));
        let taken = Taken::of(event, dialect.keys)?;
        if event.kind == Kind::Invoke {
            clocked.call(line, process, input(line, &taken, dialect)?)?;
        } else {
            let end = end(clocked.open(line, process)?, event, &taken, dialect)?;
            clocked.end(line, process, end)?;
        }
    }
    Ok(clocked.finish())
}

/// The function, the key and the value of an event, from wherever they stand.
struct Taken<'a, 'b> {
    function: Function,
    /// `None` at the end of an operation that does not repeat its key.
    key: Option<Bytes>,
    value: &'b Edn<'a>,
    /// A swap's value if its key stands before it: `[key expected new]`.
    swap: Option<(&'b Edn<'a>, &'b Edn<'a>)>,
    /// In a transaction a list is one of appended items.
    in_transaction: bool,
    /// It reads a list as Elle's workloads do, with `:r`.
    is_of_list: bool,
}

impl<'a, 'b> Taken<'a, 'b> {
    fn of(event: &'b Event<'a>, keys: Keys) -> Result<Self, ParseError> {
        let line = event.line;
        let Some(function) = function(&event.function) else {
            return Err(ParseError::expected(line, EXPECTED, guess::found(&event.function)));
        };
        if function == Function::Transaction || micro(&event.value).is_some() {
            return Self::transaction(event);
        }
        let mut taken = Taken {
            function,
            key: None,
            value: &event.value,
            swap: None,
            in_transaction: false,
            is_of_list: false,
        };
        let is_end = event.kind != Kind::Invoke;
        match (keys, &event.value) {
            (Keys::None, _) => taken.key = Some(SINGLE),
            (Keys::Beside, _) => match &event.key {
                Some(key) => taken.key = Some(present(line, key)?),
                None if is_end => {}
                None => return Err(ParseError::expected(line, ":key beside :f, as elsewhere", "none")),
            },
            (Keys::Inside, Edn::List(items)) => match (&items[..], function) {
                ([key, old, new], Function::Swap) => {
                    taken.key = Some(present(line, key)?);
                    taken.swap = Some((old, new));
                }
                ([key, value], _) => (taken.key, taken.value) = (Some(present(line, key)?), value),
                ([key], Function::Read) if !is_end => taken.key = Some(present(line, key)?),
                _ if is_end && function != Function::Read => {}
                _ => return Err(ParseError::expected(line, "[key value]", &event.value)),
            },
            // Of a delete, and where a read is called, the key alone may stand.
            (Keys::Inside, plain)
                if function == Function::Delete || (function == Function::Read && !is_end) =>
            {
                taken.key = scalar(line, plain)?;
            }
            (Keys::Inside, _) if is_end && function != Function::Read => {}
            (Keys::Inside, _) if matches!(event.kind, Kind::Fail | Kind::Info) => {}
            (Keys::Inside, plain) => return Err(ParseError::expected(line, "[key value]", plain)),
        }
        if function == Function::Swap && taken.swap.is_none() {
            taken.swap = match taken.value {
                Edn::List(items) if items.len() == 2 => Some((&items[0], &items[1])),
                _ => None,
            };
        }
        Ok(taken)
    }

    fn transaction(event: &'b Event<'a>) -> Result<Self, ParseError> {
        let several = "a transaction of one operation, [[:r key nil]] or the like (one of several cannot be judged \
                       key by key; Elle judges those)";
        let line = event.line;
        let Some([name, key, value]) = micro(&event.value) else {
            if event.kind == Kind::Fail || event.kind == Kind::Info {
                let function = Function::Transaction;
                return Ok(Taken {
                    function,
                    key: None,
                    value: &event.value,
                    swap: None,
                    in_transaction: true,
                    is_of_list: false,
                });
            }
            return Err(ParseError::expected(line, several, &event.value));
        };
        let function = match name.name().unwrap_or_default() {
            "r" | "read" => Function::Read,
            "w" | "write" => Function::Write,
            "append" => Function::Append,
            other => return Err(ParseError::expected(line, ":r, :w or :append", format!(":{other}"))),
        };
        let (key, is_of_list) = (Some(present(line, key)?), name.name() == Some("r"));
        Ok(Taken { function, key, value, swap: None, in_transaction: true, is_of_list })
    }
}

impl Taken<'_, '_> {
    /// Whether the value is the `nil` of a register. In a list of appended items it stands for the empty one.
    fn says_nil(&self) -> bool {
        *self.value == Edn::Nil && !self.is_of_list
    }
}

/// The only operation of a transaction, `[[:r key value]]`.
fn micro<'a, 'b>(value: &'b Edn<'a>) -> Option<&'b [Edn<'a>; 3]> {
    let Edn::List(operations) = value else { return None };
    let [Edn::List(operation)] = &operations[..] else { return None };
    let operation: &[Edn<'a>; 3] = operation[..].try_into().ok()?;
    operation[0].name().is_some().then_some(operation)
}

fn input(line: usize, taken: &Taken<'_, '_>, dialect: Dialect) -> Result<Input, ParseError> {
    let key = taken.key.clone().ok_or_else(|| ParseError::expected(line, "a key", "none"))?;
    match taken.function {
        Function::Read => Ok(Input::Get { key }),
        Function::Write => {
            let value = content(line, taken.value)?;
            match value {
                Some(value) if value.is_empty() && dialect.empty_is_absent => Ok(Input::Delete { key }),
                Some(value) => Ok(Input::Put { key, value }),
                None => Err(ParseError::expected(line, "the value to write", "nil")),
            }
        }
        Function::Append if taken.in_transaction => {
            Ok(Input::Append { key, value: item(line, taken.value)? })
        }
        Function::Append => Ok(Input::Append { key, value: text(line, taken.value)? }),
        Function::Delete => Ok(Input::Delete { key }),
        Function::Swap => match taken.swap {
            Some((expected, new)) => {
                let new = content(line, new)?;
                let new = new.ok_or_else(|| ParseError::expected(line, "the new value", "nil"))?;
                Ok(Input::CompareAndSwap { key, expected: content(line, expected)?, new })
            }
            None => Err(ParseError::expected(line, "[expected new]", taken.value)),
        },
        Function::Transaction => {
            Err(ParseError::expected(line, "a transaction of one operation", taken.value))
        }
    }
}

fn end(
    asked: &Input,
    event: &Event<'_>,
    taken: &Taken<'_, '_>,
    dialect: Dialect,
) -> Result<End<Output>, ParseError> {
    let line = event.line;
    let fits = match asked {
        Input::Get { .. } => taken.function == Function::Read,
        Input::Put { .. } => taken.function == Function::Write,
        Input::Append { .. } => taken.function == Function::Append,
        Input::Delete { .. } => matches!(taken.function, Function::Delete | Function::Write),
        Input::CompareAndSwap { .. } => taken.function == Function::Swap,
    };
    if !fits && taken.function != Function::Transaction {
        let found = format!(":{}", event.function);
        return Err(ParseError::expected(line, "the end of what this process called", found));
    }
    if let Some(key) = &taken.key
        && key != asked.key()
        && event.kind == Kind::Ok
    {
        let show = |key: &Bytes| key.escape_ascii().to_string();
        let expected = format!("an answer about key {}", show(asked.key()));
        return Err(ParseError::expected(line, &expected, show(key)));
    }
    if event.kind == Kind::Ok && contradicts(asked, taken) {
        return Err(ParseError::expected(line, "the value of the call, or none", taken.value));
    }
    let is_empty = |value: &Bytes| value.is_empty() && dialect.empty_is_absent;
    Ok(match (event.kind, asked) {
        (Kind::Fail, Input::CompareAndSwap { .. }) if dialect.failed_swap_tells => {
            End::Returned(Output::Swapped { swapped: false, previous: None })
        }
        (Kind::Fail, _) | (Kind::Info, Input::Get { .. }) => End::Withdrawn,
        (Kind::Info | Kind::Invoke, _) => End::Unknown,
        (Kind::Ok, Input::Get { .. }) => match content(line, taken.value)? {
            None if dialect.nil == Nil::Unknown && taken.says_nil() => End::Withdrawn,
            Some(value) if is_empty(&value) => End::Returned(Output::Value(None)),
            value => End::Returned(Output::Value(value)),
        },
        (Kind::Ok, Input::Append { value, .. }) if is_empty(value) => End::Withdrawn,
        (Kind::Ok, Input::Put { .. } | Input::Append { .. }) => End::Returned(Output::Done),
        (Kind::Ok, Input::Delete { .. }) => End::Returned(Output::Deleted { existed: None }),
        (Kind::Ok, Input::CompareAndSwap { .. }) => {
            End::Returned(Output::Swapped { swapped: true, previous: None })
        }
    })
}

/// Whether the end of an update says that it wrote something else than its call. It need not say anything,
/// and may say more: a map, or a list that holds the value.
fn contradicts(asked: &Input, taken: &Taken<'_, '_>) -> bool {
    let told = taken.value;
    let same =
        |one: &Edn<'_>, wanted: Option<&Bytes>| content(0, one).is_ok_and(|one| one.as_ref() == wanted);
    match asked {
        Input::Get { .. } | Input::Delete { .. } => false,
        Input::CompareAndSwap { expected, new, .. } => taken
            .swap
            .is_some_and(|(old, written)| !same(old, expected.as_ref()) || !same(written, Some(new))),
        Input::Put { key, value } | Input::Append { key, value } => {
            let is_it = |told: &Edn<'_>| {
                let appended = if taken.in_transaction { item(0, told) } else { text(0, told) };
                let is_append =
                    matches!(asked, Input::Append { .. }) && appended.is_ok_and(|told| told == value);
                is_append || same(told, Some(value))
            };
            match told {
                Edn::Nil | Edn::Map(_) => false,
                Edn::List(items) | Edn::Set(items) => !is_it(told) && !items.iter().any(is_it),
                told => !is_it(told) && !same(told, Some(key)),
            }
        }
    }
}

/// What a key holds: a value, or a list as the string of its items. `nil` and the empty list are absent.
fn content(line: usize, value: &Edn<'_>) -> Result<Option<Bytes>, ParseError> {
    let Edn::List(items) = value else { return scalar(line, value) };
    let mut text = Vec::new();
    for value in items {
        text.extend_from_slice(&item(line, value)?);
    }
    Ok((!items.is_empty()).then(|| text.into()))
}

fn item(line: usize, value: &Edn<'_>) -> Result<Bytes, ParseError> {
    Ok([&present(line, value)?[..], b","].concat().into())
}

fn present(line: usize, value: &Edn<'_>) -> Result<Bytes, ParseError> {
    scalar(line, value)?.ok_or_else(|| ParseError::expected(line, "a key or a value", "nil"))
}

/// What to append, where lists are not appended to.
fn text(line: usize, value: &Edn<'_>) -> Result<Bytes, ParseError> {
    match value {
        Edn::String(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        other => item(line, other),
    }
}

/// A single value as bytes; `nil` is absent.
fn scalar(_line: usize, value: &Edn<'_>) -> Result<Option<Bytes>, ParseError> {
    match value {
        Edn::Nil => Ok(None),
        Edn::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        other => Ok(Some(other.text().into())),
    }
}
