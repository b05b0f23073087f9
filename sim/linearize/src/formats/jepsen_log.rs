//! The log of Jepsen's etcd test, which porcupine's tests use: one register that begins absent.
//!
//! ```text
//! INFO  jepsen.util - 3<TAB>:invoke<TAB>:cas<TAB>[1 2]
//! INFO  jepsen.util - 3<TAB>:fail<TAB>:cas<TAB>[1 2]
//! ```
//!
//! A failed compare-and-swap found another value than it expected, and does not say which. A read that timed out is left
//! out. `:info` is an unknown outcome. Lines without `jepsen.util -`, and those of the nemesis, are not events of a client.
//! Some logs have spaces instead of tabs.

use bytes::Bytes;

use super::edn::{Edn, Reader};
use super::jepsen_edn::scalar;
use super::{End, Events, ParseError};
use crate::kv::{Input, KvHistory, Output};

const MARK: &str = "jepsen.util - ";
const KEY: Bytes = Bytes::from_static(b"register");

pub(super) fn read(text: &str) -> Result<(KvHistory, Vec<usize>), ParseError> {
    let mut events = Events::default();
    for (index, content) in text.lines().enumerate() {
        if let Some((_, event)) = content.split_once(MARK) {
            take(&mut events, index + 1, event.trim())?;
        }
    }
    Ok(events.finish())
}

fn take(events: &mut Events, line: usize, event: &str) -> Result<(), ParseError> {
    let mut rest = event;
    let mut field = || {
        let (field, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        field
    };
    let process = field();
    if process.starts_with(':') {
        return Ok(());
    }
    let process: u64 = process
        .parse()
        .map_err(|_| ParseError::expected(line, "the number of a process", format!("{process:?}")))?;
    let (kind, function) = (field(), field());
    let value = Reader::new(rest, line).value().unwrap_or(Edn::Nil);
    match (kind, function) {
        (":invoke", ":read") => events.call(line, process, Input::Get { key: KEY }),
        (":invoke", ":write") => {
            let value = scalar(line, &value)?
                .ok_or_else(|| ParseError::expected(line, "the value to write", "nil"))?;
            events.call(line, process, Input::Put { key: KEY, value })
        }
        (":invoke", ":cas") => {
            let (expected, new) = pair(line, &value)?;
            events.call(line, process, Input::CompareAndSwap { key: KEY, expected, new })
        }
        (":ok" | ":fail" | ":info", _) => {
            let asked = events.open(line, process)?;
            let end = answer(asked, line, kind, function, &value)?;
            events.end(line, process, end)
        }
        _ => Err(ParseError::expected(
            line,
            ":invoke, :ok, :fail or :info, then :read, :write or :cas",
            format!("{kind:?} {function:?}"),
        )),
    }
}

fn answer(
    asked: &Input,
    line: usize,
    kind: &str,
    function: &str,
    value: &Edn<'_>,
) -> Result<End, ParseError> {
    let swapped = |swapped| End::Returned(Output::Swapped { swapped, previous: None });
    match (asked, function, kind) {
        (Input::Get { .. }, ":read", ":ok") => Ok(End::Returned(Output::Value(scalar(line, value)?))),
        (Input::Get { .. }, ":read", _) => Ok(End::Withdrawn),
        (Input::Put { .. }, ":write", ":ok") => Ok(End::Returned(Output::Done)),
        (Input::Put { .. }, ":write", ":fail") => Ok(End::Withdrawn),
        (Input::CompareAndSwap { .. }, ":cas", ":ok") => Ok(swapped(true)),
        (Input::CompareAndSwap { .. }, ":cas", ":fail") => Ok(swapped(false)),
        (Input::Put { .. }, ":write", ":info") | (Input::CompareAndSwap { .. }, ":cas", ":info") => {
            Ok(End::Unknown)
        }
        _ => Err(ParseError::expected(line, "the end of what this process called", format!("{function:?}"))),
    }
}

fn pair(line: usize, value: &Edn<'_>) -> Result<(Option<Bytes>, Bytes), ParseError> {
    if let Edn::List(items) = value
        && let [expected, new] = &items[..]
    {
        let new = scalar(line, new)?.ok_or_else(|| ParseError::expected(line, "the new value", "nil"))?;
        return Ok((scalar(line, expected)?, new));
    }
    Err(ParseError::expected(line, "[expected new]", value))
}
