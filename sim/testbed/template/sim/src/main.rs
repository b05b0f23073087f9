//! `cargo sim`.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    testbed::main::<my_counter_sim::CounterService>()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    testbed::needs_madsim()
}
