//! Questions to an outcome. Each answer is a value or a sentence about what was seen instead.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use pbkv::protocol::{
    replica::{self, RoleName},
    view::View,
    view_service,
};
use testbed::data::nodes;

pub use crate::store::notice::name;
use crate::{
    bound::{End, Happening, Operation, Outcome},
    store::{
        self,
        operation::{Input, Output},
    },
};

/// What a run left behind, and how patient the claim may be.
pub struct Evidence<'a> {
    pub outcome: &'a Outcome,
    /// The longest wait that a claim about waiting allows.
    pub patience: Duration,
}

impl<'a> Evidence<'a> {
    /// Views as they were proposed.
    pub fn proposals(&self) -> impl Iterator<Item = (Duration, &'a View)> {
        self.outcome.timeline.iter().filter_map(|moment| match &moment.event {
            Happening::Notice(store::Notice::ViewService(view_service::Notice::Proposed {
                view, ..
            })) => Some((moment.at, view)),
            _ => None,
        })
    }

    /// Views as they were recorded to be acknowledged.
    pub fn activations(&self) -> impl Iterator<Item = (Duration, &'a View)> {
        self.outcome.timeline.iter().filter_map(|moment| match &moment.event {
            Happening::Notice(store::Notice::ViewService(view_service::Notice::Activated(view))) => {
                Some((moment.at, view))
            }
            _ => None,
        })
    }

    /// What a server reported, in order.
    pub fn notices(&self) -> impl Iterator<Item = (Duration, &'a str, &'a replica::Notice)> {
        self.outcome.timeline.iter().filter_map(|moment| match &moment.event {
            Happening::Notice(store::Notice::Replica(notice)) => Some((moment.at, &*moment.node, notice)),
            _ => None,
        })
    }

    /// Who became primary, and when.
    pub fn promotions(&self) -> impl Iterator<Item = (Duration, &'a str)> {
        self.notices().filter_map(|(at, node, notice)| match notice {
            replica::Notice::RoleChanged { role: RoleName::Primary, .. } => Some((at, node)),
            _ => None,
        })
    }

    /// When the fault at this place of the plan struck.
    pub fn fault(&self, place: usize) -> Result<Duration, String> {
        let began = self.outcome.timeline.iter().find_map(|moment| match &moment.event {
            Happening::FaultBegan { fault, .. } if *fault == place => Some(moment.at),
            _ => None,
        });
        began.ok_or_else(|| format!("fault {place} of the plan never struck"))
    }

