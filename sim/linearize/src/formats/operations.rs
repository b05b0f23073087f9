//! Whole operations as JSON, as we and as others write them ([`super::lines`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{self, Fields};
use super::lines::{EXPECTED, Line, Nullable, Text, bytes, nullable, operation, revision};
use super::moment::{Moment, Times, scaled};
use super::{Names, Origin, ParseError, Summary};
use crate::history::{History, Outcome};
use crate::kv::{KvHistory, KvOperation};

/// The operations of a text, as they are met.
pub(super) struct Operations {
    operations: Vec<KvOperation>,
    lines: Vec<usize>,
    revisions: Vec<Option<u64>>,
    names: Names,
    pub(super) summary: Summary,
    /// Values with which keys begin.
    initial: BTreeMap<Bytes, Bytes>,
    /// The exact times of operations of which some is no whole number.
    moments: BTreeMap<usize, (Moment, Option<Moment>)>,
}

const OPERATIONS: [&str; 5] = ["get", "put", "append", "delete", "cas"];
const PROCESSES: [&str; 3] = ["p", "process", "client"];
const OTHERS: [&str; 9] =
    ["call", "ret", "rev", "value", "existed", "expected", "new", "swapped", "previous"];

/// Whether an object means to be an operation.
pub(super) fn is_operation(fields: &Fields<'_>) -> bool {
    let own = ["p", "call", "ret", "initial"];
    OPERATIONS.iter().chain(&own).any(|&name| fields.contains_key(name))
}

