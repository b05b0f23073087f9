//! `cargo sim explore`: many seeds on all cores. A line when all is well, a screen for each finding.

pub(super) mod display;
pub(super) mod lines;
pub(super) mod options;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::options::Options;
use self::{display::Display, lines::Lines};
use sim::{
    data::{exit, outcome::RunOptions, plan::Plan, saved},
    explore::{
        Assignment, Finding, Job, Kind, Report, Schedule, Store, Tally,
        findings::Novelty,
        store::{self, Progress},
        summary,
        workers::{self, Limits, News},
    },
    generate::generate,
    marks::family::Families,
    observer::chain::DIGEST_INTERVAL,
    report::{marks, screen},
    run,
};

use super::{
    cause,
    doctor::{self, Execution},
    say,
};

/// Findings that get a screen of their own; further ones get a line.
const SCREENS_MAX: usize = 5;
/// Between two times that the state is saved, if nothing new is found.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

/// `cargo sim explore`.
pub fn explore(options: &Options) -> Result<u8, String> {
    let stop = interruption()?;
    let mut session = Session::begin(options)?;
    let last = options.time_max().map(|time_max| Instant::now() + time_max);
    let plans = session.plans.clone();
    let run_options = RunOptions {
        chance: options.plant_chance,
        skip_marks: options.skip_marks,
        skip_invariants: options.without_invariants,
        ..RunOptions::default()
    };
    let schedule = session.schedule.clone();
    workers::work(
        &schedule,
        Limits::new(options.jobs(), Duration::from_secs(options.run_seconds_max)),
        move || !stop.load(Ordering::Relaxed) && last.is_none_or(|last| Instant::now() < last),
        move |assignment| report(assignment, &plans, &run_options),
        |news| session.hear(news),
    )?;
    session.end(stop.load(Ordering::Relaxed))
}

/// Makes a run; if the schedule says so, another process makes it as well.
fn report(assignment: &Assignment, plans: &Plans, options: &RunOptions) -> Report {
    let job = &assignment.job;
    let plan = plan(job, plans);
    if !assignment.recheck {
        return Report::new(job.clone(), run(&plan, options), None);
    }
    let execution = Execution { judge: true, ..Execution::new(job.again(), DIGEST_INTERVAL, options.chance) };
    let options = RunOptions { skip_marks: options.skip_marks, ..execution.options() };
    let mut outcome = run(&plan, &options);
    let recheck = doctor::recheck(&execution, &mut outcome);
    let recheck = recheck.unwrap_or_else(|why| panic!("cannot make {job} a second time: {why}"));
    Report::new(job.clone(), outcome, Some(recheck))
}

/// The regressions' plans by their files.
type Plans = Arc<BTreeMap<PathBuf, Plan>>;

fn plan(job: &Job, plans: &Plans) -> Plan {
    match job {
        Job::Seed(seed) => generate(*seed),
        Job::Regression(path) => plans.get(path).expect("every plan was read at the beginning").clone(),
    }
}

/// A flag that Ctrl-C, SIGTERM and SIGHUP set; the second one ends the process.
pub(super) fn interruption() -> Result<&'static AtomicBool, String> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    Ok(&STOP)
}

/// An exploration under way.
struct Session {
    options: Options,
    store: Option<Store>,
    saved: Instant,
    schedule: Arc<Mutex<Schedule>>,
    plans: Plans,
    tally: Tally,
    lines: Option<Lines>,
    display: Display,
    began: Instant,
    /// Wall time of the processes before this one.
    before: Duration,
    failures: PathBuf,
    /// By which run each finding of this process was first known.
    kept: BTreeMap<Kind, Job>,
}

impl Session {
    /// From the beginning, or from what an earlier process left.
    fn begin(options: &Options) -> Result<Self, String> {
        let store = options.state.as_deref().map(open).transpose()?;
        let earlier = match &store {
            Some(store) if !options.restart => store.load()?,
            _ => None,
        };
        if let Some(earlier) = &earlier {
            continues(earlier, options)?;
        }
        let goes_on = earlier.is_some();
        let failures = store.as_ref().map_or_else(|| options.failures(), Store::findings);
        let range = options.range();
        let (schedule, plans, tally, before) = match earlier {
            Some(Progress { position, tally, wall, .. }) => {
                let plans = read(position.waiting.iter().chain(tally.findings.jobs()))?;
                (Schedule::resume(position, range.end, options.shard), plans, tally, wall)
            }
            None => {
                let plans = if options.no_regressions { BTreeMap::new() } else { regressions(&store)? };
                let jobs = plans.keys().cloned().map(Job::Regression).collect();
                (Schedule::new(jobs, range.clone(), options.shard), plans, Tally::default(), Duration::ZERO)
            }
        };
        let schedule = match options.steer() {
            true => schedule.steered(|seed| Families::of(&generate(seed))),
            false => schedule,
        };
        let seeds = (range.end < u64::MAX && !options.steer()).then(|| options.shard.share(&range));
        if goes_on {
            eprintln!("goes on: {}", summary::status(&tally, before, schedule.next_seed()));
        }
        Ok(Self {
            // Opened before anything runs: a path that cannot be written must not cost a whole exploration.
            lines: options.json.as_deref().map(|path| Lines::open(path, goes_on)).transpose()?,
            options: options.clone(),
            store,
            saved: Instant::now(),
            schedule: Arc::new(Mutex::new(schedule)),
            plans: Arc::new(plans),
            tally,
            display: Display::new(seeds),
            began: Instant::now(),
            before,
            failures,
            kept: BTreeMap::new(),
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
                let seconds = self.options.run_seconds_max;
                self.display.say(&format!(
                    "{job}: no end after {seconds} s of wall time (--run-seconds-max); cargo sim replay {}",
                    job.again()
                ));
                let (kind, novelty) = self.tally.hangs(&job);
                self.found(&job, &kind, novelty)?;
            }
            News::Tick => {
                let (wall, next) = (self.wall(), workers::lock(&self.schedule).next_seed());
                self.display.refresh(&self.tally, wall, next);
                if self.saved.elapsed() > SAVE_INTERVAL {
                    self.save()?;
                }
            }
        }
        Ok(())
    }

