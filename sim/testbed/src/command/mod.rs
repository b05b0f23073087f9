//! The command line of a simulator: the whole of `cargo sim`.
//!
//! [`main`] is all that a system needs. One with commands of its own flattens [`Command`] into them.

pub mod arguments;
pub mod cause;
pub mod diff;
pub mod doctor;
pub mod explore;
pub mod filter;
pub mod find;
pub mod replay;
pub mod session;
pub mod span;
mod standing;
pub mod traces;

use std::{
    ffi::OsStr,
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

pub use crate::data::exit::TABLE as EXIT_CODES;
use clap::{Parser, Subcommand};
use linearizability::command as check;

use crate::{
    data::{chance::Chance, exit, plan::Plan, saved, seed::Seed},
    draw::narrow,
    system::System,
    template,
    world::simulated::Simulated,
};

/// Simulates whole systems under faults and judges what their clients saw.
///
/// One seed is one run: processes, workload, faults and every message are decided by it. Without a
/// subcommand, explores seeds; `cargo sim 42` and `cargo sim some.toml` replay a seed and a plan.
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
    Replay(replay::Options),
    /// Names the first seed that reaches a mark, a situation worth reaching.
    #[command(after_help = EXIT_CODES)]
    Find(find::Options<S>),
    /// Shows where two runs part: a seed or plan, and another one.
    #[command(after_help = EXIT_CODES)]
    Diff(diff::Options),
    /// Makes a failing run small: fewer faults, operations and processes, rounder times, the same failure.
    #[command(after_help = EXIT_CODES)]
    Minimise(cause::MinimiseOptions<S>),
    /// Minimises a failing run and keeps it in tests/plans, where `cargo test` replays it.
    #[command(after_help = EXIT_CODES)]
    Save(cause::SaveOptions<S>),
    /// Lists the regressions: the saved plans.
    #[command(after_help = EXIT_CODES)]
    Saved(cause::Regressions),
    /// Prints the plan that a seed stands for, to be saved, edited and replayed.
    Plan {
        /// The seed, such as 42 or 42,clients=2.
        seed: Seed,
    },
    /// Creates a system of your own: a small service and its simulator, in a new folder.
    New {
        /// Its folder, whose name is that of the package.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
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
            Self::Replay(options) => replay::replay::<S>(&options),
            Self::Find(options) => find::find(&options),
            Self::Diff(options) => diff::diff::<S>(&options),
            Self::Minimise(options) => cause::minimise(&options),
            Self::Save(options) => cause::save(&options),
            Self::Saved(regressions) => cause::list::<S>(&regressions),
            Self::Plan { seed } => plan(&narrow::plan::<S>(&seed)?),
            Self::New { folder } => new(&folder),
            Self::Doctor { runs, plant_chance } => doctor::doctor::<S>(&runs, plant_chance),
            Self::Asked(execution) => doctor::answer::<S>(&execution),
            Self::Check(options) => judge_files(&options),
        }
    }
}

/// The whole of `cargo sim`.
pub fn main<S: Simulated>() -> ExitCode {
    let arguments: Arguments<S> = arguments::parse();
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

fn new(folder: &Path) -> Result<u8, String> {
    let name = folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let folder = template::write(folder.parent().unwrap_or(folder), name)?;
    say(&format!("wrote {}, a service that counts. To see it simulated:", folder.display()));
    say(&format!("    cd {}\n    cargo sim\n    cargo test", folder.display()));
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
        return narrow::plan(&seed);
    }
    let is_there = fs::metadata(run);
    is_there.map_err(|error| format!("{run} is neither a seed nor a plan that can be read: {error}"))?;
    saved::read(Path::new(run))
}

/// How wide lines may be: as the terminal, or 80 columns where there is none.
pub fn width() -> usize {
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    columns.map_or(80, |columns| columns.clamp(40, 160))
}

/// Prints a line. When the output is closed (`| head`), the run still goes on to its exit code.
pub fn say(line: &str) {
    static UNREAD: AtomicBool = AtomicBool::new(false);
    if !UNREAD.load(Ordering::Relaxed) && writeln!(io::stdout().lock(), "{line}").is_err() {
        UNREAD.store(true, Ordering::Relaxed);
    }
}
