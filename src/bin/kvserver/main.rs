//! A KV server: idle, backup or primary, as the view service decides.

mod backup;
mod inspect;

use std::{
    io,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Parser, ValueEnum};
use pbkv::{
    channel,
    clock::SystemClock,
    options::{Limits, STREAM_MESSAGE_BYTES_MAX, TOGETHER_BYTES_MAX},
    process::{self, Exit, Failure, Listener, Span, any_whole, exit, logs::LogArgs},
    protocol::{
        identity::{Boot, ServerId},
        options::{ReadMode, ReplicaOptions},
        replica::Start,
    },
    server::kv::{KvConfig, KvServer},
    storage::{
        folder::OsFolder,
        journal::{self, Journal, JournalOptions, Opened},
    },
    wire::{
        kv_server::KvServer as Kv, kv_stream_server::KvStreamServer as KvStream,
        replication_server::ReplicationServer as Replication,
    },
};

/// A server of a pbkv cluster: idle, backup or primary, as the view service decides. With --data-dir it keeps
/// what it acknowledged through crashes and losses of power; without, data is kept in memory only: after a
/// restart the server rejoins empty and is sent the full state
#[derive(Parser, Debug)]
#[command(
    name = "kvserver", version, max_term_width = 100, after_help = help(), args_conflicts_with_subcommands = true
)]
struct Args {
    #[command(subcommand)]
    tool: Option<Tool>,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "localhost:8001", value_name = "HOST:PORT", value_parser = process::listened)]
    addr: String,
    /// Address of the view service
    #[arg(long, default_value = "localhost:8000", value_name = "HOST:PORT", value_parser = process::reached)]
    vs: String,
    /// Address under which clients and other servers reach this one [default: --addr with the port that was
    /// bound]
    #[arg(long, value_name = "HOST:PORT", value_parser = process::reached)]
    advertise: Option<String>,
    /// Folder in which the server keeps what it acknowledged, created if needed; each server has its own.
    /// Without it, a server that stops forgets everything
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How a primary with backups answers a Get: the backups confirm that there is no later view, or a lease
    /// of the view service says so (faster, but trusts that clocks run at nearly the same rate)
    #[arg(long, value_enum, default_value_t = Reads::Confirm)]
    reads: Reads,
    /// Updates are refused while fewer copies than this would hold them, the primary included, and not
    /// acknowledged if they were under way; 0 never refuses
    #[arg(
        long, default_value_t = ReplicaOptions::default().copies_min, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    copies_min: usize,
    #[command(flatten)]
    clients: ClientArgs,
    #[command(flatten)]
    times: TimeArgs,
    #[command(flatten)]
    replication: ReplicationArgs,
    #[command(flatten)]
    logs: LogArgs,
}

/// What is done instead of serving.
#[derive(clap::Subcommand, Debug)]
enum Tool {
    /// Reads the folder of a server, or a backup, verifies it, and says what is in it
    #[command(after_help = inspect::help())]
    Inspect(inspect::Args),
    /// Writes all keys that a server holds to a file, as they were after one operation, which it names.
    /// Everything is in it that was acknowledged before the command began, if the server is primary or backup
    /// in the view that `testclient view` shows
    #[command(after_help = backup::backup_help())]
    Backup(backup::BackupArgs),
    /// Makes a backup the memory of the first server of a new cluster
    #[command(after_help = backup::restore_help())]
    Restore(backup::RestoreArgs),
}

