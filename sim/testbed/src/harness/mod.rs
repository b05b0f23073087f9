//! A simulator as ordinary tests of `cargo test`. A system's `tests/simulation.rs`, with `harness = false`:
//!
//! ```text
//! fn main() -> std::process::ExitCode {
//!     testbed::package!().main::<MySystem>(Vec::new())
//! }
//! ```
//!
//! Each saved plan is a test in it, and so are batches of seeds, and the promise that a seed is one run.
//!
//! The simulated world needs `--cfg madsim`, which a test of an ordinary build cannot have. So each test
//! starts the simulator, built once by a child cargo as `cargo sim` builds it. The tests only look at exit
//! codes; the simulator prints what failed, and how to see it again.
//!
//! `SIM_SEED=S` makes the batches the seed S alone, `SIM_SEEDS=N` makes them the first N seeds,
//! `SIM_SEEDS=A..B` those from A up to but without B. `SIM_TARGET_DIR` is where the simulator is built, if
//! not in `target/sim`. A package can have another word than `SIM` ([`Package::variables`]).

mod build;
mod seeds;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use libtest_mimic::Arguments;
pub use libtest_mimic::{Failed, Trial};

use crate::{
    data::{exit, saved},
    rules,
    system::System,
};

/// The package of a simulator, whose binary has the package's name. [`crate::package`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// The folder it is in.
    pub folder: &'static str,
    /// A folder for its tests alone.
    pub scratch: &'static str,
    /// The word with which its environment variables begin.
    pub variables: &'static str,
}

/// The package of the integration test in which this stands.
#[macro_export]
macro_rules! package {
    () => {
        $crate::harness::Package {
            name: env!("CARGO_PKG_NAME"),
            folder: env!("CARGO_MANIFEST_DIR"),
            scratch: env!("CARGO_TARGET_TMPDIR"),
            variables: "SIM",
        }
    };
}

impl Package {
    /// The whole of `tests/simulation.rs`: the tests that every simulator has, and some of its own.
    pub fn main<S: System>(self, own: Vec<Trial>) -> ExitCode {
        let arguments = Arguments::from_args();
        match self.trials::<S>() {
            Ok(mut trials) => {
                trials.extend(own);
                libtest_mimic::run(&arguments, trials).exit_code()
            }
            Err(message) => {
                eprintln!("error: {message}");
                ExitCode::from(exit::USAGE)
            }
        }
    }

    /// The tests that every simulator has.
    ///
    /// # Errors
    ///
    /// Which environment variable is not usable, and why.
    pub fn trials<S: System>(self) -> Result<Vec<Trial>, String> {
        let mut trials = Vec::new();
        for saved in saved::list::<S>(&S::regressions()) {
            trials.push(match saved {
                Ok(saved) => {
                    let path = saved.path.display().to_string();
                    let replays = move || self.passes(&["replay", &path]);
                    Trial::test(format!("saved::{}", saved.name), replays)
                }
                Err(why) => Trial::test("saved::every_file_is_a_plan", move || Err(why.into())),
            });
        }
        for batch in seeds::batches(seeds::asked_for(|name| self.variable(name))?) {
            let name = format!("seeds::{}_to_{}", batch.start, batch.end - 1);
            let (start, count) = (batch.start.to_string(), (batch.end - batch.start).to_string());
            let explores = move || self.passes(&["explore", "--start", &start, "--seeds", &count]);
            trials.push(Trial::test(name, explores));
        }
        trials.push(Trial::test("determinism::two_processes_make_the_same_trace", move || {
            self.passes(&["doctor", "0", "1", "2", "3"])
        }));
        trials.push(Trial::test("determinism::a_seed_alone_is_the_seed_inside_a_batch", move || {
            self.is_alone_as_in_a_batch()
        }));
        trials.push(Trial::test("command_line::a_saved_plan_is_the_run_of_its_seed", move || {
            self.replays_what_it_prints()
        }));
        Ok(trials)
    }

