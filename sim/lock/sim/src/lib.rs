//! All that the testbed is told about the lock service.

use linearizability::Model;
use testbed::{
    data::{outcome::Operation, plan::Plan},
    draw::{self, Load},
    system::{Access, Machines, NoFault, NoNotice, NoPromise, NoTrigger, NoWitness, System, Verb},
};

/// The name of the one process, and its port.
const SERVER: (&str, u16) = ("lock", 7000);

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Acquire, release, or look for the holder
    pub verb: Verb,
    /// of this lock
    pub lock: String,
    /// as this owner.
    pub owner: String,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// The lock is the caller's.
    Granted,
    /// Another owner has it.
    Held,
    /// It is free now.
    Released,
    /// It was not the caller's.
    NotYours,
    /// Its owner.
    Holder(Option<String>),
}

/// A lock as its users understand it. An owner that asks again for what it holds has it.
#[derive(Default)]
pub struct Lock;

impl Model for Lock {
    type Input = Ask;
    type Output = Told;
    type State = Option<String>;
    type Key<'a> = &'a str;

    fn init(&self) -> Self::State {
        None
    }

    fn step(&self, holder: &Self::State, ask: &Ask, told: Option<&Told>) -> Option<Self::State> {
        let is_own = holder.as_ref() == Some(&ask.owner);
        let (next, answer) = match ask.verb.word {
            "acquire" if is_own || holder.is_none() => (Some(ask.owner.clone()), Told::Granted),
            "acquire" => (holder.clone(), Told::Held),
            "release" if is_own => (None, Told::Released),
            "release" => (holder.clone(), Told::NotYours),
            _ => (holder.clone(), Told::Holder(holder.clone())),
        };
        told.is_none_or(|told| *told == answer).then_some(next)
    }

    fn partition<'a>(&self, ask: &'a Ask) -> &'a str {
        &ask.lock
    }

    fn label(&self, ask: &Ask) -> Vec<u8> {
        ask.lock.clone().into()
    }

    fn describe_state(&self, holder: &Self::State) -> Option<String> {
        Some(holder.clone().unwrap_or_else(|| "free".into()))
    }
}

/// The lock service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockService;

impl System for LockService {
    type Setup = Machines<Self>;
    type Fault = NoFault;
    type Trigger = NoTrigger;
    type Input = Ask;
    type Output = Told;
    type Model = Lock;
    type Detail = ();
    type Notice = NoNotice;
    type Numbers = ();
    type Promise = NoPromise;
    type Witness = NoWitness<Self>;

    const FOLDER: &'static str = env!("CARGO_MANIFEST_DIR");
    const PROCESSES: &'static [(&'static str, u16)] = &[SERVER];
    const VERBS: &'static [Verb] = &[
        Verb { word: "acquire", access: Access::Both },
        Verb { word: "release", access: Access::Both },
        Verb { word: "holder", access: Access::Reads },
    ];

    fn draw(seed: u64) -> Plan<Self> {
        let verbs = &[(4, "acquire"), (3, "release"), (2, "holder")];
        draw::plan(seed, Machines::draw(seed), &Load { clients: (2, 5), verbs, objects: &["a", "b"] })
    }

    fn asked(operation: &Operation<Self>) -> String {
        let Ask { verb, lock, owner } = &operation.input;
        format!("{} {lock} as {owner}", verb.word)
    }

    fn verb(ask: &Ask) -> Verb {
        ask.verb
    }

    fn parse(words: &str, client: &str, _unique: &str) -> Result<Ask, String> {
        let (verb, lock) = Verb::split::<Self>(words)?;
        Ok(Ask { verb, lock: lock.into(), owner: client.into() })
    }

    fn look(_: &Plan<Self>) -> Vec<String> {
        ["a", "b"].map(|lock| format!("holder {lock}")).into()
    }
}

#[cfg(madsim)]
mod run;
