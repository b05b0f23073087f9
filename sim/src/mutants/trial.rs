//! One mutant: explored until it is caught, explored again with clients as the only judges, made small.
//!
//! The mutant is a whole simulator of its own: a child process.

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use testbed::{
    data::{exit, saved},
    minimise::{Signature, Size},
    system::System,
};

use super::{Catch, Clients, Exhaust, Mutant, Row, Small, Walks, combined::VARIABLE, matrix::is_a_client};
use crate::store::Pbkv;

/// What a trial may cost.
pub(super) struct Effort {
    /// Seeds that are tried before a mutant counts as not caught.
    pub seeds: u64,
    /// Runs at once.
    pub jobs: Option<NonZeroUsize>,
    /// Time for making the failure small; none to leave it.
    pub minimise: Option<Duration>,
    /// How long to walk; none not to.
    pub walk: Option<Duration>,
    /// How long to search all states; none not to.
    pub exhaust: Option<Duration>,
    /// Whether to ask which seed clients alone would notice.
    pub ask_clients: bool,
}

/// What a mutant's simulator found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The first seed that failed, if any did, and who says so.
    pub failed: Option<(u64, String)>,
    /// Virtual seconds of all seeds up to it.
    pub virtual_s: f64,
    /// Fingerprint of their traces: equal for two programs if these made the same runs.
    pub traces: String,
}

/// What walks through a mutant's machines found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundByWalks {
    /// The first seed whose walk failed, if any did, and who says so.
    pub failed: Option<(u64, String)>,
    /// How many walks were made,
    pub walks: u64,
    /// in so many seconds of wall time.
    pub wall_s: f64,
}

/// What a search through the states of a mutant's machines found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundByExhaust {
    /// How many actions lead to the first failure, if there was any, and who says so.
    pub failed: Option<(u64, String)>,
    /// How many states were looked at,
    pub states: u64,
    /// in so many seconds of wall time.
    pub wall_s: f64,
}

/// Who says that a run failed: an invariant by its number, `checker`, `panic`, `liveness`, `redundancy`,
/// `stability` or `bounds`. A judge who gave up says nothing.
pub fn judge<S: System>(outcome: &testbed::data::outcome::Outcome<S>, clients_alone: bool) -> Option<String> {
    match Signature::of(outcome)? {
        Signature::Invariant(number) if !clients_alone => Some(number),
        Signature::NotLinearizable(_) => Some("checker".into()),
        Signature::Panic(_) if !clients_alone => Some("panic".into()),
        Signature::Stall => Some("liveness".into()),
        Signature::Unhealthy { promise, .. } if !clients_alone => Some((*promise).to_owned()),
        Signature::Invariant(_)
        | Signature::Panic(_)
        | Signature::Unhealthy { .. }
        | Signature::Undecided => None,
    }
}

/// Everything that becomes of one mutant.
pub(super) fn trial(
    mutant: &Mutant,
    simulator: &Simulator<'_>,
    folder: &Path,
    effort: &Effort,
) -> Result<Row, String> {
    let _ = fs::remove_dir_all(folder); // of the last time
    fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;

    let caught = catch(simulator, 0, false, effort)?;
    let clients = match &caught {
        None => Clients::NotAsked,
        Some(catch) if is_a_client(&catch.judge) => Clients::Caught(catch.clone()),
        Some(_) if !effort.ask_clients => Clients::NotAsked,
        // Without a broken invariant a run is the same without invariants: earlier seeds need not be
        // repeated.
        Some(first) => catch(simulator, first.seeds - 1, true, effort)?
            .map_or(Clients::Never { seeds: effort.seeds }, Clients::Caught),
    };
    let walks = match effort.walk {
        None => Walks::NotAsked,
        Some(time) => match simulator.walk(time, effort.jobs)? {
            FoundByWalks { failed: Some((seed, judge)), wall_s, .. } => {
                Walks::Caught { judge, walks: seed + 1, wall_s }
            }
            FoundByWalks { failed: None, walks, wall_s } => Walks::Never { walks, wall_s },
        },
    };
    let exhaust = match effort.exhaust {
        None => Exhaust::NotAsked,
        Some(time) => match simulator.exhaust(time)? {
            FoundByExhaust { failed: Some((steps, judge)), states, wall_s } => {
                Exhaust::Caught { judge, steps, states, wall_s }
            }
            FoundByExhaust { failed: None, states, wall_s } => Exhaust::Never { states, wall_s },
        },
    };
    let small = match (&caught, effort.minimise) {
        (Some(catch), Some(time)) => Some(minimise(simulator, catch.seeds - 1, folder, time, effort.jobs)?),
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
        walks,
        exhaust,
        small,
    })
}