    fn found(&mut self, job: &Job, kind: &Kind, novelty: Novelty) -> Result<(), String> {
        if novelty != Novelty::Nothing {
            self.display.say(&format!("{job}: {kind}"));
        }
        if novelty == Novelty::Kind {
            // At once: what comes after may be killed.
            if kind.shows_again() {
                self.keep(job, kind)?;
                self.kept.insert(kind.clone(), job.clone());
            }
            self.save()?;
        }
        Ok(())
    }

    /// Leaves plan and page of a run; returns the rows that say where.
    fn keep(&self, job: &Job, kind: &Kind) -> Result<Vec<String>, String> {
        cause::keep_failure(&self.failures, job, &plan(job, &self.plans), &kind.to_string())
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
        for (place, finding) in self.tally.findings.by_gravity().into_iter().enumerate() {
            let (first, at_length) = (finding.first(), place < SCREENS_MAX);
            self.show(finding, at_length)?;
            if let Some(kept) = self.kept.get(&finding.kind).filter(|kept| *kept != first) {
                if !at_length {
                    self.keep(first, &finding.kind)?;
                }
                cause::forget_failure(&self.failures, kept);
            }
        }
        if self.tally.findings.beyond() > 0 {
            let (beyond, kinds) = (self.tally.findings.beyond(), self.tally.findings.len());
            say(&format!("{beyond} runs failed in further ways: no more than {kinds} are kept apart"));
        }
        let unfinished: Vec<String> =
            workers::lock(&self.schedule).running().map(ToString::to_string).collect();
        if !unfinished.is_empty() {
            say(&format!("not waited for: {}", unfinished.join(", ")));
        }
        say(&summary::last_line(&self.tally, self.wall(), interrupted));
        Ok(self.marks(self.tally.code()))
    }

    /// Tells which marks were reached; returns the exit code, given that of the runs.
    fn marks(&self, code: u8) -> u8 {
        let (options, reached) = (&self.options, &self.tally.sums.marks);
        if options.skip_marks {
            return code;
        }
        if options.marks {
            say(&marks::table(reached, self.tally.runs()));
        }
        say(&marks::line(reached));
        let missed = options.require_marks && !marks::never(reached).is_empty();
        if code == exit::OK && missed { exit::MARKS } else { code }
    }

    /// What a finding is, from the run by which it is known, made once more.
    fn show(&self, finding: &Finding, at_length: bool) -> Result<(), String> {
        let (job, again) = (finding.first(), format!("replay {}", finding.first().again()));
        if at_length && finding.kind.shows_again() {
            let plan = plan(job, &self.plans);
            say(&screen::failure(&plan, &run(&plan, &RunOptions::default()), &again));
            self.keep(job, &finding.kind)?.iter().for_each(|row| say(row));
        } else {
            say(&format!("{}: cargo sim {again}", finding.kind));
            finding.detail.iter().for_each(|line| say(line));
        }
        if let Some(also) = summary::also(finding) {
            say(&also);
        }
        Ok(())
    }
}

fn open(folder: &Path) -> Result<Store, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    Store::open(folder, store::fingerprint(&program)?)
}

/// Whether the options ask for the exploration that is in the folder.
fn continues(earlier: &Progress, options: &Options) -> Result<(), String> {
    if (earlier.start, earlier.shard) == (options.start, options.shard) {
        return Ok(());
    }
    Err(format!(
        "the state explores from seed {} in shard {}, not from {} in {}: name the same, or another folder with --state, \
         or add --restart to begin again",
        earlier.start, earlier.shard, options.start, options.shard
    ))
}

/// The plans with which an exploration begins: the repository's, then those of an earlier exploration.
fn regressions(store: &Option<Store>) -> Result<BTreeMap<PathBuf, Plan>, String> {
    let saved = saved::list(&saved::folder())?;
    let mut plans: BTreeMap<_, _> = saved.into_iter().map(|saved| (saved.path, saved.plan)).collect();
    let Some(folder) = store.as_ref().map(Store::findings) else { return Ok(plans) };
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "toml") {
            match saved::read(&path) {
                Ok(plan) => {
                    plans.insert(path, plan);
                }
                // It was a plan to another build. That must not keep this one from exploring.
                Err(why) => eprintln!("left out: {why}"),
            }
        }
    }
    Ok(plans)
}

fn read<'a>(jobs: impl Iterator<Item = &'a Job>) -> Result<BTreeMap<PathBuf, Plan>, String> {
    let paths = jobs.filter_map(|job| match job {
        Job::Regression(path) => Some(path.clone()),
        Job::Seed(_) => None,
    });
    paths.map(|path| saved::read(&path).map(|plan| (path, plan))).collect()
}
