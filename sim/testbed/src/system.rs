//! What the testbed must be told about a system under test. It knows no system itself.

mod absent;
pub mod notice;
#[cfg(test)]
pub mod toy;

use std::{fmt, hash::Hash, path::PathBuf, time::Duration};

use ::linearizability::{Budget, Model};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

pub use absent::{NoFault, NoPromise, NoTrigger, NoWitness};
pub use notice::{NoNotice, Notice};

use crate::{
    data::{
        fault::{Mistreatment, Node},
        line,
        node::NodeIndex,
        outcome::{Contradiction, Happening, Operation, Outcome, RunOptions, Verdict, Violation},
        plan::{Clock, Plan},
    },
    hardware::network::Network,
    judges::{broken::Check, linearizability},
    marks::{Role, Strike, Table, family::Family},
    observer::messages::MessageKind,
    system::notice::{EraWords, LaneChange, State},
};

/// Plain data, implemented for all such types.
pub trait Data: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static {}

impl<T: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static> Data for T {}

/// A system under test.
pub trait System: Data + Copy + Ord + Default {
    /// What a plan says about it, in `[cluster]`.
    type Setup: Setup;
    /// What can go wrong with this system alone. [`NoFault`] if there is no such thing.
    type Fault: SystemFault;
    /// What a fault may wait for (`on = "..."`). [`NoTrigger`] if there is no such thing.
    type Trigger: Data + Copy + Ord + Serialize + DeserializeOwned;
    /// What a client asks,
    type Input: Data;
    /// and what it is told.
    type Output: Data;
    /// With what the checker compares what clients were told.
    type Model: Model<Input = Self::Input, Output = Self::Output, State: Send> + Default + Sync;
    /// What is kept of an operation beyond that. `()` if nothing is.
    type Detail: Data + Default;
    /// What a process reports. [`NoNotice`] if it reports nothing.
    type Notice: Notice;
    /// What is counted in a run. `()` if nothing is.
    type Numbers: Numbers;
    /// A promise about the system's health. [`NoPromise`] if there is none.
    type Promise: Promise;
    /// What an observer who sees everything keeps of a run. [`NoWitness`] sees what faults strike.
    type Witness: Witness<Self>;

    /// Whether its processes tell the observer of every step that their machines take
    /// ([`crate::observer::observe::Observer::begin_step`]). If not, a step is a message that a process hears.
    const HAS_STEPS: bool = false;

    /// The roles by which faults name processes, beside their names.
    const ROLES: &'static [&'static str] = &[];
    /// The operations of a script, from plain to odd: those before one are simpler.
    const VERBS: &'static [Verb];
    /// What its processes say to each other, by subject: the arrows of the page. Their numbers count from 1.
    const CONVERSATIONS: &'static [Conversation] = &[];
    /// What a process can be, in the order of the page's legend,
    const STATES: &'static [State] = &[];
    /// and do besides.
    const ACTIVITIES: &'static [State] = &[];
    /// What the times are called that it goes through as a whole, if it does: see [`notice::Era`].
    const ERAS: Option<EraWords> = None;

    /// What a process is when it has just been started, in this life.
    fn up(_node: NodeIndex, life: u64) -> LaneChange {
        LaneChange::Is { state: State::UP, text: format!("life {life}"), era: None }
    }

    /// Which operation this is.
    fn verb(input: &Self::Input) -> Verb;

    /// What a client asked, as a line.
    fn asked(operation: &Operation<Self>) -> String {
        format!("{:?}", operation.input)
    }

    /// What an operation was told.
    fn told(output: &Self::Output) -> String {
        format!("{output:?}")
    }

    /// The state of the object that operations are about; none if there is nothing.
    fn state(state: &StateOf<Self>) -> Option<String> {
        Self::Model::default().describe_state(state)
    }

    /// Of which sort a contradiction is: failures of one sort are taken to have one reason.
    fn contradiction(_found: &Contradiction, _outcome: &Outcome<Self>) -> &'static str {
        "no order explains what clients were told"
    }

    /// The situations that explorations must reach, and the roles in which faults strike processes.
    const MARKS: &'static Table = &Table::PLAIN;

    /// The features of a plan from which explorations learn, at most 128. The constants of [`Family`] are
    /// those that there are in every system.
    const FAMILIES: &'static [Family<Self>] = Family::PLAIN;

    /// Processes that only the faults of this plan need. Their nodes are behind those of the clients.
    fn spares(_plan: &Plan<Self>) -> Vec<Process> {
        Vec::new()
    }

    /// What a line of a script asks, without its time. `client` is the client whose script it is, and `unique` a
    /// word that stands in no other call.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    fn parse(words: &str, client: &str, unique: &str) -> Result<Self::Input, String>;

    /// The plan that a seed stands for.
    fn draw(seed: u64) -> Plan<Self>;

    /// Where its repository keeps its regressions: plans that are executed by every test and exploration.
    fn regressions() -> PathBuf {
        PathBuf::from("tests/plans")
    }

    /// Whether it can execute a plan, beyond what is demanded of every plan.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and what to change.
    fn validate(plan: &Plan<Self>) -> Result<(), String> {
        for (place, client) in plan.clients.iter().enumerate() {
            let name = format!("c{}", place + 1);
            for line in &client.script {
                Self::parse(line::words(line), &name, "unique")
                    .map_err(|why| format!("client {name}: '{line}': {why}"))?;
            }
        }
        Ok(())
    }

    /// What a client calls after the heal, when it is at the end of its script: lines without a time, each of
    /// which must be answered.
    fn finally(_plan: &Plan<Self>, _client: &str) -> Vec<String> {
        Vec::new()
    }

    /// What a fresh client calls then, to look at everything.
    fn look(_plan: &Plan<Self>) -> Vec<String> {
        Vec::new()
    }

    /// The object that an operation is about, by its name. Operations on different objects do not know of each
    /// other.
    fn object(input: &Self::Input) -> Bytes {
        Self::Model::default().label(input).into()
    }

    /// Judges the operations on the object of the one at a place, by what the clients saw alone.
    fn judge_object(operations: &[Operation<Self>], place: usize, budget: Budget) -> Verdict {
        linearizability::judge_object(operations, place, budget)
    }
}

