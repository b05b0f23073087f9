//! Recorded histories of several origins.
//!
//! | format | one line is | times |
//! | --- | --- | --- |
//! | [`Format::Lines`] | a whole operation as JSON; written by [`write()`] | as recorded |
//! | [`Format::Porcupine`] | an event of porcupine's key-value test data | order of the events |
//! | [`Format::JepsenLog`] | an event in a `jepsen.log` of any version, among whatever else was logged | order of the lines |
//! | [`Format::JepsenText`] | an event of a `history.txt` | order of the lines |
//! | [`Format::JepsenEdn`] | an event of a `history.edn` | order of the events |
//! | [`Format::JsonEvents`] | the same event in JSON, in an array or not | order of the events |
//!
//! [`parse`] finds the format by its grammar, never by a word: by the first value where the text begins with
//! a bracket, otherwise by the first line that is an event. What looks like an operation and cannot be read
//! is an error with the line and what was expected there. Whatever is skipped is counted, with the reason:
//! blank lines, log lines of other origin, and what a nemesis did ([`Summary`]). Files may be compressed with
//! gzip or Zstandard.
//!
//! Events are taken in the order in which they are written down, which is that of one recorder: `:time` and
//! `:index` are not looked at, because what clocks of several threads say need not be in order.
//!
//! The object is guessed from the operations ([`ModelName`]): a register or keys ([`crate::kv`]), or a mutex,
//! queue, set or counter ([`crate::objects`]).

//! # How answers are understood
//!
//! | an event | here | elsewhere |
//! | --- | --- | --- |
//! | `:info`, or no end at all | of unknown outcome: took effect at some instant after its call, or never; a read says nothing | the same in Knossos and in porcupine's tests |
//! | `:fail` | did not take place: left out | the same in Knossos |
//! | `:fail` of a swap | the same: it may have failed for another reason than another value | Knossos: the same. porcupine's etcd model: it found another value; so it is understood here in the oldest logs (`jepsen.util - `), which are porcupine's test data |
//! | `:ok` of a read with `nil` | the register was absent ([`Nil::Absent`]) | porcupine: the same. Knossos: it says nothing ([`Nil::Unknown`]) |
//! | `:ok` of a read with `[]`, or of `:r` in a transaction with `nil` | the list is empty: absent, whatever `nil` says | Elle: the same |
//! | `:ok` of an update with a value | it must be that of the call; more may be told, in a list or a map | Knossos: what the end says counts |
//! | the empty string in porcupine's key-value text (maps in EDN with `:key`, all of them `:get`, `:put`, `:append` or `:delete`) | absent, since its keys begin empty; elsewhere it is a value | porcupine: the same |
//! | the first value | absent, unless [`Choices::initial`] or the text says otherwise | Knossos: `nil`, or what the model was made with |
//! | a list that was read | its items, which were appended one by one | Elle: the same |
//! | a release of a mutex by another process | allowed | Knossos' `mutex`: the same |
//! | a read of a counter | exact, as of one atomic object | Jepsen's `counter` checker only bounds it |
//!
//! In JSON lines nothing is left open: an operation without `ret` is of unknown outcome, `null` is absent,
//! and `"swapped":false` found another value.

mod edn;
mod event;
mod guess;
pub mod initial;
mod jepsen_edn;
mod json;
mod lines;
mod log;
mod moment;
mod objects;
mod operations;
mod register;
mod unpack;

use std::fmt;

use crate::history::Operation;
use crate::kv::KvHistory;
use crate::objects::{Object, ObjectHistory};
use event::Events;
use register::{Dialect, Keys};

pub use event::{Names, Summary};
pub use lines::write;
pub use moment::Times;

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
    /// The same events in JSON.
    JsonEvents,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Lines => "JSON lines",
            Format::Porcupine => "porcupine key-value text",
            Format::JepsenLog => "Jepsen log",
            Format::JepsenText => "Jepsen history.txt",
            Format::JepsenEdn => "Jepsen EDN history",
            Format::JsonEvents => "JSON events",
        })
    }
}