/// What clients may ask for.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Limits for clients")]
struct ClientArgs {
    /// The longest key, in bytes; the same on all servers
    #[arg(
        long, default_value_t = Limits::default().key_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<usize>
    )]
    key_bytes_max: usize,
    /// The longest value, in bytes; the same on all servers
    #[arg(
        long, default_value_t = Limits::default().value_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<usize>
    )]
    value_bytes_max: usize,
    /// Requests that may wait for an answer at once
    #[arg(
        long, default_value_t = ReplicaOptions::default().waiting_max, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    waiting_max: usize,
    /// How many of these may ask for a page of keys
    #[arg(
        long, default_value_t = ReplicaOptions::default().scans_max, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    scans_max: usize,
    /// Bytes of pages of keys that are read in one go, before other messages are handled
    #[arg(
        long, default_value_t = ReplicaOptions::default().scan_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<usize>
    )]
    scan_bytes_max: usize,
    /// Bytes of updates that may wait for an answer at once
    #[arg(
        long, default_value_t = ReplicaOptions::default().waiting_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<u64>
    )]
    waiting_bytes_max: u64,
    /// A session without an update for this long is forgotten; for each session, the primary that opened it
    /// decides
    #[arg(long, default_value_t = Span(ReplicaOptions::default().session_ttl), value_name = "TIME")]
    session_ttl: Span,
    /// Sessions that may be open at once
    #[arg(
        long, default_value_t = ReplicaOptions::default().sessions_max, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    sessions_max: usize,
    /// Bytes that the open sessions may remember at once (answers to compare-and-swaps)
    #[arg(
        long, default_value_t = ReplicaOptions::default().session_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<u64>
    )]
    session_bytes_max: u64,
}

/// How often servers hear each other.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Timing")]
struct TimeArgs {
    /// The longest time between two pings to the view service; shorter if its --dead-after requires it
    #[arg(long, default_value_t = Span(ReplicaOptions::default().ping_interval), value_name = "TIME")]
    ping_interval: Span,
    /// How often an idle primary sends heartbeats to its replicas
    #[arg(long, default_value_t = Span(ReplicaOptions::default().heartbeat_interval), value_name = "TIME")]
    heartbeat_interval: Span,
    /// A replica silent for this long is reported to the view service
    #[arg(long, default_value_t = Span(ReplicaOptions::default().suspect_after), value_name = "TIME")]
    suspect_after: Span,
    /// The primary starts waiting for a new backup once it lags at most this much
    #[arg(long, default_value_t = Span(ReplicaOptions::default().join_lag_max), value_name = "TIME")]
    join_lag_max: Span,
}

/// How operations and state travel, and what is kept for that.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Log and state transfer")]
struct ReplicationArgs {
    /// Bytes by which the file in --data-dir grows at least before it is written anew, if it has then doubled
    /// or is four times as long as keys and log
    #[arg(
        long, default_value_t = JournalOptions::default().growth_min, value_name = "BYTES",
        value_parser = any_whole::<u64>
    )]
    journal_growth_min: u64,
    /// Bytes of operations in one message to a replica; the same on all servers
    #[arg(
        long, default_value_t = ReplicaOptions::default().append_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<usize>
    )]
    append_bytes_max: usize,
    /// Operations on their way to a replica and not yet acknowledged
    #[arg(
        long, default_value_t = ReplicaOptions::default().append_window, value_name = "N",
        value_parser = any_whole::<u64>
    )]
    append_window: u64,
    /// Bytes of state in one part of a state transfer; the same on all servers
    #[arg(
        long, default_value_t = ReplicaOptions::default().chunk_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<usize>
    )]
    chunk_bytes_max: usize,
    /// Operations between two checkpoints of the state; the log keeps one to two times as many
    #[arg(
        long, default_value_t = ReplicaOptions::default().checkpoint_interval, value_name = "N",
        value_parser = any_whole::<u64>
    )]
    checkpoint_interval: u64,
    /// Bytes of operations after which a checkpoint of the state is taken, too
    #[arg(
        long, default_value_t = ReplicaOptions::default().checkpoint_bytes, value_name = "BYTES",
        value_parser = any_whole::<u64>
    )]
    checkpoint_bytes: u64,
    /// A new backup that would need a longer log than this is left behind and gets a later state
    #[arg(
        long, default_value_t = ReplicaOptions::default().log_entries_max, value_name = "N",
        value_parser = any_whole::<u64>
    )]
    log_entries_max: u64,
    /// A new backup that would need more bytes of log than this is left behind and gets a later state
    #[arg(
        long, default_value_t = ReplicaOptions::default().log_bytes_max, value_name = "BYTES",
        value_parser = any_whole::<u64>
    )]
    log_bytes_max: u64,
}