/// What an observer who sees the whole system keeps of a run. It decides nothing and draws nothing: a run is the
/// same, byte for byte, whatever it does.
pub trait Witness<S: System>: Sized + Send + 'static {
    /// Nothing seen yet.
    fn new(plan: &Plan<S>, options: &RunOptions) -> Self;

    /// A process began or ended, a fault began or ended, or everything was healed.
    fn happened(&mut self, _at: Duration, _node: NodeIndex, _event: &Happening<S>) {}

    /// A client calls.
    fn called(&mut self, _at: Duration) {}

    /// Whether what it saw of the processes explains an answer. If not, the checker is asked.
    fn explains(&self, _operation: &Operation<S>) -> bool {
        false
    }

    /// A client's call ended.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    fn returned(&mut self, _place: usize, _operation: &Operation<S>) -> Check {
        Ok(())
    }

    /// The run is over but for a last look at the state of every machine.
    fn close(&mut self) {}

    /// A fault strikes these nodes: with a pair of nodes, the link between them. It may hold messages back for
    /// so long.
    fn touched(&mut self, _at: Duration, _nodes: &[NodeIndex], _lateness: Duration) {}

    /// A fault strikes these nodes, in the roles that they have.
    fn struck(&mut self, _strike: Strike, _nodes: &[NodeIndex]) {}

    /// A fault of the network that names these nodes began. Which messages it mistreats is known only when it
    /// strikes one.
    fn disturbed(&mut self, strike: Strike, nodes: &[NodeIndex], _network: &Network) {
        if !matches!(strike, Strike::Message(_)) {
            self.struck(strike, nodes);
        }
    }

    /// A fault of the network struck a message in this way, from or to a node of this role.
    fn mistreated(&mut self, _how: Mistreatment, _role: Role) {}

    /// A message arrived whose sender had ended.
    fn message_outlived_its_sender(&mut self) {}

    /// Nothing passed any more on a stream whose ends both believed that it lives.
    fn stream_went_mute(&mut self) {}

    /// The drives of these nodes stall from now on.
    fn drives_stall(&mut self, _nodes: Vec<NodeIndex>) {}

    /// Processes hear what no process says from now on.
    fn lies_begin(&mut self) {}

    /// How long after the last fault everything that a client calls succeeds again, and that is demanded also
    /// between faults; absent: only at the end of the run.
    fn serves_within(&self) -> Option<Duration> {
        None
    }

    /// Looks at the time that has passed.
    fn pass(&mut self, _at: Duration) {}

    /// Whether there is nothing to be waited for after the heal.
    fn is_settled(&self) -> bool {
        true
    }

    /// Adds what it knows to an outcome: numbers, marks, a promise that was broken.
    fn conclude(&self, _outcome: &mut Outcome<S>) {}

    /// Judges what the clients saw.
    fn judge(&self, operations: &[Operation<S>]) -> Verdict {
        linearizability::judge(operations)
    }

    /// An answer that the clients cannot prove to be wrong, but that is not what it saw of the processes.
    fn unexplained(&self, _operations: &[Operation<S>]) -> Option<Violation> {
        None
    }
}

/// The state of an object between two operations.
pub type StateOf<S> = <<S as System>::Model as Model>::State;

/// An operation by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb {
    /// The word for it in scripts.
    pub word: &'static str,
    /// What it does.
    pub access: Access,
}

/// What an operation does with the state of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is told something of it, and changes nothing.
    Reads,
    /// It changes it, and is told nothing of it.
    Writes,
    /// It changes it, perhaps, and is told something of it.
    Both,
}

