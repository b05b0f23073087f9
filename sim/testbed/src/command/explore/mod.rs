//! `cargo sim explore`: many seeds on all cores. A line when all is well, a screen for each finding.

pub mod display;
pub mod lines;
pub mod options;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

pub use self::options::Options;
use crate::{
    data::{exit, outcome::RunOptions, plan::Plan, saved, seed::Seed, validate::validate},
    draw::narrow,
    explore::{
        Assignment, Finding, Job, Kind, Report, Schedule, Store,
        findings::Novelty,
        store::{self, Progress},
        summary,
        workers::{self, Limits, News},
    },
    marks::family::Families,
    observer::chain::DIGEST_INTERVAL,
    report::{marks, screen, wrap},
    run,
    system::System,
    world::simulated::Simulated,
};

use super::{
    cause,
    doctor::{self, Execution},
    say,
    session::{self, Seeds, Session},
};

/// Findings that get a screen of their own; further ones get a line.
const SCREENS_MAX: usize = 5;

/// `cargo sim explore`.
pub fn explore<S: Simulated>(options: &Options) -> Result<u8, String> {
    let stop = interruption()?;
    // A mistake of the system's glue is in every plan: it is told once, and before any run.
    validate(&S::draw(0)).map_err(|why| format!("drawn plans cannot be executed: {why}"))?;
    options.only.iter().try_for_each(narrow::check::<S>)?;
    let mut exploration = Exploration::<S>::begin(options)?;
    let last = options.time_max().map(|time_max| Instant::now() + time_max);
    let plans = exploration.plans.clone();
    let run_options = RunOptions {
        chance: options.plant_chance,
        skip_marks: options.skip_marks,
        skip_invariants: options.without_invariants,
        ..RunOptions::default()
    };
    let schedule = exploration.session.schedule.clone();
    let is_isolated = options.isolate;
    workers::work(
        &schedule,
        Limits::new(options.jobs(), options.run_time_max),
        move || !stop.load(Ordering::Relaxed) && last.is_none_or(|last| Instant::now() < last),
        move |assignment| match is_isolated {
            true => isolated(assignment, &run_options),
            false => report(assignment, &plans, &run_options),
        },
        |news| exploration.hear(news),
    )?;
    exploration.end(stop.load(Ordering::Relaxed))
}

