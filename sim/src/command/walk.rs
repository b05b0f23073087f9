//! `cargo sim walk`: many walks on all cores, or one, told step by step.

use std::{
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use sim::{
    data::{outcome::RunOptions, plan::Plan, saved},
    explore::{
        Finding, Job, Kind, Report, Schedule, Shard, Store, Tally,
        findings::Novelty,
        store::{self, Progress},
        summary::also,
        workers::{self, Limits, News},
    },
    minimise::Signature,
    run,
    walk::{
        self, Ending,
        cluster::{self, Action, Cluster},
        summary,
    },
};

use super::{
    cause,
    explore::{display::Display, interruption, lines::Lines, options::positive},
    say,
};

/// Walks of a session that is told neither a number nor a time: about half a minute on two cores.
const WALKS_DEFAULT: u64 = 2_000;
/// Seconds of wall time that a walk may take. Ordinary ones take a hundredth of one.
const WALK_SECONDS_MAX: u64 = 300;
/// Simulated runs that are tried to show what a walk showed.
const PLANS_TRIED: u64 = 40;
/// Findings that are made small and told.
const TOLD_MAX: usize = 5;
/// Between two times that the state is saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Args, Clone)]
pub struct Options {
    /// Make this walk alone. If it fails, make it small and tell it step by step.
    #[arg(value_name = "SEED", conflicts_with_all = ["walks", "minutes", "hours", "state", "json"])]
    seed: Option<u64>,
    /// How many walks [default: 2000, or without end with --minutes or --hours].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    walks: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// Only the seeds whose remainder by N is I.
    #[arg(long, value_name = "I/N", default_value_t)]
    shard: Shard,
    /// How many walks at once [default: one a core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Start no further walk after so many minutes.
    #[arg(long, value_name = "M", value_parser = positive, conflicts_with = "hours")]
    minutes: Option<f64>,
    /// Start no further walk after so many hours.
    #[arg(long, value_name = "H", value_parser = positive)]
    hours: Option<f64>,
    /// Keep sums, findings and which seeds are done in this folder, and go on from what it holds.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Begin again in the folder of --state.
    #[arg(long, requires = "state")]
    restart: bool,
    /// Write what became of each walk into this file: one JSON object a line, in the order in which they end.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leave a script of each kind of failure in this folder, and a plan if a simulated run shows the same.
    #[arg(long, value_name = "FOLDER", default_value = cause::FOLDER)]
    failures: PathBuf,
    /// Seconds for making each failure small.
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
}

impl Options {
    fn jobs(&self) -> usize {
        self.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    fn time_max(&self) -> Option<Duration> {
        let minutes = self.minutes.or(self.hours.map(|hours| 60.0 * hours))?;
        Some(Duration::from_secs_f64(60.0 * minutes))
    }

    fn range(&self) -> Range<u64> {
        let walks = self.walks.unwrap_or(if self.time_max().is_some() { u64::MAX } else { WALKS_DEFAULT });
        self.start..self.start.saturating_add(walks)
    }

    fn shrinks_for(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// `cargo sim walk`.
pub fn walk(options: &Options) -> Result<u8, String> {
    if let Some(seed) = options.seed {
        return alone(seed, options);
    }
    let stop = interruption()?;
    let mut session = Session::begin(options)?;
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
        |news| session.hear(news),
    )?;
    session.end(stop.load(Ordering::Relaxed))
}

fn seed_of(job: &Job) -> u64 {
    match job {
        Job::Seed(seed) => *seed,
        Job::Regression(path) => unreachable!("{} is no walk", path.display()),
    }
}

/// One walk.
fn alone(seed: u64, options: &Options) -> Result<u8, String> {
    let walk = walk::of(seed);
    let outcome = cluster::outcome(&walk);
    let report = Report::new(Job::Seed(seed), outcome, None);
    let mut tally = Tally::default();
    tally.add(&report);
    if report.failure.is_some() {
        tell(seed, options)?;
    } else {
        let stats = &report.stats;
        say(&format!(
            "walk {seed}: all well; {} actions, {} steps, {} operations, {} view changes, trace {}",
            stats.actions,
            stats.steps,
            stats.operations(),
            stats.view_changes,
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
    let small = walk::shrink::shrink(&start, &walk.actions, options.shrinks_for(), is_same);
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
    let path = options.failures.join(format!("walk-{seed}"));
    saved::write_text(&path, &cluster::script(&start, &small).text)?;
    say(&format!(
        "{:>10}  {} (a script: tests/scripts/NAME, cargo test --test protocol)",
        "kept as",
        path.display()
    ));
    follow(&start, &small, signature.as_ref(), &options.failures.join(format!("walk-{seed}.toml")))?;
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

/// Walks under way.
struct Session {
    options: Options,
    store: Option<Store>,
    saved: Instant,
    schedule: Arc<Mutex<Schedule>>,
    tally: Tally,
    lines: Option<Lines>,
    display: Display,
    began: Instant,
    /// Wall time of the processes before this one.
    before: Duration,
}

impl Session {
    /// From the beginning, or from what an earlier process left.
    fn begin(options: &Options) -> Result<Self, String> {
        let open = |folder: &PathBuf| {
            let program =
                std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
            // Walks and simulated runs are counted apart.
            Store::open(folder, format!("walks {}", store::fingerprint(&program)?))
        };
        let store = options.state.as_ref().map(open).transpose()?;
        let earlier = match &store {
            Some(store) if !options.restart => store.load()?,
            _ => None,
        };
        if let Some(earlier) = &earlier
            && (earlier.start, earlier.shard) != (options.start, options.shard)
        {
            return Err(format!(
                "the state walks from seed {} in shard {}: name the same, or another folder with --state, or add --restart",
                earlier.start, earlier.shard
            ));
        }
        let (range, goes_on) = (options.range(), earlier.is_some());
        let walks = (range.end < u64::MAX).then(|| options.shard.share(&range));
        let (schedule, tally, before) = match earlier {
            Some(Progress { position, tally, wall, .. }) => {
                (Schedule::resume(position, range.end, options.shard), tally, wall)
            }
            None => (Schedule::new(Vec::new(), range, options.shard), Tally::default(), Duration::ZERO),
        };
        Ok(Self {
            lines: options.json.as_deref().map(|path| Lines::open(path, goes_on)).transpose()?,
            options: options.clone(),
            store,
            saved: Instant::now(),
            schedule: Arc::new(Mutex::new(schedule)),
            tally,
            display: Display::new(walks),
            began: Instant::now(),
            before,
        })
    }

    fn wall(&self) -> Duration {
        self.before + self.began.elapsed()
    }

    fn hear(&mut self, news: News) -> Result<(), String> {
        match news {
            News::Ended(report) => {
                if let Some(lines) = &mut self.lines {
                    lines.write(&report)?;
                }
                for (kind, novelty) in self.tally.add(&report) {
                    self.found(&report.job, &kind, novelty)?;
                }
            }
            News::Hangs(job) => {
                let (kind, novelty) = self.tally.hangs(&job);
                self.found(&job, &kind, novelty)?;
            }
            News::Tick => {
                let next = workers::lock(&self.schedule).next_seed();
                self.display.refresh(&self.tally, self.wall(), next);
                if self.saved.elapsed() > SAVE_INTERVAL {
                    self.save()?;
                }
            }
        }
        Ok(())
    }

    fn found(&mut self, job: &Job, kind: &Kind, novelty: Novelty) -> Result<(), String> {
        if novelty == Novelty::Kind {
            let seconds = self.wall().as_secs_f64();
            self.display.say(&format!("walk {} after {seconds:.1} s: {kind}", job.again()));
            self.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), String> {
        self.saved = Instant::now();
        let Some(store) = &self.store else { return Ok(()) };
        store.save(&Progress {
            start: self.options.start,
            shard: self.options.shard,
            position: workers::lock(&self.schedule).position(),
            tally: self.tally.clone(),
            wall: self.wall(),
        })
    }

    fn end(mut self, interrupted: bool) -> Result<u8, String> {
        self.save()?;
        self.display.end();
        let line = summary::last_line(&self.tally, self.wall(), self.options.jobs(), interrupted);
        for (place, finding) in self.tally.findings.by_gravity().into_iter().enumerate() {
            self.show(finding, place < TOLD_MAX)?;
        }
        say(&line);
        Ok(self.tally.code())
    }

    fn show(&self, finding: &Finding, at_length: bool) -> Result<(), String> {
        let seed = seed_of(finding.first());
        say(&format!("{}: cargo sim walk {seed}", finding.kind));
        if at_length && finding.kind.shows_again() {
            tell(seed, &self.options)?;
        }
        also(finding).iter().for_each(|line| say(line));
        Ok(())
    }
}
