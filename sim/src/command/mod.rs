//! The command line: what can be done with any system, and what only the store has.

mod bench;
mod claim;
mod exhaust;
mod peer;
mod seek;
mod walk;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use sim::{mutants, store::Pbkv};
use testbed::command::{self, EXIT_CODES, arguments, exit_code, explore, say, traces};

/// Simulates whole clusters of pbkv under faults and judges what their clients saw.
///
/// One seed is one run: cluster, workload, faults and every message are decided by it. Without a
/// subcommand, explores seeds; `cargo sim 42` and `cargo sim some.toml` replay a seed and a plan.
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
    #[command(flatten)]
    Any(command::Command<Pbkv>),
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
}

pub fn main() -> ExitCode {
    let arguments: Arguments = arguments::parse();
    let command = arguments.command.unwrap_or(Command::Any(command::Command::Explore(arguments.explore)));
    exit_code(match command {
        Command::Any(command) => command.run(),
        Command::Bench(options) => bench::bench(&options),
        Command::Claim(options) => claim::claim(&options),
        Command::Mutants(options) => mutants::mutants(&options, &mut say),
        Command::Seek { options, walk_seconds, exhaust_seconds } => match (walk_seconds, exhaust_seconds) {
            (Some(seconds), _) => walk::seek(options.jobs(), Duration::from_secs(seconds)),
            (_, Some(seconds)) => exhaust::seek(Duration::from_secs(seconds)),
            (None, None) => seek::seek(&options),
        },
        Command::Traces(options) => traces::traces(&options, claim::runs()),
        Command::Walk(options) => walk::walk(&options),
        Command::Exhaust(options) => exhaust::exhaust(&options),
    })
}
