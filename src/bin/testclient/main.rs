//! A client for people, scripts and tests: single operations, a prompt, and a check of a running cluster.

mod check;
mod command;
mod keys;
mod status;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use pbkv::{
    client::{Client, ClientError, ClientOptions},
    clock::SystemClock,
    process::{self, Span, logs::LogArgs},
};

use command::{Command, Line};

/// A client of a pbkv cluster. Without a command it prompts for commands
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Args {
    /// Address of the view service, host:port
    #[arg(long, default_value = "localhost:8000")]
    vs: String,
    /// How long an operation goes on trying
    #[arg(long, default_value_t = Span(ClientOptions::new("").deadline), value_name = "TIME")]
    deadline: Span,
    /// How long one attempt waits for its answer before the view service is asked again; one that is arriving
    /// is waited for
    #[arg(long, default_value_t = Span(ClientOptions::new("").attempt_timeout), value_name = "TIME")]
    attempt_timeout: Span,
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    command: Option<Top>,
}

#[derive(clap::Subcommand, Debug)]
enum Top {
    #[command(flatten)]
    One(Command),
    /// Run concurrent clients against the cluster and judge what they saw for linearizability. Exit code 0:
    /// linearizable, 1: violation (the history is saved), 3: no operation was answered, 6: undecided, 130:
    /// ended before it was judged
    Check(check::CheckArgs),
}

impl Args {
    fn options(&self) -> ClientOptions {
        ClientOptions {
            deadline: self.deadline.0,
            attempt_timeout: self.attempt_timeout.0,
            ..ClientOptions::new(&self.vs)
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let _logs = match args.logs.start("testclient", "warn") {
        Ok(logs) => logs,
        Err(why) => return process::fail(why),
    };
    let options = args.options();
    if let Err(why) = options.validate() {
        return process::fail(why);
    }
    let run = async {
        match args.command {
            Some(Top::One(command)) => once(options, command).await,
            Some(Top::Check(check)) => check::run(options, check).await,
            None => prompt(options).await,
        }
    };
    process::block_on(run).unwrap_or_else(process::fail)
}

async fn once(options: ClientOptions, command: Command) -> ExitCode {
    let mut client = Client::new(options, SystemClock);
    let code = match command.run(&mut client).await {
        Ok(said) => match say(&said.text) {
            ExitCode::SUCCESS => ExitCode::from(said.code),
            failed => failed,
        },
        Err(error) => process::fail(error),
    };
    // The session would end by itself; without servers there is no point in waiting for them.
    if code == ExitCode::SUCCESS {
        let _ = client.close().await;
    }
    code
}

/// Reads commands from standard input until it ends.
async fn prompt(options: ClientOptions) -> ExitCode {
    let mut client = Client::new(options, SystemClock);
    let interactive = io::stdin().is_terminal();
    let mut code = ExitCode::SUCCESS;
    if interactive {
        eprintln!("put, get, append, delete, cas, keys, count, view; 'help' explains, 'quit' ends");
    }
    loop {
        if interactive {
            eprint!("> ");
        }
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return process::fail(format!("cannot read commands: {error}")),
        }
        match Line::parse(&line) {
            Ok(Line::Nothing) => {}
            Ok(Line::Quit) => break,
            Ok(Line::Command(command)) => match command.run(&mut client).await {
                Ok(said) => {
                    say(&said.text);
                }
                Err(error) => {
                    eprintln!("error: {error}");
                    // A script wants to know that something failed; a person saw it.
                    if !interactive {
                        code = ExitCode::FAILURE;
                    }
                    if matches!(error, ClientError::Unknown { .. }) {
                        eprintln!("read the key to see whether it took effect; it may still do so later");
                    }
                }
            },
            Err(help) => {
                eprintln!("{}", help.trim_end());
                if !interactive {
                    code = ExitCode::from(2);
                }
            }
        }
    }
    let _ = client.close().await;
    code
}

fn say(said: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(said).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::fail(format!("cannot write to standard output: {error}")),
    }
}
