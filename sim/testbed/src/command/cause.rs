//! From a failing run to its cause: made small, drawn, and kept as a regression.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    data::{
        exit,
        outcome::{Outcome, RunOptions},
        plan::Plan,
        saved,
    },
    explore::Job,
    marks::Mark,
    minimise::{self, Aim, Ended, Minimised, Signature},
    report::{page, screen},
    run,
    system::{Setup, System},
    world::simulated::Simulated,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{load, say};

/// Where plans and reports of failures go by default.
pub const FOLDER: &str = "target/sim-failures";

/// What making a run small may cost.
#[derive(Args)]
pub struct Effort {
    /// Start no further run after this many seconds.
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// At most this many runs; if this is the only limit, the result is always the same.
    #[arg(long, value_name = "N", default_value_t = minimise::Options::default().runs_max, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// How many runs at once [default: one a core]. Does not change the result.
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
}

/// The options of `cargo sim minimise`.
#[derive(Args)]
pub struct MinimiseOptions<S: System> {
    /// A seed, or the path of a plan.
    #[arg(value_name = "SEED|PLAN.toml")]
    run: String,
    /// Where the small plan goes [default: target/sim-failures/NAME.minimised.toml].
    #[arg(long, value_name = "FILE.toml")]
    out: Option<PathBuf>,
    /// Draw the small run into this page [default: beside the plan].
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Keep this mark instead of a failure: the smallest run that ends well and reaches it.
    #[arg(long, value_name = "MARK", value_parser = mark::<S>)]
    reaching: Option<Mark<S>>,
    #[command(flatten)]
    effort: Effort,
}

fn mark<S: System>(name: &str) -> Result<Mark<S>, String> {
    Mark::find(name).ok_or_else(|| "no mark is called so; `cargo sim --seeds 1 --marks` lists them".into())
}

/// The options of `cargo sim save`.
#[derive(Args)]
pub struct SaveOptions<S: System> {
    /// A seed, or the path of a plan.
    #[arg(value_name = "SEED|PLAN.toml")]
    run: String,
    /// A claim that the failure contradicts, such as `a_stale_read_is_refused`.
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// What the plan shows, in a sentence [default: how it fails].
    #[arg(long, value_name = "SENTENCE")]
    about: Option<String>,
    /// Keep the plan as it is: it need not fail, and is not minimised.
    #[arg(long)]
    whole: bool,
    /// Keep the smallest run that ends well and reaches this mark, so that every exploration does.
    #[arg(long, value_name = "MARK", value_parser = mark::<S>, conflicts_with = "whole")]
    reaching: Option<Mark<S>>,
    /// Replace a regression of that name.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    effort: Effort,
}

/// `cargo sim minimise`.
pub fn minimise<S: Simulated>(options: &MinimiseOptions<S>) -> Result<u8, String> {
    let plan = load(&options.run)?;
    let Some(small) = smaller(&plan, options.reaching, &options.effort)? else {
        let what =
            options.reaching.map_or("fail".into(), |mark| format!("end well and reach {}", mark.name()));
        say(&format!("{} does not {what}: there is nothing to minimise", options.run));
        return Ok(exit::OK);
    };
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| Path::new(FOLDER).join(format!("{}.minimised.toml", file_name(&options.run))));
    let page = options.report.clone().unwrap_or_else(|| out.with_extension("html"));
    saved::write(&out, &small.plan)?;
    draw(&small.plan, &page, &format!("{}, minimised", title(&options.run, &small.outcome)))?;
    say(&screen::failure(&small.plan, &small.outcome, &format!("replay {}", out.display())));
    say(&format!("{:>10}  {}", "report", page.display()));
    Ok(exit::code(small.outcome.class()))
}

/// `cargo sim save`.
pub fn save<S: Simulated>(options: &SaveOptions<S>) -> Result<u8, String> {
    saved::check_name(&options.name)?;
    let path = S::regressions().join(format!("{}.toml", options.name));
    if path.exists() && !options.replace {
        return Err(format!("{} exists: choose another name, or add --replace", path.display()));
    }
    let plan = load(&options.run)?;
    let (mut kept, shows) = if options.whole {
        (plan.clone(), None)
    } else {
        let small = smaller(&plan, options.reaching, &options.effort)?.ok_or_else(|| {
            options.reaching.map_or_else(
                || format!("{} does not fail; to keep it nevertheless, add --whole and --about", options.run),
                |mark| format!("{} does not end well and reach {}", options.run, mark.name()),
            )
        })?;
        let shows = match small.aim {
            Aim::Failure(signature) => format!("Failed once: {signature}."),
            Aim::Reaches(mark) => mark.about(),
        };
        (small.plan, Some(shows))
    };
    let own = Some(plan.about).filter(|about| !about.is_empty());
    kept.about = options.about.clone().or(own).or(shows).ok_or("say with --about what this plan shows")?;
    kept.reaches = options.reaching.map_or_else(|| reaches(&kept), |mark| vec![mark]);
    saved::write(&path, &kept)?;
    say(&format!("saved {}: {}", path.display(), kept.about));
    let until = if options.reaching.is_some() { "" } else { "; it passes once the cause is gone" };
    say(&format!("`cargo test {}` replays it{until}", options.name));
    Ok(exit::OK)
}

