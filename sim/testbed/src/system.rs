//! What the testbed must be told about a system under test. It knows no system itself.

mod absent;
mod fault;
mod machines;
pub mod notice;
mod setup;
#[cfg(test)]
pub mod toy;
mod witness;

use std::{
    fmt,
    hash::Hash,
    path::{Path, PathBuf},
    time::Duration,
};

use ::linearizability::{Budget, Model};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    absent::{NoFault, NoPromise, NoTrigger, NoWitness},
    fault::SystemFault,
    machines::Machines,
    notice::{NoNotice, Notice},
    setup::{Process, Setup},
    witness::Witness,
};
use crate::{
    data::{
        line,
        node::NodeIndex,
        outcome::{Contradiction, Operation, Outcome, Verdict},
        plan::Plan,
    },
    judges::linearizability,
    marks::{Table, family::Family},
    system::notice::{EraWords, LaneChange, State},
};

/// Plain data, implemented for all such types.
pub trait Data: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static {}

impl<T: Clone + fmt::Debug + PartialEq + Hash + Send + Sync + 'static> Data for T {}

/// A system under test.
pub trait System: Data + Copy + Ord + Default {
    /// What a plan says about it, in `[cluster]`. [`Machines`] if its processes are the same in every plan.
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
    /// ([`crate::observer::observe::Observer::begin_step`]). If not, a step is a message that a process
    /// hears.
    const HAS_STEPS: bool = false;

    /// The folder of its simulator: `env!("CARGO_MANIFEST_DIR")`. If it is empty, the one in which it is
    /// started.
    const FOLDER: &'static str = "";
    /// Its processes, by name and port, if its set-up is [`Machines`].
    const PROCESSES: &'static [(&'static str, u16)] = &[];
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

    /// Short names in the lines of a trace, and what they stand for.
    const LEGEND: &'static [(&'static str, &'static str)] = &[];

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

    /// The state of the object that operations are about, in a few words.
    fn state(state: &StateOf<Self>) -> String {
        Self::Model::default().describe_state(state).unwrap_or_default()
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

    /// What a line of a script asks, without its time. `client` is the client whose script it is, and
    /// `unique` a word that stands in no other call.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    fn parse(words: &str, client: &str, unique: &str) -> Result<Self::Input, String>;

    /// The plan that a seed stands for.
    fn draw(seed: u64) -> Plan<Self>;

    /// Where its repository keeps its regressions: plans that are executed by every test and exploration.
    fn regressions() -> PathBuf {
        Path::new(Self::FOLDER).join("tests").join("plans")
    }

    /// Whether it can execute a plan, beyond what is demanded of every plan. Processes and clients are few
    /// enough that all can be looked at.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to change, a line for each thing ([`crate::data::validate::Wrong`]).
    fn validate(_plan: &Plan<Self>) -> Result<(), String> {
        Ok(())
    }

    /// Whether its clients can execute their scripts: by default, if each line can be parsed, those of
    /// [`System::finally`] and [`System::look`] among them.
    ///
    /// # Errors
    ///
    /// The first line that is wrong, and what to write.
    fn validate_scripts(plan: &Plan<Self>) -> Result<(), String> {
        for (place, client) in plan.clients.iter().enumerate() {
            let name = format!("c{}", place + 1);
            for line in &client.script {
                Self::parse(line::words(line), &name, "unique")
                    .map_err(|why| format!("client {name}: '{line}': {why}"))?;
            }
            for line in Self::finally(plan, &name) {
                Self::parse(&line, &name, "unique")
                    .map_err(|why| format!("System::finally has client {name} call '{line}': {why}"))?;
            }
        }
        for line in Self::look(plan) {
            Self::parse(&line, "reader", "unique")
                .map_err(|why| format!("System::look has the reader call '{line}': {why}"))?;
        }
        Ok(())
    }

    /// What a client calls after the heal, when it is at the end of its script: lines without a time, each of
    /// which must be answered. By default whatever its script asks, each thing once: what was called before
    /// may have failed, and a system that never recovers must not pass for one that does.
    fn finally(plan: &Plan<Self>, client: &str) -> Vec<String> {
        let place = plan.clients.iter().zip(1..).find(|(_, number)| client == format!("c{number}"));
        let mut lines: Vec<String> = Vec::new();
        for words in place.iter().flat_map(|(client, _)| &client.script).map(|line| line::words(line)) {
            if !lines.iter().any(|line| line == words) {
                lines.push(words.to_owned());
            }
        }
        lines
    }

    /// What a fresh client calls then, to look at everything. By default whatever a script reads, each thing
    /// once.
    fn look(plan: &Plan<Self>) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for words in plan.clients.iter().flat_map(|client| &client.script).map(|line| line::words(line)) {
            let is_read = Verb::split::<Self>(words).is_ok_and(|(verb, _)| verb.access == Access::Reads);
            if is_read && !lines.iter().any(|line| line == words) {
                lines.push(words.to_owned());
            }
        }
        lines
    }

    /// The object that an operation is about, by its name. Operations on different objects do not know of
    /// each other.
    fn object(input: &Self::Input) -> Bytes {
        Self::Model::default().label(input).into()
    }

    /// Judges the operations on the object of the one at a place, by what the clients saw alone.
    fn judge_object(operations: &[Operation<Self>], place: usize, budget: Budget) -> Verdict {
        linearizability::judge_object(operations, place, budget)
    }
}

/// The state of an object between two operations.
pub type StateOf<S> = <<S as System>::Model as Model>::State;

/// An operation by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verb {
    /// The word for it in scripts.
    pub word: &'static str,
    /// What it does.
    pub access: Access,
}

impl Verb {
    /// The verb of a call in a script, and the rest of the line.
    ///
    /// # Errors
    ///
    /// What to write, if a system has no such verb.
    pub fn split<S: System>(words: &str) -> Result<(Self, &str), String> {
        let (word, rest) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        let rest = rest.trim();
        match S::VERBS.iter().find(|verb| verb.word == word) {
            Some(_) if rest.is_empty() => Err(format!("say of what, after '{word}'")),
            Some(verb) => Ok((*verb, rest)),
            None => {
                let words: Vec<&str> = S::VERBS.iter().map(|verb| verb.word).collect();
                Err(format!("there is no verb '{word}', but {}", words.join(", ")))
            }
        }
    }
}

/// What an operation does with the state of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// What was counted, in the words of a summary for one and for several: `7 elections`.
    fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        Vec::new()
    }

    /// The same for the page, as names and values.
    fn facts(&self, _of: Duration) -> Vec<(&'static str, String)> {
        self.counts().into_iter().map(|(_, many, count)| (many, count.to_string())).collect()
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

/// Messages between processes about one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// What the page calls it.
    pub name: &'static str,
    /// Whether the page shows it at first.
    pub is_shown: bool,
}
