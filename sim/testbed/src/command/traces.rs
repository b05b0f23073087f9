//! `cargo sim traces`: one line for each run that the tests know, to be compared with the lines of another
//! build.
//!
//! A change that must not change any run is held against the commit before it: `.ci/traces COMMIT`.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    data::{
        exit,
        hash::{TraceHash, stable_hash},
        outcome::{Outcome, RunOptions},
        plan::Plan,
        saved,
    },
    run,
    system::System,
    world::simulated::Simulated,
};
use clap::Args;

use super::say;

/// The options of `cargo sim traces`.
#[derive(Args)]
pub struct Options {
    /// The seeds 0 to N-1, beside all saved plans and claims.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    seeds: u64,
    /// How many runs at once [default: one per core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
}

/// `named` are runs beside those of seeds and saved plans.
pub fn traces<S: Simulated>(options: &Options, named: Vec<(String, Plan<S>)>) -> Result<u8, String> {
    let mut runs = runs::<S>(options.seeds)?;
    runs.extend(named);
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(vec![String::new(); runs.len()]));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some((name, plan)) = runs.get(place) else { return };
                    let line = line(name, &run(plan, &RunOptions::default()));
                    lines.lock().expect("no panic while locked")[place] = line;
                }
            });
        }
    });
    lines.into_inner().expect("no panic while locked").iter().for_each(|line| say(line));
    Ok(exit::OK)
}

/// The runs of seeds and of saved plans.
fn runs<S: System>(seeds: u64) -> Result<Vec<(String, Plan<S>)>, String> {
    let mut runs: Vec<_> = (0..seeds).map(|seed| (format!("seed {seed}"), S::draw(seed))).collect();
    for saved in saved::list::<S>(&S::regressions()) {
        let saved = saved?;
        runs.push((format!("saved {}", saved.name), saved.plan));
    }
    Ok(runs)
}

/// What must not change: every step, what it was judged to be, what clients saw, and the situations reached.
fn line<S: System>(name: &str, outcome: &Outcome<S>) -> String {
    let stats = &outcome.stats;
    let marks: Vec<String> = stats.marks.keys().map(|mark| mark.name()).collect();
    let marks = TraceHash(stable_hash(&marks));
    let (trace, class) = (outcome.trace_hash, outcome.class());
    let (steps, operations, virtual_ms) = (stats.steps, stats.operations(), stats.virtual_time.as_millis());
    format!("{name}: {trace} {class}, {steps} steps, {operations} operations, {virtual_ms} ms, marks {marks}")
}
