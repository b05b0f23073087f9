//! From a failing run to its cause: made small, drawn, and kept as a regression.

use std::{
    env, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    data::{
        exit,
        outcome::{Class, Outcome, RunOptions},
        plan::Plan,
        saved::{self, Saved},
        seed::Seed,
        validate::validate,
    },
    explore::Job,
    judges::idle::idle,
    marks::Mark,
    minimise::{self, Aim, Ended, Minimised, Signature},
    report::{page, screen},
    run,
    system::{Setup, System},
    world::simulated::Simulated,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{load, say, span::span};

/// Where plans and reports of failures go by default: into the package that keeps the regressions, in
/// whatever folder the simulator is started. So what is made small and what is saved are in one place.
pub fn failures<S: System>() -> PathBuf {
    let regressions = S::regressions();
    let package = regressions.ancestors().nth(2).unwrap_or(Path::new(""));
    // It was built somewhere else.
    let package = if package.is_dir() { package } else { Path::new("") };
    shown(&package.join("target").join("sim-failures"))
}

/// A path as a person would write it here.
pub fn shown(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).to_owned()
}

/// Which regressions.
#[derive(Args, Clone)]
pub struct Regressions {
    /// The folder of the regressions [default: tests/plans in the package that has them].
    #[arg(long = "plans", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Regressions {
    /// The folder they are in.
    pub fn folder<S: System>(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(S::regressions)
    }

    /// All files in it, each a plan or what is wrong with it.
    pub fn list<S: System>(&self) -> Vec<Result<Saved<S>, String>> {
        match &self.folder {
            // One that was named must be there; a system need not have any.
            Some(folder) if !folder.is_dir() => vec![Err(format!("{} is no folder", folder.display()))],
            _ => saved::list(&self.folder::<S>()),
        }
    }
}

/// What making a run small may cost.
#[derive(Args)]
pub struct Effort {
    /// Start no further run after this time.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = span)]
    time: Duration,
    /// At most this many runs; if this is the only limit, the result is always the same.
    #[arg(long, value_name = "N", default_value_t = minimise::Options::default().runs_max, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// How many runs at once [default: one per core]. Does not change the result.
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
}

