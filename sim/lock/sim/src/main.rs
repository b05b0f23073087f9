//! `cargo sim`, for the lock service.

use std::process::ExitCode;

#[cfg(madsim)]
fn main() -> ExitCode {
    testbed::main::<lock_sim::LockService>()
}

#[cfg(not(madsim))]
fn main() -> ExitCode {
    testbed::needs_madsim()
}
