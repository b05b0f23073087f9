//! The compact format of this crate: one operation a line, as JSON.
//!
//! ```text
//! {"p":1,"call":10,"ret":14,"put":"k","value":"1"}
//! {"p":2,"call":11,"ret":15,"rev":7,"get":"k","value":null}
//! {"p":1,"call":16,"append":"k","value":"2,"}
//! {"p":2,"call":17,"ret":19,"delete":"k","existed":true}
//! {"p":3,"call":17,"ret":20,"cas":"k","expected":null,"new":"3","swapped":true,"previous":null}
//! ```
//!
//! `p` is the process, `call` and `ret` are times in any unit; without `ret` the outcome is unknown. `null`
//! is an absent value. `rev` is the revision that came with the answer, if the store tells one: the number of
//! the change of the store after which the answer was true, for an update its own. It makes a check faster
//! and never changes a verdict ([`crate::history`]). `existed` and `previous` may be left out if they are not
//! known. Keys and values are strings, or `{"hex":"00ff"}` where the bytes are not UTF-8.
//!
//! Other writers may differ: `p` may be a name, or be called `process` or `client`; keys and values may be
//! numbers, whose text counts; times may have a fraction, or be dates of ISO 8601 ([`super::moment`]); `ret`
//! may be `null`. A field that no operation has is counted and not looked at; a field that only other
//! operations have is an error. The value with which a key begins is told by a line of its own:
//!
//! ```text
//! {"initial":"k","value":"0"}
//! ```

use std::io;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::ParseError;
use crate::history::{Operation, Outcome};
use crate::kv::{Input, KvHistory, KvOperation, Output};

/// Bytes as JSON.
#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(super) enum Text {
    Plain(String),
    Hex(Hex),
}

#[derive(Serialize, Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Hex {
    hex: String,
}

pub(super) const EXPECTED: &str =
    "exactly one of \"get\", \"put\", \"append\", \"delete\" and \"cas\", with the key";

/// A field that may be missing, `null` or a value: missing is `None`, `null` is `Some(None)`.
pub(super) type Nullable = Option<Option<Text>>;

/// A revision. The message of a wrong one names the field, which the value alone would not.
pub(super) fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some).map_err(|error| {
        serde::de::Error::custom(format!("expected \"rev\" and a whole number from 0 on: {error}"))
    })
}

pub(super) fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nullable, D::Error> {
    Option::<Text>::deserialize(deserializer).map(Some)
}

#[derive(Serialize, Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) p: u64,
    pub(super) call: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ret: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "revision")]
    pub(super) rev: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) get: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) put: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) append: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delete: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cas: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub(super) value: Nullable,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) existed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub(super) expected: Nullable,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) swapped: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    pub(super) previous: Nullable,
}

impl Line {
    /// The field with the key of the operation of this name.
    pub(super) fn named(&mut self, name: &str) -> &mut Option<Text> {
        match name {
            "get" => &mut self.get,
            "put" => &mut self.put,
            "append" => &mut self.append,
            "delete" => &mut self.delete,
            _ => &mut self.cas,
        }
    }
}

/// Writes a history, one line for each operation.
pub fn write(history: &KvHistory, to: &mut impl io::Write) -> io::Result<()> {
    for (index, operation) in history.operations().iter().enumerate() {
        let line = Line { rev: history.revision(index), ..line(operation) };
        serde_json::to_writer(&mut *to, &line)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

fn line(operation: &KvOperation) -> Line {
    let mut line =
        Line { p: operation.process, call: operation.call, ret: operation.returned_at(), ..Line::default() };
    match &operation.input {
        Input::Get { key } => line.get = Some(text(key)),
        Input::Put { key, value } => (line.put, line.value) = (Some(text(key)), Some(Some(text(value)))),
        Input::Append { key, value } => {
            (line.append, line.value) = (Some(text(key)), Some(Some(text(value))));
        }
        Input::Delete { key } => line.delete = Some(text(key)),
        Input::CompareAndSwap { key, expected, new } => {
            line.cas = Some(text(key));
            line.expected = Some(expected.as_ref().map(text));
            line.new = Some(text(new));
        }
    }
    match operation.output() {
        None | Some(Output::Done) => {}
        Some(Output::Value(value)) => line.value = Some(value.as_ref().map(text)),
        Some(Output::Deleted { existed }) => line.existed = *existed,
        Some(Output::Swapped { swapped, previous }) => {
            line.swapped = Some(*swapped);
            line.previous = previous.as_ref().map(|previous| previous.as_ref().map(text));
        }
    }
    line
}

fn text(bytes: &Bytes) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) => Text::Plain(text.to_owned()),
        Err(_) => Text::Hex(Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() }),
    }
}

