//! Measures the checker, beside the textbook search in the same run.
//!
//! `cargo run --release -p linearizability --example measure -- speed [ROUNDS [NAME]]` judges a million
//! operations by contention and share of unknown outcomes, with and without a witness. Processor time of one
//! thread, the best of the rounds.
//!
//! `cargo run --release -p linearizability --example measure -- peer [SECONDS]` compares with the textbook
//! search, which gets so many seconds for each history.
//!
//! `cargo run --release -p linearizability --example measure -- hard [NAME]` judges histories that need a
//! search.
//!
//! `cargo run --release -p linearizability --example measure -- files [SECONDS] FILE...` does so on recorded
//! histories.
//!
//! `cargo run --release -p linearizability --example measure -- times FILE...` prints name, operations,
//! milliseconds of the verdict alone and with a contradiction made small, and verdict, for
//! `scripts/beside-porcupine.sh`; `text OPERATIONS` writes puts and gets of 100 clients on 10 keys for it, in
//! porcupine's text.

use std::time::{Duration, Instant};

use linearizability::kv::{Input, Kv, KvHistory, Output};
use linearizability::{Budget, Options, Verdict, check, formats};

#[path = "../benches/textbook/mod.rs"]
mod textbook;
#[path = "../benches/workload/mod.rs"]
mod workload;

use workload::{Workload, history};

/// How often the checker is measured beside the peer.
const ROUNDS: u32 = 3;

/// Nanoseconds this thread has run on a processor; wall time where the system does not tell.
fn processor_time(since: Instant) -> u64 {
    let own = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = own.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
    first.unwrap_or_else(|| since.elapsed().as_nanos() as u64)
}

/// Short work is repeated for so long, because systems count processor time in ticks of some milliseconds.
const BATCH: Duration = Duration::from_millis(50);

/// Milliseconds of processor time that work takes, with its result.
fn timed<T>(work: impl Fn() -> T) -> (f64, T) {
    let begin = Instant::now();
    let before = processor_time(begin);
    let mut result = work();
    let mut runs = 1;
    while begin.elapsed() < BATCH {
        result = work();
        runs += 1;
    }
    ((processor_time(begin) - before) as f64 / 1e6 / f64::from(runs), result)
}

/// The least milliseconds of several rounds, with the verdict.
fn best(history: &KvHistory, options: &Options, rounds: u32) -> (f64, Verdict) {
    let judge = || timed(|| check(&Kv, history, options));
    let mut least = judge();
    for _ in 1..rounds {
        let again = judge();
        if again.0 < least.0 {
            least = again;
        }
    }
    least
}

fn verdict_only() -> Options {
    Options { witness: false, smallest: false, ..Options::default() }
}

fn speed(rounds: u32, wanted: &str) {
    println!("{:24} {:>8} {:>8} {:>14} {:>14}", "workload", "clients", "unknown", "verdict", "with witness");
    let line = |name: &str, workload: Workload| {
        if !name.contains(wanted) {
            return;
        }
        let history = history(workload, 7);
        let (plain, verdict) = best(&history, &verdict_only(), rounds);
        let (proof, _) = best(&history, &Options::default(), rounds);
        assert!(verdict.is_linearizable(), "{name}: {verdict:?}");
        let Workload { clients, unknown, .. } = workload;
        println!("{name:24} {clients:>8} {unknown:>6} % {plain:>11.0} ms {proof:>11.0} ms");
    };
    for (clients, keys) in [(5, 1), (100, 1), (1000, 1), (100, 10), (1000, 10), (100, 1000), (1000, 1000)] {
        for unknown in [0, 2, 20, 50] {
            let workload = Workload { clients, keys, unknown, ..Workload::default() };
            line(&format!("put/get, {keys} keys"), workload);
        }
    }
    for (clients, keys) in [(100, 1000), (100, 10_000)] {
        for unknown in [0, 2, 20] {
            let workload = Workload { clients, keys, unknown, gets: 40, puts: 10, ..Workload::default() };
            line(&format!("append 50 %, {keys} keys"), workload);
        }
    }
}