/// What a completed read of `nil` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
pub enum Nil {
    /// That the register was absent, as porcupine's models have it.
    #[default]
    Absent,
    /// Nothing, as in Knossos. An empty list says that it is empty.
    Unknown,
}

/// The object of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
pub enum ModelName {
    /// One value that is read, written and swapped.
    Register,
    /// Such a value, or a list, for each key.
    Kv,
    /// A lock that one holds at a time.
    Mutex,
    /// First in, first out.
    Queue,
    /// Elements without order.
    Set,
    /// A number that is added to.
    Counter,
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ModelName::Register => "register",
            ModelName::Kv => "kv",
            ModelName::Mutex => "mutex",
            ModelName::Queue => "queue",
            ModelName::Set => "set",
            ModelName::Counter => "counter",
        })
    }
}

/// How a text is to be understood where it leaves that open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The object; guessed if it is `None`.
    pub model: Option<ModelName>,
    /// What a completed read of `nil` says in events. In JSON lines, `null` is always "absent".
    pub nil: Nil,
    /// What every object begins with: a value for each key, `held` for a mutex, items such as `[1 2]` for a
    /// queue or a set, a number for a counter. Otherwise absent, free, empty, 0. `nil` and `null` are the
    /// same as none.
    pub initial: Option<String>,
}

impl Choices {
    /// What every object begins with, if anything else than usual.
    fn begins(&self) -> Option<&str> {
        self.initial.as_deref().filter(|text| !matches!(*text, "nil" | "null"))
    }
}

/// Operations on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyHistory {
    /// A register, or keys.
    Kv(KvHistory),
    /// Another object, which begins in some state.
    Object(Object, ObjectHistory),
}

impl AnyHistory {
    /// How many operations there are.
    pub fn len(&self) -> usize {
        match self {
            AnyHistory::Kv(history) => history.len(),
            AnyHistory::Object(_, history) => history.len(),
        }
    }

    /// How many of them returned. What a key begins with counts as none.
    pub fn returned(&self, origin: &Origin) -> usize {
        fn count<I, O>(operations: &[Operation<I, O>]) -> usize {
            operations.iter().filter(|operation| operation.output().is_some()).count()
        }
        let of_text = origin.lines.len();
        match self {
            AnyHistory::Kv(history) => count(&history.operations()[..of_text]),
            AnyHistory::Object(_, history) => count(&history.operations()[..of_text]),
        }
    }

    /// Whether nothing was ever called.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A history of any object that was read, and where its operations came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The format found.
    pub format: Format,
    /// The object, as chosen or guessed.
    pub model: ModelName,
    /// The operations. What keys begin with is written by further ones at the end, which return before all
    /// others.
    pub history: AnyHistory,
    /// Where they came from: as many as there are operations in the text.
    pub origin: Origin,
}

/// Where operations came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// For each operation the line of its call, counted from 1.
    pub lines: Vec<usize>,
    /// In a history of events, for each time, from 1 on, the line of the event; empty in others.
    pub events: Vec<usize>,
    /// The names of processes that have one.
    pub names: Names,
    /// What was read and what was skipped.
    pub summary: Summary,
    /// How times are to be read.
    pub times: Times,
}

/// A key-value history that was read, and where its operations came from.
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
#[error("{}{problem}", place(*.line))]
pub struct ParseError {
    /// The line, counted from 1; 0 for what is wrong with a choice.
    pub line: usize,
    /// What was expected there, and what was found.
    pub problem: String,
}

fn place(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
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
    if json::recognise(text) {
        return Some(Layout::Json);
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(';'))?;
    if first.starts_with(['{', '[', '(', '#']) && jepsen_edn::recognise(text) {
        return Some(Layout::Edn);
    }
    log::recognise(text).map(Layout::Log)
}

/// Reads a key-value history in any of the formats.
pub fn parse(bytes: &[u8]) -> Result<Recorded, ParseError> {
    let File { format, model, history, origin } = read(bytes, &Choices::default())?;
    match history {
        AnyHistory::Kv(history) => Ok(Recorded { format, history, lines: origin.lines }),
        AnyHistory::Object(..) => {
            let line = origin.lines.first().copied().unwrap_or(1);
            Err(ParseError::expected(line, "operations of a register or of keys", format!("a {model}")))
        }
    }
}

