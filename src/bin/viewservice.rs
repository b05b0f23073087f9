//! The view service: decides who is primary. One runs for each cluster.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    future, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, parser::ValueSource};
use pbkv::{
    channel,
    clock::SystemClock,
    process::{
        self, Exit, Failure, Listener, Span, any_whole, exit,
        logs::{LogArgs, Logs},
        print,
    },
    protocol::{
        identity::{Generation, ServerId},
        options::ViewServiceOptions,
        view::Record,
        view_service::{
            SealKey,
            adoption::{Adopt, Heard, NotAdopted},
        },
    },
    server::view::{Adoption, ViewConfig, ViewServer},
    storage::record_file::{FILE, RecordFile},
    wire::view_service_server::ViewServiceServer,
};

/// No operator gives up data this often: a larger number is a slip.
const GENERATION_MAX: u64 = 1_000_000;

/// The view service of a pbkv cluster: hears the servers, decides who is primary and who is backup
#[derive(Parser, Debug)]
#[command(name = "viewservice", version, max_term_width = 100, after_help = help())]
struct Args {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "localhost:8000", value_name = "HOST:PORT", value_parser = process::listened)]
    addr: String,
    /// Folder of the one record that must survive a restart
    #[arg(long, default_value = "viewservice.data", value_name = "DIR")]
    dir: PathBuf,
    /// Copies of the data to strive for, the primary included
    #[arg(
        long, default_value_t = ViewServiceOptions::default().replicas, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    replicas: usize,
    /// A server that is not heard for this long counts as dead. Servers are told, and ping at least three
    /// times as often
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().dead_after), value_name = "TIME")]
    dead_after: Span,
    /// Declare the data of this generation lost, then exit; without GENERATION, only print what would be lost
    /// and which servers held it. Only when no server that held all of it can come back, or the record is
    /// damaged or gone and no copy of it was made since the last view change: the cluster starts again
    /// empty, as the next generation. Without a readable record, name the generation that 'testclient view'
    /// showed last, or that the log of a server names (g1... is generation 1). Stop the view service first;
    /// afterwards start it (without this option) and empty servers. Servers that still hold old data stay out
    /// and keep it
    #[arg(
        long, value_name = "GENERATION", value_parser = process::whole(1, GENERATION_MAX),
        help_heading = "After a loss"
    )]
    accept_data_loss: Option<Option<u64>>,
    /// The record is damaged or gone and servers still hold the data: go on with what SERVER (the address it
    /// advertises) holds. First make sure that every server that still holds data runs and reaches this
    /// service, and stop those that cannot. The service starts without a record, listens for four dead
    /// intervals (--dead-after as before), prints what each server holds, and goes on from SERVER alone; the
    /// others join. It refuses if another one holds more; with --adopt-anyway, that one stays out and keeps
    /// its data until it is started again empty
    #[arg(
        long, value_name = "SERVER", conflicts_with = "accept_data_loss", value_parser = process::reached,
        help_heading = "After a loss"
    )]
    adopt: Option<String>,
    /// With --adopt: even if another server holds more, still acts as primary, or pings but cannot be
    /// reached. What only that one holds is left behind
    #[arg(long, requires = "adopt", help_heading = "After a loss")]
    adopt_anyway: bool,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    logs: LogArgs,
}

/// What a cluster rarely needs.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Tuning")]
struct TuningArgs {
    /// A new backup that makes no progress for this long, and for a dead interval, is replaced
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().join_stall_max), value_name = "TIME")]
    join_stall_max: Span,
    /// How long a server that the primary cannot reach is set aside the first time; longer with each
    /// repetition
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().suspicion_min), value_name = "TIME")]
    suspicion_min: Span,
    /// Upper limit of that time
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().suspicion_max), value_name = "TIME")]
    suspicion_max: Span,
    /// How often the view is re-evaluated when no pings arrive
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().policy_interval), value_name = "TIME")]
    policy_interval: Span,
    /// Maximum number of servers tracked
    #[arg(
        long, default_value_t = ViewServiceOptions::default().servers_max, value_name = "N",
        value_parser = any_whole::<usize>
    )]
    servers_max: usize,
}

fn help() -> String {
    let examples = [
        "viewservice                                          # a cluster on one machine",
        "viewservice --addr 0.0.0.0:8000 --dir /var/lib/pbkv --replicas 3",
    ];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed, Exit::InPart])
}

