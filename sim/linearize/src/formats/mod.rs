//! Recorded histories of several origins.
//!
//! | format | one line is | times |
//! | --- | --- | --- |
//! | [`Format::Lines`] | a whole operation as JSON; written by [`write()`] | as recorded |
//! | [`Format::Porcupine`] | an event of porcupine's key-value test data | order of the events |
//! | [`Format::JepsenLog`] | an event in a `jepsen.log` of any version, among whatever else was logged | order of the lines |
//! | [`Format::JepsenText`] | an event of a `history.txt` | order of the lines |
//! | [`Format::JepsenEdn`] | an event of a `history.edn` | order of the events |
//!
//! [`parse`] finds the format by its grammar, never by a word: by the first value where the text begins with a bracket,
//! otherwise by the first line that is an event. What looks like an operation and cannot be read is an error
//! with the line and what was expected there. Whatever is skipped is counted, with the reason: blank lines, log lines of
//! other origin, and what a nemesis did ([`Summary`]).

mod edn;
mod event;
mod jepsen_edn;
mod lines;
mod log;
mod register;

use std::fmt;

use crate::kv::KvHistory;
use event::Events;
use register::{Dialect, Keys};

pub use event::{Names, Summary};
pub use lines::write;

/// How a history is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The compact JSON lines of this crate.
    Lines,
    /// The key-value text of porcupine's tests.
    Porcupine,
    /// A log of Jepsen.
    JepsenLog,
    /// Jepsen's histories as text.
    JepsenText,
    /// Jepsen's histories as data.
    JepsenEdn,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Lines => "JSON lines",
            Format::Porcupine => "porcupine key-value text",
            Format::JepsenLog => "Jepsen log",
            Format::JepsenText => "Jepsen history.txt",
            Format::JepsenEdn => "Jepsen EDN history",
        })
    }
}

/// What a completed read of `nil` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nil {
    /// That the register was absent, as porcupine's models have it.
    #[default]
    Absent,
    /// Nothing, as in Knossos.
    Unknown,
}

/// How a text is to be understood where it leaves that open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// What a completed read of `nil` says in events. In JSON lines, `null` is always "absent".
    pub nil: Nil,
}

/// A history that was read, and where its operations came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The format found.
    pub format: Format,
    /// The operations.
    pub history: KvHistory,
    /// For each operation the line of its call, counted from 1.
    pub lines: Vec<usize>,
    /// The names of processes that have one.
    pub names: Names,
    /// What was read and what was skipped.
    pub summary: Summary,
}

/// Why a text is not a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What was expected there, and what was found.
    pub problem: String,
}

impl ParseError {
    fn new(line: usize, problem: impl Into<String>) -> Self {
        ParseError { line, problem: problem.into() }
    }

    fn expected(line: usize, expected: &str, found: impl fmt::Display) -> Self {
        ParseError { line, problem: format!("expected {expected}, found {found}") }
    }
}

/// How a text is laid out.
enum Layout {
    Json,
    Edn,
    Log(log::Style),
}

fn layout(text: &str) -> Option<Layout> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(';'))?;
    if first.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"') && is_json(rest)) {
        return Some(Layout::Json);
    }
    if first.starts_with(['{', '[', '(', '#']) && jepsen_edn::recognise(text) {
        return Some(Layout::Edn);
    }
    log::recognise(text).map(Layout::Log)
}

/// Whether a name and a colon come next, as in an object of JSON but not in a map of EDN.
fn is_json(rest: &str) -> bool {
    let mut names = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
    names.next();
    rest[names.byte_offset()..].trim_start().starts_with(':')
}

/// Reads a history in any of the formats.
pub fn parse(bytes: &[u8]) -> Result<Recorded, ParseError> {
    read(bytes, &Choices::default())
}

/// Reads a history in any of the formats, with a word on how to understand it.
pub fn read(bytes: &[u8], choices: &Choices) -> Result<Recorded, ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        ParseError::expected(line, "text in UTF-8", "other bytes (is the file compressed?)")
    })?;
    let layout = layout(text).ok_or_else(|| {
        let line = 1 + text.lines().take_while(|line| line.trim().is_empty()).count();
        let found = if text.trim().is_empty() { "nothing" } else { "something else" };
        ParseError::expected(
            line,
            "a history: JSON lines, porcupine's key-value text, or a log, history.txt or history.edn of Jepsen",
            found,
        )
    })?;
    let (events, format) = match layout {
        Layout::Json => return lines::read(text),
        Layout::Edn => (jepsen_edn::read(text)?, None),
        Layout::Log(log::Style::Bare) => (log::read(text)?, Some(Format::JepsenText)),
        Layout::Log(_) => (log::read(text)?, Some(Format::JepsenLog)),
    };
    let failed_swap_tells = matches!(layout, Layout::Log(log::Style::Old));
    interpret(events, format, failed_swap_tells, choices)
}

fn interpret(
    events: Events<'_>,
    format: Option<Format>,
    failed_swap_tells: bool,
    choices: &Choices,
) -> Result<Recorded, ParseError> {
    let keys = register::keys(&events.list);
    let is_porcupine = keys == Keys::Beside
        && format.is_none()
        && events.list.iter().all(|event| matches!(&*event.function, "get" | "put" | "append"));
    let dialect = Dialect { keys, empty_is_absent: is_porcupine, failed_swap_tells, nil: choices.nil };
    let (history, lines) = register::read(&events, dialect)?;
    let own = if is_porcupine { Format::Porcupine } else { Format::JepsenEdn };
    let Events { names, summary, .. } = events;
    Ok(Recorded { format: format.unwrap_or(own), history, lines, names, summary })
}
