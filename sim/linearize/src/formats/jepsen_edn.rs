//! Events as maps in EDN, in a list or one after another: Jepsen's `history.edn`, and the key-value text of
//! porcupine.
//!
//! ```text
//! {:process 0, :type :invoke, :f :write, :value 3, :time 12, :index 0}
//! #jepsen.history.Op{:process :nemesis, :type :info, :f :start, :value #{"n1" "n2"}}
//! {:process 0, :type :info, :f :put, :key "x", :value "1"}
//! ```
//!
//! Of a map only `:process`, `:type`, `:f`, `:key` and `:value` are looked at. A process that goes by a
//! keyword is a nemesis; a string is the name of a client.

use std::borrow::Cow;

use super::ParseError;
use super::edn::{Edn, Reader};
use super::event::{Event, Events, Kind};

/// Whether a text begins as a history in EDN does: with an event, or a list of events.
pub(super) fn recognise(text: &str) -> bool {
    let mut reader = Reader::new(text, 1);
    reader.accept(b"[(");
    if reader.at_end() || reader.accept(b"])") {
        return !text.trim().is_empty();
    }
    let is_open = reader.peek() == Some(b'{') || reader.peek() == Some(b'#');
    match reader.value() {
        Ok(Edn::Map(entries)) => entries.iter().any(|(key, _)| matches!(key, Edn::Keyword(_))),
        Ok(_) => false,
        // The reason is told where it is read.
        Err(_) => is_open,
    }
}

pub(super) fn read(text: &str) -> Result<Events<'_>, ParseError> {
    let mut events = Events::of(text);
    let mut reader = Reader::new(text, 1);
    // Where the list of all events began, if they are in one.
    let mut list = None;
    while !reader.at_end() {
        if list.is_none() && reader.accept(b"[(") {
            list = Some(reader.line());
            continue;
        }
        if list.is_some() && reader.accept(b"])") {
            list = None;
            continue;
        }
        let line = reader.line();
        let event = reader.value()?;
        take(&mut events, line, event)?;
    }
    match list {
        None => Ok(events),
        Some(open) => Err(ParseError::expected(
            reader.line(),
            &format!("another event, or ] to close the list that begins in line {open}"),
            "the end of the text",
        )),
    }
}

/// Takes an event in the form of a map.
pub(super) fn take<'a>(events: &mut Events<'a>, line: usize, event: Edn<'a>) -> Result<(), ParseError> {
    let Edn::Map(entries) = event else {
        return Err(ParseError::expected(line, "an event {:process ... :type ...}", &event));
    };
    let [mut process, mut kind, mut function, mut key, mut value] = [const { None }; 5];
    for (name, content) in entries {
        let place = match name.name() {
            Some("process") => &mut process,
            Some("type") => &mut kind,
            Some("f") => &mut function,
            Some("key") => &mut key,
            Some("value") => &mut value,
            _ => continue,
        };
        if place.replace(content).is_some() {
            return Err(ParseError::expected(line, &format!("one {name}"), "two"));
        }
    }
    let [process, kind, function, value] = [process, kind, function, value].map(|it| it.unwrap_or(Edn::Nil));
    let process = match process {
        Edn::Integer(number) if number >= 0 => events.names.numbered(line, number as u64)?,
        Edn::Keyword(_) => {
            events.skip_nemesis(line);
            return Ok(());
        }
        Edn::String(name) if name.trim_start_matches(':') == "nemesis" => {
            events.skip_nemesis(line);
            return Ok(());
        }
        Edn::String(name) => events.names.named(&name),
        other => return Err(ParseError::expected(line, ":process and a number", &other)),
    };
    let Some(known) = kind.name().and_then(Kind::named) else {
        return Err(ParseError::expected(line, Kind::EXPECTED, &kind));
    };
    let function = match function {
        Edn::Keyword(name) | Edn::Symbol(name) => Cow::Borrowed(name),
        Edn::String(name) => name,
        other => return Err(ParseError::expected(line, ":f and a keyword", &other)),
    };
    events.push(Event { line, process, kind: known, function, key, value });
    Ok(())
}
