//! Runs the command in this process.

#![allow(dead_code, reason = "each test uses a part")]

use clap::Parser;
use linearizability::Cancel;
use linearizability::command::{self, Options, Streams};

/// A command line.
#[derive(Parser)]
pub struct Line {
    #[command(flatten)]
    pub options: Options,
}

/// What a command line came to.
pub struct Ran {
    pub code: Result<u8, String>,
    pub out: String,
    pub errors: String,
}

pub fn run_with(input: &str, arguments: &[&str]) -> Ran {
    run_until(&Cancel::new(), input, arguments)
}

pub fn run_until(cancel: &Cancel, input: &str, arguments: &[&str]) -> Ran {
    let line = Line::try_parse_from([&["check"], arguments].concat()).expect("a command line");
    let (mut out, mut errors) = (String::new(), String::new());
    let code = command::check(
        &line.options,
        &mut Streams {
            input: &mut input.as_bytes(),
            say: &mut |line| out.extend([line, "\n"]),
            complain: &mut |line| errors.extend([line, "\n"]),
            cancel: cancel.clone(),
            is_terminal: false,
        },
    );
    Ran { code, out, errors }
}

pub fn run(arguments: &[&str]) -> Ran {
    run_with("", arguments)
}
