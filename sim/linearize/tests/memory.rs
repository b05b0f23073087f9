//! What a check holds at most, in bytes for each operation.

use linearizability::kv::Kv;
use linearizability::{Options, check};
use peak_alloc::PeakAlloc;

#[path = "../benches/workload/mod.rs"]
mod workload;

use workload::{Workload, history};

/// Beyond the history, in any workload.
const CHECK_MAX: f64 = 160.0;
/// With the history, where half of the operations are reads.
const TOTAL_MAX: f64 = 300.0;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn the_fast_path_holds_a_bounded_number_of_bytes_for_each_operation() {
    let base = Workload { operations: 200_000, ..Workload::default() };
    let workloads = [
        ("put/get, 1 key", Workload { keys: 1, ..base }),
        ("put/get, 10 keys", base),
        ("put/get, 1000 keys", Workload { keys: 1000, ..base }),
        ("put/get, 200000 keys", Workload { keys: 200_000, ..base }),
        ("put/get, 1 key, 50 % unknown", Workload { keys: 1, unknown: 50, ..base }),
        ("put 100 %, 1 key", Workload { keys: 1, gets: 0, puts: 100, ..base }),
        ("append 50 %, 1000 keys", Workload { keys: 1000, gets: 40, puts: 10, ..base }),
        ("append 90 %, 10000 keys", Workload { keys: 10_000, gets: 5, puts: 5, ..base }),
    ];
    for (name, workload) in workloads {
        let empty = ALLOCATOR.current_usage();
        let history = history(workload, 7);
        let each = |bytes: usize| bytes as f64 / history.len() as f64;
        let own = each(ALLOCATOR.current_usage() - empty);
        for (witness, parallel) in [(false, false), (true, false), (false, true)] {
            ALLOCATOR.reset_peak_usage();
            let before = ALLOCATOR.current_usage();
            let verdict = check(&Kv, &history, &Options { witness, parallel, ..Options::default() });
            let held = each(ALLOCATOR.peak_usage() - before);
            assert!(verdict.is_linearizable(), "{name}: {verdict:?}");
            let how = format!("witness: {witness}, parallel: {parallel}");
            println!("{name}: history {own:.0}, check {held:.0} ({how}) bytes an operation");
            assert!(held <= CHECK_MAX, "{name}: a check holds {held} bytes for each operation");
            let total = own + held;
            assert!(workload.gets < 50 || total <= TOTAL_MAX, "{name}: {total} bytes for each operation");
        }
    }
}
