//! Recorded key-value histories of several origins.
//!
//! | format | one line is | times |
//! | --- | --- | --- |
//! | [`Format::Lines`] | a whole operation as JSON; written by [`write()`] | as recorded |
//! | [`Format::Porcupine`] | an event of porcupine's key-value test data | order of the lines |
//! | [`Format::JepsenLog`] | an event in the log of Jepsen's etcd test: one register | order of the lines |
//! | [`Format::JepsenEdn`] | an event of a Jepsen history in EDN: registers or lists | order of the events |
//!
//! [`parse`] finds the format by looking at the content. Whatever it cannot make sense of is an error with the line and
//! what was expected there; nothing is skipped silently but blank lines, comments of EDN, log lines of other origin, and
//! what a nemesis did.

mod edn;
mod jepsen_edn;
mod jepsen_log;
mod lines;
mod porcupine;

use std::fmt;

use crate::history::{HistoryError, Recorder};
use crate::kv::{Input, KvHistory, Output};

pub use lines::write;

/// How a history is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The compact JSON lines of this crate.
    Lines,
    /// The key-value text of porcupine's tests.
    Porcupine,
    /// The log of Jepsen's etcd test.
    JepsenLog,
    /// Jepsen's own histories.
    JepsenEdn,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Lines => "JSON lines",
            Format::Porcupine => "porcupine key-value text",
            Format::JepsenLog => "Jepsen etcd log",
            Format::JepsenEdn => "Jepsen EDN history",
        })
    }
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

/// The format of a text, judged by its first line with content.
pub fn detect(text: &str) -> Option<Format> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(';'))?;
    if first.contains("jepsen.util") {
        return Some(Format::JepsenLog);
    }
    let opened = first.trim_start_matches(['[', '(', ' ']);
    if first.starts_with('{') && opened[1..].trim_start().starts_with('"') {
        return Some(Format::Lines);
    }
    if opened.starts_with("#jepsen") || opened.starts_with('{') || opened.is_empty() {
        let keyed = first.starts_with('{') && first.contains(":key ");
        return Some(if keyed { Format::Porcupine } else { Format::JepsenEdn });
    }
    // A log begins with whatever was logged first.
    text.lines().take(1000).any(|line| line.contains("jepsen.util")).then_some(Format::JepsenLog)
}

/// Reads a history in any of the formats.
pub fn parse(bytes: &[u8]) -> Result<Recorded, ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        ParseError::expected(line, "text in UTF-8", "other bytes (is the file compressed?)")
    })?;
    let format = detect(text).ok_or_else(|| {
        let line = 1 + text.lines().take_while(|line| line.trim().is_empty()).count();
        let found = if text.trim().is_empty() { "nothing" } else { "something else" };
        ParseError::expected(
            line,
            "a history: JSON lines, porcupine's key-value text, a Jepsen etcd log or a Jepsen EDN history",
            found,
        )
    })?;
    let (history, lines) = match format {
        Format::Lines => lines::read(text)?,
        Format::Porcupine => porcupine::read(text)?,
        Format::JepsenLog => jepsen_log::read(text)?,
        Format::JepsenEdn => jepsen_edn::read(text)?,
    };
    Ok(Recorded { format, history, lines })
}

/// How an event ends an operation.
enum End {
    Returned(Output),
    Unknown,
    /// Known not to have taken effect, or without any meaning for a checker.
    Withdrawn,
}

/// Collects events in the order of their lines, which serves as the clock.
#[derive(Default)]
struct Events {
    recorder: Recorder<Input, Output>,
    lines: Vec<usize>,
    clock: u64,
}

impl Events {
    fn call(&mut self, line: usize, process: u64, input: Input) -> Result<(), ParseError> {
        self.clock += 1;
        self.recorder.call(process, self.clock, input).map_err(|error| self.explain(line, error))?;
        self.lines.push(line);
        Ok(())
    }

    fn end(&mut self, line: usize, process: u64, end: End) -> Result<(), ParseError> {
        self.clock += 1;
        let ended = match end {
            End::Returned(output) => self.recorder.returned(process, self.clock, output),
            End::Unknown => self.recorder.unknown(process, self.clock),
            End::Withdrawn => self.recorder.withdrawn(process, self.clock),
        };
        ended.map(|_| ()).map_err(|error| self.explain(line, error))
    }

    /// What the process has open; an error if nothing.
    fn open(&self, line: usize, process: u64) -> Result<&Input, ParseError> {
        self.recorder.open_input(process).ok_or_else(|| {
            ParseError::new(line, format!("process {process} ends an operation it never called"))
        })
    }

    fn finish(self) -> (KvHistory, Vec<usize>) {
        self.recorder.finish_with(self.lines)
    }

    fn explain(&self, line: usize, error: HistoryError) -> ParseError {
        match error {
            HistoryError::Overlap { process, previous, .. } => ParseError::new(
                line,
                format!(
                    "process {process} calls an operation while the one it called in line {} is still open",
                    self.lines[previous]
                ),
            ),
            HistoryError::ReturnWithoutCall { process, .. } => {
                ParseError::new(line, format!("process {process} ends an operation it never called"))
            }
            other => ParseError::new(line, other.to_string()),
        }
    }
}
