//! One run, told in full: of a seed or a plan.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use clap::Args;

use crate::{
    data::{
        exit,
        nodes::READER,
        outcome::{Class, Moment, Outcome, RunOptions},
        plan::Plan,
        saved,
        seed::Seed,
        standing::Steps,
    },
    judges::idle::idle,
    observer::trace::{self, TraceLine},
    report::{marks, page, screen, timeline},
    run,
    system::System,
    world::simulated::Simulated,
};

use super::{cause, filter::Filter, load, say, span::moment, standing};

/// Operations that a timeline shows unasked, at most.
const OPERATIONS_FEW: usize = 20;

/// Steps that are told one by one, at most.
const STEPS_MAX: i64 = 10_000;

/// After so long a run that says nothing is said to be still running.
const PATIENCE: Duration = Duration::from_secs(5);

/// The options of `cargo sim replay`.
#[derive(Args)]
pub struct Options {
    /// A seed, or the path of a plan.
    #[arg(value_name = "SEED|PLAN.toml")]
    run: String,
    /// Name the marks that the run reaches, situations worth reaching.
    #[arg(long)]
    marks: bool,
    /// Draw the run into a page that explains it.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the run as a trace for chrome://tracing or ui.perfetto.dev.
    #[arg(long, value_name = "FILE.json")]
    chrome: Option<PathBuf>,
    /// Write the run as a log with vector clocks, for ShiViz and its default parser.
    #[arg(long, value_name = "FILE.log")]
    shiviz: Option<PathBuf>,
    #[command(flatten)]
    telling: Telling,
}

/// How a run is told.
#[derive(Args, Default)]
pub struct Telling {
    /// Every step of every machine instead of one line for each report of a process and each fault.
    #[arg(long)]
    pub trace: bool,
    /// What clients call, and how it ends [default: if it is little].
    #[arg(long, conflicts_with = "trace")]
    pub ops: bool,
    /// End the run at this virtual time, before the heal, and say how everything stands: processes, disks,
    /// what is in the way between nodes, messages in flight, calls under way; page and trace end there, too.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Duration>,
    /// With --until: then go on for this many steps of the trace, and say what each of them changed.
    #[arg(long, value_name = "N", requires = "until", value_parser = clap::value_parser!(u32).range(1..=STEPS_MAX))]
    pub steps: Option<u32>,
    /// With --until: only what is about these processes and clients.
    #[arg(long, value_name = "NAME,...", requires = "until", value_delimiter = ',')]
    pub state: Vec<String>,
    /// Which lines.
    #[command(flatten)]
    pub filter: Filter,
}

/// `cargo sim replay`.
pub fn replay<S: Simulated>(options: &Options) -> Result<u8, String> {
    let plan: Plan<S> = load(&options.run)?;
    for file in options.report.iter().chain(&options.chrome).chain(&options.shiviz) {
        saved::check_writable(file)?;
    }
    options.telling.filter.check(&plan)?;
    standing::check(&options.telling.state, &plan)?;
    if options.telling.until.is_some_and(|until| until >= Duration::from_millis(plan.faults_ms)) {
        return Err(format!("--until must be before the heal, at {} ms (faults_ms)", plan.faults_ms));
    }
    let outcome = patiently(&plan, || told(&plan, &options.telling));
    say(&screen::verdict(&outcome));
    if options.marks {
        say(&marks::of_run(&outcome.stats.marks));
    }
    if outcome.class() != Class::Ok {
        say("");
        say(&screen::failure(&plan, &outcome, &format!("replay {}", options.run)));
    }
    if let Some(page) = &options.report {
        cause::draw(&plan, page, &cause::title(&options.run, &outcome), options.telling.until)?;
        say(&format!("{:>10}  {}", "report", page.display()));
    }
    let files = [
        ("chrome", &options.chrome, page::chrome::render::<S> as fn(&Plan<S>, &Outcome<S>) -> String),
        ("shiviz", &options.shiviz, page::shiviz::render::<S>),
    ];
    for (label, file, render) in files {
        let Some(file) = file else { continue };
        let until = options.telling.until;
        let kept = run(&plan, &RunOptions { keep_messages: true, until, ..RunOptions::default() });
        saved::write_text(file, &render(&plan, &kept))?;
        say(&format!("{label:>10}  {}", file.display()));
    }
    if options.telling.until.is_some() {
        // What was still to come does not count.
        return Ok(exit::code(outcome.class()));
    }
    if options.run.parse::<Seed>().is_ok() {
        // A seed plans more than can strike, and is made to reach nothing.
        return Ok(exit::code(outcome.class()));
    }
    Ok(judged(&plan, &outcome))
}

