//! Jepsen's histories in EDN: one map for each event, in a list or one after another.
//!
//! | `:f` | `:value` | here |
//! | --- | --- | --- |
//! | `:read` | `nil`, then what was read | `Get` |
//! | `:write` | the value | `Put` |
//! | `:cas` | `[expected new]` | `CompareAndSwap` |
//! | `:txn` of one `[:r k nil]` | `[[:r k [1 2]]]` or `[[:r k 7]]` | `Get` |
//! | `:txn` of one `[:append k 3]` | the same | `Append` of `3,` |
//! | `:txn` of one `[:w k 7]` | the same | `Put` |
//!
//! Values of independent keys, `[key value]`, are told from plain ones by their shape. A list of numbers becomes the
//! string of its items, each with a comma after it, so that lists keep their appends apart. Transactions of several
//! operations cannot be judged key by key and are refused.
//!
//! `:fail` means, as everywhere in Jepsen, that the operation did not take place: it is left out. That includes failed
//! swaps, which say nothing about why they failed. Events of the nemesis are left out too.

use bytes::Bytes;

use super::edn::{Edn, Reader, client};
use super::{End, Events, ParseError};
use crate::kv::{Input, KvHistory, Output};

const SINGLE: Bytes = Bytes::from_static(b"register");

pub(super) fn read(text: &str) -> Result<(KvHistory, Vec<usize>), ParseError> {
    let mut events = Events::default();
    let mut reader = Reader::new(text, 1);
    // Where the list of all events began, if they are in one.
    let mut list = None;
    while !reader.at_end() {
        if list.is_none() && reader.accept(b"[(") {
            list = Some(reader.line());
            continue;
        }
        if list.is_some() && reader.accept(b"])") {
            list = None;
            continue;
        }
        let line = reader.line();
        let event = reader.value()?;
        take(&mut events, line, &event)?;
    }
    match list {
        None => Ok(events.finish()),
        Some(open) => Err(ParseError::expected(
            reader.line(),
            &format!("another event, or ] to close the list that begins in line {open}"),
            "the end of the text",
        )),
    }
}

fn take(events: &mut Events, line: usize, event: &Edn<'_>) -> Result<(), ParseError> {
    let Some(process) = client(line, event)? else { return Ok(()) };
    let Edn::Keyword(kind) = event.get("type") else {
        return Err(ParseError::expected(line, ":type and :invoke, :ok, :fail or :info", event.get("type")));
    };
    let Edn::Keyword(function) = event.get("f") else {
        return Err(ParseError::expected(line, ":f and a keyword", event.get("f")));
    };
    let value = event.get("value");
    match *kind {
        "invoke" => {
            let input = input(line, function, value)?;
            events.call(line, process, input)
        }
        "ok" => {
            let end = End::Returned(answer(events.open(line, process)?, line, function, value)?);
            events.end(line, process, end)
        }
        "fail" => events.end(line, process, End::Withdrawn),
        "info" => events.end(line, process, End::Unknown),
        other => {
            Err(ParseError::expected(line, ":type and :invoke, :ok, :fail or :info", format!(":{other}")))
        }
    }
}

fn input(line: usize, function: &str, value: &Edn<'_>) -> Result<Input, ParseError> {
    match function {
        "read" => Ok(Input::Get { key: keyed(line, value)?.0 }),
        "write" => {
            let (key, value) = keyed(line, value)?;
            Ok(Input::Put { key, value: present(line, value)? })
        }
        "cas" => {
            let (key, pair) = match value {
                Edn::List(items) if matches!(items.get(1), Some(Edn::List(_))) => keyed(line, value)?,
                _ => (SINGLE, value),
            };
            match pair {
                Edn::List(items) if items.len() == 2 => Ok(Input::CompareAndSwap {
                    key,
                    expected: scalar(line, &items[0])?,
                    new: present(line, &items[1])?,
                }),
                other => Err(ParseError::expected(line, "[expected new]", other)),
            }
        }
        "txn" => {
            let (function, key, value) = single(line, value)?;
            match function {
                "r" => Ok(Input::Get { key }),
                "w" => Ok(Input::Put { key, value: present(line, value)? }),
                "append" => Ok(Input::Append { key, value: item(line, value)? }),
                other => Err(ParseError::expected(line, ":r, :w or :append", format!(":{other}"))),
            }
        }
        other => Err(ParseError::expected(line, ":f and :read, :write, :cas or :txn", format!(":{other}"))),
    }
}

fn answer(asked: &Input, line: usize, function: &str, value: &Edn<'_>) -> Result<Output, ParseError> {
    match (asked, function) {
        (Input::Get { key }, "read") => {
            let (own, value) = match value {
                Edn::List(items) if items.len() == 2 => keyed(line, value)?,
                _ => (SINGLE, value),
            };
            same_key(line, key, &own)?;
            Ok(Output::Value(content(line, value)?))
        }
        (Input::Get { key }, "txn") => {
            let (_, own, value) = single(line, value)?;
            same_key(line, key, &own)?;
            Ok(Output::Value(content(line, value)?))
        }
        (Input::Put { .. }, "write" | "txn") | (Input::Append { .. }, "txn") => Ok(Output::Done),
        (Input::CompareAndSwap { .. }, "cas") => Ok(Output::Swapped { swapped: true, previous: None }),
        _ => Err(ParseError::expected(line, "the end of what this process called", format!(":{function}"))),
    }
}

fn same_key(line: usize, asked: &Bytes, answered: &Bytes) -> Result<(), ParseError> {
    if asked == answered {
        return Ok(());
    }
    let show = |key: &Bytes| key.escape_ascii().to_string();
    Err(ParseError::expected(line, &format!("an answer about key {}", show(asked)), show(answered)))
}

/// Splits the value of an independent key.
fn keyed<'a, 'b>(line: usize, value: &'b Edn<'a>) -> Result<(Bytes, &'b Edn<'a>), ParseError> {
    match value {
        Edn::List(items) => match &items[..] {
            [key, value] => Ok((present(line, key)?, value)),
            _ => Err(ParseError::expected(line, "[key value]", value)),
        },
        plain => Ok((SINGLE, plain)),
    }
}

/// The only operation of a transaction.
fn single<'a, 'b>(line: usize, value: &'b Edn<'a>) -> Result<(&'a str, Bytes, &'b Edn<'a>), ParseError> {
    if let Edn::List(operations) = value
        && let [Edn::List(operation)] = &operations[..]
        && let [Edn::Keyword(function), key, value] = &operation[..]
    {
        return Ok((function, present(line, key)?, value));
    }
    Err(ParseError::expected(line, "a transaction of one operation, [[:r key nil]] or the like", value))
}

/// What was read: a value, or a list as the string of its items.
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

/// A single value as bytes; `nil` is absent.
pub(super) fn scalar(line: usize, value: &Edn<'_>) -> Result<Option<Bytes>, ParseError> {
    match value {
        Edn::Nil => Ok(None),
        Edn::Integer(number) => Ok(Some(number.to_string().into())),
        Edn::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Edn::Keyword(name) | Edn::Symbol(name) => Ok(Some(Bytes::copy_from_slice(name.as_bytes()))),
        other => Err(ParseError::expected(line, "a number, a string or nil", other)),
    }
}
