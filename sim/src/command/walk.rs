//! `cargo sim walk`: many walks on all cores, or one, told step by step.

use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use sim::{
    bound::Plan,
    mutants::{FoundByWalks, judge},
    store::Pbkv,
    walk::{
        self, Ending,
        cluster::{self, Action, Cluster},
        summary,
    },
};
use testbed::command::{
    cause,
    explore::{interruption, options::positive},
    say,
    session::{self, Seeds, Session},
    span::span,
    width,
};
use testbed::{
    data::{exit, outcome::RunOptions, saved, seed::Only},
    explore::{
        Finding, Job, Report, Schedule, Shard, Store, Tally,
        findings::Novelty,
        store,
        summary::also,
        workers::{self, Limits, News},
    },
    minimise::Signature,
    report::{screen::counted, wrap},
    run,
};

/// Walks of a session that is told neither a number nor a time: about half a minute on two cores.
const WALKS_DEFAULT: u64 = 2_000;
/// Seconds of wall time that a walk may take. Ordinary ones take a hundredth of one.
const WALK_SECONDS_MAX: u64 = 300;
/// Simulated runs that are tried to show what a walk showed.
const PLANS_TRIED: u64 = 40;
/// Findings that are made small and told.
const TOLD_MAX: usize = 5;

#[derive(Args, Clone)]
pub struct Options {
    /// Make this walk alone. If it fails, make it small and tell it step by step.
    #[arg(value_name = "SEED", conflicts_with_all = ["walks", "time", "minutes", "hours", "state", "json"])]
    seed: Option<u64>,
    /// How many walks [default: 2000, unlimited with --time, --minutes or --hours].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    walks: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// Only the seeds whose remainder by N is I.
    #[arg(long, value_name = "I/N", default_value_t)]
    shard: Shard,
    /// How many walks at once [default: one per core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Start no further walk after this time, such as 90s or 8h.
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with_all = ["minutes", "hours"])]
    time: Option<Duration>,
    /// The same in minutes.
    #[arg(long, value_name = "M", value_parser = positive, conflicts_with = "hours")]
    minutes: Option<f64>,
    /// The same in hours.
    #[arg(long, value_name = "H", value_parser = positive)]
    hours: Option<f64>,
    /// Keep sums, findings and which seeds are done in this folder, and go on from what it holds.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Begin again in the folder of --state.
    #[arg(long, requires = "state")]
    restart: bool,
    /// Write the outcome of each walk into this file: one JSON object per line, in the order in which they
    /// end.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave a script of each kind of failure in this folder, and a plan if a simulated run shows the same
    /// [default: target/sim-failures].
    #[arg(long, value_name = "FOLDER")]
    failures: Option<PathBuf>,
    /// How long to make each failure small.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = span)]
    shrink_time: Duration,
}

impl Options {
    fn jobs(&self) -> usize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    fn time_max(&self) -> Option<Duration> {
        let minutes = self.minutes.or(self.hours.map(|hours| 60.0 * hours));
        self.time.or(minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes)))
    }

    fn range(&self) -> Range<u64> {
        let walks = self.walks.unwrap_or(if self.time_max().is_some() { u64::MAX } else { WALKS_DEFAULT });
        self.start..self.start.saturating_add(walks)
    }

    fn failures(&self) -> PathBuf {
        self.failures.clone().unwrap_or_else(cause::failures::<Pbkv>)
    }
}

/// `cargo sim walk`.
pub fn walk(options: &Options) -> Result<u8, String> {
    if let Some(seed) = options.seed {
        return alone(seed, options);
    }
    let (stop, failures) = (interruption()?, options.failures());
    saved::check_folder(&failures)
        .map_err(|error| format!("cannot write into {}: {error}", failures.display()))?;
    let mut session = begin(options)?;
    let last = options.time_max().map(|time_max| Instant::now() + time_max);
    let schedule = session.schedule.clone();
    workers::work(
        &schedule,
        Limits::new(options.jobs(), Duration::from_secs(WALK_SECONDS_MAX)),
        move || !stop.load(Ordering::Relaxed) && last.is_none_or(|last| Instant::now() < last),
        |assignment| {
            let walk = walk::of(seed_of(&assignment.job));
            Report::new(assignment.job.clone(), cluster::outcome(&walk), None)
        },
        |news| hear(&mut session, news),
    )?;
    end(session, options, stop.load(Ordering::Relaxed))
}

fn seed_of(job: &Job) -> u64 {
    match job {
        Job::Seed(seed) => seed.number,
        Job::Regression(path) => unreachable!("{} is no walk", path.display()),
    }
}

/// One walk.
fn alone(seed: u64, options: &Options) -> Result<u8, String> {
    let walk = walk::of(seed);
    let outcome = cluster::outcome(&walk);
    let report = Report::new(Job::seed(seed), outcome, None);
    let mut tally = Tally::default();
    tally.add(&report);
    if report.failure.is_some() {
        tell(seed, options)?;
    } else {
        let stats = &report.stats;
        say(&format!(
            "walk {seed}: all well; {}, {}, {}, {}, trace {}",
            counted(stats.actions, "action", "actions"),
            counted(stats.steps, "step", "steps"),
            counted(stats.operations(), "operation", "operations"),
            counted(stats.own.view_changes, "view change", "view changes"),
            report.trace
        ));
    }
    Ok(tally.code())
}

