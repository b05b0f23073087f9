//! A client for people, scripts and tests: single operations, a prompt, and a check of a running cluster.

mod answer;
mod bench;
mod check;
mod command;
mod editor;
mod encoding;
mod keys;
mod lines;
mod prompt;
mod screen;
mod status;
mod under_way;

use std::{
    env,
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::Parser;
use pbkv::{
    client::{Client, ClientOptions},
    clock::SystemClock,
    process::{self, Exit, Failure, Signals, Span, exit, logs::LogArgs},
};

use command::Command;
use encoding::Dash;
use screen::Screen;
use under_way::UnderWay;

/// A client of a pbkv cluster. Without a command it reads commands, one per line, at a prompt or from
/// standard input
#[derive(Parser, Debug)]
#[command(name = "testclient", version, max_term_width = 100, after_help = help())]
struct Args {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    screen: Screen,
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    command: Option<Top>,
}

/// Where the cluster is, and how long it is waited for.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Cluster")]
struct ClusterArgs {
    /// Address of the view service; if it has several, separated by commas, they are tried one after another.
    /// The default is the value of PBKV_VS, or localhost:8000; of one before and one after a command, the
    /// latter counts
    #[arg(
        long,
        default_value = view_service_by_default(),
        hide_default_value = true,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = view_service,
        global = true
    )]
    vs: Vec<String>,
    /// How long an operation goes on trying
    #[arg(
        long,
        default_value_t = Span(ClientOptions::new("").deadline),
        value_name = "TIME",
        global = true
    )]
    deadline: Span,
    /// How long one attempt waits for its answer before the view service is asked again; one that is arriving
    /// is waited for
    #[arg(
        long,
        default_value_t = Span(ClientOptions::new("").attempt_timeout),
        value_name = "TIME",
        global = true
    )]
    attempt_timeout: Span,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Top {
    #[command(flatten)]
    One(Command),
    /// Run concurrent clients against the cluster and judge what they saw for linearizability
    #[command(after_help = check::help())]
    Check(check::CheckArgs),
    /// Measure how many operations a second the cluster answers, and how soon. What was due while it is
    /// measured has a latency and counts as ok; a second's operations are those that were answered in that
    /// time. Errors that may pass are counted, and change no exit code
    #[command(after_help = bench::help())]
    Bench(bench::BenchArgs),
}

fn help() -> String {
    let examples = [
        "testclient put fruit apple                   # options may stand before or after the command",
        "testclient get fruit --vs db1:8000           # or PBKV_VS=db1:8000 testclient get fruit",
        "testclient view                              # who is primary; what is missing",
        "testclient                                   # a prompt",
        "testclient < commands                        # all of them; the exit code is the first error's",
    ];
    exit::help(&examples, &Exit::ALL)
}

/// Not clap's own way: it would show the option in every usage line while the variable is set.
fn view_service_by_default() -> OsString {
    env::var_os("PBKV_VS").unwrap_or_else(|| OsStr::new("localhost:8000").to_owned())
}

/// An address of the view service. One that is empty comes from a variable that was set to nothing.
fn view_service(address: &str) -> Result<String, String> {
    match address.is_empty() {
        true => Err("no address; name one with --vs or in PBKV_VS, or unset PBKV_VS if it is empty".into()),
        false => process::reached(address),
    }
}

impl ClusterArgs {
    fn options(&self) -> ClientOptions {
        ClientOptions {
            view_service: self.vs.clone(),
            deadline: self.deadline.0,
            attempt_timeout: self.attempt_timeout.0,
            ..ClientOptions::new("")
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let screen = args.screen;
    let run = async {
        let options = args.cluster.options();
        let client = Client::new(options.clone(), SystemClock);
        let under_way = UnderWay::of(&client);
        let ends = under_way.clone();
        let stop = move || {
            let so_far = ends.stop();
            (so_far.exit(), so_far)
        };
        let signals = Signals::hear(stop, move |signal, so_far| {
            screen.interrupted(signal, so_far);
        });
        options.validate().map_err(Failure::option)?;
        // rules: allow randomness: the logs of two processes are told apart by their numbers
        let name = std::process::id().to_string();
        let _logs = args.logs.start("testclient", &name, "warn").map_err(Failure::Usage)?;
        Ok(match args.command {
            Some(Top::One(command)) => once(client, under_way, screen, command, &signals).await,
            Some(Top::Check(check)) => check::run(options, screen, check, &mut signals.claim()).await?,
            Some(Top::Bench(bench)) => bench::run(options, screen, bench, &mut signals.claim()).await?,
            None => prompt::run(client, options, under_way, screen, &signals).await,
        })
    };
    match process::block_on(run) {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => screen.fail::<Args>(failure),
        Err(error) => screen.fail::<Args>(Failure::Failed(error.to_string())),
    }
    .into()
}

/// A signal before its answer ends the process, whatever it waits for.
async fn once(
    mut client: Client<SystemClock>,
    under_way: UnderWay,
    screen: Screen,
    command: Command,
    signals: &Signals,
) -> Exit {
    let runs = command.run(&mut client, &under_way, screen, Dash::StandardInput);
    let ran = screen.patiently(under_way.waiting(), runs).await;
    let exit = screen.tell(&ran);
    under_way.end();
    // The session would end by itself; without servers there is no point in waiting for them.
    if matches!(exit, Exit::Done | Exit::No | Exit::InPart) {
        close(&mut client, signals).await;
    }
    exit
}

/// Closes the session of a client that is not used any more. There is nothing to answer: a signal ends that.
async fn close(client: &mut Client<SystemClock>, signals: &Signals) {
    let mut claim = signals.claim();
    tokio::select! {
        biased;
        _ = client.close() => {}
        _ = claim.next() => {}
    }
}
