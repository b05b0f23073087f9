//! The simulator, for tests of what it does as a program. It needs `--cfg madsim`, so it is built by a child
//! cargo into its own target directory.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// A file or folder for this test alone.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The simulator with these arguments, to be started.
pub fn command(arguments: &[&str]) -> Result<Command, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let program = PROGRAM.get_or_init(build).clone()?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    Ok(command)
}

/// The trace hashes that `explore --json` left, by seed, whatever their order. A line that comes twice says
/// the same twice.
pub fn traces(file: &Path) -> Result<BTreeMap<u64, String>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut traces = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).map_err(|error| format!("{error} in {line}"))?;
        let Some(seed) = line["seed"].as_u64() else { continue };
        let trace = line["trace"].as_str().ok_or("a line without a trace hash")?.to_string();
        if traces.insert(seed, trace.clone()).is_some_and(|before| before != trace) {
            return Err(format!("two traces of seed {seed}"));
        }
    }
    Ok(traces)
}

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds the simulator as the alias `cargo sim` does, so that both share the result. Another process that
/// builds it at the same time (nextest runs each test in its own) waits for cargo's lock.
fn build() -> Result<PathBuf, String> {
    let target = workspace().join("target").join("sim");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--profile", "sim", "--package", "sim", "--bin", "sim"])
        .args([
            "--config",
            "build.rustflags=['--cfg','madsim']",
            "--message-format",
            "json-render-diagnostics",
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(workspace())
        // Stronger than any other place from which cargo takes flags.
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}madsim")
        .stdin(Stdio::null());
    let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the simulator does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| "cargo built no simulator".into())
}
