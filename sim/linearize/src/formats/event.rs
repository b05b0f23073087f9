//! Events as every log of events has them: who, which end of an operation, which function, which value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rustc_hash::FxHashMap;

use super::ParseError;
use super::edn::Edn;
use crate::history::{History, HistoryError, Recorder};

/// Which end of an operation an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Ok,
    /// The operation did not take place.
    Fail,
    /// Its outcome is unknown.
    Info,
}

impl Kind {
    pub(super) const EXPECTED: &str = ":type and :invoke, :ok, :fail or :info";

    /// From its name, without a colon.
    pub(super) fn named(name: &str) -> Option<Kind> {
        match name {
            "invoke" => Some(Kind::Invoke),
            "ok" => Some(Kind::Ok),
            "fail" => Some(Kind::Fail),
            "info" => Some(Kind::Info),
            _ => None,
        }
    }
}

/// An event of a client.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    pub(super) line: usize,
    pub(super) process: u64,
    pub(super) kind: Kind,
    /// Without a colon.
    pub(super) function: Cow<'a, str>,
    /// The key, where it stands beside the function.
    pub(super) key: Option<Edn<'a>>,
    pub(super) value: Edn<'a>,
}

/// Processes that go by a name, and the numbers they have here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In the order of first appearance.
    names: Vec<String>,
    number: FxHashMap<String, u64>,
    /// The largest number that some process has by itself.
    largest: Option<u64>,
}

/// Above every number that a process has by itself.
const NAMED_FROM: u64 = 1 << 63;

impl Names {
    /// Takes note of a process with a number.
    pub(super) fn numbered(&mut self, line: usize, number: u64) -> Result<u64, ParseError> {
        if number >= NAMED_FROM {
            return Err(ParseError::expected(line, "the number of a process", number));
        }
        self.largest = self.largest.max(Some(number));
        Ok(number)
    }

    /// The number of a process with a name, valid until [`Names::settle`].
    pub(super) fn named(&mut self, name: &str) -> u64 {
        if let Some(&number) = self.number.get(name) {
            return number;
        }
        let number = NAMED_FROM + self.names.len() as u64;
        self.number.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }

    /// The final number of a process: those with names follow the others.
    pub(super) fn settle(&self, process: u64) -> u64 {
        match process.checked_sub(NAMED_FROM) {
            None => process,
            Some(place) => self.largest.map_or(0, |largest| largest + 1) + place,
        }
    }

    /// The name of a process, by its final number.
    pub fn get(&self, process: u64) -> Option<&str> {
        let place = process.checked_sub(self.largest.map_or(0, |largest| largest + 1))?;
        self.names.get(usize::try_from(place).ok()?).map(String::as_str)
    }
}

/// What was read of a text, and what was skipped and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines of the text.
    pub lines: usize,
    /// Events, or whole operations, that were read.
    pub read: usize,
    /// For each reason how many lines or events were skipped, and the first line of them.
    pub skipped: BTreeMap<String, (usize, usize)>,
    /// For each field that was not looked at in how many operations it was, and the first line of them.
    pub fields: BTreeMap<String, (usize, usize)>,
}

impl Summary {
    pub(super) fn of(text: &str) -> Self {
        Summary { lines: text.lines().count(), ..Summary::default() }
    }

    pub(super) fn skip(&mut self, line: usize, reason: &str) {
        note(&mut self.skipped, line, reason);
    }

    pub(super) fn skip_field(&mut self, line: usize, name: &str) {
        note(&mut self.fields, line, name);
    }
}

