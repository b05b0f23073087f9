//! The simulator as ordinary tests of `cargo test` (see [`testbed::harness`]), and each finding: a later
//! version of the server in which its mistake is mended fails here.

use std::{fs, process::ExitCode};

use etcd_sim::Etcd;
use testbed::{
    data::exit,
    harness::{Failed, Package, Trial, told},
};

/// Plans in `findings/`: the exit code of each, and the words that say what it shows.
const FINDINGS: [(&str, u8, &str); 3] = [
    ("absent_key_differs_from_a_value", exit::SAFETY, "differ a c1.1 -> Done"),
    ("lease_ends_early", exit::OK, "at: 3.310001279s, output: Value(None)"),
    ("renewed_key_is_not_under_its_lease", exit::PANIC, "no lease"),
];

fn main() -> ExitCode {
    let package = testbed::package!();
    let mut trials = vec![Trial::test("findings::all_are_listed", all_are_listed)];
    for (name, code, words) in FINDINGS {
        trials.push(Trial::test(format!("findings::{name}"), move || shows(package, name, code, words)));
    }
    package.main::<Etcd>(trials)
}

fn shows(package: Package, name: &str, code: u8, words: &str) -> Result<(), Failed> {
    let arguments = ["replay", &format!("{}/findings/{name}.toml", package.folder), "--trace"];
    let output = package.simulate(&arguments)?;
    let seen = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(code.into()) && seen.contains(words) {
        return Ok(());
    }
    Err(told(&arguments, &output))
}

fn all_are_listed() -> Result<(), Failed> {
    let mut files = Vec::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/findings"))? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    files.sort();
    if files == FINDINGS.map(|(name, ..)| format!("{name}.toml")) {
        return Ok(());
    }
    Err(format!("there are {files:?}").into())
}
