//! One mutant: built, explored until it is caught, explored again with clients as the only judges, made small.
//!
//! The mutant is a whole simulator of its own: a child process. Its third-party dependencies are those of `cargo
//! sim`, so only this workspace's crates are compiled; they carry another version number, which keeps what is built
//! of them apart from the real ones.

use std::{
    env, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Catch, Clients, Copy, Mutant, Overlay, Row, Small, matrix::is_a_client};
use crate::{
    exit,
    minimise::{Signature, Size},
    outcome::Outcome,
    saved,
};

/// Where the copy, its programs and what they find go, below the root of the source tree.
const FOLDER: &str = "target/mutants";
/// What cargo makes of dependencies, shared with `cargo sim` and the tests.
const BUILD_FOLDER: &str = "target/sim";
/// The version of a mutant's crates; it goes on with a number.
const VERSION: &str = "0.0.0-mutant";
/// What rustc says when objects do not fit together.
const LINK_FAILED: &str = "error: linking with";

/// What a trial may cost.
pub(super) struct Effort {
    /// Seeds that are tried before a mutant counts as not caught.
    pub seeds: u64,
    /// Runs at once.
    pub jobs: Option<NonZeroUsize>,
    /// Time for making the failure small; none to leave it.
    pub minimise: Option<Duration>,
    /// Whether to ask which seed clients alone would notice.
    pub ask_clients: bool,
}

/// Where mutants are made.
pub(super) struct Workshop {
    root: PathBuf,
    copy: Copy,
}

/// What a mutant's simulator found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The first seed that failed, if any did, and who says so.
    pub failed: Option<(u64, String)>,
    /// Virtual seconds of all seeds up to it.
    pub virtual_s: f64,
}

/// Who says that a run failed: an invariant by its number, `checker`, `panic` or `liveness`. A judge who gave up says
/// nothing.
pub fn judge(outcome: &Outcome, clients_alone: bool) -> Option<String> {
    match Signature::of(outcome)? {
        Signature::Invariant(number) if !clients_alone => Some(number),
        Signature::NotLinearizable(_) => Some("checker".into()),
        Signature::Panic(_) if !clients_alone => Some("panic".into()),
        Signature::Stall => Some("liveness".into()),
        Signature::Invariant(_) | Signature::Panic(_) | Signature::Undecided => None,
    }
}

impl Workshop {
    /// The one of the source tree at `root`. Waits for another process that uses it.
    pub fn open(root: &Path) -> Result<Self, String> {
        Ok(Self { root: root.into(), copy: Copy::open(root, &root.join(FOLDER).join("tree"))? })
    }

    /// Everything that becomes of one mutant.
    pub fn trial(&self, mutant: &Mutant, overlay: &Overlay, effort: &Effort) -> Result<Row, String> {
        let program = self.build(mutant, overlay)?;
        let folder = self.root.join(FOLDER).join(&mutant.name);
        let _ = fs::remove_dir_all(&folder); // of the last time
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let child = Child { program: &program, mutant, folder: &folder, effort };

        let caught = child.seek(0, false)?;
        let clients = match &caught {
            None => Clients::NotAsked,
            Some(catch) if is_a_client(&catch.judge) => Clients::Caught(catch.clone()),
            Some(_) if !effort.ask_clients => Clients::NotAsked,
            // Without a broken invariant a run is the same without invariants: earlier seeds need not be repeated.
            Some(catch) => child
                .seek(catch.seeds - 1, true)?
                .map_or(Clients::Never { seeds: effort.seeds }, Clients::Caught),
        };
        let small = match (&caught, effort.minimise) {
            (Some(catch), Some(time)) => Some(child.minimise(catch.seeds - 1, time)?),
            _ => None,
        };
        let Mutant { name, header, .. } = mutant;
        Ok(Row {
            mutant: name.clone(),
            rule: header.rule.clone(),
            number: header.mutant.clone(),
            awaits: header.awaits.clone(),
            caught,
            clients,
            small,
        })
    }

    /// Builds the mutant's simulator.
    fn build(&self, mutant: &Mutant, overlay: &Overlay) -> Result<PathBuf, String> {
        let file = self.root.join(FOLDER).join("version");
        linked(&file, |version| self.build_as(version, mutant, overlay))
    }