pub(super) fn operation(number: usize, line: Line) -> Result<KvOperation, ParseError> {
    let Line { p, call, ret, get, put, append, delete, cas, .. } = line.clone();
    let mut fields = Rest { number, line };
    let key = |text: Text| bytes(number, text);
    let (input, output) = match (get, put, append, delete, cas) {
        (Some(name), None, None, None, None) => {
            // Whoever had no answer saw nothing: a value then is a mistake, and is left over.
            let unseen = ret.is_none() && fields.line.value.as_ref().is_some_and(Option::is_some);
            let value = if unseen { None } else { fields.line.value.take() };
            (
                Input::Get { key: key(name)? },
                match ret {
                    Some(_) => Some(Output::Value(fields.nullable("value", value)?)),
                    None => None,
                },
            )
        }
        (None, Some(name), None, None, None) => {
            (Input::Put { key: key(name)?, value: fields.value()? }, ret.map(|_| Output::Done))
        }
        (None, None, Some(name), None, None) => {
            (Input::Append { key: key(name)?, value: fields.value()? }, ret.map(|_| Output::Done))
        }
        (None, None, None, Some(name), None) => {
            let existed = ret.and_then(|_| fields.line.existed.take());
            (Input::Delete { key: key(name)? }, ret.map(|_| Output::Deleted { existed }))
        }
        (None, None, None, None, Some(name)) => fields.swap(key(name)?, ret.is_some())?,
        _ => {
            return Err(ParseError::expected(number, EXPECTED, "none or several"));
        }
    };
    fields.nothing_left()?;
    let outcome = match (ret, output) {
        (Some(at), Some(output)) => Outcome::Returned { at, output },
        _ => Outcome::Unknown,
    };
    Ok(Operation { process: p, call, input, outcome })
}

/// Takes the fields that an operation has.
struct Rest {
    number: usize,
    line: Line,
}

impl Rest {
    fn value(&mut self) -> Result<Bytes, ParseError> {
        match self.line.value.take() {
            Some(Some(value)) => bytes(self.number, value),
            _ => Err(ParseError::expected(self.number, "\"value\" and a string", "none")),
        }
    }

    fn nullable(&self, name: &str, field: Nullable) -> Result<Option<Bytes>, ParseError> {
        let value = field.ok_or_else(|| {
            ParseError::expected(self.number, &format!("{name:?} and a string or null"), "none")
        })?;
        value.map(|value| bytes(self.number, value)).transpose()
    }

    fn swap(&mut self, key: Bytes, returned: bool) -> Result<(Input, Option<Output>), ParseError> {
        let expected = self.line.expected.take();
        let expected = self.nullable("expected", expected)?;
        let new = self.line.new.take();
        let new = new.ok_or_else(|| ParseError::expected(self.number, "\"new\" and a string", "none"))?;
        let input = Input::CompareAndSwap { key, expected, new: bytes(self.number, new)? };
        if !returned {
            return Ok((input, None));
        }
        let swapped = self.line.swapped.take();
        let swapped = swapped
            .ok_or_else(|| ParseError::expected(self.number, "\"swapped\" and true or false", "none"))?;
        let previous = match self.line.previous.take() {
            None => None,
            Some(previous) => Some(self.nullable("previous", Some(previous))?),
        };
        Ok((input, Some(Output::Swapped { swapped, previous })))
    }

    /// A field that the operation does not have is a mistake, not a comment, unless it is `null`.
    fn nothing_left(&self) -> Result<(), ParseError> {
        let Line { value, existed, expected, new, swapped, previous, .. } = &self.line;
        let left = [
            (value.as_ref().is_some_and(Option::is_some), "value"),
            (existed.is_some(), "existed"),
            (expected.as_ref().is_some_and(Option::is_some), "expected"),
            (new.is_some(), "new"),
            (swapped.is_some(), "swapped"),
            (previous.as_ref().is_some_and(Option::is_some), "previous"),
        ];
        match left.iter().find(|(present, _)| *present) {
            None => Ok(()),
            Some((_, name)) => Err(ParseError::expected(
                self.number,
                "only the fields of this operation",
                format!("{name:?}"),
            )),
        }
    }
}

pub(super) fn bytes(number: usize, text: Text) -> Result<Bytes, ParseError> {
    let hex = match text {
        Text::Plain(text) => return Ok(text.into()),
        Text::Hex(Hex { hex }) => hex,
    };
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pairs = hex.as_bytes().chunks(2);
    let decoded: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    decoded.map(Bytes::from).ok_or_else(|| {
        ParseError::expected(number, "an even number of hexadecimal digits", format!("{hex:?}"))
    })
}
