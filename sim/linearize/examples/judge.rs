//! Judges files: verdict, operations, time of parsing and of checking, and peak memory.
//!
//! `cargo run --release -p linearizability --example judge -- [--parallel] [--no-witness] [--html] FILE...`
//!
//! `--html` writes a drawing beside each file.

use std::time::Instant;

use linearizability::kv::Kv;
use linearizability::{Options, Verdict, check, formats, html};

/// Nanoseconds this thread has run on a processor; wall time where the system does not tell.
fn processor_time(since: Instant) -> u128 {
    let own = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = own.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
    first.unwrap_or_else(|| since.elapsed().as_nanos())
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let begin = Instant::now();
    let mut options = Options::default();
    let mut draw = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--parallel" => options.parallel = true,
            "--no-witness" => options.witness = false,
            "--html" => draw = true,
            file => {
                let text = std::fs::read(file)?;
                let start = processor_time(begin);
                let recorded = formats::parse(&text).map_err(|error| format!("{file}: {error}"))?;
                drop(text);
                let parsed = processor_time(begin);
                // Starts the peak again, so that it does not count the text of the file.
                let _ = std::fs::write("/proc/self/clear_refs", "5");
                let before = status("VmRSS");
                let verdict = check(&Kv, &recorded.history, &options);
                let checked = processor_time(begin);
                let name = match &verdict {
                    Verdict::Linearizable { .. } => "linearizable".to_owned(),
                    Verdict::Violation(violation) => format!("violation: {violation}"),
                    Verdict::Undecided(undecided) => undecided.to_string(),
                };
                println!(
                    "{file}: {} operations, parsed in {:.1} ms, checked in {:.3} ms, {} kB before, {} kB at most: {name}",
                    recorded.history.len(),
                    (parsed - start) as f64 / 1e6,
                    (checked - parsed) as f64 / 1e6,
                    before,
                    status("VmHWM"),
                );
                if draw {
                    std::fs::write(format!("{file}.html"), html::page(&recorded.history, &verdict))?;
                }
            }
        }
    }
    Ok(())
}
