//! What an exploration is told.

use std::{num::NonZeroUsize, ops::Range, path::PathBuf, thread, time::Duration};

use crate::{
    command::{cause, span::span},
    data::{chance::Chance, seed::Only},
    explore::Shard,
    system::System,
};
use clap::Args;

/// Seeds of an exploration that is told neither a number nor a time: about half a minute on two cores.
const SEEDS_DEFAULT: u64 = 1_000;

/// The options of `cargo sim explore`.
#[derive(Args, Clone)]
pub struct Options {
    /// How many seeds [default: 1000, unlimited with --time, --minutes or --hours].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..u64::MAX))]
    pub start: u64,
    /// Only the seeds whose remainder by N is I: together, the shards 0/N to N-1/N make every seed once.
    #[arg(long, value_name = "I/N", default_value_t)]
    pub shard: Shard,
    /// Only plans of this sort, such as clients=2,faults=crash+partition.
    ///
    /// NAME=VALUE, or NAME=VALUE+VALUE for one of several, separated by commas. `clients` is how many there
    /// are, and every field that `plan 1` shows under [cluster] is a name, too: plans in which it differs are
    /// not made. `faults` are kinds as in plans, or none, and `ops` verbs as in scripts: others are taken out
    /// of plans. A run is then called by its seed and this: `replay 42,clients=2,faults=crash+partition`.
    #[arg(long, value_name = "NAME=VALUE,...", verbatim_doc_comment)]
    pub only: Option<Only>,
    /// How many runs at once [default: one per core].
    #[arg(long, value_name = "J")]
    pub jobs: Option<NonZeroUsize>,
    /// Start no further run after this time, such as 90s or 8h.
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with_all = ["minutes", "hours"])]
    time: Option<Duration>,
    /// The same in minutes.
    #[arg(long, value_name = "M", value_parser = positive, conflicts_with = "hours")]
    pub minutes: Option<f64>,
    /// The same in hours.
    #[arg(long, value_name = "H", value_parser = positive)]
    pub hours: Option<f64>,
    /// Keep sums, findings and which seeds are done in this folder, and go on from what it holds.
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// Begin again in the folder of --state, with the findings it holds.
    #[arg(long, requires = "state")]
    pub restart: bool,
    /// Go to the seeds at once, without the regressions and the findings of an earlier exploration.
    #[arg(long)]
    pub no_regressions: bool,
    /// What is run before any seed.
    #[command(flatten)]
    pub regressions: cause::Regressions,
    /// Report a run that takes more than this wall time, and go on without it.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = span)]
    pub run_time_max: Duration,
    /// Write the outcome of each run into this file: one JSON object per line, as they end.
    ///
    /// That is not the order of the seeds. An exploration that goes on from a state adds to the file; runs
    /// that it makes again, because the one before was killed, have two lines, which are equal. Fields: seed
    /// (and only, if it is narrowed) or plan, trace (the hash), class (ok, safety, panic, liveness, health,
    /// undecided), headline (how it failed, or null), virtual_ms, operations, of which unknown and
    /// not_executed, messages, steps, what the system counts, faults (how many of each kind), marks.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub json: Option<PathBuf>,
    /// Run only about one seed in six: those that promise to reach rare marks, as the runs before have shown
    /// [default: with --hours, yes].
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    steer: Option<bool>,
    /// Print how many runs reached each mark, a situation worth reaching, and which no run reached.
    #[arg(long)]
    pub marks: bool,
    /// Fail with code 7 if there is a mark that no run reached.
    #[arg(long)]
    pub require_marks: bool,
    /// Do not look out for marks (to measure what that costs, and to show that they change no run).
    #[arg(long, conflicts_with_all = ["marks", "require_marks"])]
    pub skip_marks: bool,
    /// Make every run in a process of its own: for code that leaves something behind, which `doctor` finds.
    #[arg(long)]
    pub isolate: bool,
    /// Judge by what clients see alone: invariants are not checked. (`replay` and `minimise` do check them.)
    #[arg(long)]
    pub without_invariants: bool,
    /// Leave a plan and a page of each kind of failure in this folder
    /// [default: target/sim-failures, or `findings` in the folder of --state].
    #[arg(long, value_name = "FOLDER", conflicts_with = "state")]
    failures: Option<PathBuf>,
    /// A source of chance, planted.
    #[arg(long, hide = true)]
    pub plant_chance: Option<Chance>,
}

impl Options {
    /// The seeds of all shards.
    pub fn range(&self) -> Range<u64> {
        let endless = self.time_max().is_some();
        let seeds = self.seeds.unwrap_or(if endless { u64::MAX } else { SEEDS_DEFAULT });
        self.start..self.start.saturating_add(seeds)
    }

    /// How many runs at once.
    pub fn jobs(&self) -> usize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// How long to begin further runs.
    pub fn time_max(&self) -> Option<Duration> {
        let minutes = self.minutes.or(self.hours.map(|hours| 60.0 * hours));
        self.time.or(minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes)))
    }

    /// Whether to pass over seeds that promise little.
    pub fn steer(&self) -> bool {
        self.steer.unwrap_or(self.hours.is_some()) && !self.skip_marks
    }

    /// Where plans and pages go if not into a state.
    pub fn failures<S: System>(&self) -> PathBuf {
        self.failures.clone().unwrap_or_else(cause::failures::<S>)
    }
}

/// A number of minutes or hours that is more than 0, for clap.
///
/// # Errors
///
/// What is wrong with it.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(time) if time > 0.0 && time < 1e6 => Ok(time),
        _ => Err("expected a number above zero, such as 0.5".into()),
    }
}