/// `cargo sim saved`.
pub fn list<S: System>() -> Result<u8, String> {
    for saved in saved::list::<S>(&S::regressions())? {
        say(&format!("{:<60} {}", saved.name, saved.plan.about));
    }
    Ok(exit::OK)
}

/// The marks that a plan reaches because of its faults: without them it does not. That it reaches them must
/// stay true, or the plan has gone blind.
fn reaches<S: Simulated>(plan: &Plan<S>) -> Vec<Mark<S>> {
    let options = RunOptions { skip_judgement: true, ..RunOptions::default() };
    let reached = |plan: &Plan<S>| run(plan, &options).stats.marks;
    let quiet = reached(&Plan { faults: Vec::new(), ..plan.clone() });
    reached(plan).into_keys().filter(|mark| !quiet.contains_key(mark)).collect()
}

fn smaller<S: Simulated>(
    plan: &Plan<S>,
    reaching: Option<Mark<S>>,
    effort: &Effort,
) -> Result<Option<Minimised<S>>, String> {
    let defaults = minimise::Options::default();
    let options = minimise::Options {
        time_max: Duration::from_secs(effort.seconds),
        runs_max: effort.runs,
        jobs: effort.jobs.map_or(defaults.jobs, NonZeroUsize::get),
    };
    let began = Instant::now();
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed} {msg}").map_err(|error| error.to_string())?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let aim = match reaching {
        Some(mark) => Aim::Reaches(mark),
        None => match Signature::of(&run(plan, &RunOptions::default())) {
            Some(signature) => Aim::Failure(signature),
            None => return Ok(None),
        },
    };
    // A history need not be judged again and again if the failure is not in it.
    let in_history = matches!(aim, Aim::Failure(Signature::NotLinearizable(_) | Signature::Undecided));
    let run_options =
        RunOptions { skip_judgement: !in_history, skip_marks: reaching.is_none(), ..RunOptions::default() };
    let small = minimise::minimise(
        plan,
        aim,
        &options,
        |plan| run(plan, &run_options),
        |progress| {
            bar.set_message(format!("{}: {} ({} runs)", progress.pass, progress.size, progress.runs));
        },
    );
    bar.finish_and_clear();
    let Some(mut small) = small else { return Ok(None) };
    let ended = match small.ended {
        Ended::Minimal => "",
        Ended::Time => "; out of time, --seconds gives more",
        Ended::Runs => "; out of runs, --runs gives more",
    };
    say(&format!(
        "{} -> {} ({} -> {} {}, {} -> {} clients; {} runs in {:.1} s{ended})",
        small.before,
        small.after,
        small.before.setup,
        small.after.setup,
        S::Setup::SIZE,
        small.before.clients,
        small.after.clients,
        small.runs,
        began.elapsed().as_secs_f64(),
    ));
    if small.plan.about.is_empty() {
        small.plan.about = format!("Minimised from {}; {}.", small.before, small.aim);
    }
    Ok(Some(small))
}

/// Runs a plan again, this time keeping the messages, and draws it.
pub fn draw<S: Simulated>(plan: &Plan<S>, page: &Path, title: &str) -> Result<(), String> {
    let options = RunOptions { keep_messages: true, ..RunOptions::default() };
    let outcome = run(plan, &options);
    saved::write_text(page, &page::render(plan, &outcome, title))
}

/// Leaves plan and page of a failing run in a folder; returns the rows that say where. A regression has its
/// plan already.
pub fn keep_failure<S: Simulated>(
    folder: &Path,
    job: &Job,
    plan: &Plan<S>,
    headline: &str,
) -> Result<Vec<String>, String> {
    let (name, again) = (file_name(&job.again()), job.again());
    let page = folder.join(format!("{name}.html"));
    let mut rows = vec![format!("{:>10}  {}", "report", page.display())];
    if matches!(job, Job::Seed(_)) {
        let file = folder.join(format!("{name}.toml"));
        saved::write(&file, plan)?;
        rows.push(format!("{:>10}  {}", "kept as", file.display()));
    }
    draw(plan, &page, &format!("{job}: {headline}"))?;
    rows.push(format!("{:>10}  cargo sim minimise {again}", "smaller"));
    Ok(rows)
}

/// Removes what was left of a failing seed: another one shows the same.
pub fn forget_failure(folder: &Path, job: &Job) {
    if let Job::Seed(_) = job {
        let name = file_name(&job.again());
        for ending in ["toml", "html"] {
            // If it stays, nothing is wrong with it.
            let _ = fs::remove_file(folder.join(format!("{name}.{ending}")));
        }
    }
}

/// The title of a page about a seed or a plan.
pub fn title<S: System>(run: &str, outcome: &Outcome<S>) -> String {
    let name = if run.parse::<u64>().is_ok() { format!("seed {run}") } else { file_name(run) };
    format!("{name}: {}", screen::headline(outcome))
}

/// `42` becomes `seed-42`, `plans/some.toml` becomes `some`.
fn file_name(run: &str) -> String {
    if run.parse::<u64>().is_ok() {
        return format!("seed-{run}");
    }
    let stem = Path::new(run).file_stem().unwrap_or_default().to_string_lossy();
    stem.trim_end_matches(".minimised").to_string()
}