impl Args {
    fn options(&self) -> ViewServiceOptions {
        ViewServiceOptions {
            replicas: self.replicas,
            dead_after: self.dead_after.0,
            join_stall_max: self.tuning.join_stall_max.0,
            suspicion_min: self.tuning.suspicion_min.0,
            suspicion_max: self.tuning.suspicion_max.0,
            policy_interval: self.tuning.policy_interval.0,
            servers_max: self.tuning.servers_max,
        }
    }
}

fn main() -> ExitCode {
    let given = Args::command().get_matches();
    let args =
        Args::from_arg_matches(&given).unwrap_or_else(|error| error.format(&mut Args::command()).exit());
    process::run::<Args>(async {
        match args.accept_data_loss {
            Some(generation) => accept_data_loss(&args, generation).await,
            None => serve(&args, &given).await,
        }
    })
}

async fn serve(args: &Args, given: &ArgMatches) -> Result<(), Failure> {
    let options = args.options();
    options.validate().map_err(Failure::option)?;
    let listener = Listener::bind(&args.addr).await?;
    let address = process::bound(&args.addr, &listener)?;
    let _logs = start_logs(args, &address)?;
    let adopt = args
        .adopt
        .as_deref()
        .map(|server| Adopt { server: ServerId::new(server), anyway: args.adopt_anyway });
    let command = command(given, &address, &args.dir);
    let (record, storage) = match &adopt {
        Some(wanted) => (Record::default(), without_record(args, wanted)?),
        None => RecordFile::open(&args.dir).await.map_err(|error| unreadable(args, &command, &error))?,
    };
    let (generation, view) = (record.generation, record.number);
    // rules: allow randomness: a process of production draws its key
    let key = SealKey(rand::random(), rand::random());
    // rules: allow randomness: and its identity
    let config = ViewConfig { record, adopt, epoch: rand::random(), key, options, command };
    let mut server = ViewServer::start(config, storage, SystemClock, ());
    let router = channel::server().add_service(process::guarded(ViewServiceServer::new(server.service())));
    let stopped = process::shutdown();
    process::ready(&address, &address)?;
    let dir = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    tracing::info!(%address, dir = %dir.display(), %generation, %view, "the view service is listening");
    let adopted = server.adopted();
    let not_adopted = async {
        match report(args, adopted.await) {
            Ok(()) => future::pending().await,
            Err(why) => why,
        }
    };
    tokio::select! {
        biased;
        signal = stopped => {
            tracing::info!(signal, "stopped");
            Ok(())
        }
        error = server.failed() => {
            tracing::error!(%error, dir = %args.dir.display(), "the service has to stop");
            Err(Failure::Failed(error.to_string()))
        }
        why = not_adopted => Err(Failure::Failed(why)),
        served = listener.serve(router) => Ok(served?),
    }
}

fn start_logs(args: &Args, address: &str) -> Result<Logs, Failure> {
    args.logs.start("viewservice", address, "info").map_err(Failure::Usage)
}

/// The folder of a view service, which must not run.
fn stopped(args: &Args) -> Result<RecordFile, String> {
    RecordFile::lock(&args.dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => format!(
            "the view service still runs in the folder {}; stop it first. Nothing was changed",
            args.dir.display()
        ),
        _ => error.to_string(),
    })
}

/// The command line that gives the data up.
fn giving_up(args: &Args, generation: &str) -> String {
    format!("viewservice {} --accept-data-loss {generation}", in_folder("dir", &args.dir))
}

/// Where an operator finds the number without which [`giving_up`] is refused, if the record does not tell.
const WHICH_GENERATION: &str = "GENERATION is the one that 'testclient view' showed last, or that the log of a server names (g1... is \
                                generation 1)";

/// Why the record cannot be used, with the command lines that go on without it. `again` starts this service
/// again.
fn unreadable(args: &Args, again: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => format!(
            "{error}. If there is no such copy, go on with the data of a server that still holds it:\n  {again} --adopt SERVER\n\
             or, if no server does, give the data up:\n  {}\n{WHICH_GENERATION}",
            giving_up(args, "GENERATION")
        ),
        _ => error.to_string(),
    }
}

/// The folder, which must hold no record that can be read.
fn without_record(args: &Args, wanted: &Adopt) -> Result<RecordFile, String> {
    let storage = stopped(args)?;
    match storage.read() {
        Ok(None) => Ok(storage),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(storage),
        Err(error) => Err(error.to_string()),
        Ok(Some(record)) => Err(format!(
            "there is a record in {} (view {} of generation {}); nothing was changed. Start the service without --adopt to go \
             on with it; if it is the wrong one or an old copy, move it away first, then adopt {}",
            args.dir.display(),
            record.number.0,
            record.generation.number,
            wanted.server
        )),
    }
}

