//! Judges whether histories recorded elsewhere are linearizable.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use linearizability::command::{self, HELP, Options, Streams, exit};

/// Judges whether histories recorded elsewhere are linearizable.
///
/// Which format a file has, is found by its content. For a history that is not linearizable, prints why and
/// the operations that contradict each other.
#[derive(Parser)]
#[command(name = "linearize", version, after_help = HELP)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let options = Arguments::parse().options;
    let mut streams = Streams {
        input: &mut io::stdin().lock(),
        // A reader that went away wants no more lines.
        say: &mut |line| drop(writeln!(io::stdout(), "{line}")),
        complain: &mut |line| eprintln!("{line}"),
        cancel: command::interrupt(),
        is_terminal: io::stderr().is_terminal(),
    };
    let code = command::check(&options, &mut streams).unwrap_or_else(|message| {
        eprintln!("error: {message}");
        exit::USAGE
    });
    ExitCode::from(code)
}