/// Whether the run of a plan in a file did what it is for; says what it did not. Returns the exit code.
fn judged<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> u8 {
    if outcome.class() != Class::Ok {
        return exit::code(outcome.class());
    }
    let missed = outcome.missed(plan);
    if !missed.is_empty() {
        say("");
        say(&screen::blind(&missed));
        return exit::MARKS;
    }
    let idle = idle(plan, outcome);
    if !idle.is_empty() {
        say("");
        say(&screen::idle(plan, &idle));
        return exit::NOT_STRUCK;
    }
    exit::OK
}

/// Runs a plan and tells it on the way (the trace) or at its end (the timeline).
pub fn told<S: Simulated>(plan: &Plan<S>, telling: &Telling) -> Outcome<S> {
    let mut options = RunOptions { until: telling.until, ..RunOptions::default() };
    let filter = telling.filter.clone();
    if telling.trace {
        let is_any = Arc::new(AtomicBool::new(false));
        let seen = is_any.clone();
        options.trace_sink = Some(Arc::new(move |line: &TraceLine| {
            if filter.lets(line.at, &line.node, &line.text) {
                seen.store(true, Ordering::Relaxed);
                say(&line.to_string());
            }
        }));
        let outcome = run(plan, &options);
        note_silence(telling, is_any.load(Ordering::Relaxed));
        trace::legend::<S>().iter().for_each(|line| say(line));
        return stands(plan, telling, outcome);
    }
    let outcome = run(plan, &options);
    let all = telling.ops || filter.is_of_clients() || outcome.operations.len() <= OPERATIONS_FEW;
    let is_told = |moment: &&Moment<S>| {
        (all || timeline::is_turn(&moment.event))
            && filter.lets(moment.at, &moment.node, &timeline::words(moment, &outcome))
    };
    let lines = outcome.timeline.iter().filter(is_told).map(|moment| say(&timeline::line(moment, &outcome)));
    note_silence(telling, lines.count() > 0);
    if all && outcome.operations.iter().any(|operation| &*operation.client == READER) {
        say(&format!("{:>10}  a fresh client that looks at everything at the end", "reader"));
    }
    stands(plan, telling, outcome)
}

/// Says how everything stood when the run was told to end, and goes on from there if that is asked for.
/// Returns the run to its last step.
fn stands<S: Simulated>(plan: &Plan<S>, telling: &Telling, outcome: Outcome<S>) -> Outcome<S> {
    standing::stands(&outcome.standing, &telling.state);
    let Some(count) = telling.steps.filter(|_| outcome.class() == Class::Ok) else { return outcome };
    let steps = Steps { from: outcome.stats.virtual_time, count: count as usize };
    // The same run once more: one that was ended has lost what would come.
    let stepped = run(plan, &RunOptions { steps: Some(steps), ..RunOptions::default() });
    standing::steps(&outcome.standing, &stepped, steps.count, &telling.state);
    stepped
}

/// Says why nothing was told, if a filter kept it from being told.
fn note_silence(telling: &Telling, is_any: bool) {
    if !is_any && telling.filter.is_set() {
        let more = if telling.trace { "" } else { "; --ops has what clients call, --trace every step" };
        eprintln!("no line of this run is what was asked for{more}");
    }
}

/// Makes a run. If it takes long, standard error says so: a plan can ask for years.
fn patiently<S: System, T>(plan: &Plan<S>, run: impl FnOnce() -> T) -> T {
    let (done, waits) = mpsc::channel::<()>();
    let seconds = (plan.faults_ms.saturating_add(plan.watch_ms)) / 1000;
    thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!(
                    "still running: the plan asks for {seconds} s of virtual time under faults (faults_ms) and after \
                     them (watch_ms); Ctrl-C ends it"
                );
            }
        });
        let made = run();
        drop(done);
        made
    })
}
