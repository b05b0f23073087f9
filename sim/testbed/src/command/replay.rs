//! One run, told in full: of a seed or a plan.

use std::{path::Path, sync::Arc};

use crate::{
    data::{
        exit,
        outcome::{Class, Outcome, RunOptions},
        plan::Plan,
    },
    observer::trace::TraceLine,
    report::{screen, timeline},
    run,
    world::simulated::Simulated,
};

use super::{cause, load, say};

/// `cargo sim replay`.
pub fn replay<S: Simulated>(seed_or_plan: &str, trace: bool, page: Option<&Path>) -> Result<u8, String> {
    let plan: Plan<S> = load(seed_or_plan)?;
    let outcome = told(&plan, trace);
    say(&screen::verdict(&outcome));
    if outcome.class() != Class::Ok {
        say("");
        say(&screen::failure(&plan, &outcome, &format!("replay {seed_or_plan}")));
    }
    if let Some(page) = page {
        cause::draw(&plan, page, &cause::title(seed_or_plan, &outcome))?;
        say(&format!("{:>10}  {}", "report", page.display()));
    }
    let missed = outcome.missed(&plan);
    if outcome.class() == Class::Ok && !missed.is_empty() {
        say("");
        say(&screen::blind(&missed));
        return Ok(exit::MARKS);
    }
    Ok(exit::code(outcome.class()))
}

/// Runs a plan and tells it on the way (the trace) or at its end (the timeline).
pub fn told<S: Simulated>(plan: &Plan<S>, trace: bool) -> Outcome<S> {
    let mut options = RunOptions::default();
    if trace {
        options.trace_sink = Some(Arc::new(|line: &TraceLine| say(&line.to_string())));
        return run(plan, &options);
    }
    let outcome = run(plan, &options);
    for moment in outcome.timeline.iter().filter(|moment| timeline::is_turn(&moment.event)) {
        say(&timeline::line(moment, &outcome));
    }
    outcome
}
