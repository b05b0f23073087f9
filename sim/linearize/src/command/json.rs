//! A verdict as one JSON object.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::{Judged, Judgement, Shown};
use crate::{Limit, Undecided, Verdict, Violation};

/// What `--json` prints for a file.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(flatten)]
    facts: Facts<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Facts<'a> {
    Refused { verdict: &'static str, line: Option<usize>, problem: &'a str },
    Judged(Box<JudgedFacts>),
}

#[derive(Serialize)]
struct JudgedFacts {
    verdict: &'static str,
    format: String,
    model: String,
    operations: usize,
    /// Operations of unknown outcome.
    unknown: usize,
    lines: usize,
    /// Events, or whole operations.
    read: usize,
    skipped: Vec<Skipped>,
    parse_ms: f64,
    check_ms: f64,
    #[serde(flatten)]
    behind: Option<Behind>,
}

/// What was not read.
#[derive(Serialize)]
struct Skipped {
    reason: String,
    count: usize,
    first_line: usize,
}

/// What lies behind a verdict that is not "linearizable".
#[derive(Serialize)]
#[serde(untagged)]
enum Behind {
    Violation {
        key: String,
        sentence: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        contradiction: Vec<Named>,
        support: Vec<Named>,
    },
    Undecided {
        limit: &'static str,
        key: String,
        keys: usize,
        configurations: u64,
        bytes: u64,
        /// About the longest order found, as indexes of operations, and how many there are on that key.
        order: Vec<usize>,
        key_operations: usize,
        open: Vec<Named>,
    },
}

/// An operation. Without `ret` its outcome is unknown.
#[derive(Serialize)]
struct Named {
    operation: usize,
    /// None for what a key begins with.
    line: Option<usize>,
    process: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    call: Value,
    ret: Option<Value>,
    text: String,
}

pub(super) fn json(judged: &Judged, page: Option<&Path>) -> String {
    let facts = match &judged.result {
        Err(refusal) => {
            Facts::Refused { verdict: refusal.verdict, line: refusal.line, problem: &refusal.problem }
        }
        Ok(judgement) => Facts::Judged(Box::new(facts(judgement))),
    };
    let html = page.map(|page| page.display().to_string());
    let line = Line { file: &judged.name, html, facts };
    serde_json::to_string(&line).expect("names, numbers and lists are JSON")
}

fn facts(judgement: &Judgement) -> JudgedFacts {
    let Judgement { file, verdict, parsing, checking, .. } = judgement;
    let summary = &file.origin.summary;
    let named = |indexes: &[usize]| indexes.iter().map(|&index| named(judgement, index)).collect();
    let shown = |key: &[u8]| key.escape_ascii().to_string();
    let skipped = summary.skipped.iter().map(|(reason, &(count, first_line))| Skipped {
        reason: reason.clone(),
        count,
        first_line,
    });
    let (word, behind) = match verdict {
        Verdict::Linearizable { .. } => ("linearizable", None),
        Verdict::Violation(violation @ Violation { key, operations, support, .. }) => {
            let sentence = judgement.sentence(violation);
            let (contradiction, support) = (named(operations), named(support));
            (
                "violation",
                Some(Behind::Violation {
                    key: shown(key),
                    sentence,
                    hint: judgement.hint.clone(),
                    contradiction,
                    support,
                }),
            )
        }
        Verdict::Undecided(Undecided {
            key,
            open,
            configurations,
            bytes,
            keys,
            limit,
            order,
            operations,
        }) => {
            let limit = match limit {
                Limit::Configurations => "configurations",
                Limit::Bytes => "memory",
                Limit::Deadline => "seconds",
                Limit::Cancelled => "interrupted",
            };
            let behind = Behind::Undecided {
                limit,
                key: shown(key),
                keys: *keys,
                configurations: *configurations,
                bytes: *bytes,
                order: order.clone(),
                key_operations: *operations,
                open: named(open),
            };
            ("undecided", Some(behind))
        }
    };
    JudgedFacts {
        verdict: word,
        format: file.format.to_string(),
        model: file.model.to_string(),
        operations: judgement.operations(),
        unknown: judgement.unknown(),
        lines: summary.lines,
        read: summary.read,
        skipped: skipped.collect(),
        parse_ms: parsing.as_secs_f64() * 1e3,
        check_ms: checking.as_secs_f64() * 1e3,
        behind,
    }
}

fn named(judgement: &Judgement, index: usize) -> Named {
    let Shown { line, process, name, call, ret, text } = judgement.shown(index);
    // A date, and what is no whole number, stays as it is written.
    let time =
        |time: String| time.parse().map_or_else(|_| Value::from(&*time), |time: u64| Value::from(time));
    Named { operation: index, line, process, name, call: time(call), ret: ret.map(time), text }
}
