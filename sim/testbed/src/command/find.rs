//! `cargo sim find`: from a mark to a run that reaches it.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use clap::Args;

use crate::{
    data::{
        exit,
        outcome::{Class, RunOptions},
        seed::{Only, Seed},
    },
    draw::narrow,
    marks::Mark,
    report::screen::counted,
    run,
    system::System,
    world::simulated::Simulated,
};

use super::{cause, say};

/// The options of `cargo sim find`.
#[derive(Args)]
pub struct Options<S: System> {
    /// A situation worth reaching; `cargo sim --marks` lists them.
    #[arg(value_name = "MARK", value_parser = cause::mark::<S>)]
    mark: Mark<S>,
    /// Try no more than this many seeds.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    start: u64,
    /// Only plans of this sort, such as clients=2 (see `explore --help`).
    #[arg(long, value_name = "NAME=VALUE,...")]
    only: Option<Only>,
    /// How many runs at once [default: one per core]. Does not change the result.
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    regressions: cause::Regressions,
}

/// `cargo sim find`.
pub fn find<S: Simulated>(options: &Options<S>) -> Result<u8, String> {
    let mark = options.mark;
    options.only.iter().try_for_each(narrow::check::<S>)?;
    for saved in options.regressions.list::<S>().into_iter().flatten() {
        if saved.plan.reaches.contains(&mark) {
            say(&format!("{:>10}  cargo sim replay {}", "regression", cause::shown(&saved.path).display()));
        }
    }
    let (seed, tried) = first(options);
    let tried = counted(tried, "seed", "seeds");
    let Some(seed) = seed.map(|seed| named(seed, options)) else {
        say(&format!("{} is not reached by any of {tried}; --seeds tries more", mark.name()));
        return Ok(exit::MARKS);
    };
    say(&format!("{:>10}  cargo sim replay {seed} --marks  (the first of {tried})", "seed"));
    say(&format!("{:>10}  cargo sim minimise {seed} --reaching {}", "smaller", mark.name()));
    Ok(exit::OK)
}

fn named<S: System>(number: u64, options: &Options<S>) -> Seed {
    Seed { number, only: options.only.clone().unwrap_or_default() }
}

/// The first seed that ends well and reaches the mark, and how many were tried up to it.
fn first<S: Simulated>(options: &Options<S>) -> (Option<u64>, u64) {
    let run_options = RunOptions { skip_judgement: true, ..RunOptions::default() };
    let all = options.start.saturating_add(options.seeds);
    // Seeds are handed out in order: when one reaches it, all before it have begun, and are waited for.
    let (next, end) = (AtomicU64::new(options.start), AtomicU64::new(all));
    let reached = Mutex::new(Vec::new());
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let one = |next| (next < end.load(Ordering::Relaxed)).then(|| next + 1);
                    let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one) else {
                        return;
                    };
                    let plan = narrow::plan::<S>(&named(seed, options));
                    let outcome = run(&plan.unwrap_or_else(|why| panic!("{why}")), &run_options);
                    if outcome.class() == Class::Ok && outcome.stats.marks.contains_key(&options.mark) {
                        end.fetch_min(seed, Ordering::Relaxed);
                        reached.lock().expect("no panic while locked").push(seed);
                    }
                }
            });
        }
    });
    let first = reached.into_inner().expect("no panic while locked").into_iter().min();
    (first, first.map_or(all, |seed| seed + 1) - options.start)
}
