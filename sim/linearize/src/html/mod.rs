//! A drawing of a history and its verdict, for any model: one page that needs nothing else, neither network
//! nor library.
//!
//! Time runs to the right, one lane a process, one bar an operation from its call to its return; a bar that
//! fades out has an unknown outcome. Distances are even from event to event and say nothing about durations,
//! so that a burst is as readable as a pause. A contradiction is what the page opens at: its operations are
//! numbered, their processes come first, and a list names them with file and line and leads to their bars.
//! Above the lanes stands what the object held, in the order in which operations took effect: the witness,
//! or, if there is none, the longest beginning of the history that can be explained. Whatever is pointed at
//! tells its place in that order and the state it left.
//!
//! Zoom with the wheel or `+` and `-`, move by dragging or with the arrow keys.
//!
//! | here | what |
//! | --- | --- |
//! | `data` | gathers what is drawn |
//! | `page.html`, `page.css`, `page.js` | draw it |

mod data;

use std::hash::Hash;

use crate::history::History;
use crate::kv::{Kv, KvHistory};
use crate::model::Model;
use crate::verdict::{Options, Verdict};

/// More operations than this are not drawn: those nearest to the contradiction, or the first ones, stand for
/// all.
pub const OPERATIONS_MAX: usize = 10_000;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How a page names things.
pub struct Labels<'a> {
    /// The file that was read; empty if there is none.
    pub file: &'a str,
    /// The line of an operation.
    pub line: &'a dyn Fn(usize) -> Option<usize>,
    /// A process.
    pub process: &'a dyn Fn(u64) -> String,
    /// A time.
    pub time: &'a dyn Fn(u64) -> String,
    /// The sentence of a contradiction; [`crate::Violation::sentence`] if it is `None`.
    pub sentence: Option<String>,
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Labels {
            file: "",
            line: &|_| None,
            process: &|process| format!("process {process}"),
            time: &|time| time.to_string(),
            sentence: None,
        }
    }
}

/// Draws a key-value history with its verdict.
pub fn page(history: &KvHistory, verdict: &Verdict) -> String {
    draw(&Kv, history, verdict, &Labels::default(), &Options::default())
}

/// Draws a history of any model with its verdict.
///
/// What [`Model::describe`] and [`Model::describe_state`] say is shown; without them operations have numbers
/// and states no names. Of a history that is not linearizable, the longest beginning that can be explained is
/// looked for, within the budget and until the deadline of `options`.
pub fn draw<M>(
    model: &M,
    history: &History<M::Input, M::Output>,
    verdict: &Verdict,
    labels: &Labels<'_>,
    options: &Options,
) -> String
where
    M: Model,
    M::Input: Clone,
    M::Output: Clone,
    M::State: Hash,
{
    let page = data::Page::new(model, history, verdict, labels, options);
    let json = serde_json::to_string(&page).expect("plain data can be written as JSON");
    let mut text = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + json.len());
    // Each placeholder stands once in the page, and only there: what is filled in is not looked at again.
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("placeholders of the page are closed");
        text.push_str(before);
        match name {
            "title" => text.push_str(&escape(&page.title)),
            "style" => text.push_str(STYLE),
            "data" => text.push_str(&in_script(&json)),
            "script" => text.push_str(SCRIPT),
            name => unreachable!("the page has no placeholder {name}"),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// JSON inside a `<script>`: nothing in it may end the element or open a comment. Outside of strings JSON has
/// none of these characters, so they can be replaced wherever they stand.
fn in_script(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => escaped.push(c),
        }
    }
    escaped
}
