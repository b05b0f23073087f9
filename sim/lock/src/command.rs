//! The command line, sockets and signals: what only the real world has.

use std::{fmt, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use lock::{
    client::{Acquired, CallError, Client, Released},
    file::FileLog,
    grants::{Lock, check_name},
    server::LockServer,
    wire::lock_server::LockServer as LockService,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tonic::transport::{Server, server::TcpIncoming};

/// A refusal is exit code 1, and so is a server that cannot go on.
const REFUSED: u8 = 1;
/// No answer in time. Code 2 is a command line that cannot be understood.
const NO_ANSWER: u8 = 3;

/// A silent connection is asked for a sign of life this often, and closed if there is none.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A lock service and its client. Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no answer in time
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve locks until SIGTERM or Ctrl-C
    Serve {
        /// Address to listen on, host:port; port 0 picks a free one
        #[arg(long, default_value = "127.0.0.1:7000")]
        listen: String,
        /// File of the log, which is made if there is none
        #[arg(long)]
        log: PathBuf,
    },
    /// Take a lock that is free, or that OWNER holds already
    Acquire {
        #[arg(value_parser = name)]
        lock: String,
        /// Who takes it
        #[arg(long = "as", value_name = "OWNER", value_parser = name)]
        owner: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Give a lock back
    Release {
        #[arg(value_parser = name)]
        lock: String,
        /// Who holds it
        #[arg(long = "as", value_name = "OWNER", value_parser = name)]
        owner: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Say who holds a lock
    Holder {
        #[arg(value_parser = name)]
        lock: String,
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Args, Debug)]
struct Reach {
    /// Address of the server, host:port
    #[arg(long, env = "LOCK_SERVER", default_value = "127.0.0.1:7000")]
    server: String,
    /// Seconds until it gives up, however often it has tried
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    timeout: Duration,
}

impl Reach {
    fn client(&self) -> Result<Client, String> {
        Client::new(&self.server, self.timeout)
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let in_a_year = Duration::from_secs(365 * 24 * 60 * 60);
    seconds
        .filter(|it| !it.is_zero() && *it < in_a_year)
        .ok_or("write a number of seconds, like 5 or 0.5".into())
}

pub fn main() -> ExitCode {
    let line = Line::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(line.command)),
        Err(error) => fail(REFUSED, error),
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Serve { listen, log } => match serve(&listen, log).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(REFUSED, why),
        },
        Command::Acquire { lock, owner, reach } => match reach.client() {
            Ok(mut client) => report(client.acquire(&lock, &owner).await, |it| match it {
                Acquired::Granted { version } => (true, format!("granted to {owner}, version {version}")),
                Acquired::Held { owner } => (false, format!("held by {owner}")),
            }),
            Err(why) => fail(2, why),
        },
        Command::Release { lock, owner, reach } => match reach.client() {
            Ok(mut client) => report(client.release(&lock, &owner).await, |it| match it {
                Released::Released => (true, "released".into()),
                Released::NotYours { owner: Some(owner) } => (false, format!("not yours: held by {owner}")),
                Released::NotYours { owner: None } => (false, "not yours: free".into()),
            }),
            Err(why) => fail(2, why),
        },
        Command::Holder { lock, reach } => match reach.client() {
            Ok(mut client) => report(client.holder(&lock).await, |it| match it {
                Lock { owner: Some(owner), version } => (true, format!("held by {owner}, version {version}")),
                Lock { owner: None, .. } => (true, "free".into()),
            }),
            Err(why) => fail(2, why),
        },
    }
}

fn report<T>(answer: Result<T, CallError>, words: impl FnOnce(T) -> (bool, String)) -> ExitCode {
    match answer.map(words) {
        Ok((done, text)) => {
            println!("{text}");
            if done { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
        }
        Err(why) => fail(NO_ANSWER, why),
    }
}

fn fail(code: u8, why: impl fmt::Display) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::from(code)
}

async fn serve(listen: &str, log: PathBuf) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let refused = |error| format!("cannot listen on {listen}: {error}; choose another address with --listen");
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(words)?;
    let (server, running) = LockServer::open(FileLog::open(&log).map_err(words)?).await.map_err(words)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(words)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(words)?;
    println!("listening {address}");
    let router =
        Server::builder().http2_keepalive_interval(Some(KEEP_ALIVE)).add_service(LockService::new(server));
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failed = running => failed.map_err(words),
        served = router.serve_with_incoming(TcpIncoming::from(listener)) => served.map_err(|error| error.to_string()),
    }
}