/// Makes a run; if the schedule says so, another process makes it as well.
fn report<S: Simulated>(assignment: &Assignment, plans: &Plans<S>, options: &RunOptions) -> Report<S> {
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

/// Has another process make a run, and one more if the schedule says so.
fn isolated<S: Simulated>(assignment: &Assignment, options: &RunOptions) -> Report<S> {
    let job = &assignment.job;
    let execution = Execution {
        judge: true,
        skip_marks: options.skip_marks,
        without_invariants: options.skip_invariants,
        ..Execution::new(job.again(), DIGEST_INTERVAL, options.chance)
    };
    let report = doctor::isolated(&execution, assignment.recheck);
    let report = report.unwrap_or_else(|why| panic!("cannot make {job} in a process of its own: {why}"));
    Report { job: job.clone(), ..report }
}

/// The regressions' plans by their files.
type Plans<S> = Arc<BTreeMap<PathBuf, Plan<S>>>;

fn plan<S: System>(job: &Job, plans: &Plans<S>) -> Plan<S> {
    match job {
        Job::Seed(seed) => drawn(seed),
        Job::Regression(path) => plans.get(path).expect("every plan was read at the beginning").clone(),
    }
}

/// The plan of a seed. That there are enough plans of its sort was seen before.
fn drawn<S: System>(seed: &Seed) -> Plan<S> {
    narrow::plan(seed).unwrap_or_else(|why| panic!("{why}"))
}

/// A flag that Ctrl-C, SIGTERM and SIGHUP set; the second one ends the process.
pub fn interruption() -> Result<&'static AtomicBool, String> {
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
struct Exploration<S: System> {
    options: Options,
    session: Session<S>,
    plans: Plans<S>,
    failures: PathBuf,
    /// Files among the regressions that are none.
    refused: Vec<String>,
    /// By which run each finding of this process was first known.
    kept: BTreeMap<Kind, Job>,
}

impl<S: Simulated> Exploration<S> {
    /// From the beginning, or from what an earlier process left.
    fn begin(options: &Options) -> Result<Self, String> {
        let store = options.state.as_deref().map(open).transpose()?;
        let failures = store.as_ref().map_or_else(|| options.failures::<S>(), Store::findings);
        // Known now, and not when the first run fails after hours.
        saved::check_folder(&failures)
            .map_err(|error| format!("cannot write into {}: {error}", failures.display()))?;
        let range = options.range();
        let count = (range.end < u64::MAX && !options.steer()).then(|| options.shard.share(&range));
        let only = options.only.clone().unwrap_or_default();
        let seeds = Seeds { start: options.start, shard: options.shard, only: only.clone(), count };
        let earlier = session::earlier(store.as_ref(), options.restart, &seeds)?;
        let mut refused = Vec::new();
        let (schedule, plans) = match &earlier {
            Some(Progress { position, tally, .. }) => {
                let plans = read(position.waiting.iter().chain(tally.findings.jobs()))?;
                (Schedule::resume(position.clone(), range.end, options.shard), plans)
            }
            None => {
                let plans = match options.no_regressions {
                    true => BTreeMap::new(),
                    false => regressions(options, &store, &mut refused)?,
                };
                let jobs = plans.keys().cloned().map(Job::Regression).collect();
                (Schedule::new(jobs, range, options.shard), plans)
            }
        };
        let schedule = schedule.narrowed(only.clone());
        let schedule = match options.steer() {
            true => schedule
                .steered(move |number| Families::of(&drawn::<S>(&Seed { number, only: only.clone() }))),
            false => schedule,
        };
        if let Some(Progress { tally, wall, .. }) = &earlier {
            eprintln!("resuming after {}", summary::status(tally, *wall, schedule.next_seed()));
        }
        refused.iter().for_each(|why| eprintln!("error: left out: {why}"));
        Ok(Self {
            session: Session::begin(store, earlier, schedule, seeds, options.json.as_deref())?,
            options: options.clone(),
            plans: Arc::new(plans),
            failures,
            refused,
            kept: BTreeMap::new(),
        })
    }

    fn hear(&mut self, news: News<S>) -> Result<(), String> {
        if let News::Hangs(job) = &news {
            let time = self.options.run_time_max;
            self.session.display.say(&format!(
                "{job}: no end after {time:?} of wall time (--run-time-max); cargo sim replay {}",
                job.again()
            ));
        }
        for (job, kind, novelty) in self.session.hear(news)? {
            self.found(&job, &kind, novelty)?;
        }
        Ok(())
    }

    fn found(&mut self, job: &Job, kind: &Kind, novelty: Novelty) -> Result<(), String> {
        if novelty != Novelty::Nothing {
            self.session.display.say(&format!("{job}: {kind}"));
        }
        if novelty == Novelty::Kind {
            // At once: what comes after may be killed.
            if kind.shows_again() {
                self.keep(job, kind)?;
                self.kept.insert(kind.clone(), job.clone());
            }
            self.session.save()?;
        }
        Ok(())
    }

    /// Leaves plan and page of a run; returns the rows that say where.
    fn keep(&self, job: &Job, kind: &Kind) -> Result<Vec<String>, String> {
        cause::keep_failure(&self.failures, job, &plan(job, &self.plans), &kind.to_string())
    }

    fn end(mut self, interrupted: bool) -> Result<u8, String> {
        self.session.save()?;
        self.session.display.end();
        for (place, finding) in self.session.tally.findings.by_gravity().into_iter().enumerate() {
            let (first, at_length) = (finding.first(), place < SCREENS_MAX);
            self.show(finding, at_length)?;
            if let Some(kept) = self.kept.get(&finding.kind).filter(|kept| *kept != first) {
                if !at_length {
                    self.keep(first, &finding.kind)?;
                }
                cause::forget_failure(&self.failures, kept);
            }
        }
        if self.session.tally.findings.beyond() > 0 {
            let (beyond, kinds) = (self.session.tally.findings.beyond(), self.session.tally.findings.len());
            let runs = screen::counted(beyond, "run", "runs");
            say(&format!("{runs} failed in further ways: no more than {kinds} are kept apart"));
        }
        let unfinished: Vec<String> =
            workers::lock(&self.session.schedule).running().map(ToString::to_string).collect();
        if !unfinished.is_empty() {
            say(&format!("not waited for: {}", unfinished.join(", ")));
        }
        let (options, tally) = (&self.options, &self.session.tally);
        if options.marks && !options.skip_marks {
            say(&marks::table(&tally.sums.marks, tally.runs()));
        }
        let mut rows = summary::rows(tally, self.session.wall(), interrupted);
        rows.extend(options.only.iter().map(|only| ("only", only.to_string())));
        if !options.skip_marks {
            rows.push(("marks", marks::line(&tally.sums.marks, options.require_marks)));
        }
        rows.extend(self.refused.iter().map(|why| ("LEFT OUT", why.clone())));
        say(&wrap::rows(&rows, super::width()));
        Ok(exit::unless_interrupted(self.code(), interrupted))
    }

    /// What failed, the gravest first.
    fn code(&self) -> u8 {
        let (options, tally) = (&self.options, &self.session.tally);
        let missed = options.require_marks && !marks::never(&tally.sums.marks).is_empty();
        match tally.code() {
            exit::OK if !self.refused.is_empty() => exit::USAGE,
            exit::OK if missed => exit::MARKS,
            code => code,
        }
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

/// The plans with which an exploration begins: the repository's, then those of an earlier exploration.
/// A file of the repository that is no usable plan is `refused`: it keeps nothing else from being explored.
fn regressions<S: System>(
    options: &Options,
    store: &Option<Store>,
    refused: &mut Vec<String>,
) -> Result<BTreeMap<PathBuf, Plan<S>>, String> {
    let mut plans = BTreeMap::new();
    for saved in options.regressions.list::<S>() {
        match saved {
            Ok(saved) => {
                plans.insert(saved.path, saved.plan);
            }
            Err(why) => refused.push(why),
        }
    }
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

fn read<'a, S: System>(jobs: impl Iterator<Item = &'a Job>) -> Result<BTreeMap<PathBuf, Plan<S>>, String> {
    let paths = jobs.filter_map(|job| match job {
        Job::Regression(path) => Some(path.clone()),
        Job::Seed(_) => None,
    });
    paths.map(|path| saved::read(&path).map(|plan| (path, plan))).collect()
}
