//! The key-value text of porcupine's tests.
//!
//! ```text
//! {:process 0, :type :invoke, :f :put, :key "x", :value "1"}
//! {:process 0, :type :ok, :f :put, :key "x", :value "1"}
//! ```
//!
//! `:f` is `:get`, `:put` or `:append`, `:type` is `:invoke`, `:ok` or `:info` (the client gave up). Every key begins as
//! the empty string. In terms of this crate's store, where a key begins absent, the empty string *is* "absent": to put
//! it is to delete, and to append it does nothing.

use bytes::Bytes;

use super::edn::{Edn, Reader, client};
use super::{End, Events, ParseError};
use crate::kv::{Input, KvHistory, Output};

pub(super) fn read(text: &str) -> Result<(KvHistory, Vec<usize>), ParseError> {
    let mut events = Events::default();
    for (index, content) in text.lines().enumerate() {
        let line = index + 1;
        let mut reader = Reader::new(content, line);
        if reader.at_end() {
            continue;
        }
        let event = reader.value()?;
        if !reader.at_end() {
            return Err(ParseError::expected(line, "one event a line", "more after the first"));
        }
        take(&mut events, line, &event)?;
    }
    Ok(events.finish())
}

fn take(events: &mut Events, line: usize, event: &Edn<'_>) -> Result<(), ParseError> {
    let Some(process) = client(line, event)? else { return Ok(()) };
    let Edn::String(key) = event.get("key") else {
        return Err(ParseError::expected(line, ":key and a string", event.get("key")));
    };
    let key = Bytes::copy_from_slice(key.as_bytes());
    let Edn::Keyword(function) = event.get("f") else {
        return Err(ParseError::expected(line, ":f and :get, :put or :append", event.get("f")));
    };
    match event.get("type") {
        Edn::Keyword("invoke") => {
            let input = input(line, function, key, event.get("value"))?;
            events.call(line, process, input)
        }
        Edn::Keyword("ok") => {
            let end = answer(events.open(line, process)?, line, function, &key, event.get("value"))?;
            events.end(line, process, end)
        }
        Edn::Keyword("info") => {
            events.open(line, process)?;
            events.end(line, process, End::Unknown)
        }
        other => Err(ParseError::expected(line, ":type and :invoke, :ok or :info", other)),
    }
}

fn input(line: usize, function: &str, key: Bytes, value: &Edn<'_>) -> Result<Input, ParseError> {
    let text = |value: &Edn<'_>| match value {
        Edn::String(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        other => Err(ParseError::expected(line, ":value and a string", other)),
    };
    match function {
        "get" => Ok(Input::Get { key }),
        "put" => {
            let value = text(value)?;
            Ok(if value.is_empty() { Input::Delete { key } } else { Input::Put { key, value } })
        }
        "append" => Ok(Input::Append { key, value: text(value)? }),
        other => Err(ParseError::expected(line, ":f and :get, :put or :append", format!(":{other}"))),
    }
}

fn answer(
    asked: &Input,
    line: usize,
    function: &str,
    key: &Bytes,
    value: &Edn<'_>,
) -> Result<End, ParseError> {
    if asked.key() != key {
        let found = format!("{:?}", key.escape_ascii().to_string());
        return Err(ParseError::expected(line, "the key that this process asked about", found));
    }
    match (asked, function) {
        (Input::Get { .. }, "get") => match value {
            Edn::String(text) if text.is_empty() => Ok(End::Returned(Output::Value(None))),
            Edn::String(text) => {
                Ok(End::Returned(Output::Value(Some(Bytes::copy_from_slice(text.as_bytes())))))
            }
            other => Err(ParseError::expected(line, ":value and the string that was read", other)),
        },
        (Input::Put { .. }, "put") => Ok(End::Returned(Output::Done)),
        (Input::Delete { .. }, "put") => Ok(End::Returned(Output::Deleted { existed: None })),
        (Input::Append { value, .. }, "append") if value.is_empty() => Ok(End::Withdrawn),
        (Input::Append { .. }, "append") => Ok(End::Returned(Output::Done)),
        _ => Err(ParseError::expected(line, "the end of what this process called", format!(":{function}"))),
    }
}