/// Makes a failing walk small, says what is left of it, and keeps it.
fn tell(seed: u64, options: &Options) -> Result<(), String> {
    let (start, walk) = walk::of_from_start(seed);
    let signature = Signature::of(&cluster::outcome(&walk));
    let is_same = |world: &Cluster, ending: &Ending<_>| {
        ending.is_failure() && Signature::of(&cluster::outcome_of(world, ending)) == signature
    };
    let small = walk::shrink::shrink(&start, &walk.actions, options.shrink_time, is_same);
    say(&format!("walk {seed}: {} actions -> {}", walk.actions.len(), small.len()));
    say(&start.told());
    let (lines, _) = walk::tell(start.clone(), &small);
    lines.iter().for_each(|line| say(&format!("    {line}")));
    let (world, ending) = walk::replay(start.clone(), &small);
    match &ending {
        Ending::Well => say("  not made small: no part of it fails alike"),
        Ending::Failed(failure) => world.explain(failure).iter().for_each(|line| say(&format!("  {line}"))),
        Ending::Panicked(message) => say(&format!("  panic: {message}")),
    }
    let path = options.failures().join(format!("walk-{seed}"));
    saved::write_text(&path, &cluster::script(&start, &small).text)?;
    say(&format!(
        "{:>10}  {} (a script: tests/scripts/NAME, cargo test --test protocol)",
        "kept as",
        path.display()
    ));
    follow(&start, &small, signature.as_ref(), &options.failures().join(format!("walk-{seed}.toml")))?;
    say(&format!("{:>10}  cargo sim walk {seed}\n", "again"));
    Ok(())
}

/// Whether a simulated run shows the same: a plan that is like the walk, with several seeds.
fn follow(
    start: &Cluster,
    actions: &[Action],
    signature: Option<&Signature>,
    path: &Path,
) -> Result<(), String> {
    let (plan, left_out) = cluster::plan(start, actions);
    let plans = (0..PLANS_TRIED).map(|seed| Plan { seed, ..plan.clone() });
    let shows = |plan: &Plan| Signature::of(&run(plan, &RunOptions::default())).as_ref() == signature;
    if let Some(plan) = plans.into_iter().find(shows) {
        saved::write(path, &plan)?;
        say(&format!("{:>10}  cargo sim replay {}", "simulated", path.display()));
        return Ok(());
    }
    let left_out: Vec<String> = left_out.iter().map(|(sort, count)| format!("{count} {sort}")).collect();
    say(&format!(
        "{:>10}  no run of {PLANS_TRIED} with the same calls and crashes shows it; a plan cannot say {}",
        "simulated",
        if left_out.is_empty() { "when each message arrives".into() } else { left_out.join(", ") }
    ));
    Ok(())
}

/// Walks from the beginning, or from what an earlier process left.
fn begin(options: &Options) -> Result<Session<Pbkv>, String> {
    let open = |folder: &PathBuf| {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        // Walks and simulated runs are counted apart.
        Store::open(folder, format!("walks {}", store::fingerprint(&program)?))
    };
    let store = options.state.as_ref().map(open).transpose()?;
    let range = options.range();
    let count = (range.end < u64::MAX).then(|| options.shard.share(&range));
    let seeds = Seeds { start: options.start, shard: options.shard, only: Only::default(), count };
    let earlier = session::earlier(store.as_ref(), options.restart, &seeds)?;
    let schedule = match &earlier {
        Some(earlier) => Schedule::resume(earlier.position.clone(), range.end, options.shard),
        None => Schedule::new(Vec::new(), range, options.shard),
    };
    Session::begin(store, earlier, schedule, seeds, options.json.as_deref())
}

fn hear(session: &mut Session<Pbkv>, news: News<Pbkv>) -> Result<(), String> {
    for (job, kind, novelty) in session.hear(news)? {
        if novelty == Novelty::Kind {
            let seconds = session.wall().as_secs_f64();
            session.display.say(&format!("walk {} after {seconds:.1} s: {kind}", job.again()));
            session.save()?;
        }
    }
    Ok(())
}

fn end(mut session: Session<Pbkv>, options: &Options, interrupted: bool) -> Result<u8, String> {
    session.save()?;
    session.display.end();
    let rows = summary::rows(&session.tally, session.wall(), options.jobs(), interrupted);
    for (place, finding) in session.tally.findings.by_gravity().into_iter().enumerate() {
        show(finding, place < TOLD_MAX, options)?;
    }
    say(&wrap::rows(&rows, width()));
    Ok(exit::unless_interrupted(session.tally.code(), interrupted))
}

fn show(finding: &Finding, at_length: bool, options: &Options) -> Result<(), String> {
    let seed = seed_of(finding.first());
    say(&format!("{}: cargo sim walk {seed}", finding.kind));
    if at_length && finding.kind.shows_again() {
        tell(seed, options)?;
    }
    also(finding).iter().for_each(|line| say(line));
    Ok(())
}

/// `cargo sim seek --walk-seconds`: walks in the order of their seeds, until one fails or time is over.
pub fn seek(jobs: usize, time_max: Duration) -> Result<u8, String> {
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
