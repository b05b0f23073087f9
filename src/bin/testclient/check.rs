//! Judges a running cluster: concurrent clients work on a few keys, everything they ask and see is recorded,
//! and the record is judged for linearizability. Faults are the user's part: kill servers, pause them,
//! restart them meanwhile.
//!
//! Each answer is recorded with its revision, the order in which the cluster says that it was true. The judge
//! tries that order first: if it explains everything, it is a proof, and found in linear time, however many
//! clients there are. If not, the verdict comes from what the clients saw alone.
//!
//! Each run works on keys of its own, so it does not matter what the cluster holds. Values are unique, so
//! that each read says which write it saw.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use futures::future;
use linearizability::{
    Recorder, Verdict,
    kv::{Input, Kv, KvHistory, Output},
};
use pbkv::{
    client::{Client, ClientError, ClientOptions},
    clock::{Clock, SystemClock},
    process::{self, Claim, Exit, Failure, Printed, Signal, Span, Target, exit, print},
    protocol::options::{SPAN_MAX, SPAN_MIN, check_span},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::{
    answer::kind,
    encoding::counted,
    screen::{self, Screen},
};

/// The options of a check.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// How long the clients work. Ctrl-C or SIGTERM ends it early, and so does an error that would come again
    /// and again: what was seen until then is judged; a second signal ends it at once
    #[arg(long, default_value_t = Span(Duration::from_secs(10)), value_name = "TIME")]
    time: Span,
    /// Clients at work at the same time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = process::whole(1, CLIENTS_MAX))]
    clients: u64,
    /// Keys they share; fewer keys mean more conflicts. They stay: check-...
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = process::whole(1, KEYS_MAX))]
    keys: u64,
    /// A pause of each client between two operations
    #[arg(long, default_value_t = Span(Duration::ZERO), value_name = "TIME")]
    pause: Span,
    /// Where the history is saved, one operation per line, with the revision of each answer (rev) [default:
    /// only of a violation, to pbkv-history-RUN.jsonl]. A file that exists is refused
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Replace the file of --save if it exists, when there is a history to save
    #[arg(long, requires = "save")]
    replace: bool,
    /// Determines what the clients ask, though not what happens then
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = process::whole(0, u64::MAX))]
    seed: u64,
}

/// The end of its help text.
pub fn help() -> String {
    let examples = [
        "testclient check                                  # kill, pause and restart servers meanwhile",
        "testclient check --time 1h --clients 100 --save history.jsonl",
    ];
    let exits = Exit::ALL
        .into_iter()
        .filter(|exit| !matches!(exit, Exit::Unknown | Exit::NoService | Exit::CopiesMissing));
    let exits: Vec<Exit> = exits.collect();
    exit::help(&examples, &exits)
}

/// Each has a connection of its own.
const CLIENTS_MAX: u64 = 10_000;
/// So many that hardly any two clients meet.
const KEYS_MAX: u64 = 1_000_000;

/// A value is started anew when it is about to become longer than this.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// What all clients report to.
#[derive(Default)]
struct Report {
    recorder: Recorder<Input, Output>,
    latencies: Vec<Duration>,
    unknown: usize,
    not_executed: usize,
    last_error: Option<ClientError>,
    /// Why it is no use to ask more.
    ended_by: Option<ClientError>,
}

/// Runs the clients and judges.
///
/// # Errors
///
/// If that cannot begin.
pub async fn run(
    options: ClientOptions,
    screen: Screen,
    args: CheckArgs,
    claim: &mut Claim,
) -> Result<Exit, Failure> {
    check_span("time", args.time.0, SPAN_MIN, SPAN_MAX).map_err(Failure::option)?;
    check_span("pause", args.pause.0, Duration::ZERO, SPAN_MAX).map_err(Failure::option)?;
    let save = args.save.as_ref().map(|path| Target::at(path, args.replace)).transpose();
    let save = save.map_err(|why| Failure::option(format!("save: {why}")))?;
    judged(options, screen, args, save, claim).await
}

