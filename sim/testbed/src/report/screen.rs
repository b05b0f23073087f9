//! A failure on one screen: what was promised, what was seen, the smallest evidence, and the commands that
//! show it again.

use std::{cmp::Reverse, collections::BTreeSet, fmt::Write, time::Duration};

use bytes::Bytes;

use crate::{
    data::{
        outcome::{Class, End, Moment, Operation, Outcome, Verdict},
        plan::Plan,
    },
    judges::signature::{Signature, without_numbers},
    marks::Mark,
    report::timeline::{is_turn, line, time},
    system::{Numbers, Promise, Setup, System},
};

/// Lines of evidence on a screen, at most.
const EVIDENCE_MAX: usize = 14;
/// Moments before the failure on a screen, at most.
const MOMENTS_MAX: usize = 12;
/// Characters of a value or a message on one line, at most.
const TEXT_MAX: usize = 100;
/// Characters of the sentence about a contradiction, at most.
const SENTENCE_MAX: usize = 500;

/// What a run was asked to show again by: `replay 42`, `replay plan.toml`, `plan NAME --seed 3`.
pub type Again = str;

/// One line for a failure: what kind, and what is its cause as far as a line can say. Failures with the
/// same text are one finding.
pub fn headline<S: System>(outcome: &Outcome<S>) -> String {
    match outcome.class() {
        Class::Safety => match (&outcome.violations.first(), &outcome.verdict) {
            (Some(violation), _) => format!("safety: broken invariant {}", violation.invariant),
            (None, _) => "safety: the history is not linearizable".into(),
        },
        Class::Panic => {
            let message = outcome.panic.as_ref().map_or("", |panic| panic.message.as_str());
            format!("panic: {}", short(&without_numbers(message.lines().next().unwrap_or(""))))
        }
        Class::Liveness => "liveness: not everything ended after the heal".into(),
        Class::Health => Signature::of(outcome).map_or_else(String::new, |signature| signature.to_string()),
        Class::Undecided => "undecided: the judge gave up".into(),
        Class::Ok => "all well".into(),
    }
}

/// One failure, on one screen.
pub fn failure<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, again: &Again) -> String {
    let mut text = String::new();
    let mut row = |label: &str, line: &str| {
        let _ = writeln!(text, "{label:>10}  {line}");
    };
    row(&outcome.class().to_string().to_uppercase(), &format!("{} (cargo sim {again})", headline(outcome)));
    row("promised", promise(outcome.class(), outcome));
    let (seen, evidence, end) = evidence(outcome);
    row("seen", &seen);
    let skipped = evidence.len().saturating_sub(EVIDENCE_MAX);
    for line in evidence.iter().take(EVIDENCE_MAX) {
        row("", line);
    }
    if skipped > 0 {
        row("", &format!("... and {skipped} more"));
    }
    let before: Vec<&Moment<S>> =
        outcome.timeline.iter().filter(|moment| moment.at <= end && is_turn(&moment.event)).collect();
    for (place, moment) in before[before.len().saturating_sub(MOMENTS_MAX)..].iter().enumerate() {
        row(if place == 0 { "before" } else { "" }, &line(moment, outcome));
    }
    for excuse in &outcome.excused {
        row("excused", excuse);
    }
    row("cluster", &cluster(plan));
    row("replay", &format!("cargo sim {again}"));
    row("steps", &format!("cargo sim {again} --trace"));
    if let Some(seed) = again.strip_prefix("replay ").filter(|seed| seed.parse::<u64>().is_ok()) {
        row(
            "plan",
            &format!("cargo sim plan {seed} > {seed}.toml   # edit it, then: cargo sim replay {seed}.toml"),
        );
    }
    text
}

/// A plan that passes, but no longer reaches what it was made for.
pub fn blind<S: System>(missed: &[Mark<S>]) -> String {
    let mut text = format!("{:>10}  the plan no longer reaches what it was made for\n", "BLIND");
    for mark in missed {
        let _ = writeln!(text, "{:>10}  {}: {}", "never", mark.name(), mark.about());
    }
    let _ = write!(
        text,
        "{:>10}  change its times until it does; or, if the protocol cannot get there any more, its `reaches`",
        "so"
    );
    text
}

/// A plan that passes, but of whose faults some never struck: by their places, and why.
pub fn idle<S: System>(plan: &Plan<S>, idle: &[(usize, String)]) -> String {
    let faults = counted(plan.faults.len() as u64, "fault", "faults");
    let mut text =
        format!("{:>10}  {} of {faults} never struck: this run shows nothing about it", "IDLE", idle.len());
    for (fault, why) in idle {
        let word = plan.faults[*fault].kind.word();
        let _ = write!(text, "\n{:>10}  fault {fault} ({word}): {why}", "never");
    }
    let _ = write!(text, "\n{:>10}  change what it strikes, or when; or take it out of the plan", "so");
    text
}