/// One line of the comparison; returns both times.
fn beside(name: &str, history: &KvHistory, limit: Duration) -> (f64, Option<f64>) {
    let (own, verdict) = best(history, &verdict_only(), ROUNDS);
    let (peer, found) = timed(|| textbook::check(history.operations(), limit));
    let word = word(&verdict);
    let agreed = match (&verdict, found) {
        (Verdict::Undecided(_), _) | (_, None) => true,
        (verdict, Some(found)) => verdict.is_linearizable() == found,
    };
    assert!(agreed, "{name}: {verdict:?}, but the peer says {found:?}");
    let shown = match found {
        Some(_) => format!("{peer:>12.3} ms {:>9.1} x", peer / own),
        None => format!("none in {peer:>7.0} ms > {:.0} x", peer / own),
    };
    println!("{name:60} {:>8} {word:9} {own:>10.3} ms {shown}", history.len());
    (own, found.map(|_| peer))
}

fn peer(limit: Duration) {
    println!("{:60} {:>8} {:9} {:>13} {:>15}", "history", "length", "verdict", "linearize", "textbook");
    let base = Workload { operations: 10_000, ..Workload::default() };
    let workloads = [
        ("put/get, 5 clients, 1 key", Workload { clients: 5, keys: 1, ..base }),
        ("put/get, 20 clients, 1 key", Workload { operations: 300, clients: 20, keys: 1, ..base }),
        ("put/get, 100 clients, 10 keys", base),
        ("put/get, 100 clients, 10 keys, 2 % unknown", Workload { unknown: 2, ..base }),
        ("put/get, 100 clients, 1000 keys", Workload { operations: 100_000, keys: 1000, ..base }),
        ("append 50 %, 20 clients, 10 keys", Workload { clients: 20, gets: 40, puts: 10, ..base }),
        ("5 values, 5 clients, 1 key", Workload { clients: 5, keys: 1, values: 5, ..base }),
        (
            "5 values, 20 clients, 1 key",
            Workload { operations: 1000, clients: 20, keys: 1, values: 5, ..base },
        ),
    ];
    for (name, workload) in workloads {
        beside(name, &history(workload, 7), limit);
    }
}

/// Histories of one key that the fast path alone does not decide.
fn hard(wanted: &str) {
    println!("{:52} {:>7} {:>8} {:>13} {:>15}", "one key", "length", "unknown", "legal", "stale read");
    let base = Workload { keys: 1, ..Workload::default() };
    let families = [
        ("put/get of 5 values", Workload { values: 5, ..base }),
        ("put/get of 50 values", Workload { values: 50, ..base }),
        ("put/get/delete", Workload { gets: 50, puts: 30, deletes: 20, ..base }),
        ("swaps that say nothing", Workload { gets: 40, puts: 20, swaps: 40, terse: true, ..base }),
        ("swaps of 5 values", Workload { gets: 40, puts: 20, swaps: 40, values: 5, ..base }),
        ("appends and deletes", Workload { gets: 40, puts: 0, deletes: 20, ..base }),
        ("everything, unique", Workload { gets: 40, puts: 15, deletes: 10, swaps: 15, ..base }),
        ("everything, terse", Workload { gets: 40, puts: 15, deletes: 10, swaps: 15, terse: true, ..base }),
        ("everything, 5 values", Workload { gets: 40, puts: 25, deletes: 20, swaps: 10, values: 5, ..base }),
    ];
    let budget = Budget { configurations: 5_000_000, bytes: 1 << 30 };
    let options = Options { budget, ..verdict_only() };
    let mut undecided = 0;
    let mut total = 0.0;
    for (name, family) in families {
        for (clients, operations) in [(5, 1_000), (5, 100_000), (15, 1_000), (15, 10_000), (30, 1_000)] {
            let name = format!("{name}, {clients} clients");
            if !name.contains(wanted) {
                continue;
            }
            for unknown in [0, 2, 20] {
                // Appended values grow with the square of the length, or worse if nothing resets them.
                let appends = family.gets + family.puts + family.deletes + family.swaps < 100;
                let operations = if appends { operations.min(10_000) } else { operations };
                let judged = [false, true].map(|stale| {
                    let history = history(Workload { clients, operations, unknown, stale, ..family }, 7);
                    let (spent, verdict) = timed(|| check(&Kv, &history, &options));
                    total += spent;
                    assert!(stale || verdict.violation().is_none(), "{name}: {verdict:?}");
                    match verdict {
                        Verdict::Undecided(_) => {
                            undecided += 1;
                            format!("undecided {spent:>7.0} ms")
                        }
                        Verdict::Violation(_) => format!("{spent:>14.3} ms"),
                        Verdict::Linearizable { .. } if stale => format!("legal {spent:>8.3} ms"),
                        Verdict::Linearizable { .. } => format!("{spent:>14.3} ms"),
                    }
                });
                println!("{name:52} {operations:>7} {unknown:>6} % {} {}", judged[0], judged[1]);
            }
        }
    }
    println!("{undecided} undecided, {total:.0} ms in all");
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Linearizable { .. } => "legal",
        Verdict::Violation(_) => "illegal",
        Verdict::Undecided(_) => "undecided",
    }
}