    /// Builds as the alias `cargo sim` does.
    fn build_as(&self, version: &str, mutant: &Mutant, overlay: &Overlay) -> Result<PathBuf, String> {
        let mut overlay = overlay.clone();
        let manifest = self.copy.original(Path::new("Cargo.toml")).ok_or("there is no Cargo.toml")?;
        overlay.insert("Cargo.toml".into(), with_version(manifest, version)?);
        self.copy.make(&overlay)?;
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--offline", "--profile", "sim", "--package", "sim", "--bin", "sim"])
            .args(["--config", "build.rustflags=['--cfg','madsim']"])
            .args(["--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(self.root.join(FOLDER).join("build"))
            .env("CARGO_BUILD_BUILD_DIR", self.root.join(BUILD_FOLDER))
            .current_dir(self.copy.path())
            // Stronger than any other place from which cargo takes flags.
            .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}madsim")
            .stdin(Stdio::null());
        let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "the mutant {} does not build; correct sim/mutants/{}.patch:\n{}",
                mutant.name,
                mutant.name,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        executable.ok_or_else(|| format!("cargo built no simulator of the mutant {}", mutant.name))
    }
}

/// Builds under the version whose number is in `file`. A build that was killed can leave behind what no longer links; then
/// all of the workspace is built once more, under another version, which is the one of later builds, too.
pub(super) fn linked<T>(file: &Path, mut build: impl FnMut(&str) -> Result<T, String>) -> Result<T, String> {
    let number = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_u64);
    let built = build(&format!("{VERSION}.{number}"));
    if !built.as_ref().is_err_and(|why| why.contains(LINK_FAILED)) {
        return built;
    }
    fs::write(file, (number + 1).to_string())
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    build(&format!("{VERSION}.{}", number + 1))
}

/// A mutant's simulator.
struct Child<'a> {
    program: &'a Path,
    mutant: &'a Mutant,
    /// Where it leaves what it finds.
    folder: &'a Path,
    effort: &'a Effort,
}

impl Child<'_> {
    /// Runs seeds from `start` on until one fails; `seeds` of the catch count from seed 0.
    fn seek(&self, start: u64, clients_alone: bool) -> Result<Option<Catch>, String> {
        let began = Instant::now();
        let mut command = self.command();
        command.args(["seek", "--start", &start.to_string(), "--end", &self.effort.seeds.to_string()]);
        if clients_alone {
            command.arg("--clients-alone");
        }
        let output = self.run(command)?;
        let found: Found = serde_json::from_slice(&output.stdout).map_err(|error| {
            format!("the mutant {} does not say what it found: {error}", self.mutant.name)
        })?;
        let (virtual_s, wall_s) = (found.virtual_s, began.elapsed().as_secs_f64());
        Ok(found.failed.map(|(seed, judge)| Catch { judge, seeds: seed + 1, virtual_s, wall_s }))
    }

    /// Makes the failure of a seed small.
    fn minimise(&self, seed: u64, time: Duration) -> Result<Small, String> {
        let plan = self.folder.join("minimised.toml");
        let mut command = self.command();
        command.args(["minimise", &seed.to_string(), "--seconds", &time.as_secs().to_string()]);
        command.arg("--out").arg(&plan);
        self.run(command)?;
        let size = Size::of(&saved::read(&plan)?);
        Ok(Small { faults: size.faults, operations: size.operations })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, mut command: Command) -> Result<Output, String> {
        if let Some(jobs) = self.effort.jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        let told = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let output = command.output().map_err(|error| format!("cannot start the mutant: {error}"))?;
        match output.status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(exit::OK | exit::SAFETY | exit::LIVENESS | exit::PANIC | exit::UNDECIDED) => Ok(output),
            _ => Err(format!(
                "the simulator of the mutant {} ended unexpectedly ({}) with {told}:\n{}",
                self.mutant.name,
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }
}

/// A manifest of a workspace whose packages have another version.
fn with_version(manifest: &str, version: &str) -> Result<String, String> {
    let section = manifest.find("[workspace.package]").ok_or("Cargo.toml has no [workspace.package]")?;
    let line = manifest[section..].find("\nversion = ").ok_or("[workspace.package] has no version")?;
    let begin = section + line + 1;
    let end = manifest[begin..].find('\n').map_or(manifest.len(), |length| begin + length);
    Ok(format!("{}version = {version:?}{}", &manifest[..begin], &manifest[end..]))
}