fn promise<S: System>(class: Class, outcome: &Outcome<S>) -> &'static str {
    match class {
        Class::Safety if !outcome.violations.is_empty() => {
            "an invariant of the protocol holds after every step"
        }
        Class::Safety => "each operation takes effect once, at one moment between its call and its return",
        Class::Panic => "no process ever panics",
        Class::Liveness => {
            "after all faults are healed, every operation ends well and the cluster comes to rest"
        }
        Class::Health => outcome.unhealthy.as_ref().map_or("", |unhealthy| unhealthy.promise.promised()),
        Class::Undecided => "every history is judged: nothing passes unseen",
        Class::Ok => "everything",
    }
}

/// What was seen, the evidence for it, and when it was complete.
fn evidence<S: System>(outcome: &Outcome<S>) -> (String, Vec<String>, Duration) {
    if let Some(violation) = outcome.violations.first() {
        let mut lines = violation.message.lines().map(short);
        let seen =
            format!("{} at {}: {}", time(violation.at), violation.node, lines.next().unwrap_or_default());
        return (seen, lines.collect(), violation.at);
    }
    if let Verdict::Violation(contradiction) = &outcome.verdict {
        let essential: BTreeSet<usize> = contradiction.operations.iter().copied().collect();
        let support = contradiction.support.iter().copied().collect::<BTreeSet<usize>>();
        let mut lines: Vec<String> = essential.iter().map(|at| operation(&outcome.operations[*at])).collect();
        lines.extend(
            support
                .difference(&essential)
                .map(|at| format!("{} (wrote)", operation(&outcome.operations[*at]))),
        );
        let ends = essential.iter().filter_map(|at| outcome.operations[*at].end.at());
        let end = ends.max().unwrap_or(outcome.stats.virtual_time);
        return (cut(&contradiction.sentence, SENTENCE_MAX), lines, end);
    }
    if let Some(panic) = &outcome.panic {
        let mut lines = panic.message.lines().map(short);
        let seen = format!("{} at {}: {}", time(panic.at), panic.node, lines.next().unwrap_or_default());
        return (seen, lines.collect(), panic.at);
    }
    if let Some(stall) = &outcome.stall {
        let lines = stall.waiting.iter().chain(&stall.cluster).map(|line| short(line)).collect();
        return (format!("at {} still waiting:", time(stall.at)), lines, stall.at);
    }
    if let Some(unhealthy) = &outcome.unhealthy {
        return (format!("{}: {}", time(unhealthy.at), short(&unhealthy.seen)), Vec::new(), unhealthy.at);
    }
    if let Verdict::Undecided(why) = &outcome.verdict {
        return (short(why), Vec::new(), outcome.stats.virtual_time);
    }
    ("nothing wrong".into(), Vec::new(), outcome.stats.virtual_time)
}

/// One summary line of a finished run.
pub fn verdict<S: System>(outcome: &Outcome<S>) -> String {
    let stats = &outcome.stats;
    let mut text = String::new();
    for excuse in &outcome.excused {
        let _ = writeln!(text, "{excuse}");
    }
    for line in stats.own.lines(stats.virtual_time) {
        let _ = writeln!(text, "{line}");
    }
    let own = stats.own.counts();
    let own: String = own.into_iter().map(|(one, many, count)| counted(count, one, many) + ", ").collect();
    let _ = write!(
        text,
        "{}: {:.3} s virtual, {} ({} answered, {} unknown, {} not executed), {own}trace {}",
        headline(outcome),
        stats.virtual_time.as_secs_f64(),
        counted(stats.operations(), "operation", "operations"),
        stats.returned,
        stats.unknown,
        stats.not_executed,
        outcome.trace_hash,
    );
    text
}

/// Faults by kind, the most frequent first.
pub fn faults<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut kinds: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    kinds.sort_by_key(|(name, count)| (Reverse(*count), *name));
    if kinds.is_empty() {
        return "no faults".into();
    }
    kinds.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// A number and what it counts: `1 tick`, `2 ticks`.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn cluster<S: System>(plan: &Plan<S>) -> String {
    format!(
        "{}, {}, {} planned in {:.1} s",
        plan.cluster.summary(),
        counted(plan.clients.len() as u64, "client", "clients"),
        counted(plan.faults.len() as u64, "fault", "faults"),
        plan.faults_ms as f64 / 1000.0,
    )
}

/// An operation as a line.
pub fn operation<S: System>(operation: &Operation<S>) -> String {
    let until = operation.end.at().map_or_else(|| "never".into(), time);
    format!("{} .. {until} {:<4} {}", time(operation.called), operation.client, call(operation))
}

/// What an operation asked, and how it ended.
pub fn call<S: System>(operation: &Operation<S>) -> String {
    let end = match &operation.end {
        End::Open => "open".to_string(),
        End::Returned { output, .. } => S::told(output),
        End::Unknown { why, .. } => format!("unknown ({})", short(why)),
        End::NotExecuted { why, .. } => format!("not executed ({})", short(reason(why))),
    };
    format!("{} -> {end}", S::asked(operation))
}