fn recorded(file: &str) -> Result<KvHistory, Box<dyn std::error::Error>> {
    let text = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    Ok(formats::parse(&text).map_err(|error| format!("{file}: {error}"))?.history)
}

fn times(files: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    for file in files {
        let history = recorded(file)?;
        let (spent, verdict) = best(&history, &verdict_only(), ROUNDS);
        let (explained, _) = best(&history, &Options { smallest: true, ..verdict_only() }, ROUNDS);
        println!("{file}\t{}\t{spent:.4}\t{explained:.4}\t{}", history.len(), word(&verdict));
    }
    Ok(())
}

/// Every outcome is known, so that an event is a line, by time.
fn text(operations: usize) {
    let history = history(Workload { operations, ..Workload::default() }, 7);
    let mut events = Vec::new();
    for operation in history.operations() {
        let (Input::Get { key } | Input::Put { key, .. }) = &operation.input else { continue };
        let (Some(at), Some(output)) = (operation.returned_at(), operation.output()) else { continue };
        let (called, returned) = match (&operation.input, output) {
            (Input::Put { value, .. }, _) => (quoted(Some(value)), quoted(Some(value))),
            (_, Output::Value(value)) => ("nil".to_owned(), quoted(value.as_ref())),
            _ => continue,
        };
        let function = if matches!(operation.input, Input::Put { .. }) { "put" } else { "get" };
        let key = quoted(Some(key));
        let line = |kind: &str, value: &str| {
            format!(
                "{{:process {}, :type :{kind}, :f :{function}, :key {key}, :value {value}}}",
                operation.process
            )
        };
        // What is called in the moment of a return overlaps it.
        events.push((operation.call, 0, line("invoke", &called)));
        events.push((at, 1, line("ok", &returned)));
    }
    events.sort();
    for (_, _, line) in events {
        println!("{line}");
    }
}

fn quoted(bytes: Option<&bytes::Bytes>) -> String {
    format!("\"{}\"", bytes.map_or_else(Default::default, |bytes| String::from_utf8_lossy(bytes)))
}

fn files(limit: Duration, files: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let (mut own, mut peer, mut unfinished) = (0.0, 0.0, 0);
    for file in files {
        let history = recorded(file)?;
        let name = file.rsplit('/').next().unwrap_or(file);
        match beside(name, &history, limit) {
            (mine, Some(theirs)) => (own, peer) = (own + mine, peer + theirs),
            (_, None) => unfinished += 1,
        }
    }
    println!(
        "sum of the {} that the textbook search finished: {own:.1} ms and {peer:.1} ms, {:.0} x; {unfinished} it did not",
        files.len() - unfinished,
        peer / own
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |default: u32| arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(default);
    let limit = Duration::from_secs(u64::from(number(10)));
    match arguments.first().map(String::as_str) {
        Some("speed") => speed(number(5), arguments.get(2).map_or("", String::as_str)),
        Some("peer") => peer(limit),
        Some("hard") => hard(arguments.get(1).map_or("", String::as_str)),
        Some("times") => times(&arguments[1..])?,
        Some("text") => text(number(1_000) as usize),
        Some("files") => {
            let given = if arguments.get(1).is_some_and(|text| text.parse::<u32>().is_ok()) { 2 } else { 1 };
            files(limit, &arguments[given..])?;
        }
        _ => {
            return Err(
                "expected one of: speed [ROUNDS [NAME]], peer [SECONDS], hard [NAME], files [SECONDS] FILE..., times FILE..., text OPERATIONS"
                    .into()
            );
        }
    }
    Ok(())
}
