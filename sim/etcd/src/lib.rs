//! All that the testbed is told about madsim's simulation of etcd, a server and a client from the registry.
//!
//! Clients put, get and delete keys, swap values by a transaction that compares, and put keys under leases.
//! The server keeps its data in memory and would lose them in a crash. What it can do is to dump its state
//! and to be started with a dump, so here each answer waits until a dump that was taken after it is on disk.
//! Then a process that crashes must have kept whatever a client was told.
//!
//! Not drawn: `renew` and `differ`, which show mistakes of the server (see `README.md`).

mod model;
#[cfg(madsim)]
mod run;

use serde::{Deserialize, Serialize};
use testbed::{
    data::{outcome::Operation, plan::Plan},
    draw::{self, Load, dice::Dice},
    marks::Table,
    system::{Access, NoFault, NoNotice, NoPromise, NoTrigger, NoWitness, Process, Setup, System, Verb},
};

pub use self::model::{Ask, Entry, Store, Told};

/// The name of the one process, and its port.
const SERVER: (&str, u16) = ("etcd", 2379);

/// The keys of drawn plans.
const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a plan says about it, in `[cluster]`.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The longest a write to disk takes, in milliseconds.
    pub disk_ms_max: u64,
}

impl Setup for Options {
    fn processes(&self) -> Vec<Process> {
        vec![Process::new(SERVER.0, SERVER.1)]
    }

    fn disk_ms_max(&self) -> u64 {
        self.disk_ms_max
    }
}

/// madsim's simulation of etcd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etcd;

impl System for Etcd {
    type Setup = Options;
    type Fault = NoFault;
    type Trigger = NoTrigger;
    type Input = Ask;
    type Output = Told;
    type Model = Store;
    type Detail = ();
    type Notice = NoNotice;
    type Numbers = ();
    type Promise = NoPromise;
    type Witness = NoWitness<Self>;

    const FOLDER: &'static str = env!("CARGO_MANIFEST_DIR");
    const MARKS: &'static Table = &Table::RELAYED;
    const VERBS: &'static [Verb] = &[
        Verb { word: "put", access: Access::Writes },
        Verb { word: "get", access: Access::Reads },
        Verb { word: "delete", access: Access::Both },
        Verb { word: "swap", access: Access::Both },
        Verb { word: "hold", access: Access::Writes },
        Verb { word: "renew", access: Access::Writes },
        Verb { word: "differ", access: Access::Both },
    ];

    fn draw(seed: u64) -> Plan<Self> {
        let disk_ms_max = Dice::new(seed, "disk").weighted(&[(2, 0), (1, 5), (1, 50)]);
        let verbs = &[(4, "put"), (4, "get"), (4, "swap"), (1, "delete"), (1, "hold")];
        let plan =
            draw::plan(seed, Options { disk_ms_max }, &Load { clients: (2, 5), verbs, objects: &KEYS });
        // What relay and server say to each other takes as long as if they were on two nodes, so that busy
        // clients in a slow network come late to the end of their scripts.
        Plan { settle_ms: 2 * draw::SETTLE_MS, ..plan }
    }

    fn verb(ask: &Ask) -> Verb {
        ask.verb
    }

    fn asked(operation: &Operation<Self>) -> String {
        let Ask { verb: Verb { word, .. }, key, value } = &operation.input;
        if matches!(*word, "get" | "delete") {
            format!("{word} {key}")
        } else {
            format!("{word} {key} {value}")
        }
    }

    fn parse(words: &str, _client: &str, unique: &str) -> Result<Ask, String> {
        let (verb, key) = Verb::split::<Self>(words)?;
        Ok(Ask { verb, key: key.into(), value: unique.into() })
    }

    fn look(_: &Plan<Self>) -> Vec<String> {
        KEYS.map(|key| format!("get {key}")).into()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use testbed::{
        data::validate::validate,
        marks::{self, Strike},
    };

    use super::*;

    #[test]
    fn what_a_relay_cannot_do_is_not_drawn() {
        let faults: Vec<_> = (0..300).flat_map(|seed| Etcd::draw(seed).faults).collect();
        let is = |strike: Strike| faults.iter().any(|fault| Strike::of(&fault.kind) == strike);
        for strike in Strike::ALL.into_iter().filter(|strike| *strike != Strike::MemoryLoss) {
            assert_eq!(is(strike), strike.impossible::<Etcd>().is_none(), "{strike:?}");
        }
        assert_eq!(marks::check::<Etcd>(), Ok(()));
    }

    #[test]
    fn drawn_plans_and_findings_can_be_executed() {
        (0..300).for_each(|seed| assert_eq!(validate(&Etcd::draw(seed)), Ok(()), "seed {seed}"));
        let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
        for entry in fs::read_dir(findings).expect("a folder") {
            let path = entry.expect("readable").path();
            let text = fs::read_to_string(&path).expect("UTF-8");
            let plan: Plan<Etcd> = toml::from_str(&text).expect("a plan");
            assert_eq!(validate(&plan), Ok(()), "{}", path.display());
        }
    }
}
