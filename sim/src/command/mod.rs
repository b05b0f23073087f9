//! The command line.

mod bench;
mod cause;
mod claim;
mod doctor;
mod exhaust;
mod explore;
mod peer;
mod replay;
mod seek;
mod session;
mod traces;
mod walk;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::{Parser, Subcommand};
use linearizability::command as check;
use sim::{
    data::{chance::Chance, exit, plan::Plan, validate::validate},
    mutants,
    store::Pbkv,
    system::System,
};

const EXIT_CODES: &str = "Exit codes: 0 all well, 1 safety violation, 2 usage, 3 liveness, 4 panic, \
                          5 not deterministic, 6 undecided, 7 nothing failed, but a situation was not reached that had to be, \
                          8 a mutant was not caught, 9 copies were missing or the view was not left alone without a fault, \
                          or a bound was exceeded.";

/// Simulates whole clusters of pbkv under faults and judges what their clients saw.
///
/// One seed is one run: cluster, workload, faults and every message are decided by it. Without a
/// subcommand, explores seeds.
#[derive(Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    explore: explore::Options,
}

#[derive(Subcommand)]
enum Command {
    /// Runs many seeds on all cores and reports what failed (the default).
    #[command(after_help = EXIT_CODES)]
    Explore(explore::Options),
    /// Runs one seed or one saved plan again, byte for byte, and tells what happened.
    #[command(after_help = EXIT_CODES)]
    Replay {
        /// A seed, or the path of a plan.
        #[arg(value_name = "SEED|PLAN.toml")]
        run: String,
        /// Every step of every machine instead of one line per change of role, view or fault.
        #[arg(long)]
        trace: bool,
        /// Draw the run into a page that explains it.
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
    },
    /// Makes a failing run small: fewer faults, operations and servers, rounder times, the same failure.
    #[command(after_help = EXIT_CODES)]
    Minimise(cause::MinimiseOptions<Pbkv>),
    /// Minimises a failing run and keeps it in tests/plans, where `cargo test` replays it.
    Save(cause::SaveOptions<Pbkv>),
    /// Lists the regressions: the saved plans.
    Saved,
    /// Prints the plan that a seed stands for, to be saved, edited and replayed.
    Plan {
        /// The seed.
        seed: u64,
    },
    /// Makes runs twice, in two processes, and names the first step that differs, and in what.
    #[command(after_help = EXIT_CODES)]
    Doctor {
        /// Seeds, or paths of plans.
        #[arg(required = true, value_name = "SEED|PLAN.toml")]
        runs: Vec<String>,
        #[arg(long, hide = true)]
        plant_chance: Option<Chance>,
    },
    /// Makes a run and answers the doctor's questions.
    #[command(hide = true)]
    Asked(doctor::Execution),
    /// Measures how fast the simulation is.
    Bench(bench::Options),
    /// Lists the claims, or tries those whose names contain NAME.
    #[command(after_help = EXIT_CODES)]
    Claim(claim::ClaimOptions),
    /// Plants known mistakes, one at a time, and says which judge catches each, and how soon.
    ///
    /// Each file sim/mutants/NAME.patch breaks one rule of the protocol in a copy of the source tree. A
    /// mutant that is not caught means that the simulator has gone blind.
    #[command(after_help = EXIT_CODES)]
    Mutants(mutants::Options),
    /// Finds the first seed that fails, for `mutants`.
    #[command(hide = true)]
    Seek {
        #[command(flatten)]
        options: seek::Options,
        /// Make walks instead, for so many seconds.
        #[arg(long, value_name = "S")]
        walk_seconds: Option<u64>,
        /// Look at all states of small clusters instead, for so many seconds.
        #[arg(long, value_name = "S")]
        exhaust_seconds: Option<u64>,
    },
    /// Prints the fingerprint of every run that the tests know, to be compared with those of another build.
    Traces(traces::Options),
    /// Walks at random through all that may happen to the machines of a cluster, without network and clock.
    ///
    /// The protocol core of production is stepped directly, a hundred times faster than a simulated run:
    /// every message arrives, arrives twice, is late or lost; every write is durable or not; any process
    /// crashes and comes back. After each step all judges are asked that can be. A walk is named by its seed,
    /// and is the same in every build.
    #[command(after_help = EXIT_CODES)]
    Walk(walk::Options),
    /// Looks at every state that the machines of a small cluster can come to, within a budget.
    ///
    /// The same machines and judges as in walks. What is counted (operations, ticks, crashes, copies) may
    /// happen so often; messages arrive in any order, or never. The defaults count: one restart and nothing
    /// else is `--restarts 1 --ticks 0 --suspicions 0`. Says whether all states were looked at, or what cut
    /// the search off (exit code 6).
    #[command(after_help = EXIT_CODES)]
    Exhaust(exhaust::Options),
    /// Judges whether histories recorded elsewhere are linearizable.
    ///
    /// Which format a file has, is found by its content. For a history that is not linearizable, prints why
    /// and the operations that contradict each other.
    #[command(after_help = check::HELP)]
    Check(check::Options),
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Explore(arguments.explore));
    let result = match command {
        Command::Explore(options) => explore::explore::<Pbkv>(&options),
        Command::Replay { run, trace, report } => replay::replay::<Pbkv>(&run, trace, report.as_deref()),
        Command::Minimise(options) => cause::minimise(&options),
        Command::Save(options) => cause::save(&options),
        Command::Saved => cause::list::<Pbkv>(),
        Command::Plan { seed } => plan(&Pbkv::draw(seed)),
        Command::Doctor { runs, plant_chance } => doctor::doctor::<Pbkv>(&runs, plant_chance),
        Command::Asked(execution) => doctor::answer::<Pbkv>(&execution),
        Command::Bench(options) => bench::bench(&options),
        Command::Claim(options) => claim::claim(&options),
        Command::Mutants(options) => mutants::mutants(&options, &mut say),
        Command::Seek { options, walk_seconds, exhaust_seconds } => match (walk_seconds, exhaust_seconds) {
            (Some(seconds), _) => walk::seek(options.jobs(), Duration::from_secs(seconds)),
            (_, Some(seconds)) => exhaust::seek(Duration::from_secs(seconds)),
            (None, None) => seek::seek::<Pbkv>(&options),
        },
        Command::Traces(options) => traces::traces(&options, claim::runs()),
        Command::Walk(options) => walk::walk(&options),
        Command::Exhaust(options) => exhaust::exhaust(&options),
        Command::Check(options) => judge_files(&options),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn plan<S: System>(plan: &Plan<S>) -> Result<u8, String> {
    let text = toml::to_string_pretty(plan).map_err(|error| format!("cannot print the plan: {error}"))?;
    say(text.trim_end());
    Ok(exit::OK)
}

fn judge_files(options: &check::Options) -> Result<u8, String> {
    let mut streams = check::Streams {
        input: &mut io::stdin().lock(),
        say: &mut say,
        complain: &mut |line| eprintln!("{line}"),
        cancel: check::interrupt(),
        is_terminal: io::stderr().is_terminal(),
    };
    check::check(options, &mut streams)
}

/// The plan that a seed or the path of a plan stands for.
pub fn load<S: System>(run: &str) -> Result<Plan<S>, String> {
    if let Ok(seed) = run.parse() {
        return Ok(S::draw(seed));
    }
    let path = PathBuf::from(run);
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{run} is neither a seed nor a plan that can be read: {error}"))?;
    let not_usable = |why: String| format!("the plan {run} is not usable: {why}");
    let plan: Plan<S> = toml::from_str(&text).map_err(|error| not_usable(error.to_string()))?;
    validate(&plan).map_err(not_usable)?;
    Ok(plan)
}

/// Prints a line. When nobody reads any more (`| head`), the run still goes on to its exit code.
pub fn say(line: &str) {
    static UNREAD: AtomicBool = AtomicBool::new(false);
    if !UNREAD.load(Ordering::Relaxed) && writeln!(io::stdout().lock(), "{line}").is_err() {
        UNREAD.store(true, Ordering::Relaxed);
    }
}
