//! `cargo sim seek`: the first seed that fails, for whoever tries mutants.
//!
//! Like an exploration of so many seeds, but it ends at the first one that fails as asked and says no more
//! than that, as JSON. The answer depends on the seeds alone, not on the number of cores.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use sim::{
    data::{
        exit,
        hash::{TraceHash, stable_hash},
        outcome::RunOptions,
    },
    generate::generate,
    mutants::{Found, FoundByWalks, judge},
    run,
    walk::{self, cluster},
};

use super::{exhaust, say};

#[derive(Args)]
pub struct Options {
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// The seed before which to give up.
    #[arg(long, value_name = "E")]
    end: u64,
    /// How many runs at once [default: one a core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Only what clients see counts: broken invariants and panics are passed over.
    #[arg(long)]
    clients_alone: bool,
    /// Make walks instead, for so many seconds.
    #[arg(long, value_name = "S")]
    walk_seconds: Option<u64>,
    /// Look at all states of small clusters instead, for so many seconds.
    #[arg(long, value_name = "S")]
    exhaust_seconds: Option<u64>,
}

pub fn seek(options: &Options) -> Result<u8, String> {
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    if let Some(seconds) = options.walk_seconds {
        return seek_by_walks(jobs, Duration::from_secs(seconds));
    }
    if let Some(seconds) = options.exhaust_seconds {
        return exhaust::seek(Duration::from_secs(seconds));
    }
    let run_options =
        RunOptions { skip_invariants: options.clients_alone, skip_marks: true, ..RunOptions::default() };
    // Seeds are handed out in order: when one fails, all before it have begun, and are waited for.
    let (next, end) = (AtomicU64::new(options.start), AtomicU64::new(options.end));
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(&generate(seed), &run_options);
                    let judge = judge(&outcome, options.clients_alone);
                    if judge.is_some() {
                        end.fetch_min(seed, Ordering::Relaxed);
                    }
                    ended.lock().expect("no panic while locked").push((
                        seed,
                        judge,
                        outcome.stats.virtual_time,
                        outcome.trace_hash,
                    ));
                }
            });
        }
    });
    let mut ended = ended.into_inner().expect("no panic while locked");
    ended.sort_unstable();
    let first = ended.iter().position(|(_, judge, ..)| judge.is_some());
    ended.truncate(first.map_or(ended.len(), |place| place + 1));
    let virtual_s = ended.iter().map(|(_, _, time, _)| time.as_secs_f64()).sum();
    let traces: Vec<TraceHash> = ended.iter().map(|(.., trace)| *trace).collect();
    let traces = TraceHash(stable_hash(&traces)).to_string();
    let last = ended.pop().filter(|_| first.is_some());
    let found = Found { failed: last.and_then(|(seed, judge, ..)| Some((seed, judge?))), virtual_s, traces };
    say(&serde_json::to_string(&found).map_err(|error| format!("cannot print what was found: {error}"))?);
    Ok(exit::OK)
}

/// Walks in the order of their seeds, until one fails or time is over.
fn seek_by_walks(jobs: usize, time_max: Duration) -> Result<u8, String> {
    let began = Instant::now();
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while began.elapsed() < time_max {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Some(judge) = judge(&cluster::outcome(&walk::of(seed)), false) {
                        end.fetch_min(seed, Ordering::Relaxed);
                        failed.lock().expect("no panic while locked").push((seed, judge));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic while locked").into_iter().min();
    let walks = failed.as_ref().map_or(next.into_inner(), |(seed, _)| seed + 1);
    let found = FoundByWalks { failed, walks, wall_s: began.elapsed().as_secs_f64() };
    say(&serde_json::to_string(&found).map_err(|error| format!("cannot print what was found: {error}"))?);
    Ok(exit::OK)
}