async fn judged(
    options: ClientOptions,
    screen: Screen,
    args: CheckArgs,
    save: Option<Target>,
    claim: &mut Claim,
) -> Result<Exit, Failure> {
    // rules: allow randomness: two checks of one cluster must not share keys
    let run = format!("{}-{:x}", args.seed, rand::random::<u32>());
    let report = Arc::new(Mutex::new(Report::default()));
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let keys: Arc<[Bytes]> = (0..args.keys).map(|key| Bytes::from(format!("check-{run}-{key}"))).collect();
    let workers = (0..args.clients).map(|number| Worker {
        number,
        client: Client::new(options.clone(), SystemClock),
        rng: StdRng::seed_from_u64(args.seed ^ number.rotate_right(16)),
        keys: keys.clone(),
        written: 0,
        seen: None,
        report: report.clone(),
        stop: stop.clone(),
        stopped: stopped.clone(),
    });
    let workers: Vec<Worker> = workers.collect();
    let started = SystemClock.now(); // what the set-up took is not the cluster's time
    let until = started + args.time.0;
    let workers = workers.into_iter().map(|worker| tokio::spawn(worker.work(until, args.pause.0)));
    let mut interrupted = None;
    let mut working = pin!(future::try_join_all(workers));
    let worked = tokio::select! {
        biased;
        worked = &mut working => worked,
        signal = claim.next() => {
            interrupted = Some(signal);
            print::stderr(format!("{signal}: judging what was seen so far"));
            stop.send_replace(true);
            tokio::select! {
                biased;
                worked = working => worked,
                signal = claim.next() => ended(screen, signal),
            }
        }
    };
    worked.map_err(|error| format!("a client ended early: {error}"))?;
    let took = SystemClock.now() - started;
    let report = std::mem::take(&mut *report.lock().expect("no client panicked"));
    // On a thread of its own, so that a signal still ends it.
    let judge = move || match report.nothing_seen(interrupted) {
        Some(Nothing::Error(why)) => screen.tell(&Err(why.into())),
        Some(Nothing::Signal(signal)) => screen.ended(signal, "no answer came, and nothing was judged"),
        None => judge(report, took, screen, &args, save.as_ref(), &run),
    };
    let judged = tokio::task::spawn_blocking(judge);
    tokio::select! {
        biased;
        judged = judged => Ok(judged.map_err(|error| format!("the judge ended early: {error}"))?),
        signal = claim.next() => ended(screen, signal),
    }
}

fn ended(screen: Screen, signal: Signal) -> ! {
    process::end(screen.ended(signal, "nothing was judged"))
}

/// Why there is nothing to judge.
enum Nothing {
    /// The cluster answered nothing, or nothing that belongs together.
    Error(ClientError),
    /// A signal came before an answer.
    Signal(Signal),
}

fn judge(
    mut report: Report,
    took: Duration,
    screen: Screen,
    args: &CheckArgs,
    save: Option<&Target>,
    run: &str,
) -> Exit {
    report.latencies.sort_unstable();
    let history = std::mem::take(&mut report.recorder).finish();
    let unsaved = save.and_then(|target| keep(&history, target).err());
    if !screen.is_json() && !screen.is_quiet() {
        let _ = print::stdout(summary(&report, took, args));
    }
    let mut found = judgement(&history, save.filter(|_| unsaved.is_none()).map(Target::path), run);
    // A violation that was seen is one, whatever else went wrong.
    match (&report.ended_by, &unsaved) {
        _ if found.exit != Exit::Done => {}
        (Some(error), _) => found.exit = error.into(),
        (None, Some(_)) => found.exit = Exit::InPart,
        (None, None) => {}
    }
    let wrong = report.ended_by.as_ref().map(|error| format!("it ended early: {error}"));
    let printed = match &found.why {
        _ if screen.is_json() => screen::object(&json(&report, took, args, &found, unsaved.as_deref())),
        None if screen.is_quiet() => Printed::Whole,
        None => print::stdout(found.verdict),
        Some(why) => print::stdout(format!("{}: {why}", found.verdict.to_uppercase())),
    };
    if !screen.is_json() {
        for wrong in wrong.iter().chain(&unsaved) {
            screen.wrong(wrong);
        }
    }
    printed.exit(found.exit)
}

/// A verdict, and how the check ends with it.
struct Found {
    exit: Exit,
    verdict: &'static str,
    why: Option<String>,
}

