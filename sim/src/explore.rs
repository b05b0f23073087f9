//! Exploration: many seeds on all cores. A line when all is well, a screen for each finding.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sim::{
    exit,
    generate::generate,
    marks::report,
    outcome::{Class, Outcome, RunOptions, Stats},
    run, screen,
};

use crate::{cause, command::say};

/// Seeds of an exploration that is told neither a number nor a time: about a minute on two cores.
const SEEDS_DEFAULT: u64 = 500;
/// Findings that get a screen of their own; further ones get a line.
const SCREENS_MAX: usize = 5;
/// Other seeds of the same finding that are named.
const ALSO_MAX: usize = 12;

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
    /// Print how many runs reached each situation worth reaching.
    #[arg(long)]
    marks: bool,
    /// Fail with code 7 if there is a situation that no run reached.
    #[arg(long)]
    require_marks: bool,
    /// Do not look out for situations: to measure what that costs, and that a run is the same without.
    #[arg(long, conflicts_with_all = ["marks", "require_marks"])]
    skip_marks: bool,
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

/// What became of a seed. The outcome itself is kept for failures only.
struct Report {
    seed: u64,
    class: Class,
    trace: String,
    stats: Stats,
    failure: Option<Box<Outcome>>,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    seed: u64,
    trace: &'a str,
    class: String,
    headline: Option<String>,
    virtual_ms: u128,
    operations: u64,
    unknown: u64,
    not_executed: u64,
    view_changes: u64,
    promotions: u64,
    transfers: u64,
    messages: u64,
    steps: u64,
    faults: &'a BTreeMap<&'static str, u64>,
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

    let next = AtomicU64::new(options.start);
    let bar = progress(options.start, end, last.is_some() && options.seeds.is_none());
    let mut reports = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            let run_options = RunOptions { skip_marks: options.skip_marks, ..RunOptions::default() };
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && last.is_none_or(|last| Instant::now() < last) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send(one(seed, &run_options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        collect(&receiver, &bar)
    });
    bar.finish_and_clear();
    reports.sort_by_key(|report| report.seed);

    if let Some((path, file)) = json {
        write_json(file, &reports).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let findings = findings(&reports);
    show(&findings, &options.failures)?;
    say(&summary(&reports, began.elapsed(), stop.load(Ordering::Relaxed)));
    let mut stats = Stats::default();
    reports.iter().for_each(|report| stats.add(&report.stats));
    if options.skip_marks {
        return Ok(reports.iter().map(|report| report.class).min().map_or(exit::OK, exit::code));
    }
    if options.marks {
        say(&report::table(&stats.marks, reports.len() as u64));
    }
    say(&report::line(&stats.marks));
    let code = reports.iter().map(|report| report.class).min().map_or(exit::OK, exit::code);
    let missed = options.require_marks && !report::never(&stats.marks).is_empty();
    Ok(if code == exit::OK && missed { exit::MARKS } else { code })
}

fn one(seed: u64, options: &RunOptions) -> Report {
    let outcome = run(&generate(seed), options);
    let (class, trace, stats) = (outcome.class(), outcome.trace_hash.to_string(), outcome.stats.clone());
    Report { seed, class, trace, stats, failure: (class != Class::Ok).then(|| Box::new(outcome)) }
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

fn collect(receiver: &mpsc::Receiver<Report>, bar: &ProgressBar) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut failed = 0_u64;
    for report in receiver {
        bar.inc(1);
        if let Some(outcome) = &report.failure {
            failed += 1;
            bar.set_message(format!("{failed} failed"));
            let line = format!("seed {}: {}", report.seed, screen::headline(outcome));
            bar.suspend(|| eprintln!("{line}"));
        }
        reports.push(report);
    }
    reports
}

/// A kind of failure and the seeds that show it, the first of them in full.
struct Finding<'a> {
    headline: String,
    class: Class,
    first: (u64, &'a Outcome),
    also: Vec<u64>,
}

fn findings(reports: &[Report]) -> Vec<Finding<'_>> {
    let mut findings: Vec<Finding<'_>> = Vec::new();
    for report in reports {
        let Some(outcome) = &report.failure else { continue };
        let headline = screen::headline(outcome);
        match findings.iter_mut().find(|finding| finding.headline == headline) {
            Some(finding) => finding.also.push(report.seed),
            None => {
                let first = (report.seed, outcome.as_ref());
                findings.push(Finding { headline, class: report.class, first, also: Vec::new() });
            }
        }
    }
    findings.sort_by_key(|finding| finding.class);
    findings
}

fn show(findings: &[Finding<'_>], folder: &Path) -> Result<(), String> {
    for (place, Finding { headline, first: (seed, outcome), also, .. }) in findings.iter().enumerate() {
        if place < SCREENS_MAX {
            let scenario = generate(*seed);
            say(&screen::failure(&scenario, outcome, &format!("replay {seed}")));
            cause::keep_failure(folder, *seed, &scenario, headline)?.iter().for_each(|row| say(row));
        } else {
            say(&format!("{headline}: cargo sim replay {seed}"));
        }
        if !also.is_empty() {
            let named: Vec<String> = also.iter().take(ALSO_MAX).map(u64::to_string).collect();
            let rest = also.len().saturating_sub(ALSO_MAX);
            let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            say(&format!("{:>10}  seeds {}{rest}\n", "also", named.join(" ")));
        }
    }
    Ok(())
}

fn summary(reports: &[Report], wall: Duration, interrupted: bool) -> String {
    let mut stats = Stats::default();
    for report in reports {
        stats.add(&report.stats);
    }
    let failed = reports.iter().filter(|report| report.class != Class::Ok).count();
    let verdict = match failed {
        0 => "all well".to_string(),
        failed => format!("{failed} FAILED"),
    };
    let seconds = wall.as_secs_f64();
    format!(
        "{} seeds{}, {verdict}: {:.1} h virtual time ({:.0} times real time), {} operations judged, {} of them unknown; \
         {}; {} view changes; {:.1} seeds/s in {seconds:.1} s",
        reports.len(),
        if interrupted { " (interrupted)" } else { "" },
        stats.virtual_time.as_secs_f64() / 3600.0,
        stats.virtual_time.as_secs_f64() / seconds,
        stats.operations(),
        stats.unknown,
        screen::faults(&stats),
        stats.view_changes,
        reports.len() as f64 / seconds,
    )
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_json(file: File, reports: &[Report]) -> std::io::Result<()> {
    let mut file = BufWriter::new(file);
    for report in reports {
        let stats = &report.stats;
        let line = Line {
            seed: report.seed,
            trace: &report.trace,
            class: report.class.to_string(),
            headline: report.failure.as_deref().map(screen::headline),
            virtual_ms: stats.virtual_time.as_millis(),
            operations: stats.operations(),
            unknown: stats.unknown,
            not_executed: stats.not_executed,
            view_changes: stats.view_changes,
            promotions: stats.promotions,
            transfers: stats.transfers,
            messages: stats.messages,
            steps: stats.steps,
            faults: &stats.faults,
        };
        serde_json::to_writer(&mut file, &line)?;
        writeln!(file)?;
    }
    file.flush()
}
