//! A system for the tests of rooms that know none: processes of one sort, keys and values, no faults of its
//! own.

use std::fmt;

use bytes::Bytes;
use linearizability::kv::{Input, Kv, Output};
use serde::{Deserialize, Serialize};

use super::{
    Access, NoFault, NoTrigger, NoWitness, Promise, Setup, System, Verb,
    notice::{Colour, Era, EraWords, LaneChange, Notice, State},
};
use crate::{
    data::{
        fault::Mistreatment,
        outcome::Operation,
        plan::{Clock, Network, Plan},
    },
    marks::{Row, Strike, Table},
    report::screen::{bytes, optional},
    system::Process,
};

/// The system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Toy;

/// Its processes, `p1`, `p2`, ...
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Processes {
    /// How many.
    pub count: usize,
    /// An option that is plain if it is 0.
    pub oddity: u64,
    /// Operations that it takes, about.
    pub takes: usize,
    /// Clocks that are not perfect.
    pub clocks: Vec<Clock>,
}

/// What a process reports.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Told {
    /// It leads in this term.
    Leads(u64),
    /// It copies something.
    Copies,
    /// It no longer does.
    CopiedAll,
    /// There is such a term, and whether it is in force.
    Term(u64, bool),
}

/// A promise that is not kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quiet;

const LEADS: State = State { name: "leads", colour: Colour::Strong, legend: Some("leader") };
const COPIES: State = State { name: "copies", colour: Colour::Teal, legend: Some("copy") };

impl System for Toy {
    type Setup = Processes;
    type Fault = NoFault;
    type Trigger = NoTrigger;
    type Input = Input;
    type Output = Output;
    type Model = Kv;
    type Detail = ();
    type Notice = Told;
    type Numbers = ();
    type Promise = Quiet;
    type Witness = NoWitness<Self>;

    const MARKS: &'static Table = &Table {
        situations: &[
            Row { name: "update_answered_twice", about: "An update is answered again." },
            Row { name: "read_of_nothing", about: "A read finds nothing." },
        ],
        unreachable: &[("a process of another sort", "there is one sort")],
        roles: &["process"],
        impossible: |strike, _| {
            (strike == Strike::Message(Mistreatment::Forge)).then_some("nobody lies to it")
        },
    };
    const VERBS: &'static [Verb] = &[
        Verb { word: "put", access: Access::Writes },
        Verb { word: "get", access: Access::Reads },
        Verb { word: "append", access: Access::Writes },
    ];
    const STATES: &'static [State] = &[LEADS];
    const ACTIVITIES: &'static [State] = &[COPIES];
    const ERAS: Option<EraWords> = Some(EraWords {
        title: "terms",
        proposed: "proposed",
        in_force: "in force",
        legend: "term not in force yet",
        never: "never in force",
    });

    fn verb(input: &Input) -> Verb {
        match input {
            Input::Get { .. } => Self::VERBS[1],
            _ => Self::VERBS[0],
        }
    }

    fn asked(operation: &Operation<Self>) -> String {
        match &operation.input {
            Input::Get { key } => format!("get {}", bytes(key)),
            Input::Put { key, value } => format!("put {} {}", bytes(key), bytes(value)),
            other => format!("{other:?}"),
        }
    }

    fn told(output: &Output) -> String {
        match output {
            Output::Value(value) => optional(value.as_ref()),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn state(value: &Option<Bytes>) -> String {
        value.as_ref().map_or_else(|| "nothing".into(), |value| value.escape_ascii().to_string())
    }

    fn parse(words: &str, _client: &str, unique: &str) -> Result<Input, String> {
        let key = |key: &str| Bytes::copy_from_slice(key.as_bytes());
        let value = || Bytes::copy_from_slice(unique.as_bytes());
        match words.split_whitespace().collect::<Vec<_>>()[..] {
            ["get", name] => Ok(Input::Get { key: key(name) }),
            ["put", name, ..] => Ok(Input::Put { key: key(name), value: value() }),
            ["append", name, ..] => Ok(Input::Append { key: key(name), value: value() }),
            _ => Err("write put, get or append, and a key".into()),
        }
    }

    fn draw(seed: u64) -> Plan<Self> {
        Plan { seed, ..plan() }
    }
}

impl Default for Processes {
    fn default() -> Self {
        Self { count: 3, oddity: 0, takes: 100, clocks: Vec::new() }
    }
}

impl Setup for Processes {
    fn processes(&self) -> Vec<Process> {
        (1..=self.count).map(|n| Process::new(format!("p{n}"), 7)).collect()
    }

    fn clocks(&self) -> &[Clock] {
        &self.clocks
    }

    fn forget(&mut self, node: &str) {
        self.clocks.retain(|clock| clock.node != node);
    }

    fn smaller(&self) -> Vec<Self> {
        (1..self.count).map(|count| Self { count, ..self.clone() }).collect()
    }

    fn plainer(&self) -> Vec<Self> {
        vec![Self { oddity: 0, clocks: Vec::new(), ..self.clone() }]
    }

    const FORMS: &'static [fn(&mut Self)] = &[|setup| setup.takes = setup.takes.div_ceil(2)];
}

impl Notice for Told {
    fn lane(&self) -> Vec<LaneChange> {
        match self {
            Self::Leads(term) => {
                let text = format!("leader of t{term}");
                vec![LaneChange::Is { state: LEADS, text, era: Some(*term) }]
            }
            Self::Copies => vec![LaneChange::Begins { state: COPIES, text: "copies".into() }],
            Self::CopiedAll => vec![LaneChange::Ends { state: COPIES, text: None }],
            Self::Term(..) => Vec::new(),
        }
    }

    fn era(&self) -> Option<Era> {
        let Self::Term(number, is_in_force) = *self else { return None };
        let name = format!("t{number}");
        let details = vec![format!("term {number}")];
        let why = (!is_in_force).then(|| "proposed because of a test".to_string());
        Some(Era { number, is_in_force, text: name.clone(), name, details, why })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Promise for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    fn broken(&self) -> String {
        "loud".into()
    }

    fn promised(&self) -> &'static str {
        "all is quiet"
    }
}

/// A plan without clients and faults.
pub fn plan() -> Plan<Toy> {
    Plan {
        about: String::new(),
        reaches: Vec::new(),
        seed: 1,
        faults_ms: 10_000,
        settle_ms: 10_000,
        watch_ms: 0,
        cluster: Processes::default(),
        network: Network { latency_us_min: 100, latency_us_max: 900, bytes_per_ms: None },
        data_loss: false,
        clients: Vec::new(),
        faults: Vec::new(),
    }
}