/// Tells the operator what the servers hold, and what came of it.
fn report(args: &Args, Adoption { view, heard }: Adoption) -> Result<(), String> {
    let table = table(&heard);
    let view = view.map_err(|why| {
        let otherwise = match why {
            NotAdopted::HoldsNothing(_) => otherwise(args),
            _ => String::new(),
        };
        format!("nothing was adopted, and nothing was written: {why}{otherwise}\n{table}")
    })?;
    let number = view.number.0;
    // The service goes on if nobody reads this; the log says it as well.
    let _ = print::stdout(format!(
        "{table}\nadopted {}: view {number} of generation {}",
        view.primary, view.generation.number
    ));
    tracing::warn!(server = %view.primary, view = %view.number, generation = %view.generation, "a server's data is adopted");
    Ok(())
}

/// What is left if no server holds any data. A service without a record begins empty by itself; one with a
/// damaged record does not start.
fn otherwise(args: &Args) -> String {
    match args.dir.join(FILE).exists() {
        true => format!(
            ". If none does, give the data up:\n  {}\n{WHICH_GENERATION}",
            giving_up(args, "GENERATION")
        ),
        false => ". If none does, start the service without --adopt, and all servers again".to_owned(),
    }
}

fn table(heard: &Heard) -> String {
    let mut text = format!("{:<28} {:<14} {:>6}  {}", "heard", "generation", "view", "end of its log");
    for (server, it) in heard {
        let end = match it.log_end.op.0 {
            0 => "nothing".to_owned(),
            op => format!("operation {op} of view {}", it.log_end.view.0),
        };
        let acts = if it.is_primary { ", acts as primary" } else { "" };
        let generation = it.generation.to_string();
        let _ =
            write!(text, "\n{:<28} {generation:<14} {:>6}  {end}{acts}", server.as_str(), it.view_known.0);
    }
    text
}

/// The options that are for one start, and those that are told in a form of their own.
const NOT_REPEATED: [&str; 5] = ["addr", "dir", "accept_data_loss", "adopt", "adopt_anyway"];

/// The command line that starts this service again in its place, from any folder: with all options that it
/// was given.
fn command(given: &ArgMatches, address: &str, dir: &Path) -> String {
    let mut line = format!("viewservice --addr {} {}", quoted(address.as_ref()), in_folder("dir", dir));
    for option in Args::command().get_arguments() {
        let id = option.get_id().as_str();
        let is_given = given.value_source(id) == Some(ValueSource::CommandLine);
        let Some(name) = option.get_long().filter(|_| is_given && !NOT_REPEATED.contains(&id)) else {
            continue;
        };
        for value in given.get_raw(id).into_iter().flatten() {
            let told = match id {
                "log_dir" => in_folder(name, Path::new(value)),
                _ => format!("--{name} {}", quoted(value)),
            };
            line = format!("{line} {told}");
        }
    }
    line
}

/// An option that names a folder, for a shell that stands in another one.
fn in_folder(name: &str, dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    format!("--{name} {}", quoted(dir.as_os_str()))
}

/// A word for a shell, in letters that every terminal shows; bytes that are none of these are escaped as bash
/// and zsh read them.
fn quoted(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@=".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return format!("'{}'", String::from_utf8_lossy(bytes).replace('\'', "'\\''"));
    }
    let escaped = |byte: &u8| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\{byte:03o}"),
    };
    format!("$'{}'", bytes.iter().map(escaped).collect::<String>())
}

/// The next generation starts without a view; numbers go on, so that nobody takes an old view for a new one.
async fn accept_data_loss(args: &Args, lost: Option<u64>) -> Result<(), Failure> {
    let _logs = start_logs(args, &args.addr)?;
    if !args.dir.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no folder {}, and nothing was changed: name that of the view service with --dir. If it is gone for good, \
             make it again, empty",
            args.dir.display()
        )));
    }
    let mut storage = stopped(args)?;
    let found = match storage.read() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        Err(error) => return Err(Failure::Failed(error.to_string())),
    };
    let was_there = args.dir.join(FILE).exists();
    let what = found.as_ref().map_or_else(
        || {
            format!(
                "no record can be read in {}: which servers held the data is not known",
                args.dir.display()
            )
        },
        at_stake,
    );
    let Some(lost) = lost else {
        let (command, hint) = match found {
            Some(record) => (giving_up(args, &record.generation.number.to_string()), String::new()),
            None => (giving_up(args, "GENERATION"), format!("\n{WHICH_GENERATION}")),
        };
        let told = format!("{what}\nnothing was changed; to give the data up, run:\n  {command}{hint}");
        return print::stdout(told).done();
    };
    let record = match found {
        Some(record) => check_lost(args, record, lost)?,
        None => lost_record(lost),
    };
    let next = record.accept_data_loss();
    storage.replace(&next).await.map_err(|error| error.to_string())?;
    tracing::warn!(lost, current = next.generation.number, "the data is declared lost");
    print::stdout(format!(
        "{what}\ngeneration {} is lost, generation {} begins in {}{}; now start the view service and empty servers",
        lost,
        next.generation.number,
        args.dir.display(),
        if was_there { "" } else { ", where no record was" },
    ))
    .done()
}

