//! From a failing plan to a small one that still fails for the same reason.
//!
//! A generated plan holds dozens of faults and hundreds of operations, of which a failure needs a
//! handful. Minimising removes what it does not need and makes plain what is left:
//!
//! 1. the tail: nothing that begins after the failure can have caused it;
//! 2. faults, clients and operations, by delta debugging (`ddmin`, Zeller and Hildebrandt, TSE 2002);
//! 3. processes, odd options, imperfect clocks, an uneven network (`structure`);
//! 4. values: shorter and rounder times, plainer operations and faults (`values`);
//! 5. the same again with a few other seeds for the network's latencies, because a failure that needs a
//!    message in a window of a millisecond gets lost when everything around it moves.
//!
//! Rounds are repeated until one changes nothing.
//!
//! A plan that does not fail can be minimised for a mark that it reaches instead ([`Aim`]): a rare situation
//! as a plan that a person can read.
//!
//! *Alike*: a candidate is adopted only if it fails like the original, as its [`Signature`] says, so
//! that minimising does not slip into another bug.
//!
//! Guaranteed: the result fails alike. It depends on nothing but the plan and `runs_max`, neither on
//! the number of cores nor on their speed, unless the time limit ended the search. Not guaranteed: that
//! nothing smaller exists.

mod ddmin;
mod search;
mod structure;
mod values;

use std::{fmt, time::Duration};

pub use crate::judges::signature::{Aim, Signature};
pub use ddmin::ddmin;

use crate::{
    data::{
        outcome::Outcome,
        plan::{Client, Plan},
    },
    system::{Setup, System},
};
use search::Search;

/// Rounds over all passes, at most; each changes something, and few are ever needed.
const ROUNDS_MAX: u32 = 12;
/// Other seeds that are tried for each candidate.
const OTHER_SEEDS: u64 = 6;

/// With more operations than this, other forms of the plan are tried in which fewer may suffice.
const OPERATIONS_FEW: usize = 5;

/// What minimising may cost.
#[derive(Clone, Debug)]
pub struct Options {
    /// Wall time after which no further run is started.
    pub time_max: Duration,
    /// Runs, at most.
    pub runs_max: u64,
    /// Runs at once.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        Self { time_max: Duration::from_secs(60), runs_max: 20_000, jobs }
    }
}

/// How large a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Planned faults.
    pub faults: usize,
    /// Planned operations of all clients.
    pub operations: usize,
    /// Clients.
    pub clients: usize,
    /// How large the set-up is, in what [`Setup::SIZE`] says.
    pub setup: usize,
    /// Time under faults, in milliseconds.
    pub faults_ms: u64,
}

impl Size {
    /// The size of a plan.
    pub fn of<S: System>(plan: &Plan<S>) -> Self {
        Self {
            faults: plan.faults.len(),
            operations: plan.clients.iter().map(|client| client.script.len()).sum(),
            clients: plan.clients.len(),
            setup: plan.cluster.size(),
            faults_ms: plan.faults_ms,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        write!(f, "{}, {}", many(self.faults, "fault"), many(self.operations, "operation"))
    }
}

/// How far minimising has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is being tried.
    pub pass: &'static str,
    /// Runs so far.
    pub runs: u64,
    /// The smallest plan so far.
    pub size: Size,
}

/// Why minimising ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing more could be removed or made simpler.
    Minimal,
    /// There was no time left.
    Time,
    /// There were no runs left.
    Runs,
}

/// A plan made small.
#[derive(Clone, Debug)]
pub struct Minimised<S: System> {
    /// The small plan.
    pub plan: Plan<S>,
    /// What it does.
    pub outcome: Outcome<S>,
    /// What it does as the original did.
    pub aim: Aim<S>,
    /// The size of the original.
    pub before: Size,
    /// The size of the result.
    pub after: Size,
    /// How many runs that took.
    pub runs: u64,
    /// Why it ended.
    pub ended: Ended,
}

/// Makes a plan small that fails, or reaches a mark. `run` must be a function of the plan; it is called
/// from several threads at once. `None` if the plan does not do what is aimed at.
pub fn minimise<S: System>(
    plan: &Plan<S>,
    aim: Aim<S>,
    options: &Options,
    run: impl Fn(&Plan<S>) -> Outcome<S> + Sync,
    progress: impl FnMut(&Progress),
) -> Option<Minimised<S>> {
    let outcome = run(plan);
    if !aim.is_met(&outcome) {
        return None;
    }
    let mut search = Search::new(plan.clone(), outcome, aim, options, run, progress);
    for _ in 0..ROUNDS_MAX {
        let before = search.best.clone();
        everything(&mut search);
        if search.best == before {
            if search.seeds > 0 || search.ended.is_some() {
                break;
            }
            search.seeds = OTHER_SEEDS;
        }
    }
    Some(Minimised {
        before: Size::of(plan),
        after: Size::of(&search.best),
        runs: search.runs,
        ended: search.ended.unwrap_or(Ended::Minimal),
        aim: search.aim.clone(),
        plan: search.best,
        outcome: search.outcome,
    })
}

fn everything<S, R, P>(search: &mut Search<S, R, P>)
where
    S: System,
    R: Fn(&Plan<S>) -> Outcome<S> + Sync,
    P: FnMut(&Progress),
{
    search.each("cutting off the tail", structure::without_tail);
    search.subset("removing faults", |plan| plan.faults.len(), structure::with_faults);
    search.subset("removing clients", |plan| plan.clients.len(), structure::with_clients);
    search.subset("removing operations", structure::operations, structure::with_operations);
    removing_operations_of(search, structure::pinned);
    for form in S::Setup::FORMS {
        removing_operations_of(search, |plan, _| {
            let mut other = plan.clone();
            form(&mut other.cluster);
            other
        });
    }
    search.each("joining clients", structure::with_clients_joined);
    search.each(S::Setup::REMOVING, structure::with_smaller_setups);
    search.each("choosing plain options", structure::with_plain_options);
    search.knobs("closing gaps", values::gaps);
    search.knobs("simplifying faults", values::faults);
    search.knobs("simplifying operations", values::operations);
    search.knobs("shortening", values::durations);
}

/// Tries another form of the plan, in which fewer operations may suffice.
fn removing_operations_of<S, R, P>(
    search: &mut Search<S, R, P>,
    form: impl Fn(&Plan<S>, &Outcome<S>) -> Plan<S>,
) where
    S: System,
    R: Fn(&Plan<S>) -> Outcome<S> + Sync,
    P: FnMut(&Progress),
{
    let whole = form(&search.best, &search.outcome);
    if structure::operations(&search.best) > OPERATIONS_FEW && whole != search.best {
        search.subset_of("removing operations", whole, structure::operations, structure::with_operations);
    }
}

/// A client's script without some of its lines.
fn retain(client: &Client, mut keep: impl FnMut(usize) -> bool) -> Client {
    let lines = client.script.iter().enumerate().filter(|(place, _)| keep(*place));
    Client { deadline_ms: client.deadline_ms, script: lines.map(|(_, line)| line.clone()).collect() }
}

#[cfg(test)]
mod tests;
