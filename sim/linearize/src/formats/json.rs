//! JSON of any layout: one object a line, objects over several lines, or an array of them.
//!
//! The objects are whole operations ([`super::lines`]), or events as Jepsen has them:
//!
//! ```text
//! {"process":0,"type":"invoke","f":"write","key":"k","value":7,"time":1203}
//! {"process":0,"type":"ok","f":"write","key":"k","value":7}
//! ```
//!
//! An object that is neither, such as a header, is skipped and counted. One history holds one of the two.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};

use super::edn::Edn;
use super::event::Events;
use super::operations::{self, Operations};
use super::{ParseError, jepsen_edn};

/// The fields of an object.
pub(super) type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// An object that has no field twice: which of the two counts is not for us to choose.
struct Object<'a>(Fields<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Fields::new();
                while let Some((name, value)) = entries.next_entry::<String, &RawValue>()? {
                    if fields.contains_key(&*name) {
                        return Err(A::Error::custom(format!("the field {name:?} stands twice")));
                    }
                    fields.insert(name.into(), value);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// What a text holds.
pub(super) enum Content<'a> {
    Operations(Operations),
    Events(Events<'a>),
}

/// Whether a text begins with an object, or an array of them.
pub(super) fn recognise(text: &str) -> bool {
    let text = text.trim_start();
    let text = text.strip_prefix('[').unwrap_or(text).trim_start();
    let Some(rest) = text.strip_prefix('{') else { return false };
    // A name and a colon: in a map of EDN no colon follows.
    let mut names = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    rest.trim_start().starts_with('"')
        && names.next().is_some_and(|name| name.is_ok())
        && rest[names.byte_offset()..].trim_start().starts_with(':')
}

pub(super) fn read(text: &str) -> Result<Content<'_>, ParseError> {
    let mut reader = Reader { lines: Operations::of(text), events: Events::of(text) };
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let is_line =
        |line: &str| serde_json::from_str::<IgnoredAny>(line).is_ok() && line.trim().starts_with('{');
    if is_line(first) || !is_whole(text) {
        for (index, content) in text.lines().enumerate() {
            if content.trim().is_empty() {
                reader.skip(index + 1, "blank");
            } else {
                reader.take(index + 1, content)?;
            }
        }
    } else {
        reader.take_all(text)?;
    }
    reader.finish()
}

/// Whether the text begins with something that only ends in a later line: an array, or an object.
fn is_whole(text: &str) -> bool {
    text.trim_start().starts_with('[')
        || Deserializer::from_str(text).into_iter::<IgnoredAny>().next().is_some_and(|first| first.is_ok())
}

struct Reader<'a> {
    lines: Operations,
    events: Events<'a>,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, line: usize, reason: &str) {
        self.lines.summary.skip(line, reason);
        self.events.summary.skip(line, reason);
    }

    /// Takes the objects of a text one by one, in an array or one after the other.
    fn take_all(&mut self, text: &'a str) -> Result<(), ParseError> {
        let (mut at, mut line) = (0, 1);
        let mut is_array = false;
        loop {
            let rest = &text[at..];
            let space = rest.len() - rest.trim_start().len();
            line += rest[..space].matches('\n').count();
            at += space;
            let rest = &text[at..];
            match rest.as_bytes().first() {
                None if is_array => {
                    return Err(ParseError::expected(line, "another event, or ]", "the end of the text"));
                }
                None => return Ok(()),
                Some(b'[') if !is_array => is_array = true,
                Some(b']') if is_array => is_array = false,
                Some(b',') if is_array => {}
                Some(_) => {
                    let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
                    if let Some(Err(error)) = values.next() {
                        return Err(syntax(line, &error));
                    }
                    let content = &rest[..values.byte_offset()];
                    self.take(line, content)?;
                    line += content.matches('\n').count();
                    at += content.len();
                    continue;
                }
            }
            at += 1;
        }
    }

    fn take(&mut self, line: usize, content: &'a str) -> Result<(), ParseError> {
        // Our own lines need no second look.
        if self.events.list.is_empty() && self.lines.take(line, content)? {
            return Ok(());
        }
        let Object(fields) = serde_json::from_str(content).map_err(|error| syntax(line, &error))?;
        let has = |name: &str| fields.contains_key(name);
        let is_event = has("type") && (has("f") || has("process"));
        if has("ClientId") && has("Input") && has("Output") {
            let problem = "an operation of a Go program (porcupine.Operation, as in etcd's operations.json): what its \
                           input and output mean is known to that program only; write events or JSON lines";
            return Err(ParseError::new(line, problem));
        }
        if !is_event && !operations::is_operation(&fields) {
            self.skip(line, "no operation");
            return Ok(());
        }
        let (operations, events) = (self.lines.len() > 0, !self.events.list.is_empty());
        if (is_event && operations) || (!is_event && events) {
            let (whole, event) = ("a whole operation", "an event");
            let (expected, found) = if is_event { (whole, event) } else { (event, whole) };
            return Err(ParseError::expected(line, &format!("{expected}, as elsewhere"), found));
        }
        if !is_event {
            return self.lines.take_loose(line, fields);
        }
        let entries = ["process", "type", "f", "key", "value"].into_iter().filter_map(|name| {
            let value = fields.get(name)?;
            let value = match value.get() {
                digits if is_long_integer(digits) => Ok(Edn::String(digits.to_owned().into())),
                text => serde_json::from_str(text).map(edn),
            };
            Some(value.map(|value| (Edn::Keyword(name), value)))
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| syntax(line, &error))?;
        jepsen_edn::take(&mut self.events, line, Edn::Map(entries))
    }

    fn finish(self) -> Result<Content<'a>, ParseError> {
        let Reader { lines, events } = self;
        Ok(if events.list.is_empty() { Content::Operations(lines) } else { Content::Events(events) })
    }
}

/// What is wrong with the JSON of a line.
pub(super) fn syntax(line: usize, error: &serde_json::Error) -> ParseError {
    let (down, column) = (error.line().max(1) - 1, error.column());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    ParseError::new(line + down, format!("column {column}: {message}"))
}

/// The same value in EDN. Names are strings.
fn edn<'a>(value: Value) -> Edn<'a> {
    match value {
        Value::Null => Edn::Nil,
        Value::Bool(_) | Value::Number(_) => match value.as_i64() {
            Some(number) => Edn::Integer(number),
            None => Edn::String(plain(&value).into()),
        },
        Value::String(text) => Edn::String(text.into()),
        Value::Array(items) => Edn::List(items.into_iter().map(edn).collect()),
        Value::Object(entries) => Edn::Map(
            entries.into_iter().map(|(name, value)| (Edn::String(name.into()), edn(value))).collect(),
        ),
    }
}

/// Whether it is an integer that no machine word holds: its digits alone say which.
pub(super) fn is_long_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<i64>().is_err()
        && text.parse::<u64>().is_err()
}

/// A value as text: strings as they are, and numbers that are equal the same.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 2f64.powi(53) => {
                format!("{}", float as i64)
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
