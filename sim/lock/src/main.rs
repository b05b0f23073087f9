//! The command `lock`: the server, and a client for people and scripts.

use std::process::ExitCode;

#[cfg(not(madsim))]
mod command;

#[cfg(not(madsim))]
fn main() -> ExitCode {
    command::main()
}

#[cfg(madsim)]
fn main() -> ExitCode {
    eprintln!("error: this binary was built for the simulator; build it without extra RUSTFLAGS");
    ExitCode::FAILURE
}