/// Saves a history, one operation a line.
fn keep(history: &KvHistory, target: &Target) -> Result<(), String> {
    target.save("the history", |mut file| linearizability::formats::write(history, &mut file))
}

/// The judge's verdict. The history of a violation is saved, unless it is.
fn judgement(history: &KvHistory, saved: Option<&Path>, run: &str) -> Found {
    let limits = linearizability::Options { witness: false, parallel: true, ..Default::default() };
    let (exit, verdict, why) = match linearizability::check(&Kv, history, &limits) {
        Verdict::Linearizable { .. } => (Exit::Done, "linearizable", None),
        Verdict::Undecided(undecided) => (Exit::Undecided, "undecided", Some(undecided.to_string())),
        Verdict::Violation(violation) => {
            let mut why = violation.to_string();
            for &operation in &violation.operations {
                why.push_str(&format!("\n  {operation}: {:?}", history.operations()[operation]));
            }
            let own = Target::New(format!("pbkv-history-{run}.jsonl").into());
            match saved.map_or_else(|| keep(history, &own).map(|()| own.path()), Ok) {
                Ok(path) => why.push_str(&format!("\nthe whole history is in {}", path.display())),
                Err(error) => why.push_str(&format!("\nerror: {error}")),
            }
            (Exit::No, "not linearizable", Some(why))
        }
    };
    Found { exit, verdict, why }
}

impl Report {
    /// Why there is nothing to judge, if so.
    fn nothing_seen(&self, interrupted: Option<Signal>) -> Option<Nothing> {
        let ended_by = || self.ended_by.clone().map(Nothing::Error);
        match &self.ended_by {
            // What came before and after it has nothing to do with each other.
            Some(ClientError::DataLost { .. }) => ended_by(),
            _ if !self.latencies.is_empty() => None,
            _ => {
                let nothing = || ClientError::NotExecuted { why: "nothing was asked".into() };
                let last = || Nothing::Error(self.last_error.clone().unwrap_or_else(nothing));
                ended_by().or(interrupted.map(Nothing::Signal)).or_else(|| Some(last()))
            }
        }
    }

    /// The latency that so many percent of the answers did not exceed.
    fn latency(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }

    fn per_second(&self, took: Duration) -> f64 {
        self.latencies.len() as f64 / took.as_secs_f64()
    }
}

fn summary(report: &Report, took: Duration, args: &CheckArgs) -> String {
    format!(
        "{}, {}, {took:.1?}: {} ok, {} unknown, {} not executed; {:.0}/s, latency p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        counted(args.clients, "client"),
        counted(args.keys, "key"),
        report.latencies.len(),
        report.unknown,
        report.not_executed,
        report.per_second(took),
        report.latency(50),
        report.latency(99),
        report.latency(100),
    )
}

fn json(report: &Report, took: Duration, args: &CheckArgs, found: &Found, unsaved: Option<&str>) -> Json {
    let milliseconds = |percent| report.latency(percent).as_secs_f64() * 1000.0;
    let mut told = json!({
        "clients": args.clients,
        "keys": args.keys,
        "seconds": took.as_secs_f64(),
        "ok": report.latencies.len(),
        "unknown": report.unknown,
        "not_executed": report.not_executed,
        "per_second": report.per_second(took),
        "latency_ms": { "p50": milliseconds(50), "p99": milliseconds(99), "max": milliseconds(100) },
        "verdict": found.verdict,
        "why": found.why,
        "ended_by": report.ended_by.as_ref().map(ToString::to_string),
        "unsaved": unsaved,
    });
    if let Some(error) = &report.ended_by {
        told["error"] = kind(error).into();
    }
    told
}

/// One client.
struct Worker {
    number: u64,
    client: Client<SystemClock>,
    rng: StdRng,
    keys: Arc<[Bytes]>,
    /// Makes its values unique.
    written: u64,
    /// A key and what this client saw in it last: what a compare-and-swap expects.
    seen: Option<(Bytes, Option<Bytes>)>,
    report: Arc<Mutex<Report>>,
    /// Ends the check early, for all clients.
    stop: Arc<watch::Sender<bool>>,
    /// The check is to end early: what is being asked is still waited for.
    stopped: watch::Receiver<bool>,
}

