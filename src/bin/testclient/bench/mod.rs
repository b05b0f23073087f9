//! Measures a running cluster: how many operations a second it answers, and how soon.
//!
//! Each client has a connection and a session of its own, and one operation under way: a session numbers its
//! updates, one after the other. So there are as many operations under way as clients, and in an open loop
//! those that are due wait for a free one.
//!
//! Left out: several machines that ask. One that asks as much as it can measures itself; its own share of the
//! processors is to be looked at.

mod etcd;
mod load;
mod pace;
mod redis;
mod tally;
mod target;
mod work;

use std::{
    fmt,
    pin::pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::{Args, ValueEnum};
use pbkv::{
    client::{Client, ClientError, ClientOptions},
    clock::{Clock, SystemClock},
    process::{self, Claim, Exit, Failure, Printed, Signal, Span, exit, print},
    protocol::options::{SPAN_MAX, SPAN_MIN, check_span},
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value as Json, json};

use crate::{
    encoding::counted,
    screen::{self, Screen},
};
use load::Load;
use target::Target;
use work::{Measurement, Worker};

/// The options of a measurement.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// How long is measured. Ctrl-C or SIGTERM ends it early, and so does an error that would come again and
    /// again: what was measured until then is told; a second signal ends it at once
    #[arg(long, default_value_t = Span(Duration::from_secs(10)), value_name = "TIME")]
    time: Span,
    /// How long the clients work before that
    #[arg(long, default_value_t = Span(Duration::from_secs(1)), value_name = "TIME")]
    warmup: Span,
    /// Clients at work at the same time, each with a session and one operation under way. They share one
    /// connection, over which their calls travel together; those of another store have a connection each
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = process::whole(1, CLIENTS_MAX))]
    clients: u64,
    /// Operations a second that are due, whatever the cluster does (open loop): latency counts from when an
    /// operation was due, not from when a client was free to send it [default: a client asks again when it
    /// has its answer]
    #[arg(long, value_name = "N", value_parser = process::whole(1, RATE_MAX))]
    rate: Option<u64>,
    /// Which part of the operations are reads, from 0 to 1; the rest are puts
    #[arg(long, default_value_t = 0.5, value_name = "RATIO", value_parser = number(0.0, 1.0))]
    read_ratio: f64,
    /// Length of the values
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = process::whole(0, VALUE_BYTES_MAX))]
    value_bytes: u64,
    /// Keys they share. They stay: bench-...
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = process::whole(1, KEYS_MAX))]
    keys: u64,
    /// How often which key is asked for
    #[arg(long, value_enum, default_value_t, value_name = "DISTRIBUTION")]
    distribution: Distribution,
    /// The exponent of zipf: the larger, the more is asked for few keys [default: 0.99]
    #[arg(long, value_name = "NUMBER", value_parser = number(0.01, 10.0))]
    exponent: Option<f64>,
    /// Do not put each key once before the measurement: it was done before, or reads may find nothing
    #[arg(long)]
    no_fill: bool,
    /// Determines what the clients ask, though not what happens then
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = process::whole(0, u64::MAX))]
    seed: u64,
    /// Make each call alone, as an RPC of its own, and give each client a connection of its own: of pbkv, not
    /// with --peer
    #[arg(long, conflicts_with = "peer")]
    unary: bool,
    /// Measure another store in the same way, redis://HOST:PORT or etcd://HOST:PORT. Redis has to have a
    /// replica, for which each update waits
    #[arg(long, value_name = "STORE")]
    peer: Option<Peer>,
}

/// How often which key is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Distribution {
    /// All keys as often
    #[default]
    Uniform,
    /// The first key twice as often as the second, three times as often as the third, and so on, if the
    /// exponent is 1
    Zipf,
}

/// Another store, and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Peer {
    Redis(String),
    Etcd(String),
}

/// Each may have a connection of its own.
const CLIENTS_MAX: u64 = 10_000;
const RATE_MAX: u64 = 10_000_000;
const KEYS_MAX: u64 = 1_000_000_000;
/// What a server can be told to take at most.
const VALUE_BYTES_MAX: u64 = 64 << 20;
/// What other tools for such measurements use.
const EXPONENT: f64 = 0.99;
/// A person at a terminal is told how far it is about so often,
const TOLD_TIMES: u32 = 20;
/// and not more often than this.
const TOLD_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The end of its help text.
pub fn help() -> String {
    let examples = [
        "testclient bench                                        # as much as 8 clients get, half of it reads",
        "testclient bench --clients 256 --read-ratio 0 --value-bytes 4096",
        "testclient bench --clients 64 --rate 2000 --time 1m     # the latency at 2000 operations a second",
        "testclient delete --prefix bench- --yes                 # removes what it left",
    ];
    let exits = Exit::ALL
        .into_iter()
        .filter(|exit| !matches!(exit, Exit::No | Exit::Undecided | Exit::NoService | Exit::CopiesMissing));
    let exits: Vec<Exit> = exits.collect();
    exit::help(&examples, &exits)
}

