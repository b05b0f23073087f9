//! What etcd promises of a key, as far as it is asked here. Values are unique.

use linearizability::Model;
use testbed::system::Verb;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// `put`, `get` or `delete`; `swap` (read the key, and write it if it is still what was read), `hold`
    /// (put it under a fresh lease), `renew` (put it again under the lease of the last `hold`) or `differ`
    /// (put it if it has another value than one that is never written),
    pub verb: Verb,
    /// this key,
    pub key: String,
    /// and what is written.
    pub value: String,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Told {
    /// It is written.
    Done,
    /// The value of the key. A swap that finds none does nothing.
    Value(Option<String>),
    /// Whether there was something to delete.
    Deleted(bool),
    /// It is written in place of this value.
    Swapped(String),
    /// It is not: the value is not this one any more.
    Kept(String),
    /// It is not: what was compared is not so.
    Refused,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its value.
    pub value: String,
    /// Whether it may be gone at any time.
    pub is_leased: bool,
}

/// Keys and values, of which those under a lease may be gone at any time.
#[derive(Default)]
pub struct Store;

impl Model for Store {
    type Input = Ask;
    type Output = Told;
    type State = Option<Entry>;
    type Key<'a> = &'a str;

    fn init(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, ask: &Ask, told: Option<&Told>) -> Option<Self::State> {
        let is_leased = matches!(ask.verb.word, "hold" | "renew");
        let written = Some(Entry { value: ask.value.clone(), is_leased });
        let Some(told) = told else {
            return Some(match ask.verb.word {
                "get" => state.clone(),
                "swap" | "differ" if state.is_none() => None,
                "delete" => None,
                _ => written,
            });
        };
        let holds = |now: &Self::State, value: &String| now.as_ref().is_some_and(|now| now.value == *value);
        let next = |now: Self::State| match (ask.verb.word, told) {
            ("put" | "hold" | "renew", Told::Done) => Some(written.clone()),
            ("get", Told::Value(value)) => {
                (now.as_ref().map(|now| &now.value) == value.as_ref()).then_some(now)
            }
            ("delete", Told::Deleted(was_there)) => (*was_there == now.is_some()).then_some(None),
            ("swap", Told::Value(None)) => now.is_none().then_some(None),
            ("swap", Told::Swapped(from)) => holds(&now, from).then(|| written.clone()),
            ("swap", Told::Kept(from)) => (!holds(&now, from)).then_some(now),
            ("differ", Told::Done) => now.is_some().then(|| written.clone()),
            ("differ", Told::Refused) => now.is_none().then_some(None),
            _ => None,
        };
        let is_leased = state.as_ref().is_some_and(|entry| entry.is_leased);
        next(state.clone()).or_else(|| next(None).filter(|_| is_leased))
    }

    fn partition<'a>(&self, ask: &'a Ask) -> &'a str {
        &ask.key
    }
}

#[cfg(test)]
mod tests {
    use testbed::system::Access;

    use super::*;

    fn ask(word: &'static str, value: &str) -> Ask {
        Ask { verb: Verb { word, access: Access::Both }, key: "a".into(), value: value.into() }
    }

    fn after(told: &[(Ask, Told)]) -> Option<Option<String>> {
        let step = |state: Option<Entry>, (ask, told): &(Ask, Told)| Store.step(&state, ask, Some(told));
        let state = told.iter().try_fold(Store.init(), step)?;
        Some(state.map(|entry| entry.value))
    }

    #[test]
    fn a_swap_takes_the_place_of_the_value_that_it_read_and_of_no_other() {
        let swap = |from: &str| (ask("swap", "y"), Told::Swapped(from.into()));
        let put = (ask("put", "x"), Told::Done);
        assert_eq!(after(&[put.clone(), swap("x")]), Some(Some("y".into())));
        assert_eq!(after(&[put, swap("w")]), None);
        assert_eq!(after(&[swap("x")]), None);
    }

    #[test]
    fn only_a_key_under_a_lease_is_gone_without_being_deleted_and_then_it_is_gone() {
        let (gone, still) = (Told::Value(None), Told::Value(Some("x".into())));
        let get = |told: &Told| (ask("get", ""), told.clone());
        let hold = (ask("hold", "x"), Told::Done);
        assert_eq!(after(&[hold.clone(), get(&still), get(&gone)]), Some(None));
        assert_eq!(after(&[hold, get(&gone), get(&still)]), None);
        assert_eq!(after(&[(ask("put", "x"), Told::Done), get(&gone)]), None);
    }

    #[test]
    fn nothing_differs_from_a_value() {
        assert_eq!(after(&[(ask("differ", "x"), Told::Done)]), None);
        assert_eq!(after(&[(ask("differ", "x"), Told::Refused)]), Some(None));
    }
}
