//! Checks the promise that everything else rests on: a seed is one run, the same in every process.
//!
//! Two executions keep the values of their hash chains ([`crate::observer::chain`]). One comparison shows
//! that they are equal; if not, bisection finds the first difference, and both are run again with lines about
//! the steps around it. A source of chance need not strike twice at the same place: that is tried a few
//! times, and what was seen the first time is told in any case.
//!
//! A third execution comes after another run in its process. If only that one differs, something outlives a
//! run: a static, a thread-local, a cache.

mod side;

use crate::{
    data::{chance::Chance, exit, outcome::Outcome, seed::Seed},
    explore::{Kind, Report, tally::Recheck},
    observer::chain,
    system::System,
    world::simulated::Simulated,
};

use self::side::{Asked, Side, There};
pub use self::side::{Execution, answer};
use super::{load, say};

/// Steps on either side of a difference in which it is looked for again, as lines.
const CONTEXT_STEPS: u64 = 32;
/// Lines of either side that are shown.
const LINES_MAX: usize = 12;
/// Bytes of a line that are shown.
const LINE_BYTES_MAX: usize = 400;
/// What is run before a run to see whether it leaves something behind: the first, or the second for the
/// first.
const BEFORE: (&str, &str) = ("0", "1");
/// How often a run is made again to see the difference in words.
const ATTEMPTS_MAX: u32 = 5;

/// Makes each run in two processes at once and compares them; and in a third process, after another run.
///
/// # Errors
///
/// A run that is not usable, and what to do.
pub fn doctor<S: Simulated>(runs: &[String], plant_chance: Option<Chance>) -> Result<u8, String> {
    let mut code = exit::OK;
    for run in runs {
        // A plan that is not usable is refused here, with its reason.
        load::<S>(run)?;
        let execution = Execution { judge: true, ..Execution::new(run.clone(), 1, plant_chance) };
        let (mut first, mut second) = (There::start(&execution)?, There::start(&execution)?);
        if let Some(difference) = compare(&mut first, &mut second)? {
            code = exit::NOT_DETERMINISTIC;
            say(&format!("{}: NOT DETERMINISTIC, {}", name(run), difference.words()));
            in_words((&execution, &execution), difference)?.iter().for_each(|line| say(line));
            continue;
        }
        drop(second);
        let before = if run == BEFORE.0 { BEFORE.1 } else { BEFORE.0 };
        let after = Execution { after: Some(before.into()), ..execution.clone() };
        let mut third = There::start(&after)?;
        if let Some(difference) = compare(&mut first, &mut third)? {
            code = exit::NOT_DETERMINISTIC;
            let what = "by what a run before it left in its process";
            say(&format!("{}: NOT DETERMINISTIC {what}, {}", name(run), difference.words()));
            in_words((&execution, &after), difference)?.iter().for_each(|line| say(line));
            say(&row("so", "look for statics, thread-locals and caches that outlive a run"));
            continue;
        }
        let end = first.end()?;
        say(&format!("{}: {} steps, three times the same", name(run), end.steps));
        end.verdict.iter().for_each(|line| say(&format!("      {line}")));
    }
    Ok(code)
}

/// Compares an execution that was made here with one in another process.
pub fn recheck<S: System>(execution: &Execution, outcome: &mut Outcome<S>) -> Result<Recheck, String> {
    let mut here = Side::here(outcome)?;
    let mut there = There::start(execution)?;
    let difference = compare(&mut here, &mut there)?;
    drop(there);
    rechecked(execution, difference)
}

/// Makes a run in a process of its own, and says what an exploration wants to know of it; if `is_rechecked`,
/// it is made in two and compared.
///
/// # Errors
///
/// If a process cannot be started, or ends early.
pub fn isolated<S: System>(execution: &Execution, is_rechecked: bool) -> Result<Report<S>, String> {
    let mut first = There::start(execution)?;
    let mut report = first.report()?;
    if is_rechecked {
        let mut second = There::start(execution)?;
        let difference = compare(&mut first, &mut second)?;
        drop((first, second));
        report = Report { recheck: Some(rechecked(execution, difference)?), ..report };
    }
    Ok(report)
}