/// What a system counts in a run. The fields that are serialised are kept with the sums of an exploration.
pub trait Numbers:
    Clone + fmt::Debug + Default + Eq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Adds the numbers of another run.
    fn add(&mut self, other: &Self);

    /// What is said of a run of this length, a line each.
    fn lines(&self, _of: Duration) -> Vec<String> {
        Vec::new()
    }

    /// What was counted, in the words of a summary: `7 elections`.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// The same for the page, as names and values.
    fn facts(&self, _of: Duration) -> Vec<(&'static str, String)> {
        self.counts().into_iter().map(|(name, count)| (name, count.to_string())).collect()
    }

    /// The numbers of a run by their names, for its line of `explore --json`.
    fn fields(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// What the last line of an exploration of this length in virtual time says of them: some phrases.
    fn summary(&self, _of: Duration) -> Vec<String> {
        Vec::new()
    }
}

impl Numbers for () {
    fn add(&mut self, (): &()) {}
}

/// A promise about a system's health: what must be so beyond what its clients are told.
pub trait Promise: Data + Ord {
    /// Its name.
    fn name(&self) -> &'static str;

    /// How it is broken, in a few words.
    fn broken(&self) -> String;

    /// What is promised, as a sentence.
    fn promised(&self) -> &'static str;
}

/// A set-up, as it stands in a plan.
pub trait Setup: Data + Serialize + DeserializeOwned {
    /// The processes, in the order of their addresses.
    fn processes(&self) -> Vec<Process>;

    /// Clocks that are not perfect.
    fn clocks(&self) -> &[Clock] {
        &[]
    }

    /// In a few words, such as `3 nodes, reads by quorum`.
    fn summary(&self) -> String {
        let processes = self.processes().len();
        format!("{processes} process{}", if processes == 1 { "" } else { "es" })
    }

    /// The same as names and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("processes", self.processes().len().to_string())]
    }

    /// In what the size of a set-up is counted,
    const SIZE: &'static str = "processes";
    /// what is done to make it smaller,
    const REMOVING: &'static str = "removing processes";

    /// and how large it is.
    fn size(&self) -> usize {
        self.processes().len()
    }

    /// Without what it says about one of the nodes.
    fn forget(&mut self, _node: &str) {}

    /// A node gets another name.
    fn rename(&mut self, _from: &str, _to: &str) {}

    /// Smaller ones, the smallest first. What is left keeps its name.
    fn smaller(&self) -> Vec<Self> {
        Vec::new()
    }

    /// Plainer ones: first with all options plain at once, then with one of them.
    fn plainer(&self) -> Vec<Self> {
        Vec::new()
    }

    /// Other forms, which are not plainer, but in which fewer operations may do the same.
    const FORMS: &'static [fn(&mut Self)] = &[];
    /// The longest a write to disk takes, in milliseconds; each takes between nothing and that.
    fn disk_ms_max(&self) -> u64 {
        0
    }

    /// Whether the handler of a call ends when its caller has left; else it runs to its end.
    fn callers_leave(&self) -> bool {
        false
    }

    /// Whether messages travel as bytes, and are refused by a receiver to which they are too long.
    fn is_encoded(&self) -> bool {
        false
    }

    /// Within this time each machine that runs takes a step, whatever happens. The state of every machine is
    /// looked at once more in it when a run is over.
    fn steps_within(&self) -> Duration {
        Duration::ZERO
    }
}

/// A process of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What its node is called.
    pub name: String,
    /// The port on which it listens.
    pub port: u16,
    /// What clients say to it is not their operations, and is shown with this conversation.
    pub aside: Option<MessageKind>,
    /// When it is first started.
    pub starts_at: Duration,
}

impl Process {
    /// A process that listens on a port.
    pub fn new(name: impl Into<String>, port: u16) -> Self {
        Self { name: name.into(), port, starts_at: Duration::ZERO, aside: None }
    }

    /// The same, but first started at this time.
    #[must_use]
    pub fn starting_at(self, starts_at: Duration) -> Self {
        Self { starts_at, ..self }
    }

    /// The same, if clients ask it for other things than their operations.
    pub fn aside(self, kind: MessageKind) -> Self {
        Self { aside: Some(kind), ..self }
    }
}

/// Messages between processes about one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// What the page calls it.
    pub name: &'static str,
    /// Whether the page shows it at first.
    pub is_shown: bool,
}

/// A fault that only this system knows. In a plan its word stands where those of the testbed's faults do.
pub trait SystemFault: Data + Serialize + DeserializeOwned {
    /// The words for it in plans (`fault = "..."`).
    const WORDS: &'static [&'static str];

    /// The name under which it is counted.
    fn name(&self) -> &'static str;

    /// Under which strike its marks are counted.
    fn strike(&self) -> Strike;

    /// The node that it names, if it names one.
    fn node(&self) -> Option<&str>;

    /// The node that it names, to be changed.
    fn node_mut(&mut self) -> Option<&mut Node>;

    /// Its times, each with its least value.
    fn numbers(&mut self) -> Vec<(&mut u64, u64)>;

    /// Milder or plainer forms of it.
    fn milder(&self) -> Vec<Self>;
}