    /// The test that the Rust sources in these folders, relative to the package, leave nothing to chance:
    /// [`crate::rules`].
    pub fn clean(self, folders: &'static [&'static str]) -> Trial {
        Trial::test("rules::sources_leave_nothing_to_chance", move || {
            let folders: Vec<PathBuf> =
                folders.iter().map(|inside| Path::new(self.folder).join(inside)).collect();
            rules::assert_clean(&folders.iter().map(PathBuf::as_path).collect::<Vec<_>>());
            Ok(())
        })
    }

    /// The value of its environment variable of this name, if there is one.
    fn variable(&self, name: &str) -> Option<(String, String)> {
        let name = format!("{}_{name}", self.variables);
        let value = env::var(&name).ok().filter(|value| !value.is_empty());
        value.map(|value| (name, value))
    }

    /// A file or folder for its tests alone.
    pub fn scratch(&self, name: &str) -> PathBuf {
        Path::new(self.scratch).join(name)
    }

    /// The simulator with these arguments, to be started.
    ///
    /// # Errors
    ///
    /// Why it does not build.
    pub fn simulator(&self, arguments: &[&str]) -> Result<Command, String> {
        build::simulator(self, arguments)
    }

    /// What the simulator says to these arguments.
    ///
    /// # Errors
    ///
    /// Why it does not build or start.
    pub fn simulate(&self, arguments: &[&str]) -> Result<Output, Failed> {
        let output = self.simulator(arguments)?.output();
        output.map_err(|error| format!("cannot start the simulator: {error}").into())
    }

    /// The simulator ends well with these arguments.
    ///
    /// # Errors
    ///
    /// All that it said, if not.
    pub fn passes(&self, arguments: &[&str]) -> Result<(), Failed> {
        let output = self.simulate(arguments)?;
        if output.status.success() { Ok(()) } else { Err(told(arguments, &output)) }
    }

    /// The trace hash of each seed that is explored with these arguments. `name` is that of a file to write.
    ///
    /// # Errors
    ///
    /// All that the simulator said, if it does not end well.
    pub fn hashes(&self, name: &str, arguments: &[&str]) -> Result<BTreeMap<u64, String>, Failed> {
        let file = self.scratch(&format!("hashes-{name}.json"));
        self.passes(&[&["explore", "--json", text(&file)?], arguments].concat())?;
        Ok(traces(&file)?)
    }

    /// A seed's trace hash is the same in a batch of its neighbours, run side by side, and alone.
    fn is_alone_as_in_a_batch(&self) -> Result<(), Failed> {
        let hashes = |start: u64, count: u64, jobs: &str| {
            let (start, count) = (start.to_string(), count.to_string());
            let arguments = ["--start", &start, "--seeds", &count, "--jobs", jobs];
            self.hashes(&format!("{start}-{count}"), &arguments)
        };
        let batch = hashes(0, 24, "3")?;
        if batch.len() != 24 {
            return Err(format!("24 seeds, {} lines", batch.len()).into());
        }
        if batch.values().collect::<BTreeSet<_>>().len() != 24 {
            return Err("two seeds made the same trace".into());
        }
        for seed in [0, 7, 13, 23] {
            let alone = hashes(seed, 1, "1")?;
            let (alone, inside) = (alone.get(&seed), batch.get(&seed));
            if alone != inside {
                return Err(format!("seed {seed}: {alone:?} alone, {inside:?} inside a batch").into());
            }
        }
        Ok(())
    }

    /// `plan` and `replay` agree: what is printed is what is run.
    fn replays_what_it_prints(&self) -> Result<(), Failed> {
        let plan = self.simulate(&["plan", "5"])?;
        let file = self.scratch("plan-5.toml");
        fs::write(&file, &plan.stdout)?;
        let (of_seed, of_plan) = (["replay", "5"], ["replay", text(&file)?]);
        let (seed, saved) = (self.simulate(&of_seed)?, self.simulate(&of_plan)?);
        if seed.status.success() && !saved.stdout.is_empty() && saved.stdout == seed.stdout {
            return Ok(());
        }
        let both = [told(&of_seed, &seed), told(&of_plan, &saved)];
        let both = both.each_ref().map(|told| told.message().unwrap_or_default());
        Err(both.join("\n").into())
    }
}

/// All that the simulator said to these arguments, as the reason why a test failed.
pub fn told(arguments: &[&str], output: &Output) -> Failed {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("`cargo sim {}`: {}\n{stdout}{stderr}", arguments.join(" "), output.status).into()
}

/// A path as an argument.
///
/// # Errors
///
/// If it is not UTF-8.
pub fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
}

/// The trace hashes that `explore --json` left, by seed, whatever their order. A line that comes twice says
/// the same twice.
///
/// # Errors
///
/// What is wrong with the file.
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
