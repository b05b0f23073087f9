//! The simulator as ordinary tests: saved plans, batches of seeds, and the promise that a seed is one run,
//! which sources must not break.
//!
//! `SIM_SEEDS=5000 cargo test` makes more of them, `SIM_SEED=7 cargo test` one.

fn main() -> std::process::ExitCode {
    let package = testbed::package!();
    package.main::<my_counter_sim::CounterService>(vec![package.clean(&["../src", "src"])])
}