/// Reads a history of any object in any of the formats.
pub fn read(bytes: &[u8], choices: &Choices) -> Result<File, ParseError> {
    let text = unpack::text(bytes)?;
    let layout = layout(&text).ok_or_else(|| {
        let line = 1 + text.lines().take_while(|line| line.trim().is_empty()).count();
        let found = if text.trim().is_empty() { "nothing" } else { "something else" };
        ParseError::expected(
            line,
            "a history: JSON lines, JSON events, porcupine's key-value text, or a log, history.txt or history.edn of Jepsen",
            found,
        )
    })?;
    let (events, format) = match layout {
        Layout::Json => match json::read(&text)? {
            json::Content::Operations(operations) => return whole(operations, choices),
            json::Content::Events(events) => (events, Some(Format::JsonEvents)),
        },
        Layout::Edn => (jepsen_edn::read(&text)?, None),
        Layout::Log(log::Style::Bare) => (log::read(&text)?, Some(Format::JepsenText)),
        Layout::Log(_) => (log::read(&text)?, Some(Format::JepsenLog)),
    };
    let failed_swap_tells = matches!(layout, Layout::Log(log::Style::Old));
    interpret(events, format, failed_swap_tells, choices)
}

fn whole(operations: operations::Operations, choices: &Choices) -> Result<File, ParseError> {
    let model = choices.model.unwrap_or(ModelName::Kv);
    if !matches!(model, ModelName::Kv | ModelName::Register) {
        let problem = format!("whole operations in JSON are those of keys, not of a {model}: write events");
        return Err(ParseError::new(0, problem));
    }
    let (history, mut origin, mut begins) = operations.finish()?;
    for (key, value) in initial::of_all_keys(&history, choices.begins()) {
        begins.entry(key).or_insert(value);
    }
    let (history, later) = initial::begin_with(history, begins)?;
    origin.times = origin.times.later(later);
    Ok(File { format: Format::Lines, model, history: AnyHistory::Kv(history), origin })
}

fn interpret(
    mut events: Events<'_>,
    format: Option<Format>,
    failed_swap_tells: bool,
    choices: &Choices,
) -> Result<File, ParseError> {
    let model = choices.model.map_or_else(|| guess::model(&events.list), Ok)?;
    if !matches!(model, ModelName::Kv | ModelName::Register) {
        let object = objects::object(model, choices.begins())?;
        let (history, lines) = objects::read(&mut events, model)?;
        let Events { names, summary, .. } = events;
        let origin =
            Origin { lines: lines.calls, events: lines.events, names, summary, times: Times::default() };
        let history = AnyHistory::Object(object, history);
        return Ok(File { format: format.unwrap_or(Format::JepsenEdn), model, history, origin });
    }
    let keys = match (choices.model, register::keys(&events.list)) {
        (Some(ModelName::Register), _) => Keys::None,
        (Some(_), Keys::None) => Keys::Inside,
        (_, found) => found,
    };
    let is_porcupine = keys == Keys::Beside
        && format.is_none()
        && events.list.iter().all(|event| matches!(&*event.function, "get" | "put" | "append" | "delete"));
    let dialect = Dialect { keys, empty_is_absent: is_porcupine, failed_swap_tells, nil: choices.nil };
    let (history, lines) = register::read(&events, dialect)?;
    let begins = initial::of_all_keys(&history, choices.begins());
    let (history, later) = initial::begin_with(history, begins)?;
    let own = if is_porcupine { Format::Porcupine } else { Format::JepsenEdn };
    let Events { names, summary, .. } = events;
    let origin = Origin {
        lines: lines.calls,
        events: lines.events,
        names,
        summary,
        times: Times::default().later(later),
    };
    Ok(File { format: format.unwrap_or(own), model, history: AnyHistory::Kv(history), origin })
}
