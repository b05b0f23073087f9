//! The simulator as ordinary tests: saved plans, batches of seeds, and the promise that a seed is one run.
//! `SIM_SEEDS=5000 cargo test` makes more of them, `SIM_SEED=7 cargo test` one.

fn main() -> std::process::ExitCode {
    testbed::package!().main::<my_counter_sim::CounterService>(Vec::new())
}
