//! The simulator as ordinary tests of `cargo test`: see [`testbed::harness`].

fn main() -> std::process::ExitCode {
    testbed::package!().main::<lock_sim::LockService>(Vec::new())
}
