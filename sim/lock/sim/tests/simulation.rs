//! The simulator as ordinary tests of `cargo test`: see [`testbed::harness`].

fn main() -> std::process::ExitCode {
    let package = testbed::package!();
    package.main::<lock_sim::LockService>(vec![package.clean(&["../src", "src"])])
}