/// What the record knows of the data, and of the servers that held it.
fn at_stake(record: &Record) -> String {
    let Some(view) = &record.view else {
        return format!("generation {} has not begun: there is nothing to lose", record.generation.number);
    };
    let mut text = format!(
        "all data of generation {} ({}), as the record of view {} knows it:",
        record.generation.number, record.generation, view.number.0
    );
    let joining = view.joining.iter().filter(|(server, data)| record.stable.get(*server) != Some(*data));
    let held = record.stable.iter().map(|(server, data)| (server, data, "held all of it"));
    for (server, data, what) in held.chain(joining.map(|(server, data)| (server, data, "was given a copy"))) {
        let role = if *server == view.primary { " as primary" } else { "" };
        let _ = write!(
            text,
            "\n  {:<28} {what}{role}, in the store begun in its life {}",
            server.as_str(),
            data.boot
        );
    }
    text + "\nThe record does not know which of them still holds it: 'testclient view' shows who runs with what"
}

fn check_lost(args: &Args, record: Record, lost: u64) -> Result<Record, String> {
    if record.view.is_none() {
        return Err(format!(
            "there is no data in {} that could be lost: no server was accepted yet (generation {})",
            args.dir.display(),
            record.generation.number
        ));
    }
    if record.generation.number != lost {
        return Err(format!(
            "the current generation is {}, not {lost}; nothing was changed. At stake: {}",
            record.generation.number,
            at_stake(&record)
        ));
    }
    Ok(record)
}

/// What is known of a record that cannot be read: what the operator says. View numbers begin anew, which
/// confuses nothing, as they mean nothing in another generation.
fn lost_record(lost: u64) -> Record {
    Record { generation: Generation { number: lost, nonce: 0 }, ..Record::default() }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt, process::Command};

    use super::*;

    fn again(words: &[&str]) -> String {
        let given = Args::command().get_matches_from([&["viewservice"], words].concat());
        let args = Args::from_arg_matches(&given).expect("they are good");
        command(&given, "localhost:8000", &args.dir)
    }

    #[test]
    fn the_service_is_started_again_with_the_options_that_it_was_given() {
        assert_eq!(again(&["--dir", "/record"]), "viewservice --addr localhost:8000 --dir /record");
        let others = "--replicas 3 --dead-after 20s --join-stall-max 9s --suspicion-min 1s --suspicion-max 2s \
                      --policy-interval 50ms --servers-max 7 --log info,h2=debug --log-dir /logs --log-format json";
        let mut words: Vec<_> = others.split_whitespace().collect();
        let options = words.iter().filter(|word| word.starts_with("--")).count();
        let all = Args::command().get_arguments().count();
        assert_eq!(options + NOT_REPEATED.len(), all, "each option is among them");
        words.extend([
            "--dir",
            "/record",
            "--addr",
            "localhost:0",
            "--adopt",
            "localhost:8001",
            "--adopt-anyway",
        ]);
        assert_eq!(again(&words), format!("viewservice --addr localhost:8000 --dir /record {others}"));
    }

    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        for word in [
            &b"/var/lib/pbkv"[..],
            b"",
            b"a b",
            b"it's",
            "a folder \u{e4}".as_bytes(),
            b"\xff\xfe'\\x41\n\x1b[2J$(id)`id`",
            b"[::1]:8000",
        ] {
            let word = OsString::from_vec(word.to_vec());
            let line = quoted(&word);
            assert!(line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{line}");
            let printed = Command::new("bash").arg("-c").arg(format!("printf %s {line}")).output();
            assert_eq!(OsString::from_vec(printed.expect("a shell").stdout), word, "{line}");
        }
    }
}
