//! `cargo sim`: explores seeds, replays and explains single runs, checks that runs repeat exactly,
//! and judges histories recorded elsewhere.
//!
//! Every run is a function of its plan; a seed stands for the plan that is generated from it.
//! The exit code says how it went: see [`testbed::data::exit`].

#[cfg(madsim)]
mod command;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    testbed::needs_madsim()
}