fn note(notes: &mut BTreeMap<String, (usize, usize)>, line: usize, about: &str) {
    match notes.get_mut(about) {
        Some((count, _)) => *count += 1,
        None => {
            notes.insert(about.to_owned(), (1, line));
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines: {} read", self.lines, self.read)?;
        let skipped: usize = self.skipped.values().map(|(count, _)| count).sum();
        write!(f, ", {skipped} skipped")?;
        for (place, (reason, (count, first))) in self.skipped.iter().enumerate() {
            let before = if place == 0 { " (" } else { ", " };
            let first = if *count == 1 { format!("line {first}") } else { format!("from line {first}") };
            write!(f, "{before}{count} {reason}, {first}")?;
        }
        f.write_str(if self.skipped.is_empty() { "" } else { ")" })?;
        for (number, (name, (count, first))) in self.fields.iter().enumerate() {
            let before = if number == 0 { "; fields not looked at: " } else { ", " };
            let place = if *count == 1 { "in line" } else { "from line" };
            write!(f, "{before}{name:?} {place} {first}")?;
        }
        Ok(())
    }
}

/// The events of a text.
#[derive(Debug, Default)]
pub(super) struct Events<'a> {
    pub(super) list: Vec<Event<'a>>,
    pub(super) names: Names,
    pub(super) summary: Summary,
}

impl<'a> Events<'a> {
    pub(super) fn of(text: &str) -> Self {
        Events { summary: Summary::of(text), ..Events::default() }
    }

    pub(super) fn push(&mut self, event: Event<'a>) {
        self.summary.read += 1;
        self.list.push(event);
    }

    /// What nemeses did is no operation of a client.
    pub(super) fn skip_nemesis(&mut self, line: usize) {
        self.summary.skip(line, "of the nemesis");
    }
}

/// How an event ends an operation.
pub(super) enum End<O> {
    Returned(O),
    Unknown,
    /// Known not to have taken effect, or without any meaning for a checker.
    Withdrawn,
}

/// Collects events in the order of their lines, which serves as the clock.
pub(super) struct Clocked<I, O> {
    recorder: Recorder<I, O>,
    /// Of the operations.
    lines: Vec<usize>,
    /// Of the events: as many as the clock says.
    events: Vec<usize>,
    clock: u64,
}

/// Where a history comes from.
pub(super) struct Lines {
    /// For each operation the line of its call.
    pub(super) calls: Vec<usize>,
    /// For each time, from 1 on, the line of its event.
    pub(super) events: Vec<usize>,
}

impl<I, O> Clocked<I, O> {
    pub(super) fn new() -> Self {
        Clocked { recorder: Recorder::new(), lines: Vec::new(), events: Vec::new(), clock: 0 }
    }

    pub(super) fn call(&mut self, line: usize, process: u64, input: I) -> Result<(), ParseError> {
        self.clock += 1;
        self.events.push(line);
        self.recorder.call(process, self.clock, input).map_err(|error| self.explain(line, error))?;
        self.lines.push(line);
        Ok(())
    }

    pub(super) fn end(&mut self, line: usize, process: u64, end: End<O>) -> Result<(), ParseError> {
        self.clock += 1;
        self.events.push(line);
        let ended = match end {
            End::Returned(output) => self.recorder.returned(process, self.clock, output),
            End::Unknown => self.recorder.unknown(process, self.clock),
            End::Withdrawn => self.recorder.withdrawn(process, self.clock),
        };
        ended.map(|_| ()).map_err(|error| self.explain(line, error))
    }

    /// What the process has open; an error if nothing.
    pub(super) fn open(&self, line: usize, process: u64) -> Result<&I, ParseError> {
        self.recorder.open_input(process).ok_or_else(|| {
            ParseError::new(line, format!("process {process} ends an operation it never called"))
        })
    }

    pub(super) fn finish(self) -> (History<I, O>, Lines) {
        let (history, calls) = self.recorder.finish_with(self.lines);
        (history, Lines { calls, events: self.events })
    }

    /// The same, with other numbers for the processes.
    pub(super) fn finish_as(self, number: impl Fn(u64) -> u64) -> (History<I, O>, Lines) {
        let (mut history, lines) = self.finish();
        let mut withdrawn = history.take_withdrawn();
        let mut operations = history.into_operations();
        let all = operations.iter_mut().chain(&mut withdrawn);
        all.for_each(|operation| operation.process = number(operation.process));
        let history = History::new(operations).expect("only processes have other numbers, and each its own");
        let history = history.with_withdrawn(withdrawn);
        (history, lines)
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
