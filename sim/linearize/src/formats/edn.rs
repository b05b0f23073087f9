//! A reader for EDN (extensible data notation).
//!
//! Values borrow from the text. What no history tells a checker is read and dropped: tags
//! (`#jepsen.history.Op{...}`, `#inst "..."`, `#object[...]`), metadata, comments and discarded values
//! (`#_`). Characters and patterns are kept as they are written.

use std::borrow::Cow;
use std::fmt;

use super::ParseError;

/// Nesting beyond this is refused instead of overflowing the stack.
const DEPTH_MAX: usize = 64;

/// One EDN value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edn<'a> {
    Nil,
    Integer(i64),
    String(Cow<'a, str>),
    Keyword(&'a str),
    /// `true`, `false`, decimals, characters and names: kept as they are written.
    Symbol(&'a str),
    List(Vec<Edn<'a>>),
    Set(Vec<Edn<'a>>),
    Map(Vec<(Edn<'a>, Edn<'a>)>),
}

impl Edn<'_> {
    /// The name that a keyword or a string is.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Edn::Keyword(name) => Some(name),
            Edn::String(name) => Some(name),
            _ => None,
        }
    }

    /// The value as text, the same for equal values: strings and names without marks, sets and maps in order.
    pub(super) fn text(&self) -> String {
        let listed = |items: &[Self]| items.iter().map(Edn::text).collect::<Vec<_>>();
        let sorted = |mut items: Vec<String>| {
            items.sort();
            items.join(" ")
        };
        match self {
            Edn::Nil => "nil".to_owned(),
            Edn::Integer(number) => number.to_string(),
            Edn::String(text) => text.to_string(),
            Edn::Keyword(name) | Edn::Symbol(name) => (*name).to_owned(),
            Edn::List(items) => format!("[{}]", listed(items).join(" ")),
            Edn::Set(items) => format!("#{{{}}}", sorted(listed(items))),
            Edn::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{} {}", key.text(), value.text()));
                format!("{{{}}}", sorted(entries.collect()))
            }
        }
    }
}

impl fmt::Display for Edn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edn::Nil => f.write_str("nil"),
            Edn::Integer(number) => write!(f, "{number}"),
            Edn::String(text) => write!(f, "{text:?}"),
            Edn::Keyword(name) => write!(f, ":{name}"),
            Edn::Symbol(name) => f.write_str(name),
            Edn::List(items) => write!(f, "a list of {}", items.len()),
            Edn::Set(items) => write!(f, "a set of {}", items.len()),
            Edn::Map(entries) => write!(f, "a map of {}", entries.len()),
        }
    }
}

/// Reads one value after another.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    /// How many discarded values are open, one inside the other.
    discarding: usize,
}

impl<'a> Reader<'a> {
    /// Begins at a line of the given number.
    pub(super) fn new(text: &'a str, line: usize) -> Self {
        Reader { text, at: 0, line, discarding: 0 }
    }

    /// The line of what comes next.
    pub(super) fn line(&mut self) -> usize {
        self.skip();
        self.line
    }

    /// Whether only space and comments are left.
    pub(super) fn at_end(&mut self) -> bool {
        self.skip();
        self.at == self.text.len()
    }

    /// Enters or leaves a list that is read item by item, if this character comes next.
    pub(super) fn accept(&mut self, characters: &[u8]) -> bool {
        self.skip();
        let found = self.peek().is_some_and(|byte| characters.contains(&byte));
        self.at += usize::from(found);
        found
    }

    /// Reads one value.
    pub(super) fn value(&mut self) -> Result<Edn<'a>, ParseError> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Result<Edn<'a>, ParseError> {
        if depth > DEPTH_MAX {
            return Err(ParseError::new(self.line, "values nested too deeply"));
        }
        self.skip();
        match self.peek() {
            None => Err(ParseError::expected(self.line, "a value", "the end of the text")),
            Some(b'"') => self.string(),
            Some(b'[' | b'(') => Ok(Edn::List(self.sequence(depth)?)),
            Some(b'{') => self.map(depth),
            Some(b'#') => self.dispatch(depth),
            Some(b'^') => {
                self.at += 1;
                self.nested(depth + 1)?;
                self.nested(depth + 1)
            }
            Some(b'\\') => Ok(self.character()),
            Some(_) => self.atom(),
        }
    }

