//! I8: a state is a function of the log: what a replica applied is, at each operation, what comes out if the
//! committed operations are applied one after the other. Keys, sessions with the time at which each is
//! forgotten, and the log's clock.
//!
//! Source: section 6, and 4.4 for a state that was transferred. A backup that holds rubbish is seen here
//! although it is never promoted, and although nobody reads what is wrong.
//!
//! It cannot see a mistake of the function itself: the operations are applied by the code of production. It
//! compares a state as a whole, which costs what the state weighs, so it does not look after every step:
//! first when a life or a log begins anew, that is after a restart or an installed state, then every
//! [`INTERVAL`]th operation, and at the end of a run; each time at the next operation at which the observer
//! knows the state.

use std::{collections::BTreeMap, fmt::Debug};

use pbkv::protocol::{
    identity::{OpNumber, Position, ServerId},
    replica::Replica,
    store::{Cursor, State},
};

use super::{Broken, Check};
use crate::judges::order::ServersOrder;

/// A state that was compared is compared again after so many operations.
pub(super) const INTERVAL: u64 = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct StateOfTheLog {
    /// Where each server's log began, and what it had committed, when its state was compared last.
    compared: BTreeMap<ServerId, (Position, OpNumber)>,
    closing: bool,
}

impl StateOfTheLog {
    pub(super) fn forget(&mut self, server: &ServerId) {
        self.compared.remove(server);
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn check(&mut self, server: &ServerId, replica: &Replica, order: &ServersOrder) -> Check {
        let (base, commit) = (replica.log().base(), replica.commit());
        let is_due = self.compared.get(server).is_none_or(|(last_base, last)| {
            commit > *last && (self.closing || base != *last_base || commit.0 >= last.0 + INTERVAL)
        });
        if !is_due {
            return Ok(());
        }
        let Some(expected) = order.state_after(commit) else { return Ok(()) };
        self.compared.insert(server.clone(), (base, commit));
        if replica.state() == expected {
            return Ok(());
        }
        Err(Broken {
            invariant: "I8",
            promised: "a state is a function of the log",
            seen: format!("{server} at {commit} {}", difference(replica.state(), expected)),
        })
    }
}

/// The first difference between two states, in words.
fn difference(state: &State, expected: &State) -> String {
    let whole = |state: &State| state.part(&Cursor::Start, usize::MAX).0;
    let (has, should) = (whole(state), whole(expected));
    let first = has.iter().zip(&should).find(|(one, other)| one != other);
    let differs = |has: &dyn Debug, should: &dyn Debug| format!("holds {has:?}, the log says {should:?}");
    match first {
        Some((has, should)) => differs(has, should),
        None if has.len() != should.len() => {
            format!("holds {} items, the log says {}", has.len(), should.len())
        }
        None => "forgets a session at another time than the log says".into(),
    }
}
