//! I1: within a generation a view number names one primary, in one life, for ever; view numbers never go
//! back; nobody is told of a view that is not durable; nobody acts as primary of a view that does not name
//! it.
//!
//! Source: rules V-c and R1. It cannot see a primary that acts without saying so: that is what I6 is for.

use std::collections::BTreeMap;

use pbkv::protocol::{
    identity::{Boot, Generation, ServerId, ViewNumber},
    replica::Replica,
    view::{Record, View},
};

use super::{Broken, Check, Facts};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct OnePrimaryPerView {
    primaries: BTreeMap<(u64, u64, ViewNumber), (ServerId, Boot)>,
    /// Which process acted as primary: two may have one address, and even call their lives by one number.
    acted: BTreeMap<(u64, u64, ViewNumber), ServerId>,
}

/// Views of different histories may share a number.
fn key(generation: Generation, view: ViewNumber) -> (u64, u64, ViewNumber) {
    (generation.number, generation.nonce, view)
}

fn broken(promised: &'static str, seen: String) -> Check {
    Err(Broken { invariant: "I1", promised, seen })
}

impl OnePrimaryPerView {
    pub(super) fn check_record(&mut self, facts: &Facts, record: &Record) -> Check {
        if record.number < facts.record.number {
            return broken(
                "view numbers never go back",
                format!("{} was recorded after {}", record.number, facts.record.number),
            );
        }
        let Some(view) = &record.view else { return Ok(()) };
        if view.number != record.number || !view.insync.contains_key(&view.primary) {
            return broken("a record is consistent", format!("{record:?} was recorded"));
        }
        let named = (view.primary.clone(), view.primary_boot);
        let first = self.primaries.entry(key(view.generation, view.number)).or_insert_with(|| named.clone());
        if *first != named {
            return broken(
                "a view has one primary",
                format!("{} has both {first:?} and {named:?}", view.number),
            );
        }
        Ok(())
    }

    /// A history goes on whose record, at view `lost`, was lost.
    pub(super) fn check_adopted(&self, lost: ViewNumber, record: &Record) -> Check {
        if record.number <= lost {
            return broken(
                "view numbers never go back",
                format!("{} was recorded after the lost record's {lost}", record.number),
            );
        }
        Ok(())
    }

    pub(super) fn check_told(&self, facts: &Facts, view: &View) -> Check {
        let recorded = self.primaries.get(&key(view.generation, view.number))
            == Some(&(view.primary.clone(), view.primary_boot));
        if !recorded || view.number > facts.record.number {
            return broken(
                "a view is durable before anybody is told of it",
                format!("{} was told, but the durable record is at {}", view.number, facts.record.number),
            );
        }
        Ok(())
    }

    /// `process` is `replica`'s own name, which no other process has.
    pub(super) fn check_replica(&mut self, process: &ServerId, replica: &Replica) -> Check {
        let Some(primary) = replica.as_primary() else { return Ok(()) };
        let number = primary.view().number;
        let place = key(replica.generation(), number);
        let first = self.acted.entry(place).or_insert_with(|| process.clone());
        if first != process {
            return broken(
                "one process acts as primary of a view",
                format!("{first} and {process} do of {number}"),
            );
        }
        let named = self.primaries.get(&place);
        if number != replica.view_seen()
            || named.is_none_or(|(server, boot)| server != replica.server() || *boot != replica.boot())
        {
            return broken(
                "only the server and life that a view names act as its primary",
                format!(
                    "{} in life {} acts as primary of {number}, which names {named:?}",
                    replica.server(),
                    replica.boot()
                ),
            );
        }
        Ok(())
    }
}
