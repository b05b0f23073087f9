//! What a run yields: plain data, made by the execution, read by reports, tests and the command line.
//!
//! A *moment* is something a person would want on a timeline; the trace holds every step. An *operation*
//! is one call of a client, from its invocation to its end. Times are virtual, since the start of the run.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    data::{
        chance::Chance,
        fault::Memory,
        hash::TraceHash,
        node::{NodeIndex, NodeName},
        plan::Plan,
        standing::{Stands, Step, Steps},
    },
    marks::{Counts, Mark},
    observer::{
        chain::{Table, TableOptions},
        messages::Message,
        step::StepName,
        trace::TraceLine,
    },
    system::{Numbers, System},
};

/// Receives trace lines as they are made.
pub type TraceSink = Arc<dyn Fn(&TraceLine) + Send + Sync>;

/// What a run should produce beside its verdict.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// Keep every line of the trace in [`Outcome::trace`].
    pub keep_trace: bool,
    /// Keep the messages between nodes in [`Outcome::messages`], for a picture.
    pub keep_messages: bool,
    /// Hand every line of the trace to this as it is made.
    pub trace_sink: Option<TraceSink>,
    /// Keep a table of the hash chain in [`Outcome::table`].
    pub table: Option<TableOptions>,
    /// A source of chance, planted so that the search for such can be tested.
    pub chance: Option<Chance>,
    /// Do not judge the history (the verdict is then [`Verdict::NotJudged`]): to measure execution alone.
    pub skip_judgement: bool,
    /// Do not end the run at a broken invariant: only the clients' history and their deadlines judge it.
    /// A mistake that is found nevertheless is one that users would see.
    pub skip_invariants: bool,
    /// Do not look out for marks: to show that a run is the same without.
    pub skip_marks: bool,
    /// End the run at this time, if it is before the heal, and say how everything stands.
    pub until: Option<Duration>,
    /// Keep these steps, and how everything stood after each.
    pub steps: Option<Steps>,
}

/// Everything a run yields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome<S: System> {
    /// Fingerprint of the trace.
    pub trace_hash: TraceHash,
    /// The trace, if it was asked for.
    pub trace: Vec<TraceLine>,
    /// The table of the hash chain, if it was asked for.
    pub table: Option<Table>,
    /// What happened, in order.
    pub timeline: Vec<Moment<S>>,
    /// The messages between nodes, if they were asked for.
    pub messages: Vec<Message>,
    /// Every operation of every client, in the order of their calls.
    pub operations: Vec<Operation<S>>,
    /// Whether the operations are linearizable.
    pub verdict: Verdict,
    /// Broken invariants; the first one ends the run.
    pub violations: Vec<Violation>,
    /// A panic, which ends the run.
    pub panic: Option<Panic>,
    /// The step in which an invariant broke or something panicked, if it was a step.
    pub failed_step: Option<StepName>,
    /// After the heal, something did not end in time.
    pub stall: Option<Stall>,
    /// Clients that the system owed nothing after the heal, and why.
    pub excused: Vec<String>,
    /// The first promise about the system's health that was broken.
    pub unhealthy: Option<Unhealthy<S>>,
    /// How everything stood when the run was told to end.
    pub standing: Vec<Stands>,
    /// The steps that were asked for.
    pub steps: Vec<Step>,
    /// Numbers.
    pub stats: Stats<S>,
}

/// How a run is to be judged as a whole, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// A broken invariant or a history that is not linearizable.
    Safety,
    /// Something panicked.
    Panic,
    /// Something did not end in time.
    Liveness,
    /// A promise about the system's health was broken.
    Health,
    /// The judge gave up.
    Undecided,
    /// All is well.
    Ok,
}

impl<S: System> Outcome<S> {
    /// How the run is to be judged as a whole.
    pub fn class(&self) -> Class {
        if !self.violations.is_empty() || matches!(self.verdict, Verdict::Violation(_)) {
            Class::Safety
        } else if self.panic.is_some() {
            Class::Panic
        } else if self.stall.is_some() {
            Class::Liveness
        } else if self.unhealthy.is_some() {
            Class::Health
        } else if matches!(self.verdict, Verdict::Undecided(_)) {
            Class::Undecided
        } else {
            Class::Ok
        }
    }

    /// What the plan was made for and this run did not reach.
    pub fn missed(&self, plan: &Plan<S>) -> Vec<Mark<S>> {
        let marks = &self.stats.marks;
        plan.reaches.iter().copied().filter(|mark| !marks.contains_key(mark)).collect()
    }