impl Worker {
    async fn work(mut self, until: Duration, pause: Duration) {
        while SystemClock.now() < until && !*self.stopped.borrow() {
            let input = self.choose();
            let called_at = self.record(|report, now| {
                report
                    .recorder
                    .call(self.number, nanoseconds(now), input.clone())
                    .expect("one call at a time");
            });
            let result = self.perform(input).await;
            let is_last = result.as_ref().is_err_and(is_final);
            self.record(|report, now| report.note(self.number, called_at, now, result));
            if is_last {
                self.stop.send_replace(true);
                return;
            }
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    () = SystemClock.sleep_until(SystemClock.now() + pause) => {}
                    _ = self.stopped.wait_for(|stopped| *stopped) => {}
                }
            }
        }
        if !*self.stopped.borrow() {
            let _ = self.client.close().await; // it would end by itself
        }
    }

    /// The clock is read under the lock: events are recorded in the order of their times.
    fn record(&self, note: impl FnOnce(&mut Report, Duration)) -> Duration {
        let mut report = self.report.lock().expect("no client panicked");
        let now = SystemClock.now();
        note(&mut report, now);
        now
    }

    fn choose(&mut self) -> Input {
        let key = self.keys.choose(&mut self.rng).expect("at least one key").clone();
        self.written += 1;
        let value = Bytes::from(format!("{}.{} ", self.number, self.written));
        match self.rng.random_range(0..100) {
            0..40 => Input::Get { key },
            40..55 => Input::Put { key, value },
            55..80 => match &self.seen {
                Some((seen, Some(long))) if *seen == key && long.len() > VALUE_BYTES_MAX => {
                    Input::Put { key, value }
                }
                _ => Input::Append { key, value },
            },
            80..85 => Input::Delete { key },
            _ => match self.seen.take() {
                Some((key, expected)) => Input::CompareAndSwap { key, expected, new: value },
                None => Input::Get { key },
            },
        }
    }

    /// What was answered, and at which revision.
    async fn perform(&mut self, input: Input) -> Result<(Output, u64), ClientError> {
        Ok(match input {
            Input::Get { key } => {
                let found = self.client.find(key.clone()).await?;
                let value = found.held.map(|held| held.value);
                self.seen = Some((key, value.clone()));
                (Output::Value(value), found.revision.0)
            }
            Input::Put { key, value } => (Output::Done, self.client.put(key, value).await?.0),
            Input::Append { key, value } => (Output::Done, self.client.append(key, value).await?.0),
            Input::Delete { key } => {
                let deleted = self.client.delete(key).await?;
                (Output::Deleted { existed: Some(deleted.existed) }, deleted.revision.0)
            }
            Input::CompareAndSwap { key, expected, new } => {
                let swap = self.client.compare_and_swap(key, expected, new).await?;
                let previous = Some(swap.previous.map(|held| held.value));
                (Output::Swapped { swapped: swap.swapped, previous }, swap.revision.0)
            }
        })
    }
}

impl Report {
    fn note(
        &mut self,
        client: u64,
        called_at: Duration,
        now: Duration,
        result: Result<(Output, u64), ClientError>,
    ) {
        let at = nanoseconds(now);
        let noted = match result {
            Ok((output, revision)) => {
                self.latencies.push(now - called_at);
                self.recorder.returned_at_revision(client, at, output, revision)
            }
            Err(error) => {
                self.last_error = Some(error.clone());
                if is_final(&error) {
                    self.ended_by.get_or_insert(error.clone());
                }
                if let ClientError::Unknown { .. } | ClientError::DataLost { .. } = error {
                    self.unknown += 1;
                    self.recorder.unknown(client, at)
                } else {
                    self.not_executed += 1;
                    self.recorder.withdrawn(client, at)
                }
            }
        };
        noted.expect("a call of this client is open");
    }
}

/// Whether there is no use in asking more: the data is lost, or what is asked is wrong and stays so.
pub fn is_final(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::NothingLeft { .. }
            | ClientError::DataLost { .. }
            | ClientError::Invalid(_)
            | ClientError::OtherHistory { .. }
    )
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a machine does not run for centuries")
}