/// The options of `cargo sim minimise`.
#[derive(Args)]
pub struct MinimiseOptions<S: System> {
    /// A seed, or the path of a plan.
    #[arg(value_name = "SEED|PLAN.toml")]
    run: String,
    /// Where the small plan goes [default: NAME.minimised.toml in target/sim-failures].
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

/// The mark of this name, for clap.
///
/// # Errors
///
/// Where to find their names.
pub fn mark<S: System>(name: &str) -> Result<Mark<S>, String> {
    Mark::find(name)
        .ok_or_else(|| "there is no mark of this name; `cargo sim --seeds 1 --marks` lists all".into())
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
    /// The plan must reach this mark ever after; may be given several times.
    #[arg(long, value_name = "MARK", value_parser = mark::<S>)]
    reaches: Vec<Mark<S>>,
    /// Replace a regression of that name.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    regressions: Regressions,
    #[command(flatten)]
    effort: Effort,
}

/// `cargo sim minimise`.
pub fn minimise<S: Simulated>(options: &MinimiseOptions<S>) -> Result<u8, String> {
    let plan = load(&options.run)?;
    let own = || failures::<S>().join(format!("{}.minimised.toml", file_name(&options.run)));
    let out = options.out.clone().unwrap_or_else(own);
    let page = options.report.clone().unwrap_or_else(|| out.with_extension("html"));
    saved::check_writable(&out)?;
    saved::check_writable(&page)?;
    let small = smaller(&options.run, &plan, options.reaching, &options.effort)?;
    saved::write(&out, &small.plan)?;
    draw(&small.plan, &page, &format!("{}, minimised", title(&options.run, &small.outcome)), None)?;
    say(&screen::failure(&small.plan, &small.outcome, &format!("replay {}", out.display())));
    say(&format!("{:>10}  {}", "report", page.display()));
    Ok(exit::OK)
}

/// `cargo sim save`.
pub fn save<S: Simulated>(options: &SaveOptions<S>) -> Result<u8, String> {
    saved::check_name(&options.name)?;
    let path = options.regressions.folder::<S>().join(format!("{}.toml", options.name));
    if path.exists() && !options.replace {
        return Err(format!("{} exists: choose another name, or add --replace", path.display()));
    }
    saved::check_writable(&path)?;
    let plan: Plan<S> = load(&options.run)?;
    let (mut kept, shows) = if options.whole {
        (plan.clone(), None)
    } else {
        let small = smaller(&options.run, &plan, options.reaching, &options.effort)?;
        let shows = match small.aim {
            Aim::Failure(signature) => format!("Failed once: {signature}."),
            Aim::Reaches(mark) => mark.about(),
        };
        (small.plan, Some(shows))
    };
    let own = Some(plan.about).filter(|about| !about.is_empty());
    kept.about = options.about.clone().or(own).or(shows).ok_or("say with --about what this plan shows")?;
    kept.reaches = options.reaching.into_iter().chain(options.reaches.iter().copied()).collect();
    let outcome = run(&kept, &RunOptions::default());
    check(&kept, &outcome)?;
    saved::write(&path, &kept)?;
    say(&format!("saved {}: {}", shown(&path).display(), kept.about));
    let until = if outcome.class() == Class::Ok { "" } else { "; it passes once the cause is gone" };
    say(&format!("`cargo test {}` replays it{until}", options.name));
    Ok(exit::OK)
}

/// Whether a plan can be kept: what is refused when it is read must not be written, and one that ends well
/// must pass as a test.
fn check<S: System>(kept: &Plan<S>, outcome: &Outcome<S>) -> Result<(), String> {
    saved::check_about(kept)?;
    validate(kept)?;
    let missed = outcome.missed(kept);
    if let Some(mark) = missed.first() {
        return Err(format!("the plan does not reach {}", mark.name()));
    }
    if outcome.class() != Class::Ok {
        return Ok(());
    }
    if kept.faults.is_empty() && kept.reaches.is_empty() {
        return Err("the plan has no fault and ends well: nothing would tell when it shows nothing any more. Say with --reaches \
                    what it must reach"
            .into());
    }
    match idle(kept, outcome).first() {
        None => Ok(()),
        Some((fault, why)) => Err(format!(
            "fault {fault} of the plan never struck ({why}): take it out, or say with --reaches what the plan must \
             reach without it"
        )),
    }
}

/// `cargo sim saved`.
pub fn list<S: System>(regressions: &Regressions) -> Result<u8, String> {
    let mut code = exit::OK;
    for saved in regressions.list::<S>() {
        match saved {
            Ok(saved) => say(&format!("{:<60} {}", saved.name, saved.plan.about)),
            Err(why) => {
                eprintln!("error: {why}");
                code = exit::USAGE;
            }
        }
    }
    Ok(code)
}

/// A plan made small; `named` is how the command line calls it.
fn smaller<S: Simulated>(
    named: &str,
    plan: &Plan<S>,
    reaching: Option<Mark<S>>,
    effort: &Effort,
) -> Result<Minimised<S>, String> {
    let defaults = minimise::Options::default();
    let options = minimise::Options {
        time_max: effort.time,
        runs_max: effort.runs,
        jobs: effort.jobs.map_or(defaults.jobs, NonZeroUsize::get),
    };
    let began = Instant::now();
    let outcome = run(plan, &RunOptions::default());
    let aim = match (reaching, Signature::of(&outcome)) {
        (None, Some(signature)) => Aim::Failure(signature),
        (None, None) => {
            return Err(format!(
                "{named} ends well, so there is no failure to make small; --reaching MARK keeps a mark instead"
            ));
        }
        (Some(mark), None) if outcome.stats.marks.contains_key(&mark) => Aim::Reaches(mark),
        (Some(mark), None) => {
            let name = mark.name();
            return Err(format!(
                "{named} ends well, but does not reach {name}; `cargo sim find {name}` looks for a seed that does"
            ));
        }
        (Some(_), Some(signature)) => {
            return Err(format!(
                "{named} fails ({signature}), and only a run that ends well is made small for a mark"
            ));
        }
    };
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {elapsed} {msg}").map_err(|error| error.to_string())?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
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
    let mut small =
        small.ok_or_else(|| format!("{named} does not do the same again: try `cargo sim doctor`"))?;
    let ended = match small.ended {
        Ended::Minimal => "",
        Ended::Time => "; out of time, --time gives more",
        Ended::Runs => "; out of runs, --runs gives more",
    };
    say(&format!(
        "{} -> {} ({} -> {} {}, {} -> {} clients; {} in {:.1} s{ended})",
        small.before,
        small.after,
        small.before.setup,
        small.after.setup,
        S::Setup::SIZE,
        small.before.clients,
        small.after.clients,
        screen::counted(small.runs, "run", "runs"),
        began.elapsed().as_secs_f64(),
    ));
    if small.plan.about.is_empty() {
        small.plan.about = format!("Minimised from {}; {}.", small.before, small.aim);
    }
    Ok(small)
}

/// Runs a plan again, this time keeping the messages, and draws it, up to this moment or to its end.
pub fn draw<S: Simulated>(
    plan: &Plan<S>,
    page: &Path,
    title: &str,
    until: Option<Duration>,
) -> Result<(), String> {
    let options = RunOptions { keep_messages: true, until, ..RunOptions::default() };
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
    draw(plan, &page, &format!("{job}: {headline}"), None)?;
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
    let name = if run.parse::<Seed>().is_ok() { format!("seed {run}") } else { file_name(run) };
    format!("{name}: {}", screen::headline(outcome))
}

/// `42` becomes `seed-42`, `42,servers=3` becomes `seed-42,servers=3`, `plans/some.toml` becomes `some`.
fn file_name(run: &str) -> String {
    if run.parse::<Seed>().is_ok() {
        return format!("seed-{run}");
    }
    let stem = Path::new(run).file_stem().unwrap_or_default().to_string_lossy();
    stem.trim_end_matches(".minimised").to_string()
}