    /// When it was too late: the moment at which the evidence of the gravest failure was complete. None if
    /// nothing failed at a moment of its own (an undecided check, or no failure at all).
    pub fn failed_at(&self) -> Option<Duration> {
        if let Some(violation) = self.violations.first() {
            return Some(violation.at);
        }
        if let Verdict::Violation(contradiction) = &self.verdict {
            let ends = contradiction.operations.iter().filter_map(|index| self.operations[*index].end.at());
            return ends.max();
        }
        let panic = self.panic.as_ref().map(|panic| panic.at);
        let panic_or_stall = panic.or_else(|| self.stall.as_ref().map(|stall| stall.at));
        panic_or_stall.or_else(|| self.unhealthy.as_ref().map(|unhealthy| unhealthy.at))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Safety => "safety",
            Self::Panic => "panic",
            Self::Liveness => "liveness",
            Self::Health => "health",
            Self::Undecided => "undecided",
            Self::Ok => "ok",
        })
    }
}

/// Something on the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment<S: System> {
    /// When.
    pub at: Duration,
    /// Where; for a fault, the simulator itself.
    pub node: NodeName,
    /// What.
    pub event: Happening<S>,
}

/// What can stand on the timeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening<S: System> {
    /// A process began to run.
    Up {
        /// Counts the lives of this node, from 1.
        life: u64,
        /// What it remembered.
        memory: Memory,
    },
    /// A process ended.
    Down(Down),
    /// A fault began.
    FaultBegan {
        /// Its place in the plan.
        fault: usize,
        /// The nodes that it names; those that had a role then, if it names roles.
        nodes: Vec<NodeIndex>,
        /// What was done to them, as a sentence.
        what: String,
    },
    /// A fault is over.
    FaultEnded {
        /// Its place in the plan.
        fault: usize,
    },
    /// A fault had nothing to act upon.
    FaultSkipped {
        /// Its place in the plan.
        fault: usize,
        /// Why.
        why: String,
    },
    /// All faults are over and every node that the rest needs is running again.
    Healed,
    /// A process reports.
    Notice(S::Notice),
    /// A client called.
    Called {
        /// Index into [`Outcome::operations`].
        operation: usize,
    },
    /// A client's call ended.
    Returned {
        /// Index into [`Outcome::operations`].
        operation: usize,
    },
}

impl<S: System> Hash for Happening<S> {
    /// What happened, not in which words: a sentence may read better in a later build, and no trace differs.
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Numbers that stay, whatever variants come and go.
        let number: isize = match self {
            Self::Up { .. } => 0,
            Self::Down(_) => 1,
            Self::FaultBegan { .. } => 2,
            Self::FaultEnded { .. } => 3,
            Self::FaultSkipped { .. } => 4,
            Self::Healed => 5,
            Self::Notice(_) => 6,
            Self::Called { .. } => 8,
            Self::Returned { .. } => 9,
        };
        number.hash(state);
        match self {
            Self::Up { life, memory } => (life, memory).hash(state),
            Self::Down(how) => how.hash(state),
            Self::FaultBegan { fault, nodes, what: _ } => (fault, nodes).hash(state),
            Self::FaultEnded { fault } | Self::FaultSkipped { fault, why: _ } => fault.hash(state),
            Self::Healed => {}
            Self::Notice(notice) => notice.hash(state),
            Self::Called { operation } | Self::Returned { operation } => operation.hash(state),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Down {
    /// Its peers saw their connections reset.
    Crash,
    /// Its peers saw nothing.
    PowerLoss,
}

/// One call of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation<S: System> {
    /// Who called.
    pub client: NodeName,
    /// When.
    pub called: Duration,
    /// What was asked, in the words of the checker's model.
    pub input: S::Input,
    /// How it ended.
    pub end: End<S>,
    /// What the system keeps of it beyond that.
    pub detail: S::Detail,
}

impl<S: System> Operation<S> {
    /// An operation that was just called.
    pub fn called(client: NodeName, at: Duration, input: S::Input) -> Self {
        Self { client, called: at, input, end: End::Open, detail: S::Detail::default() }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End<S: System> {
    /// The run ended first. It may have taken effect or not.
    Open,
    /// It was answered.
    Returned {
        /// When.
        at: Duration,
        /// What.
        output: S::Output,
    },
    /// The client gave up; it may have taken effect, may still do so, or never.
    Unknown {
        /// When.
        at: Duration,
        /// What the client said.
        why: String,
    },
    /// It is proved that it was not and will not be executed.
    NotExecuted {
        /// When.
        at: Duration,
        /// What the client said.
        why: String,
    },
}

/// Why the fate of an operation is unknown: its client ended first.
pub const CLIENT_ENDED: &str = "the client ended";
/// The fate of an operation is unknown because the data that it was about were given up: the reason begins
/// with this.
pub const DATA_LOST: &str = "given up: ";
/// An operation was not executed because no process takes it, such as one that is too long: the reason
/// begins with this.
pub const INVALID: &str = "invalid: ";

impl<S: System> Hash for End<S> {
    /// How, not in which words: see [`Happening`].
    fn hash<H: Hasher>(&self, state: &mut H) {
        mem::discriminant(self).hash(state);
        self.at().hash(state);
        match self {
            Self::Returned { output, .. } => output.hash(state),
            Self::Unknown { why, .. } => why.starts_with(DATA_LOST).hash(state),
            Self::NotExecuted { why, .. } => why.starts_with(INVALID).hash(state),
            Self::Open => {}
        }
    }
}

impl<S: System> End<S> {
    /// When it ended, if it did.
    pub fn at(&self) -> Option<Duration> {
        match self {
            Self::Open => None,
            Self::Returned { at, .. } | Self::Unknown { at, .. } | Self::NotExecuted { at, .. } => Some(*at),
        }
    }
}

/// Whether the operations are linearizable.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verdict {
    /// Nobody looked: the run ended early, or judgement was not asked for.
    #[default]
    NotJudged,
    /// They are.
    Linearizable,
    /// They are not.
    Violation(Contradiction),
    /// The search ended first; the sentence says how far it came.
    Undecided(String),
}

/// Operations that no order can explain.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The key it is about.
    pub key: Bytes,
    /// The operations that contradict each other, as indexes into [`Outcome::operations`].
    pub operations: Vec<usize>,
    /// Further operations that may have written what those saw.
    pub support: Vec<usize>,
    /// Why, as a sentence.
    pub sentence: String,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// When it was seen.
    pub at: Duration,
    /// At which node.
    pub node: NodeName,
    /// Which invariant.
    pub invariant: String,
    /// What was promised and what was seen.
    pub message: String,
}

/// Somebody panicked.
#[derive(Clone, Debug, PartialEq)]
pub struct Panic {
    /// When, if virtual time was running.
    pub at: Duration,
    /// On which node, as far as is known.
    pub node: NodeName,
    /// The message and the place in the source.
    pub message: String,
}

/// Something did not end in time after the heal.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// When the time was over.
    pub at: Duration,
    /// What was waited for, one thing a line.
    pub waiting: Vec<String>,
    /// How each process stood, and whatever else the system says of itself then.
    pub cluster: Vec<String>,
}

