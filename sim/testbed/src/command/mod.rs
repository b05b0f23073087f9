//! The command line of a simulator: the whole of `cargo sim`.
//!
//! [`main`] is all that a system needs. One with commands of its own flattens [`Command`] into them.

pub mod cause;
pub mod doctor;
pub mod explore;
pub mod replay;
pub mod session;
pub mod traces;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Parser, Subcommand};
use linearizability::command as check;

use crate::{
    data::{chance::Chance, exit, plan::Plan, validate::validate},
    system::System,
    template,
    world::simulated::Simulated,
};

/// What the exit codes mean.
pub const EXIT_CODES: &str = "Exit codes: 0 all well, 1 safety violation, 2 usage, 3 liveness, 4 panic, \
                              5 not deterministic, 6 undecided, 7 nothing failed, but a situation was not reached that had to be, \
                              8 a mutant was not caught, 9 a promise about the system's health was broken.";

/// Simulates whole systems under faults and judges what their clients saw.
///
/// One seed is one run: processes, workload, faults and every message are decided by it. Without a
/// subcommand, explores seeds.
#[derive(Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
struct Arguments<S: Simulated> {
    #[command(subcommand)]
    command: Option<Command<S>>,
    #[command(flatten)]
    explore: explore::Options,
}

/// What can be done with the runs of any system.
#[derive(Subcommand)]
pub enum Command<S: Simulated> {
    /// Runs many seeds on all cores and reports what failed (the default).
    #[command(after_help = EXIT_CODES)]
    Explore(explore::Options),
    /// Runs one seed or one saved plan again, byte for byte, and tells what happened.
    #[command(after_help = EXIT_CODES)]
    Replay {
        /// A seed, or the path of a plan.
        #[arg(value_name = "SEED|PLAN.toml")]
        run: String,
        /// Every step of every machine instead of one line for each report of a process and each fault.
        #[arg(long)]
        trace: bool,
        /// Draw the run into a page that explains it.
        #[arg(long, value_name = "FILE.html")]
        report: Option<PathBuf>,
    },
    /// Makes a failing run small: fewer faults, operations and processes, rounder times, the same failure.
    #[command(after_help = EXIT_CODES)]
    Minimise(cause::MinimiseOptions<S>),
    /// Minimises a failing run and keeps it in tests/plans, where `cargo test` replays it.
    Save(cause::SaveOptions<S>),
    /// Lists the regressions: the saved plans.
    Saved,
    /// Prints the plan that a seed stands for, to be saved, edited and replayed.
    Plan {
        /// The seed.
        seed: u64,
    },
    /// Begins a system of your own: writes a small service, and its simulator, into a folder of that name.
    New {
        /// Its name: that of a package.
        name: String,
    },
    /// Makes runs twice, in two processes, and names the first step that differs, and in what.
    #[command(after_help = EXIT_CODES)]
    Doctor {
        /// Seeds, or paths of plans.
        #[arg(required = true, value_name = "SEED|PLAN.toml")]
        runs: Vec<String>,
        /// A source of chance, planted.
        #[arg(long, hide = true)]
        plant_chance: Option<Chance>,
    },
    /// Makes a run and answers the doctor's questions.
    #[command(hide = true)]
    Asked(doctor::Execution),
    /// Judges whether histories recorded elsewhere are linearizable.
    ///
    /// Which format a file has, is found by its content. For a history that is not linearizable, prints why
    /// and the operations that contradict each other.
    #[command(after_help = check::HELP)]
    Check(check::Options),
}

impl<S: Simulated> Command<S> {
    /// Does it; the exit code says how it went.
    ///
    /// # Errors
    ///
    /// What is not usable, and what to do.
    pub fn run(self) -> Result<u8, String> {
        match self {
            Self::Explore(options) => explore::explore::<S>(&options),
            Self::Replay { run, trace, report } => replay::replay::<S>(&run, trace, report.as_deref()),
            Self::Minimise(options) => cause::minimise(&options),
            Self::Save(options) => cause::save(&options),
            Self::Saved => cause::list::<S>(),
            Self::Plan { seed } => plan(&S::draw(seed)),
            Self::New { name } => new(&name),
            Self::Doctor { runs, plant_chance } => doctor::doctor::<S>(&runs, plant_chance),
            Self::Asked(execution) => doctor::answer::<S>(&execution),
            Self::Check(options) => judge_files(&options),
        }
    }
}

/// The whole of `cargo sim`.
pub fn main<S: Simulated>() -> ExitCode {
    let arguments = Arguments::<S>::parse();
    exit_code(arguments.command.unwrap_or(Command::Explore(arguments.explore)).run())
}

/// How a command went, for `main`.
pub fn exit_code(result: Result<u8, String>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn new(name: &str) -> Result<u8, String> {
    let folder = template::write(Path::new(""), name)?;
    say(&format!("wrote {}, a service that counts. To see it simulated:", folder.display()));
    say(&format!("    cd {name}\n    cargo sim\n    cargo test"));
    Ok(exit::OK)
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
///
/// # Errors
///
/// Why there is none, and what to do.
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

/// Prints a line. When the output is closed (`| head`), the run still goes on to its exit code.
pub fn say(line: &str) {
    static UNREAD: AtomicBool = AtomicBool::new(false);
    if !UNREAD.load(Ordering::Relaxed) && writeln!(io::stdout().lock(), "{line}").is_err() {
        UNREAD.store(true, Ordering::Relaxed);
    }
}
