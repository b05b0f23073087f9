//! A run as one page: a picture on a single axis of time that explains a failure.
//!
//! The page is one file without any other: data, style and script are inside, nothing is fetched, and it
//! opens from disk. Top to bottom: what went wrong in words; the whole run as a strip; then, on one axis of
//! time, the faults, the eras of the system, each process with its state, each client with its operations,
//! messages between them as arrows, and for each key the order in which its operations took effect
//! ([`history`]), or, if there is none, the longest one and the operations that contradict each other.
//!
//! This module only gathers and escapes. What is drawn, and how, is in `page.html`, `page.css` and the `*.js`
//! files beside this one: written by hand, without libraries. What is left out: values longer than
//! [`data::TEXT_MAX`] are cut in the picture, and messages beyond
//! [`crate::observer::messages::MESSAGES_MAX`] are missing, which the page says.

pub mod chrome;
pub mod data;
mod explain;
pub mod history;
mod lanes;
pub mod shiviz;

use crate::{
    data::{outcome::Outcome, plan::Plan},
    system::System,
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 3] = [include_str!("page.js"), include_str!("chart.js"), include_str!("panels.js")];

/// The page about a run. For messages as arrows, the outcome must be that of a run that kept them
/// ([`crate::data::outcome::RunOptions::keep_messages`]).
pub fn render<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, title: &str) -> String {
    let data = data::Page::new(plan, outcome, title);
    let json = serde_json::to_string(&data).expect("plain data can be written as JSON");
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + json.len() + (1 << 16));
    // Each placeholder stands once in the page, and only there: what is filled in is not looked at again.
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("placeholders of the page are closed");
        page.push_str(before);
        match name {
            "title" => page.push_str(&html(title)),
            "style" => page.push_str(STYLE),
            "data" => page.push_str(&in_script(&json)),
            "script" => SCRIPTS.iter().for_each(|script| page.push_str(script)),
            name => unreachable!("the page has no placeholder {name}"),
        }
        rest = after;
    }
    page.push_str(rest);
    page
}

/// Text as HTML.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// JSON inside a `<script>`: nothing in it may end the element or open a comment. Outside of strings JSON has
/// none of these characters, so they can be replaced wherever they stand.
fn in_script(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