/// A promise about the system's health that was broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Unhealthy<S: System> {
    /// When.
    pub at: Duration,
    /// Which.
    pub promise: S::Promise,
    /// What was seen.
    pub seen: String,
}

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Stats<S: System> {
    /// Virtual time from start to end.
    pub virtual_time: Duration,
    /// Operations that were answered,
    pub returned: u64,
    /// whose fate is unknown,
    pub unknown: u64,
    /// and that were certainly not executed.
    pub not_executed: u64,
    /// Faults that were executed, by kind. A mistreatment counts once for each message it struck.
    pub faults: BTreeMap<Cow<'static, str>, u64>,
    /// Messages that reached their receiver.
    pub messages: u64,
    /// Steps of machines.
    pub steps: u64,
    /// Actions that were drawn, of a walk; a simulated run has none.
    pub actions: u64,
    /// What the system counts.
    pub own: S::Numbers,
    /// How many runs reached each mark.
    pub marks: Counts<S>,
}

impl<S: System> Stats<S> {
    /// Operations that ended, however they ended.
    pub fn operations(&self) -> u64 {
        self.returned + self.unknown + self.not_executed
    }

    /// Adds the numbers of another run.
    pub fn add(&mut self, other: &Self) {
        self.virtual_time += other.virtual_time;
        self.returned += other.returned;
        self.unknown += other.unknown;
        self.not_executed += other.not_executed;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        self.messages += other.messages;
        self.steps += other.steps;
        self.actions += other.actions;
        self.own.add(&other.own);
        for (mark, runs) in &other.marks {
            *self.marks.entry(*mark).or_default() += runs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::hash::stable_hash, system::toy::Toy};

    #[test]
    fn a_trace_holds_what_happened_and_not_in_which_words() {
        let began = |nodes: &[NodeIndex], what: &str| {
            let happening: Happening<Toy> =
                Happening::FaultBegan { fault: 1, nodes: nodes.to_vec(), what: what.into() };
            stable_hash(&happening)
        };
        assert_eq!(began(&[1], "s1 crashes"), began(&[1], "s1 ends"));
        assert_ne!(began(&[1], "it crashes"), began(&[2], "it crashes"));
        let unknown = |ms, why: &str| {
            let end: End<Toy> = End::Unknown { at: Duration::from_millis(ms), why: why.into() };
            stable_hash(&end)
        };
        assert_eq!(unknown(1, "no answer in time"), unknown(1, "no answer"));
        assert_ne!(unknown(1, "no answer"), unknown(2, "no answer"));
        assert_ne!(unknown(1, "no answer"), unknown(1, &format!("{DATA_LOST}no answer")));
    }
}
