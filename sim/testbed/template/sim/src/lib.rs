//! What the testbed is told about the counters: what clients ask and are told, and what a run looks like.

use testbed::{
    data::{outcome::Operation, plan::Plan},
    draw::{self, Load},
    linearizability::Model,
    system::{Access, Machines, NoFault, NoNotice, NoPromise, NoTrigger, NoWitness, System, Verb},
};

#[cfg(madsim)]
mod run;

/// The name of the one process, and its port.
const SERVER: (&str, u16) = ("server", 7000);
/// The counters that clients use. Each is judged alone. The effort grows quickly with the calls on one
/// counter of which nobody knows whether they were executed, so there are several.
const COUNTERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What a client asks. It is told a total.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// To increment or to read
    pub verb: Verb,
    /// this counter.
    pub counter: String,
}

/// A counter as its users understand it: the judge compares with it what clients were told.
#[derive(Default)]
pub struct Counter;

impl Model for Counter {
    type Input = Ask;
    type Output = u64;
    type State = u64;
    type Key<'a> = &'a str;

    fn init(&self) -> u64 {
        0
    }

    /// The total after an operation, if `told` is right. `told` is none if nobody knows what became of it.
    fn step(&self, total: &u64, ask: &Ask, told: Option<&u64>) -> Option<u64> {
        let next = if ask.verb.access == Access::Reads { *total } else { *total + 1 };
        told.is_none_or(|told| *told == next).then_some(next)
    }

    /// Counters do not know of each other.
    fn partition<'a>(&self, ask: &'a Ask) -> &'a str {
        &ask.counter
    }

    /// The counter, as people read it
    fn label(&self, ask: &Ask) -> Vec<u8> {
        ask.counter.clone().into()
    }

    /// and its total.
    fn describe_state(&self, total: &u64) -> Option<String> {
        Some(total.to_string())
    }
}

/// The system under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterService;

impl System for CounterService {
    type Setup = Machines<Self>;
    type Fault = NoFault;
    type Trigger = NoTrigger;
    type Input = Ask;
    type Output = u64;
    type Model = Counter;
    type Detail = ();
    type Notice = NoNotice;
    type Numbers = ();
    type Promise = NoPromise;
    type Witness = NoWitness<Self>;

    const FOLDER: &'static str = env!("CARGO_MANIFEST_DIR");
    const PROCESSES: &'static [(&'static str, u16)] = &[SERVER];
    const VERBS: &'static [Verb] =
        &[Verb { word: "increment", access: Access::Both }, Verb { word: "read", access: Access::Reads }];

    fn draw(seed: u64) -> Plan<Self> {
        let verbs = &[(2, "increment"), (1, "read")];
        draw::plan(seed, Machines::draw(seed), &Load { clients: (2, 5), verbs, objects: &COUNTERS })
    }

    /// What a client asked, as people read it.
    fn asked(operation: &Operation<Self>) -> String {
        format!("{} {}", operation.input.verb.word, operation.input.counter)
    }

    fn verb(ask: &Ask) -> Verb {
        ask.verb
    }

    fn parse(words: &str, _client: &str, _unique: &str) -> Result<Ask, String> {
        let (verb, counter) = Verb::split::<Self>(words)?;
        Ok(Ask { verb, counter: counter.into() })
    }

    /// When everything is healed, a fresh client must be able to read everything.
    fn look(_: &Plan<Self>) -> Vec<String> {
        COUNTERS.map(|counter| format!("read {counter}")).into()
    }
}
