//! How long a check takes, by contention, unknown outcomes and kind of operation.
//!
//! `cargo bench -p linearizability`; the numbers are for the check alone, on one thread, without a witness
//! unless named so.

// The macro below makes a public function without a comment.
#![allow(missing_docs)]

mod workload;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use linearizability::kv::Kv;
use linearizability::kv::monitor::Monitor;
use linearizability::{Budget, Options, check};
use workload::{Workload, history};

fn judge(criterion: &mut Criterion, name: &str, workload: Workload, options: &Options) {
    let history = history(workload, 7);
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(history.len() as u64)).sample_size(10);
    group.bench_function(name, |bencher| {
        bencher.iter(|| assert!(check(&Kv, &history, options).is_linearizable()));
    });
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let verdict = Options { witness: false, ..Options::default() };
    let base = Workload::default();
    let million = [
        ("put/get, 1 key", Workload { keys: 1, ..base }),
        ("put/get, 10 keys", base),
        ("put/get, 1000 keys", Workload { keys: 1000, ..base }),
        ("put/get, 1 key, 50 % unknown", Workload { keys: 1, unknown: 50, ..base }),
        ("put/get/append, 1000 keys", Workload { keys: 1000, gets: 40, puts: 10, ..base }),
    ];
    for (name, workload) in &million {
        judge(criterion, &format!("1M {name}"), *workload, &verdict);
    }
    judge(criterion, "1M put/get, 10 keys, with witness", base, &Options::default());
    let parallel = Options { parallel: true, ..verdict.clone() };
    for (name, workload) in &million {
        judge(criterion, &format!("1M {name}, parallel"), *workload, &parallel);
    }
    let small = Workload { operations: 10_000, ..base };
    judge(criterion, "10k put/get, 10 keys", small, &verdict);
    let repeated = Workload { operations: 10_000, clients: 8, values: 5, ..base };
    judge(criterion, "10k put/get of 5 values, 8 clients", repeated, &verdict);
}

/// The same operations, judged as they return.
fn monitors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("monitor");
    group.sample_size(10);
    for (name, clients, keys) in [("5 clients, 5 keys", 5, 5), ("20 clients, 1 key", 20, 1)] {
        let history = history(Workload { operations: 10_000, clients, keys, ..Workload::default() }, 7);
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (index, operation) in history.operations().iter().enumerate() {
            events.push((operation.call, false, index));
            events.extend(operation.returned_at().map(|at| (at, true, index)));
        }
        events.sort_unstable();
        group.throughput(Throughput::Elements(history.len() as u64));
        group.bench_function(format!("10k put/get, {name}"), |bencher| {
            bencher.iter(|| {
                let mut monitor = Monitor::new(Budget::default());
                for &(at, _, index) in &events {
                    let operation = &history.operations()[index];
                    if at == operation.call {
                        monitor.call(operation.process, at, operation.input.clone()).expect("in order");
                    } else if let Some(output) = operation.output() {
                        let found = monitor.returned(operation.process, at, output.clone());
                        assert_eq!(found, Ok(None));
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, checks, monitors);
criterion_main!(benches);