    /// What begins with `#`, but for what is discarded, which counts as space.
    fn dispatch(&mut self, depth: usize) -> Result<Edn<'a>, ParseError> {
        self.at += 1;
        match self.peek() {
            Some(b'{') => Ok(Edn::Set(self.sequence(depth)?)),
            Some(b'"') => self.string(),
            Some(b'\'') => Ok(Edn::Symbol(self.name())),
            Some(b'#') => {
                self.at += 1;
                Ok(Edn::Symbol(self.name()))
            }
            // Left by the reader of space: what is discarded cannot be read.
            Some(b'_') => {
                self.at += 1;
                self.nested(depth + 1)
            }
            _ if self.name().is_empty() => {
                Err(ParseError::expected(self.line, "a tag or a set after #", "something else"))
            }
            _ => self.nested(depth + 1),
        }
    }

    fn character(&mut self) -> Edn<'a> {
        let start = self.at;
        self.at += 1;
        self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
        self.name();
        Edn::Symbol(&self.text[start..self.at])
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Edn<'a>>, ParseError> {
        let open = self.line;
        let (bracket, close) = match self.peek() {
            Some(b'[') => ('[', ']'),
            Some(b'(') => ('(', ')'),
            _ => ('{', '}'),
        };
        self.at += 1;
        let wanted = || format!("{close} to close the {bracket} of line {open}");
        let mut items = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None => return Err(ParseError::expected(self.line, &wanted(), "the end of the text")),
                Some(byte @ (b']' | b')' | b'}')) => {
                    if byte != close as u8 {
                        return Err(ParseError::expected(self.line, &wanted(), char::from(byte)));
                    }
                    self.at += 1;
                    return Ok(items);
                }
                Some(_) => items.push(self.nested(depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Edn<'a>, ParseError> {
        let open = self.line;
        let mut items = self.sequence(depth)?.into_iter();
        let mut entries = Vec::with_capacity(items.len() / 2);
        while let Some(key) = items.next() {
            let value = items.next().ok_or_else(|| {
                ParseError::expected(open, "a map of keys and values", format!("{key} without a value"))
            })?;
            entries.push((key, value));
        }
        Ok(Edn::Map(entries))
    }

    fn string(&mut self) -> Result<Edn<'a>, ParseError> {
        let open = self.line;
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut escaped = false;
        loop {
            match bytes.get(end) {
                None => return Err(ParseError::new(open, "this string is never closed")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(byte) => {
                    self.line += usize::from(*byte == b'\n');
                    end += 1;
                }
            }
        }
        self.at = end + 1;
        let raw = self.text.get(start..end).ok_or_else(|| ParseError::new(open, "a broken string"))?;
        Ok(Edn::String(if escaped { Cow::Owned(unescape(raw, open)?) } else { Cow::Borrowed(raw) }))
    }

    fn atom(&mut self) -> Result<Edn<'a>, ParseError> {
        let name = self.name();
        if let Some(keyword) = name.strip_prefix(':') {
            return Ok(Edn::Keyword(keyword));
        }
        match name {
            "" => {
                let found: String = self.text[self.at..].chars().take(1).collect();
                Err(ParseError::expected(self.line, "a value", format!("{found:?}")))
            }
            "nil" => Ok(Edn::Nil),
            _ => Ok(name.trim_end_matches('N').parse().map_or(Edn::Symbol(name), Edn::Integer)),
        }
    }

    fn name(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '(' | ')' | '{' | '}' | '"' | ';');
        let length = rest.find(is_end).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | b',' => {}
                b';' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                b'#' if self.text.as_bytes().get(self.at + 1) == Some(&b'_')
                    && self.discarding < DEPTH_MAX =>
                {
                    let (at, line) = (self.at, self.line);
                    self.at += 2;
                    self.discarding += 1;
                    let discarded = self.value();
                    self.discarding -= 1;
                    if discarded.is_err() {
                        (self.at, self.line) = (at, line);
                        return;
                    }
                    continue;
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    /// The byte that comes next.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

fn unescape(raw: &str, line: usize) -> Result<String, ParseError> {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some(same @ ('"' | '\\')) => text.push(same),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                text.push(code.ok_or_else(|| {
                    ParseError::expected(line, "four hexadecimal digits after \\u", format!("{digits:?}"))
                })?);
            }
            other => {
                let found = other.map_or("nothing".to_owned(), |c| format!("{c:?}"));
                return Err(ParseError::expected(line, "one of n t r u \" \\ after a backslash", found));
            }
        }
    }
    Ok(text)
}
