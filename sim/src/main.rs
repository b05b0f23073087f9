//! `cargo sim`: explores seeds, replays and explains single runs, checks that runs repeat exactly,
//! and judges histories recorded elsewhere.
//!
//! Every run is a function of its plan; a seed stands for the plan that is generated from it.
//! The exit code says how it went: see [`sim::data::exit`].

#[cfg(madsim)]
mod command;

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!(
        "error: this simulator was built without `--cfg madsim`, so there is no simulated world in it.\n\
         Start it as `cargo sim`. If you did: an exported RUSTFLAGS or CARGO_ENCODED_RUSTFLAGS replaces the flags\n\
         that `cargo sim` sets. Run `unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS`, or add `--cfg madsim` to the variable."
    );
    std::process::ExitCode::from(sim::data::exit::USAGE)
}