    /// Operations of the scripts that were called in this span.
    pub fn called(&self, from: Duration, to: Duration) -> impl Iterator<Item = &'a Operation> {
        let operations = self.outcome.operations.iter();
        operations.filter(move |operation| {
            from <= operation.called && operation.called <= to && nodes::has_script(&operation.client)
        })
    }

    /// Every call was answered; at least `count` of them.
    pub fn all_returned(&self, count: usize) -> Result<(), String> {
        let called: Vec<_> = self.called(Duration::ZERO, Duration::MAX).collect();
        if called.len() < count {
            return Err(format!("only {} calls, expected at least {count}", called.len()));
        }
        match called.iter().find(|operation| !matches!(operation.end, End::Returned { .. })) {
            None => Ok(()),
            Some(operation) => Err(format!("an operation that was not answered: {operation:?}")),
        }
    }

    /// No client waited longer than this for an answer, and there was something to wait for.
    pub fn longest_wait(&self, most: Duration) -> Result<(), String> {
        self.all_returned(1)?;
        let wait =
            |operation: &Operation| operation.end.at().map_or(Duration::MAX, |at| at - operation.called);
        let longest = self.called(Duration::ZERO, Duration::MAX).max_by_key(|operation| wait(operation));
        match longest {
            Some(operation) if wait(operation) > most => {
                Err(format!("a client that waited {:?}, more than {most:?}: {operation:?}", wait(operation)))
            }
            _ => Ok(()),
        }
    }

    /// Some operation that was called in this span was answered in it.
    pub fn served(&self, from: Duration, to: Duration) -> Result<(), String> {
        let served = self
            .called(from, to)
            .any(|operation| matches!(operation.end, End::Returned { at, .. } if at <= to));
        if served { Ok(()) } else { Err(format!("no operation served between {from:?} and {to:?}")) }
    }

    /// The view service proposed `server` as the primary no later than this after `from`.
    pub fn takes_over(&self, server: &str, from: Duration, within: Duration) -> Result<Duration, String> {
        let found = self.proposals().find(|(at, view)| *at >= from && name(&view.primary) == server);
        match found {
            Some((at, _)) if at - from <= within => Ok(at),
            Some((at, _)) => {
                Err(format!("{server} took over {:?} after the fault, more than {within:?}", at - from))
            }
            None => Err(format!("{server} never became primary after {from:?}")),
        }
    }

    /// The last value that anybody read of this key.
    pub fn last_read(&self, key: &str) -> Result<&'a Bytes, String> {
        let reads = self.outcome.operations.iter().rev();
        let mut values = reads.filter_map(|operation| match (&operation.input, &operation.end) {
            (Input::Get { key: own }, End::Returned { output: Output::Value(Some(value)), .. })
                if own == key =>
            {
                Some(value)
            }
            _ => None,
        });
        values.next().ok_or_else(|| format!("nobody read a value of {key}"))
    }

    /// In the final value of a key, each appended value stands once, unless its fate is unknown, then at most
    /// once; and those of one client stand in the order of its calls. At least `count` were appended.
    pub fn each_append_once_in_order(&self, key: &str, count: usize) -> Result<(), String> {
        let end = self.last_read(key)?;
        let mut behind: BTreeMap<&str, usize> = BTreeMap::new();
        let mut appended = 0;
        for operation in &self.outcome.operations {
            let Input::Append { key: own, value } = &operation.input else { continue };
            if own != key {
                continue;
            }
            let places = places(end, value);
            let returned = matches!(operation.end, End::Returned { .. });
            match (places.as_slice(), returned) {
                ([place], _) => {
                    if behind.get(&*operation.client).is_some_and(|last| place < last) {
                        return Err(format!(
                            "{value:?} of {} stands before an earlier one in {end:?}",
                            operation.client
                        ));
                    }
                    behind.insert(&operation.client, *place);
                    appended += 1;
                }
                ([], false) => {}
                ([], true) => return Err(format!("{value:?} was answered and is not in {end:?}")),
                (many, _) => return Err(format!("{value:?} stands {} times in {end:?}", many.len())),
            }
        }
        if appended < count {
            return Err(format!("only {appended} appends, expected at least {count}"));
        }
        Ok(())
    }
}

fn places(text: &[u8], part: &[u8]) -> Vec<usize> {
    if part.is_empty() {
        return Vec::new();
    }
    text.windows(part.len()).enumerate().filter(|(_, window)| *window == part).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn append(client: &str, value: &'static str, returned: bool) -> Operation {
        let at = Duration::from_millis(5);
        let end = if returned {
            End::Returned { at, output: Output::Done }
        } else {
            End::Unknown { at, why: String::new() }
        };
        let input = Input::Append { key: "k".into(), value: value.into() };
        Operation { end, ..Operation::called(Arc::from(client), Duration::ZERO, input) }
    }

    fn judged(mut operations: Vec<Operation>, value: &'static str, count: usize) -> Result<(), String> {
        let end = End::Returned { at: Duration::from_secs(1), output: Output::Value(Some(value.into())) };
        let input = Input::Get { key: "k".into() };
        operations
            .push(Operation { end, ..Operation::called(Arc::from("reader"), Duration::from_secs(1), input) });
        let outcome = Outcome { operations, ..Outcome::default() };
        Evidence { outcome: &outcome, patience: Duration::ZERO }.each_append_once_in_order("k", count)
    }

    #[test]
    fn appends_stand_once_and_in_order() {
        let both = || vec![append("c1", "a;", true), append("c1", "b;", true), append("c2", "x;", false)];
        assert_eq!(judged(both(), "a;b;", 2), Ok(()));
        assert_eq!(judged(both(), "a;x;b;", 3), Ok(()));
        for (bad, why) in
            [("b;a;", "order"), ("a;", "lost"), ("a;b;a;", "twice"), ("x;a;x;b;", "unknown, twice")]
        {
            assert!(judged(both(), bad, 0).is_err(), "{why}: accepted {bad}");
        }
        assert!(judged(both(), "a;b;", 3).is_err(), "too few to show anything");
    }
}
