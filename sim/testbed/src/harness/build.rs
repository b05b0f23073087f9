//! Builds the simulator with which the tests talk.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::Package;

struct Built {
    workspace: PathBuf,
    program: PathBuf,
}

/// The simulator with these arguments, to be started in the root of its workspace. It is built first, once.
pub fn simulator(package: &Package, arguments: &[&str]) -> Result<Command, String> {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build(package)).as_ref().map_err(Clone::clone)?;
    let mut command = Command::new(&built.program);
    command.args(arguments).current_dir(&built.workspace).stdin(Stdio::null());
    Ok(command)
}

/// Builds it as the alias `cargo sim` does, so that both share the result: one binary, with the features that
/// all members of the workspace together ask for, so that several simulators share what they depend on.
/// Another process that builds it at the same time (nextest runs each test in its own) waits for cargo's
/// lock.
fn build(package: &Package) -> Result<Built, String> {
    let workspace = workspace(package)?;
    let target = package.variable("TARGET_DIR");
    let target = target.map_or_else(|| workspace.join("target").join("sim"), |(_, target)| target.into());
    let mut build = cargo(package);
    build
        .args(["build", "--quiet", "--profile", "sim"])
        .args(["--workspace", "--bin", package.name])
        .args(["--config", "build.rustflags=['--cfg','madsim']"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(target)
        // Stronger than any other place from which cargo takes flags.
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}madsim");
    let messages = output(&mut build)?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let program = executable.ok_or("cargo built no simulator")?;
    Ok(Built { workspace, program })
}

fn workspace(package: &Package) -> Result<PathBuf, String> {
    let manifest =
        output(cargo(package).args(["locate-project", "--workspace", "--message-format", "plain"]))?;
    let folder = Path::new(manifest.trim()).parent();
    folder.map(Path::to_owned).ok_or_else(|| format!("{manifest} is in no folder"))
}

fn cargo(package: &Package) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(package.folder).stdin(Stdio::null());
    cargo
}

fn output(cargo: &mut Command) -> Result<String, String> {
    let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the simulator does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
