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
};

use clap::Args;
use sim::{
    mutants::{Found, judge},
    store::Pbkv,
};
use testbed::{
    data::{
        exit,
        hash::{TraceHash, stable_hash},
        outcome::RunOptions,
    },
    run,
    system::System,
};

use super::say;

#[derive(Args)]
pub struct Options {
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// The seed before which to give up.
    #[arg(long, value_name = "E")]
    end: u64,
    /// How many runs at once [default: one per core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Only what clients see counts: broken invariants and panics are passed over.
    #[arg(long)]
    clients_alone: bool,
}

impl Options {
    /// How many runs at once.
    pub fn jobs(&self) -> usize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }
}

pub fn seek(options: &Options) -> Result<u8, String> {
    let run_options =
        RunOptions { skip_invariants: options.clients_alone, skip_marks: true, ..RunOptions::default() };
    // Seeds are handed out in order: when one fails, all before it have begun, and are waited for.
    let (next, end) = (AtomicU64::new(options.start), AtomicU64::new(options.end));
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(&Pbkv::draw(seed), &run_options);
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