/// Why an operation was not executed, if its client says that it was not before it says why.
pub fn reason(why: &str) -> &str {
    why.strip_prefix("not executed: ").unwrap_or(why)
}

/// A value that may be absent, as [`bytes()`].
pub fn optional(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "(absent)".into(), bytes)
}

/// The end of a long value tells more than its beginning: appends grow there.
pub fn bytes(value: &Bytes) -> String {
    let text = value.escape_ascii().to_string();
    if text.len() <= TEXT_MAX {
        return format!("{text:?}").replace("\\\\", "\\");
    }
    format!("\"...{}\" ({} bytes)", &text[text.len() - TEXT_MAX / 2..], value.len())
}

/// A text that fits a line or two.
pub(crate) fn short(text: &str) -> String {
    cut(text, 2 * TEXT_MAX)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use linearizability::kv::{Input, Output};

    use super::*;
    use crate::{
        data::outcome::{Contradiction, Happening, Panic, Stall, Unhealthy, Violation},
        system::toy::{self, Quiet, Toy},
    };

    type Outcome = crate::data::outcome::Outcome<Toy>;
    type Operation = crate::data::outcome::Operation<Toy>;

    const LINES_MAX: usize = 40;

    fn operation(client: &str, called: u64, input: Input, output: Output) -> Operation {
        let end = End::Returned { at: Duration::from_millis(called + 5), output };
        Operation { end, ..Operation::called(Arc::from(client), Duration::from_millis(called), input) }
    }

    fn failures() -> Vec<(Outcome, &'static str, &'static str)> {
        let key = Bytes::from_static(b"hot0");
        let at = Duration::from_millis(1_500);
        let stale = Outcome {
            operations: vec![
                operation("c1", 10, Input::Put { key: key.clone(), value: "new".into() }, Output::Done),
                operation("c2", 20, Input::Get { key: key.clone() }, Output::Value(None)),
            ],
            verdict: Verdict::Violation(Contradiction {
                key,
                operations: vec![0, 1],
                support: vec![],
                sentence: "a Get missed a Put that had returned".into(),
            }),
            timeline: (0..100)
                .map(|n| Moment {
                    at: Duration::from_millis(n),
                    node: Arc::from("sim"),
                    event: Happening::Healed,
                })
                .collect(),
            ..Outcome::default()
        };
        let broken = Violation {
            at,
            node: Arc::from("s1"),
            invariant: "I4".into(),
            message: "op7 is gone\nlog: 1..6".into(),
        };
        let panic = Panic { at, node: Arc::from("s2"), message: "index 17 of 3\nat src/x.rs:1".into() };
        let stall = Stall { at, waiting: (0..50).map(|n| format!("c{n} waits")).collect(), cluster: vec![] };
        vec![
            (stale, "get \"hot0\" -> (absent)", "SAFETY"),
            (Outcome { violations: vec![broken], ..Outcome::default() }, "op7 is gone", "SAFETY"),
            (Outcome { panic: Some(panic), ..Outcome::default() }, "index 17 of 3", "PANIC"),
            (Outcome { stall: Some(stall), ..Outcome::default() }, "c0 waits", "LIVENESS"),
            (
                Outcome {
                    unhealthy: Some(Unhealthy { at, promise: Quiet, seen: "1 of 2 copies".into() }),
                    ..Outcome::default()
                },
                "1 of 2 copies",
                "HEALTH",
            ),
            (
                Outcome { verdict: Verdict::Undecided("too much".into()), ..Outcome::default() },
                "too much",
                "UNDECIDED",
            ),
        ]
    }

    #[test]
    fn a_failure_is_one_screen_with_promise_evidence_and_command() {
        for (outcome, evidence, class) in failures() {
            let text = failure(&toy::plan(), &outcome, "replay 7");
            for part in
                [evidence, class, "promised", "seen", "cargo sim replay 7\n", "cargo sim plan 7 > 7.toml"]
            {
                assert!(text.contains(part), "no {part:?} in:\n{text}");
            }
            assert!(text.lines().count() <= LINES_MAX, "{} lines:\n{text}", text.lines().count());
        }
    }

    #[test]
    fn failures_of_the_same_kind_share_their_headline_and_others_do_not() {
        let headlines: BTreeSet<String> = failures().iter().map(|(outcome, ..)| headline(outcome)).collect();
        assert_eq!(headlines.len(), 6);
        let panic = |message: &str| Outcome {
            panic: Some(Panic { at: Duration::ZERO, node: Arc::from("s1"), message: message.into() }),
            ..Outcome::default()
        };
        assert_eq!(headline(&panic("index 17 of 3")), headline(&panic("index 4 of 12")));
        assert_ne!(headline(&panic("index 17 of 3")), headline(&panic("no entry 17")));
    }

    #[test]
    fn long_values_show_their_end() {
        let value = Bytes::from("x".repeat(500) + "the end");
        let text = bytes(&value);
        assert!(
            text.contains("the end") && text.contains("507 bytes") && text.len() < 2 * TEXT_MAX,
            "{text}"
        );
    }
}
