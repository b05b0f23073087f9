//! Events in lines of text: Jepsen's `jepsen.log` of any version, and its `history.txt`.
//!
//! ```text
//! INFO  jepsen.util - 3<TAB>:invoke<TAB>:cas<TAB>[1 2]                                   until 0.0
//! INFO [2019-04-01 11:25:23,719] jepsen worker 8 - jepsen.util 8<TAB>:ok<TAB>:read<TAB>2       0.1
//! 2021-02-26 23:39:01,300{GMT}<TAB>INFO<TAB>[jepsen worker 1] jepsen.util: 1<TAB>:invoke ...   from 0.2 on
//! 3<TAB>:invoke<TAB>:cas<TAB>[1 2]                                                       history.txt
//! ```
//!
//! Behind the name of the logger, if there is one, stand the process, the end of the operation, the function,
//! the value and perhaps an error, with tabs or spaces between. A process that goes by a keyword is a
//! nemesis. Whatever else was logged is skipped and counted. A line that begins as an event does and cannot
//! be read as one is an error.

use std::borrow::Cow;

use super::ParseError;
use super::edn::{Edn, Reader};
use super::event::{Event, Events, Kind};

const LOGGER: &str = "jepsen.util";
const LEVELS: [&str; 5] = ["INFO", "WARN", "DEBUG", "ERROR", "TRACE"];

/// Where an event stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Behind `jepsen.util - `: the logs of Jepsen's first years.
    Old,
    /// Behind `jepsen.util` with or without a colon.
    New,
    /// At the beginning.
    Bare,
}

/// The style of the first line that is an event of a client or a nemesis.
pub(super) fn recognise(text: &str) -> Option<Style> {
    text.lines().find_map(|content| {
        let (style, event) = locate(content);
        let [process, kind, function, _] = fields(event);
        let known = kind.strip_prefix(':').is_some_and(|kind| Kind::named(kind).is_some());
        (is_process(process) && known && function.starts_with(':')).then_some(style)
    })
}

pub(super) fn read(text: &str) -> Result<Events<'_>, ParseError> {
    let mut events = Events::of(text);
    for (index, content) in text.lines().enumerate() {
        take(&mut events, index + 1, content)?;
    }
    Ok(events)
}

/// Splits the event of a line off, if it is behind a logger's name.
fn locate(content: &str) -> (Style, &str) {
    let Some((before, after)) = content.split_once(LOGGER) else { return (Style::Bare, content.trim()) };
    if !before.split_whitespace().any(|word| LEVELS.contains(&word)) || content.starts_with('{') {
        return (Style::Bare, content.trim());
    }
    let (style, after) = match after.strip_prefix(" - ") {
        Some(after) => (Style::Old, after),
        None => (Style::New, after.strip_prefix(':').unwrap_or(after)),
    };
    // Otherwise another logger, such as `jepsen.utility`.
    if after.starts_with(char::is_whitespace) || style == Style::Old {
        (style, after.trim())
    } else {
        (Style::Bare, content.trim())
    }
}

/// The process, the end, the function, and the rest.
fn fields(event: &str) -> [&str; 4] {
    let mut rest = event;
    let mut field = || {
        let (field, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        rest = after.trim_start();
        field
    };
    let (process, kind, function) = (field(), field(), field());
    [process, kind, function, rest]
}

fn is_number(field: &str) -> bool {
    let digits = field.strip_prefix('-').unwrap_or(field);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_process(field: &str) -> bool {
    is_number(field) || (field.len() > 1 && field.starts_with(':'))
}

fn take<'a>(events: &mut Events<'a>, line: usize, content: &'a str) -> Result<(), ParseError> {
    let (style, event) = locate(content);
    let [process, kind, function, rest] = fields(event);
    let behind_logger = style != Style::Bare;
    if process.is_empty() {
        events.summary.skip(line, "blank");
        return Ok(());
    }
    let begins_as_event = is_process(process) && kind.starts_with(':') || is_number(event) && behind_logger;
    if !begins_as_event {
        events.summary.skip(line, "logged by others");
        return Ok(());
    }
    if !is_number(process) {
        events.skip_nemesis(line);
        return Ok(());
    }
    let number =
        process.parse().map_err(|_| ParseError::expected(line, "the number of a process", process))?;
    let known = kind.strip_prefix(':').and_then(Kind::named);
    let (Some(kind), Some(function)) = (known, function.strip_prefix(':').filter(|name| !name.is_empty()))
    else {
        return Err(ParseError::expected(
            line,
            ":invoke, :ok, :fail or :info, then a function such as :read",
            format!("\"{kind} {function}\""),
        ));
    };
    let value = match Reader::new(rest, line).value() {
        _ if rest.is_empty() => Edn::Nil,
        Ok(value) => value,
        // What stands there may be an error's message.
        Err(_) if matches!(kind, Kind::Fail | Kind::Info) => Edn::Nil,
        Err(error) => return Err(error),
    };
    let process = events.names.numbered(line, number)?;
    events.push(Event { line, process, kind, function: Cow::Borrowed(function), key: None, value });
    Ok(())
}