impl Operations {
    pub(super) fn of(text: &str) -> Self {
        Operations {
            operations: Vec::new(),
            lines: Vec::new(),
            revisions: Vec::new(),
            names: Names::default(),
            summary: Summary::of(text),
            initial: BTreeMap::new(),
            moments: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len() + self.initial.len()
    }

    /// Takes an operation if it is written as [`write()`] does.
    pub(super) fn take(&mut self, number: usize, content: &str) -> Result<bool, ParseError> {
        let Ok(line) = serde_json::from_str::<Line>(content) else { return Ok(false) };
        self.push(number, line)?;
        Ok(true)
    }

    /// Takes an operation as others write it.
    pub(super) fn take_loose(&mut self, number: usize, mut fields: Fields<'_>) -> Result<(), ParseError> {
        if let Some(key) = fields.remove("initial") {
            let key = bytes(number, text_of(number, key)?)?;
            let value = fields.remove("value").ok_or_else(|| {
                ParseError::expected(number, "\"value\" and what the key begins with", "none")
            })?;
            self.initial.insert(key, bytes(number, text_of(number, value)?)?);
            self.summary.read += 1;
            return Ok(());
        }
        // Writers with one record for all operations leave the others' keys empty.
        fields.retain(|name, value| !OPERATIONS.contains(&&**name) || value.get() != "null");
        let operations = OPERATIONS.iter().filter(|&&name| fields.contains_key(name)).count();
        if operations != 1 {
            let found = if operations == 0 { "none" } else { "several" };
            return Err(ParseError::expected(number, EXPECTED, found));
        }
        let process = PROCESSES.iter().find_map(|&name| fields.remove(name));
        let mut line = Line { p: self.process(number, process)?, ..Line::default() };
        let called = moment(number, "call", fields.remove("call"))?;
        let called = called.ok_or_else(|| ParseError::expected(number, "\"call\" and a time", "none"))?;
        let returned = moment(number, "ret", fields.remove("ret"))?;
        line.ret = returned.map(|_| 0);
        let mut known = serde_json::Map::new();
        for (name, value) in fields {
            if OPERATIONS.contains(&&*name) {
                *line.named(&name) = Some(text_of(number, value)?);
            } else if OTHERS.contains(&&*name) {
                let value = match &*name {
                    "rev" | "existed" | "swapped" => raw(number, value)?,
                    _ => loosened(number, value)?,
                };
                known.insert(name.into_owned(), value);
            } else {
                self.summary.skip_field(number, &name);
            }
        }
        let others: Others =
            serde_json::from_value(Value::Object(known)).map_err(|error| json::syntax(number, &error))?;
        let Others { rev, value, existed, expected, new, swapped, previous } = others;
        let line = Line { rev, value, existed, expected, new, swapped, previous, ..line };
        self.moments.insert(self.operations.len(), (called, returned));
        self.push(number, line)
    }

    fn process(&mut self, number: usize, process: Option<&RawValue>) -> Result<u64, ParseError> {
        let expected = "\"p\" and the number or the name of a process";
        let Some(process) = process else { return Err(ParseError::expected(number, expected, "none")) };
        match serde_json::from_str(process.get()) {
            Ok(Value::String(name)) => Ok(self.names.named(&name)),
            Ok(Value::Number(process)) if process.is_u64() => {
                self.names.numbered(number, process.as_u64().unwrap_or_default())
            }
            _ => Err(ParseError::expected(number, expected, process.get())),
        }
    }

    fn push(&mut self, number: usize, line: Line) -> Result<(), ParseError> {
        self.revisions.push(line.rev);
        self.operations.push(operation(number, line)?);
        self.lines.push(number);
        self.summary.read += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(KvHistory, Origin, BTreeMap<Bytes, Bytes>), ParseError> {
        let times = if self.moments.is_empty() { Times::default() } else { self.settle()? };
        let Operations { operations, lines, revisions, names, summary, initial, .. } = self;
        let history = History::new(operations).and_then(|history| history.with_revisions(revisions));
        let history = history.map_err(|error| {
            use crate::history::HistoryError as E;
            let place = match &error {
                E::ReturnBeforeCall { operation, .. }
                | E::Overlap { operation, .. }
                | E::ClockWentBack { operation, .. }
                | E::RevisionWithoutAnswer { operation, .. }
                | E::TimeTooLarge { operation, .. } => lines[*operation],
                E::ReturnWithoutCall { .. } | E::RevisionsMiscounted { .. } | E::TooLong { .. } => {
                    lines.len()
                }
            };
            ParseError::new(place, format!("{error} (operations are counted from 0)"))
        })?;
        Ok((history, Origin { lines, events: Vec::new(), names, summary, times }, initial))
    }

    /// Gives processes with names their numbers, and all times one scale.
    fn settle(&mut self) -> Result<Times, ParseError> {
        let Operations { operations, moments, names, lines, .. } = self;
        for operation in operations.iter_mut() {
            operation.process = names.settle(operation.process);
        }
        let is_date = |(called, returned): &(Moment, Option<Moment>)| {
            called.is_date && returned.is_none_or(|returned| returned.is_date)
        };
        let any = |(called, returned): &(Moment, Option<Moment>)| {
            called.is_date || returned.is_some_and(|returned| returned.is_date)
        };
        if moments.values().any(any) {
            let other = (0..operations.len()).find(|index| !moments.get(index).is_some_and(is_date));
            if let Some(other) = other {
                let expected = "all times to be dates, as elsewhere";
                return Err(ParseError::expected(lines[other], expected, "a number"));
            }
        }
        let mut all = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let own = || (Moment::whole(operation.call), operation.returned_at().map(Moment::whole));
            let (called, returned) = moments.get(&index).copied().unwrap_or_else(own);
            all.push(called);
            all.push(returned.unwrap_or(called));
        }
        let whole: Option<Vec<u64>> = all.iter().map(Moment::as_whole).collect();
        let (all, scale) = whole
            .map(|whole| (whole, Times::default()))
            .or_else(|| scaled(&all))
            .ok_or_else(|| ParseError::new(1, "times too far apart for 64 bits"))?;
        for (operation, times) in operations.iter_mut().zip(all.chunks(2)) {
            let returned = operation.returned_at().map(|_| times[1]);
            put(operation, times[0], returned);
        }
        Ok(scale)
    }
}

fn put(operation: &mut KvOperation, called: u64, returned: Option<u64>) {
    operation.call = called;
    if let (Outcome::Returned { at, .. }, Some(returned)) = (&mut operation.outcome, returned) {
        *at = returned;
    }
}

/// The fields beside process, times and key.
#[derive(Deserialize, Default)]
struct Others {
    #[serde(default, deserialize_with = "revision")]
    rev: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    value: Nullable,
    existed: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    expected: Nullable,
    new: Option<Text>,
    swapped: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    previous: Nullable,
}

fn moment(number: usize, name: &str, time: Option<&RawValue>) -> Result<Option<Moment>, ParseError> {
    let Some(time) = time.map(RawValue::get).filter(|&time| time != "null") else { return Ok(None) };
    let text: String = serde_json::from_str(time).unwrap_or_else(|_| time.to_owned());
    let found = Moment::parse(&text);
    let expected = format!("{name:?} and a number or a date of ISO 8601");
    found.map(Some).ok_or_else(|| ParseError::expected(number, &expected, time))
}

fn raw(number: usize, value: &RawValue) -> Result<Value, ParseError> {
    serde_json::from_str(value.get()).map_err(|error| json::syntax(number, &error))
}

/// A field's value with whatever is no string as text, but for `null` and `{"hex":...}`.
fn loosened(number: usize, value: &RawValue) -> Result<Value, ParseError> {
    if json::is_long_integer(value.get()) {
        return Ok(Value::String(value.get().into()));
    }
    let value = raw(number, value)?;
    Ok(match &value {
        Value::Null | Value::String(_) => value,
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("hex") => value,
        other => Value::String(json::plain(other)),
    })
}

fn text_of(number: usize, value: &RawValue) -> Result<Text, ParseError> {
    let loosened = loosened(number, value)?;
    match serde_json::from_value(loosened) {
        Ok(text) => Ok(text),
        Err(_) => Err(ParseError::expected(number, "a key or a value", value.get())),
    }
}