/// Runs seeds from `start` on until one fails; `seeds` of the catch count from seed 0.
fn catch(
    simulator: &Simulator<'_>,
    start: u64,
    clients_alone: bool,
    effort: &Effort,
) -> Result<Option<Catch>, String> {
    let began = Instant::now();
    let Found { failed, virtual_s, traces } =
        simulator.seek(start, effort.seeds, clients_alone, effort.jobs)?;
    let wall_s = began.elapsed().as_secs_f64();
    Ok(failed.map(|(seed, judge)| Catch { judge, seeds: seed + 1, virtual_s, wall_s, traces }))
}

/// Makes the failure of a seed small.
fn minimise(
    simulator: &Simulator<'_>,
    seed: u64,
    folder: &Path,
    time: Duration,
    jobs: Option<NonZeroUsize>,
) -> Result<Small, String> {
    let plan = folder.join("minimised.toml");
    let mut command = simulator.command();
    command.args(["minimise", &seed.to_string(), "--time", &format!("{}ms", time.as_millis())]);
    command.arg("--out").arg(&plan);
    simulator.run(command, jobs)?;
    let size = Size::of(&saved::read::<Pbkv>(&plan)?);
    Ok(Small { faults: size.faults, operations: size.operations })
}

/// A simulator of perhaps mistaken servers.
pub(super) struct Simulator<'a> {
    pub program: &'a Path,
    /// Which of its mistakes it makes, if it can make several.
    pub chosen: Option<&'a str>,
}

impl Simulator<'_> {
    /// Runs seeds until one fails.
    pub fn seek(
        &self,
        start: u64,
        end: u64,
        clients_alone: bool,
        jobs: Option<NonZeroUsize>,
    ) -> Result<Found, String> {
        let mut command = self.command();
        command.args(["seek", "--start", &start.to_string(), "--end", &end.to_string()]);
        if clients_alone {
            command.arg("--clients-alone");
        }
        let output = self.run(command, jobs)?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{} does not say what it found: {error}", self.program.display()))
    }

    /// Walks until one fails or time is over.
    pub fn walk(&self, time: Duration, jobs: Option<NonZeroUsize>) -> Result<FoundByWalks, String> {
        let mut command = self.command();
        command.args(["seek", "--end", "0", "--walk-seconds", &time.as_secs().to_string()]);
        let output = self.run(command, jobs)?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{} does not say what it found: {error}", self.program.display()))
    }

    /// Looks at all states of small clusters until one fails or time is over.
    pub fn exhaust(&self, time: Duration) -> Result<FoundByExhaust, String> {
        let mut command = self.command();
        command.args(["seek", "--end", "0", "--exhaust-seconds", &time.as_secs().to_string()]);
        let output = self.run(command, None)?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{} does not say what it found: {error}", self.program.display()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.stdin(Stdio::null()).env_remove(VARIABLE).envs(self.chosen.map(|name| (VARIABLE, name)));
        command
    }

    fn run(&self, mut command: Command, jobs: Option<NonZeroUsize>) -> Result<Output, String> {
        if let Some(jobs) = jobs {
            command.args(["--jobs", &jobs.to_string()]);
        }
        let told = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let output = command.output().map_err(|error| format!("cannot start the mutant: {error}"))?;
        match output.status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(exit::OK | exit::SAFETY | exit::LIVENESS | exit::PANIC | exit::UNDECIDED | exit::HEALTH) => {
                Ok(output)
            }
            _ => Err(format!(
                "the simulator {} (mutant {:?}) ended unexpectedly ({}) with {told}:\n{}",
                self.program.display(),
                self.chosen,
                output.status,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }
}
