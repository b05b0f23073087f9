//! `cargo sim`, for madsim's etcd.

use std::process::ExitCode;

#[cfg(madsim)]
fn main() -> ExitCode {
    testbed::main::<etcd_sim::Etcd>()
}

#[cfg(not(madsim))]
fn main() -> ExitCode {
    testbed::needs_madsim()
}