fn help() -> String {
    let examples = [
        "kvserver --data-dir s1                               # the first server of a cluster on one machine",
        "kvserver --addr localhost:8002 --data-dir s2         # and the second",
        "kvserver --addr 0.0.0.0:8001 --advertise db1:8001 --vs vs1:8000 --data-dir /var/lib/pbkv",
        "kvserver inspect s1                                  # what is in a folder",
        "kvserver backup s1 monday.pbkv                       # all its keys in one file, while it runs",
    ];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed])
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reads {
    Confirm,
    Lease,
}

impl Args {
    fn limits(&self) -> Limits {
        let ClientArgs { key_bytes_max, value_bytes_max, .. } = self.clients;
        Limits { key_bytes_max, value_bytes_max }
    }

    fn options(&self) -> ReplicaOptions {
        let Self { clients, times, replication, .. } = self;
        ReplicaOptions {
            ping_interval: times.ping_interval.0,
            heartbeat_interval: times.heartbeat_interval.0,
            suspect_after: times.suspect_after.0,
            reads: match self.reads {
                Reads::Confirm => ReadMode::Confirm,
                Reads::Lease => ReadMode::Lease,
            },
            join_lag_max: times.join_lag_max.0,
            session_ttl: clients.session_ttl.0,
            sessions_max: clients.sessions_max,
            waiting_max: clients.waiting_max,
            scans_max: clients.scans_max,
            scan_bytes_max: clients.scan_bytes_max,
            append_bytes_max: replication.append_bytes_max,
            append_window: replication.append_window,
            chunk_bytes_max: replication.chunk_bytes_max,
            checkpoint_interval: replication.checkpoint_interval,
            log_entries_max: replication.log_entries_max,
            checkpoint_bytes: replication.checkpoint_bytes,
            log_bytes_max: replication.log_bytes_max,
            waiting_bytes_max: clients.waiting_bytes_max,
            session_bytes_max: clients.session_bytes_max,
            copies_min: self.copies_min,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.tool {
        Some(Tool::Inspect(what)) => process::run::<Args>(inspect::run(what)),
        Some(Tool::Backup(what)) => process::run::<Args>(backup::back_up(what)),
        Some(Tool::Restore(what)) => process::run::<Args>(backup::restore(what)),
        None => process::run::<Args>(serve(&args)),
    }
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let (limits, options) = (args.limits(), args.options());
    options.validate().map_err(Failure::option)?;
    limits.validate(&options).map_err(Failure::option)?;
    let listener = Listener::bind(&args.addr).await?;
    let bound = listener.address().map_err(|error| error.to_string())?;
    let address = process::advertised(&args.addr, bound, args.advertise.as_deref(), &args.vs)
        .map_err(Failure::Usage)?;
    let _logs = args.logs.start("kvserver", &address, "info").map_err(Failure::Usage)?;
    let server = ServerId::new(address.as_str());
    let mut stopped = pin!(process::shutdown());
    let opened = tokio::select! {
        biased;
        signal = &mut stopped => {
            tracing::info!(signal, "stopped before the server had read what it remembers");
            return Ok(());
        }
        opened = open(args, &server) => opened?,
    };
    let (durable, storage) = match opened {
        Some(Opened { memory, journal, .. }) => (memory, Some(journal)),
        None => Default::default(),
    };
    // rules: allow clock: the first life in production takes its number from the wall clock,
    let boot = if durable.boot == Boot(0) { boot(SystemTime::now())? } else { durable.boot.next() };
    // rules: allow randomness: and each its identity from the operating system
    let start = Start { server, boot, nonce: rand::random(), durable };
    let (view_service, together_bytes_max) = (args.vs.clone(), TOGETHER_BYTES_MAX);
    let config = KvConfig { start, options, limits, together_bytes_max, view_service };
    let mut server = KvServer::start(config, storage, SystemClock, ());
    let bytes_max = server.message_bytes_max();
    let kv = Kv::new(server.kv())
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(server.answer_bytes_max());
    let streams = KvStream::new(server.kv()).max_decoding_message_size(STREAM_MESSAGE_BYTES_MAX);
    let replication = Replication::new(server.replication())
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(bytes_max);
    let router = channel::server()
        .add_service(process::guarded(process::mark_refusals(kv)))
        .add_service(process::guarded(streams))
        .add_service(process::guarded(replication));
    process::ready(&process::bound(&args.addr, &listener)?, &address)?;
    tracing::info!(advertised = %address, listens = %bound, view_service = %args.vs, "the server is listening");
    if args.data_dir.is_none() {
        tracing::info!(
            "data is kept in memory only: what this server holds is gone when it stops (see --data-dir)"
        );
    }
    tokio::select! {
        biased;
        signal = stopped => {
            tracing::info!(signal, "stopped");
            Ok(())
        }
        error = server.failed() => {
            tracing::error!(%error, "the server has to stop");
            Err(Failure::Failed(error.to_string()))
        }
        served = listener.serve(router) => Ok(served?),
    }
}

/// What the server remembers, if it has a folder for that.
async fn open(args: &Args, server: &ServerId) -> Result<Option<Opened<OsFolder>>, Failure> {
    let Some(dir) = &args.data_dir else { return Ok(None) };
    let growth_min = args.replication.journal_growth_min;
    let options = JournalOptions { growth_min, ..JournalOptions::default() };
    tracing::info!(dir = %dir.display(), "reading what this server remembers");
    // On another thread, so that a signal is heard while a long one is read.
    let (folder, server) = (dir.clone(), server.clone());
    let opened = tokio::spawn(async move { Journal::open(&folder, &server, options).await }).await;
    let opened = opened.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
        tracing::error!(%error, "the server cannot start");
        Failure::Failed(error.to_string())
    })?;
    if let Some(damage) = &opened.damage {
        tracing::error!(
            "{damage}. This server begins empty and waits for another one to send it the state; the file is kept \
             beside as *{}",
            journal::DAMAGED
        );
    }
    if opened.is_unfinished {
        tracing::warn!(
            "a file was begun in {} and never came to its end. This server begins empty: if a backup was being restored, \
             stop it and restore into another folder",
            dir.display()
        );
    }
    let memory = &opened.memory;
    tracing::info!(
        dir = %dir.display(), view = %memory.view_seen, keys_in_checkpoint = memory.log.snapshot().state.keys(),
        from = ?memory.log.base(), to = ?memory.log.end(), cut = opened.cut, "what this server remembers was read"
    );
    Ok(Some(opened))
}

/// A server that remembers nothing takes the wall clock for the number of its life. Should the clock have
/// gone back, the view service knows, and the server takes a larger number.
fn boot(now: SystemTime) -> Result<Boot, String> {
    let since = now
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "the clock of this machine is set to a time before 1970; correct it")?;
    u64::try_from(since.as_nanos())
        .ok()
        .map(Boot)
        .filter(|boot| *boot <= Boot::CLOCK_MAX)
        .ok_or_else(|| "the clock of this machine is set to a time after 2100; correct it".into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_refused() {
        let year = |n: u64| UNIX_EPOCH + Duration::from_secs((n - 1970) * 365 * 24 * 3600);
        assert!(boot(year(2026)).is_ok() && boot(year(2095)).is_ok());
        assert!(boot(year(2117)).is_err() && boot(year(2600)).is_err());
        assert!(boot(UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }
}
