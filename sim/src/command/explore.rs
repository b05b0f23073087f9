//! `cargo sim explore`: many seeds on all cores. A line when all is well, a screen for each finding.

use std::{
    fs::File,
    io::{BufWriter, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sim::{
    explore::{Findings, Record, Report, Schedule, Tally, summary, workers},
    generate::generate,
    outcome::{Class, RunOptions},
    run, screen,
};

use super::{cause, say};

/// Seeds of an exploration that is told neither a number nor a time: about a minute on two cores.
const SEEDS_DEFAULT: u64 = 500;
/// Findings that get a screen of their own; further ones get a line.
const SCREENS_MAX: usize = 5;

#[derive(Args, Clone)]
pub struct Options {
    /// How many seeds [default: 500, or without end with --minutes].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 0)]
    start: u64,
    /// How many runs at once [default: one a core].
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Start no further run after so many minutes.
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes: Option<f64>,
    /// Write what became of each seed into this file: one JSON object a line, in order of the seeds.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Stop at the first seed that ends in one of these ways: `safety`, `panic`, `liveness`, `undecided`, by commas.
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    until: Vec<Class>,
    /// Judge by what clients see alone: invariants are not checked. (`replay` and `minimise` do check them.)
    #[arg(long)]
    without_invariants: bool,
    /// Leave a plan and a report of each kind of failure in this folder.
    #[arg(long, value_name = "FOLDER", default_value = cause::FOLDER)]
    failures: PathBuf,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes.is_finite() => Ok(minutes),
        _ => Err("expected a number of minutes above zero, such as 0.5".into()),
    }
}

pub fn explore(options: &Options) -> Result<u8, String> {
    let seeds = options.seeds.unwrap_or(if options.minutes.is_some() { u64::MAX } else { SEEDS_DEFAULT });
    let end = options.start.saturating_add(seeds);
    let jobs = options.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    // Opened first: a path that cannot be written must not cost a whole exploration.
    let json = options.json.as_deref().map(|path| create(path).map(|file| (path, file))).transpose()?;
    let stop = interruption()?;
    let began = Instant::now();
    let last = options.minutes.map(|minutes| began + Duration::from_secs_f64(60.0 * minutes));

    let schedule = Mutex::new(Schedule::new(options.start..end));
    let bar = progress(options.start, end, last.is_some() && options.seeds.is_none());
    let (mut tally, mut records) = (Tally::default(), Vec::new());
    let found = AtomicBool::new(false);
    let run_options = RunOptions { skip_invariants: options.without_invariants, ..RunOptions::default() };
    workers::work(
        &schedule,
        jobs,
        || {
            !stop.load(Ordering::Relaxed)
                && !found.load(Ordering::Relaxed)
                && last.is_none_or(|last| Instant::now() < last)
        },
        |seed| Report::new(seed, run(&generate(seed), &run_options)),
        |report| {
            if json.is_some() {
                records.push(Record::new(&report));
            }
            announce(&report, &tally, &bar);
            if options.until.contains(&report.class) {
                found.store(true, Ordering::Relaxed); // all earlier seeds have begun, and will end
            }
            tally.add(report);
        },
    );
    bar.finish_and_clear();

    if let Some((path, file)) = json {
        records.sort_by_key(|record| record.seed);
        write_json(file, &records).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let last_line = summary::last_line(&tally, began.elapsed(), stop.load(Ordering::Relaxed));
    let code = tally.code();
    show(tally.findings, &options.failures)?;
    say(&last_line);
    Ok(code)
}

/// A flag that Ctrl-C sets; the second time it ends the process.
fn interruption() -> Result<&'static AtomicBool, String> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    Ok(&STOP)
}

/// Shown on a terminal only.
fn progress(start: u64, end: u64, endless: bool) -> ProgressBar {
    let (bar, style) = if endless {
        (ProgressBar::new_spinner(), "{spinner} {pos} seeds, {per_sec}, {elapsed} {msg}")
    } else {
        (ProgressBar::new(end - start), "{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left {msg}")
    };
    bar.set_style(ProgressStyle::with_template(style).expect("the template is well formed"));
    bar
}

fn announce(report: &Report, before: &Tally, bar: &ProgressBar) {
    bar.inc(1);
    if let Some(outcome) = &report.failure {
        bar.set_message(format!("{} failed", before.failed + 1));
        let line = format!("seed {}: {}", report.seed, screen::headline(outcome));
        bar.suspend(|| eprintln!("{line}"));
    }
}

fn show(findings: Findings, folder: &Path) -> Result<(), String> {
    for (place, finding) in findings.by_gravity().iter().enumerate() {
        let seed = finding.seed;
        if place < SCREENS_MAX {
            let scenario = generate(seed);
            say(&screen::failure(&scenario, &finding.outcome, &format!("replay {seed}")));
            cause::keep_failure(folder, seed, &scenario, &finding.headline)?.iter().for_each(|row| say(row));
        } else {
            say(&format!("{}: cargo sim replay {seed}", finding.headline));
        }
        if let Some(also) = summary::also(finding) {
            say(&also);
        }
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_json(file: File, records: &[Record]) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    for record in records {
        record.write(&mut file)?;
    }
    file.flush()
}