fn rechecked(execution: &Execution, difference: Option<Difference>) -> Result<Recheck, String> {
    let Some(difference) = difference else { return Ok(Recheck::Same) };
    let kind = Kind::not_deterministic(&difference.parts[0], difference.step_name());
    let mut detail = vec![format!("{:>10}  {}", "seen", difference.words())];
    let execution = Execution { digest_interval: 1, ..execution.clone() };
    detail.extend(in_words((&execution, &execution), difference)?);
    detail.push(row("doctor", &format!("cargo sim doctor {} compares three processes", execution.run)));
    Ok(Recheck::Differs { kind, detail })
}

fn name(run: &str) -> String {
    if run.parse::<Seed>().is_ok() { format!("seed {run}") } else { run.into() }
}

/// Where two executions differ first.
struct Difference {
    step: u64,
    steps: (u64, u64),
    first: Option<chain::Glance>,
    second: Option<chain::Glance>,
    /// In which parts, the one that tells most first.
    parts: Vec<String>,
}

impl Difference {
    fn step_name(&self) -> String {
        let names =
            [&self.first, &self.second].map(|glance| glance.as_ref().map(|glance| glance.name.as_str()));
        match names {
            [Some(first), Some(second)] if first != second => format!("{first} or {second}"),
            [Some(name), _] | [_, Some(name)] => name.into(),
            [None, None] => "the end".into(),
        }
    }

    fn words(&self) -> String {
        let at = self.first.as_ref().or(self.second.as_ref());
        let at = at.map_or_else(String::new, |glance| {
            format!(" at {:.9} of {}", glance.at.as_secs_f64(), glance.node)
        });
        let (first, second) = self.steps;
        let of = if first == second { first.to_string() } else { format!("{first} and {second}") };
        format!("first in step {} of {of}{at} ({}): {}", self.step, self.step_name(), self.parts.join(", "))
    }
}

fn compare(first: &mut dyn Asked, second: &mut dyn Asked) -> Result<Option<Difference>, String> {
    let ends = (first.end()?, second.end()?);
    let steps = (ends.0.steps, ends.1.steps);
    let step = chain::first_difference(steps, |step| first.value(step), |step| second.value(step))?;
    let Some(step) = step else {
        if ends.0 == ends.1 {
            return Ok(None);
        }
        let (one, other) = (ends.0.verdict.join("; "), ends.1.verdict.join("; "));
        let parts = vec![format!("not in any step, but in how it ended: {one} / {other}")];
        return Ok(Some(Difference { step: steps.0, steps, first: None, second: None, parts }));
    };
    let (one, other) = (first.glance(step)?, second.glance(step)?);
    let parts = match (&one, &other) {
        (Some(one), Some(other)) => one.differs(other).into_iter().map(String::from).collect(),
        _ => vec!["one of them has ended".into()],
    };
    Ok(Some(Difference { step, steps, first: one, second: other, parts }))
}

/// What both did around a difference, from further executions in which it shows itself again.
fn in_words(of: (&Execution, &Execution), mut seen: Difference) -> Result<Vec<String>, String> {
    for _ in 0..ATTEMPTS_MAX {
        let window = (seen.step.saturating_sub(CONTEXT_STEPS), seen.step + CONTEXT_STEPS);
        let within = |of: &Execution| Execution { from: window.0, to: window.1, ..of.clone() };
        let (mut first, mut second) = (There::start(&within(of.0))?, There::start(&within(of.1))?);
        let Some(again) = compare(&mut first, &mut second)? else { continue };
        if again.step < window.0 || again.step >= window.1 {
            seen = again;
            continue;
        }
        let mut rows = Vec::new();
        if again.words() != seen.words() {
            rows.push(row("again", &again.words()));
        }
        let (first, second) = (first.lines()?, second.lines()?);
        let before = first.iter().filter(|(step, _)| *step < again.step);
        let before: Vec<&String> = before.map(|(_, line)| line).collect();
        rows.extend(before.iter().rev().take(LINES_MAX).rev().map(|line| row("both", line)));
        for (label, lines) in [("first", first), ("second", second)] {
            let at = lines.iter().filter(|(step, _)| *step == again.step);
            rows.extend(at.take(LINES_MAX).map(|(_, line)| row(label, line)));
        }
        rows.push(row("replay", &format!("cargo sim replay {} --trace", of.0.run)));
        return Ok(rows);
    }
    Ok(vec![row("again", &format!("made {ATTEMPTS_MAX} times more, it did not differ at one place again"))])
}

fn row(label: &str, line: &str) -> String {
    let mut end = line.len().min(LINE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < line.len() { " ..." } else { "" };
    format!("{label:>10}  {}{cut}", &line[..end])
}