/// Reads a number between two, as a command line has it.
fn number(min: f64, max: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("write a number from {min} to {max}"))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(address) => write!(f, "redis://{address}"),
            Self::Etcd(address) => write!(f, "etcd://{address}"),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("redis", address)) => process::reached(address).map(Self::Redis),
            Some(("etcd", address)) => process::reached(address).map(Self::Etcd),
            _ => Err("write redis://HOST:PORT or etcd://HOST:PORT".into()),
        }
    }
}

/// Measures, and tells what was measured.
///
/// # Errors
///
/// If that cannot begin.
pub async fn run(
    options: ClientOptions,
    screen: Screen,
    args: BenchArgs,
    claim: &mut Claim,
) -> Result<Exit, Failure> {
    check_span("time", args.time.0, SPAN_MIN, SPAN_MAX).map_err(Failure::option)?;
    check_span("warmup", args.warmup.0, Duration::ZERO, SPAN_MAX).map_err(Failure::option)?;
    if args.exponent.is_some() && args.distribution != Distribution::Zipf {
        return Err(Failure::option("exponent needs --distribution zipf"));
    }
    let deadline = options.deadline;
    match args.peer.clone() {
        None if args.unary => {
            let options = ClientOptions { unary: true, ..options };
            of(|| Ok(Client::new(options.clone(), SystemClock)), screen, args, claim).await
        }
        None => {
            let first = Client::new(options, SystemClock);
            of(|| Ok(first.another()), screen, args, claim).await
        }
        Some(Peer::Redis(at)) => of(|| Ok(redis::Redis::new(&at, deadline)), screen, args, claim).await,
        Some(Peer::Etcd(at)) => of(|| etcd::Etcd::new(&at, deadline), screen, args, claim).await,
    }
}

/// Of one kind of store.
async fn of<T: Target>(
    client: impl Fn() -> Result<T, String>,
    screen: Screen,
    args: BenchArgs,
    claim: &mut Claim,
) -> Result<Exit, Failure> {
    let worker = |number| Ok(Worker::new(client()?, args.seed, number));
    let mut workers = (0..args.clients).map(worker).collect::<Result<Vec<_>, String>>()?;
    let load = Arc::new(args.load());
    let begun = SystemClock.now();
    if !args.no_fill {
        let filled = Arc::new(AtomicU64::new(0));
        let so_far = || format!("{} of {} put", filled.load(Ordering::Relaxed), counted(args.keys, "key"));
        let fills = screen.telling(TOLD_INTERVAL_MIN, so_far, work::fill(workers, &load, &filled));
        let filled = tokio::select! {
            biased;
            filled = fills => filled?,
            signal = claim.next() => {
                return Ok(screen.ended(signal, &format!("{}, and {NOTHING}", so_far())));
            }
        };
        match filled {
            Ok(filled) => workers = filled,
            Err(error) => return Ok(screen.tell(&Err(error.into()))),
        }
    }
    let filled = (!args.no_fill).then(|| SystemClock.now() - begun);
    let (warmup, time) = (args.warmup.0, args.time.0);
    let measurement = Arc::new(Measurement::new(load, args.rate, warmup, time));
    let begun = SystemClock.now();
    let so_far = || {
        let (answered, errors) = measurement.tally().so_far();
        let passed = Span(Duration::from_secs((SystemClock.now() - begun).as_secs()));
        format!("{passed} of {}: {answered} ok, {}", Span(warmup + time), counted(errors, "error"))
    };
    let interval = ((warmup + time) / TOLD_TIMES).max(TOLD_INTERVAL_MIN);
    let mut working = pin!(screen.telling(interval, so_far, measurement.run(workers)));
    let mut interrupted = None;
    tokio::select! {
        biased;
        worked = &mut working => worked?,
        signal = claim.next() => {
            interrupted = Some(signal);
            print::stderr(format!("{signal}: telling what was measured so far"));
            measurement.stop();
            tokio::select! {
                biased;
                worked = working => worked?,
                signal = claim.next() => process::end(screen.ended(signal, "what was measured is not told")),
            }
        }
    };
    Ok(told(&measurement, screen, &args, filled, interrupted))
}

