//! Where mutants are built: as many as possible in one program, the others alone.
//!
//! A mutant's third-party dependencies are those of `cargo sim`, so only this workspace's crates are
//! compiled; they carry another version number, which keeps what is built of them apart from the real ones.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Copy, Mutant, Overlay, Row,
    combined::Combined,
    trial::{Effort, Simulator, trial},
};

/// Where the copy, its programs and what they find go, below the root of the source tree.
const FOLDER: &str = "target/mutants";
/// What cargo makes of dependencies, shared with `cargo sim` and the tests.
const BUILD_FOLDER: &str = "target/sim";
/// The version of a mutant's crates; it goes on with a number.
const VERSION: &str = "0.0.0-mutant";
/// What rustc says when objects do not fit together.
const LINK_FAILED: &str = "error: linking with";
/// So many seeds show that a program of several mutants, of which none is chosen, is the original.
const SEEDS_COMPARED: u64 = 30;

/// A mutant and the files that it changes.
pub(super) type Planted<'a> = (&'a Mutant, &'a Overlay);

/// Where mutants are made.
pub(super) struct Workshop {
    root: PathBuf,
    copy: Copy,
    /// Programs of several mutants, by mutant.
    programs: BTreeMap<String, PathBuf>,
}

impl Workshop {
    /// The one of the source tree at `root`. Waits for another process that uses it.
    pub fn open(root: &Path) -> Result<Self, String> {
        let copy = Copy::open(root, &root.join(FOLDER).join("tree"))?;
        Ok(Self { root: root.into(), copy, programs: BTreeMap::new() })
    }

    /// Whether a mutant shares its program with others.
    pub fn shares(&self, mutant: &str) -> bool {
        self.programs.contains_key(mutant)
    }

    /// Builds programs of several mutants each. Those that no such program can hold are built when they are
    /// tried.
    pub fn combine(&mut self, planted: &[Planted<'_>], effort: &Effort) -> Result<(), String> {
        let fits = |(mutant, overlay): &Planted<'_>| {
            Combined::default().add(mutant, overlay, |path| self.copy.original(path))
        };
        let mut groups = vec![planted.iter().copied().filter(fits).collect::<Vec<_>>()];
        let (mut number, mut suspects) = (0, Vec::new());
        while let Some(group) = groups.pop() {
            if group.len() < 2 {
                continue; // nothing is shared
            }
            let mut combined = Combined::default();
            for (mutant, overlay) in &group {
                combined.add(mutant, overlay, |path| self.copy.original(path));
            }
            let overlay = combined.overlay(|path| self.copy.original(path))?;
            let built = match self.build(&overlay) {
                Ok(built) => built,
                Err(why) => {
                    let to_blame = combined.to_blame(&overlay, &why);
                    let (unfit, fit) =
                        group.iter().partition::<Vec<_>, _>(|(mutant, _)| to_blame.contains(&*mutant.name));
                    if unfit.is_empty() {
                        // Nothing says which of them it is: a half without it does compile.
                        let (one, other) = group.split_at(group.len() / 2);
                        groups.extend([one.to_vec(), other.to_vec()]);
                    } else {
                        groups.push(fit);
                        suspects.extend(unfit);
                    }
                    continue;
                }
            };
            number += 1;
            let program = self.root.join(FOLDER).join(format!("combined-{number}"));
            fs::copy(&built, &program)
                .map_err(|error| format!("cannot write {}: {error}", program.display()))?;
            is_the_original(&program, effort)?;
            self.programs.extend(group.iter().map(|(mutant, _)| (mutant.name.clone(), program.clone())));
        }
        // Whoever corrects patches wants to know all that are wrong, and before any is tried.
        let wrong = suspects.iter().filter_map(|planted| self.build_alone(*planted).err());
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Everything that becomes of one mutant.
    pub fn trial(&self, (mutant, overlay): Planted<'_>, effort: &Effort) -> Result<Row, String> {
        let folder = self.root.join(FOLDER).join(&mutant.name);
        if let Some(program) = self.programs.get(&mutant.name) {
            return trial(mutant, &Simulator { program, chosen: Some(&mutant.name) }, &folder, effort);
        }
        let program = self.build_alone((mutant, overlay))?;
        trial(mutant, &Simulator { program: &program, chosen: None }, &folder, effort)
    }

    fn build_alone(&self, (mutant, overlay): Planted<'_>) -> Result<PathBuf, String> {
        self.build(overlay).map_err(|why| {
            format!("the mutant {0} does not build; correct sim/mutants/{0}.patch:\n{why}", mutant.name)
        })
    }

    /// Builds the simulator of a changed source tree.
    fn build(&self, overlay: &Overlay) -> Result<PathBuf, String> {
        let file = self.root.join(FOLDER).join("version");
        linked(&file, |version| self.build_as(version, overlay))
    }

    /// Builds as the alias `cargo sim` does.
    fn build_as(&self, version: &str, overlay: &Overlay) -> Result<PathBuf, String> {
        let mut overlay = overlay.clone();
        let manifest = self.copy.original(Path::new("Cargo.toml")).ok_or("there is no Cargo.toml")?;
        overlay.insert("Cargo.toml".into(), with_version(manifest, version)?);
        self.copy.make(&overlay)?;
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .args(["build", "--quiet", "--offline", "--profile", "sim", "--workspace", "--bin", "sim"])
            .args(["--config", "build.rustflags=['--cfg','madsim']"])
            .args(["--message-format", "json-render-diagnostics", "--target-dir"])
            .arg(self.root.join(FOLDER).join("build"))
            .env("CARGO_BUILD_BUILD_DIR", self.root.join(BUILD_FOLDER))
            // One mutant differs from the next in a few lines.
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(self.copy.path())
            // Stronger than any other place from which cargo takes flags.
            .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\u{1f}madsim")
            .stdin(Stdio::null());
        let output = cargo.output().map_err(|error| format!("cannot start cargo: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let executable = messages.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        executable.ok_or_else(|| "cargo built no simulator".into())
    }
}

/// A program of several mutants, of which none is chosen, makes the runs of this very simulator.
fn is_the_original(program: &Path, effort: &Effort) -> Result<(), String> {
    let this = env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let found = |program: &Path| {
        Simulator { program, chosen: None }.seek(0, effort.seeds.min(SEEDS_COMPARED), false, effort.jobs)
    };
    let (original, switched_off) = (found(&this)?, found(program)?);
    if original == switched_off {
        return Ok(());
    }
    Err(format!(
        "without a mistake the program of all mutants makes other runs than this one: {switched_off:?} instead of \
         {original:?}. If no source was edited since this one was built, the switch is to blame: `cargo sim mutants --alone` \
         does without"
    ))
}

/// Builds under the version whose number is in `file`. A build that was killed can leave behind what no
/// longer links; then all of the workspace is built once more, under another version, which is the one of
/// later builds, too.
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

/// A manifest of a workspace whose packages have another version.
fn with_version(manifest: &str, version: &str) -> Result<String, String> {
    let section = manifest.find("[workspace.package]").ok_or("Cargo.toml has no [workspace.package]")?;
    let line = manifest[section..].find("\nversion = ").ok_or("[workspace.package] has no version")?;
    let begin = section + line + 1;
    let end = manifest[begin..].find('\n').map_or(manifest.len(), |length| begin + length);
    Ok(format!("{}version = {version:?}{}", &manifest[..begin], &manifest[end..]))
}