const NOTHING: &str = "nothing was measured";

fn told(
    measurement: &Measurement,
    screen: Screen,
    args: &BenchArgs,
    filled: Option<Duration>,
    interrupted: Option<Signal>,
) -> Exit {
    let tally = measurement.tally();
    if tally.is_empty() {
        let nothing = || ClientError::NotExecuted { why: "nothing was asked in that time".into() };
        let last = || tally.last_error().cloned().unwrap_or_else(nothing);
        return match (tally.ended_by(), interrupted) {
            (None, Some(signal)) => screen.ended(signal, NOTHING),
            (ended_by, _) => screen.tell(&Err(ended_by.cloned().unwrap_or_else(last).into())),
        };
    }
    let unsent = measurement.unsent();
    let printed = if screen.is_json() {
        let mut told = tally.json();
        args.describe(&mut told);
        told["fill_seconds"] = filled.map(|took| took.as_secs_f64()).into();
        told["unsent"] = unsent.into();
        if let (Some(signal), true) = (interrupted, told["ended_by"].is_null()) {
            told["ended_by"] = signal.name().into();
        }
        screen::object(&told)
    } else if screen.is_quiet() {
        Printed::Whole
    } else {
        let mut text = format!("{}, {:.1}s\n{}", args.text(), tally.seconds(), tally.text());
        if unsent > 0 {
            let due = counted(unsent, "operation");
            text.push_str(&format!(
                "\n{due} due and not sent, because no client was free: not in the latency"
            ));
        }
        print::stdout(text)
    };
    let Some(error) = tally.ended_by() else { return printed.exit(Exit::Done) };
    if !screen.is_json() {
        screen.wrong(format!("it ended early: {error}"));
    }
    printed.exit(error.into())
}

impl BenchArgs {
    fn exponent(&self) -> Option<f64> {
        (self.distribution == Distribution::Zipf).then(|| self.exponent.unwrap_or(EXPONENT))
    }

    fn load(&self) -> Load {
        let value_bytes = usize::try_from(self.value_bytes).expect("at most 64 MiB");
        let mut rng = StdRng::seed_from_u64(self.seed);
        Load::new(self.keys, self.exponent(), self.read_ratio, value_bytes, &mut rng)
    }

    /// What is asked, for people.
    fn text(&self) -> String {
        let keys = match self.exponent() {
            None => counted(self.keys, "key"),
            Some(exponent) => format!("{} (zipf {exponent})", counted(self.keys, "key")),
        };
        let pace = self.rate.map_or("closed loop".into(), |rate| format!("open loop of {rate}/s"));
        let clients = counted(self.clients, "client");
        let bytes = counted(self.value_bytes, "byte");
        match &self.peer {
            Some(peer) => format!("{peer}: {clients}, {keys}, {bytes}, {pace}"),
            None if self.unary => format!("{clients}, each call alone, {keys}, {bytes}, {pace}"),
            None => format!("{clients} on one stream, {keys}, {bytes}, {pace}"),
        }
    }

    /// What is asked, for programs.
    fn describe(&self, told: &mut Json) {
        let own = json!({
            "clients": self.clients,
            "store": self.peer.as_ref().map_or("pbkv".into(), Peer::to_string),
            "unary": self.peer.is_none().then_some(self.unary),
            "rate": self.rate,
            "read_ratio": self.read_ratio,
            "value_bytes": self.value_bytes,
            "keys": self.keys,
            "zipf": self.exponent(),
        });
        let own = own.as_object().expect("just made").clone();
        told.as_object_mut().expect("a tally is an object").extend(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_kind_and_an_address() {
        let peer = |text: &str| text.parse::<Peer>();
        assert_eq!(peer("redis://localhost:6379"), Ok(Peer::Redis("localhost:6379".into())));
        assert_eq!(peer("etcd://[::1]:2379"), Ok(Peer::Etcd("[::1]:2379".into())));
        for bad in ["localhost:6379", "http://localhost:1", "redis://localhost", "etcd://localhost:0", ""] {
            peer(bad).expect_err(bad);
        }
    }

    #[test]
    fn numbers_have_limits() {
        let read = number(0.0, 1.0);
        assert_eq!((read("0"), read("0.25"), read("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        for bad in ["", "-0.1", "1.01", "NaN", "inf", "half"] {
            assert_eq!(read(bad), Err("write a number from 0 to 1".into()), "{bad}");
        }
    }
}
