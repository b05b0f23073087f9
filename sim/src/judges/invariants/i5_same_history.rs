//! I5: the committed operations of any two replicas are prefixes of one and the same history.
//!
//! Source: rules R5 and R7. Operations that came with a snapshot are compared by the snapshot's position
//! only.

use std::collections::BTreeMap;

use pbkv::protocol::{
    identity::{OpNumber, Position, ServerId},
    replica::{Effect, Notice, Replica},
};

use super::{Broken, Check, facts::Committed};

/// Servers that keep to the protocol never contradict what another one committed. A replica refuses such a
/// message and says so.
pub(super) fn check_refusals(server: &ServerId, effects: &[Effect]) -> Check {
    for effect in effects {
        if let Effect::Notice(Notice::PeerRefused { from, why }) = effect {
            let seen = format!("{server} refused a message of {from}: {why}");
            return Err(Broken {
                invariant: "I5",
                promised: "no replica contradicts what another committed",
                seen,
            });
        }
    }
    Ok(())
}

#[derive(Clone, Debug, Default)]
pub(super) struct SameHistory {
    commits: BTreeMap<ServerId, OpNumber>,
}

impl SameHistory {
    pub(super) fn forget(&mut self, server: &ServerId) {
        self.commits.remove(server);
    }

    /// Compares what `replica` committed since the last time, and adds what nobody had committed. What it
    /// committed and moved into its snapshot in one step is known by what stood before it in a log.
    pub(super) fn check(
        &mut self,
        server: &ServerId,
        replica: &Replica,
        before: impl Fn(Position) -> Option<Position>,
        committed: &mut Committed,
    ) -> Check {
        let commit = replica.commit();
        let seen = self.commits.get(server).copied().unwrap_or_default();
        if seen == commit {
            return Ok(());
        }
        self.commits.insert(server.clone(), commit);
        let broken = |seen| {
            Err(Broken { invariant: "I5", promised: "all replicas commit one and the same history", seen })
        };
        if commit < seen {
            return broken(format!("{server} went back from {seen} to {commit}"));
        }
        let mut in_snapshot = Vec::new();
        let mut position = replica.log().base();
        while position.op.0 > committed.len() as u64 {
            in_snapshot.push(position);
            let Some(earlier) = before(position) else {
                return broken(format!("{server} committed {position:?}, which was in nobody's log"));
            };
            position = earlier;
        }
        in_snapshot.into_iter().rev().for_each(|position| committed.push(position));
        let mut op = seen.max(OpNumber(replica.log().base().op.0.saturating_sub(1))).next();
        while op <= commit {
            let Some(position) = replica.log().position(op) else {
                return broken(format!("{server} committed {op}, which is not in its log"));
            };
            match committed.get(op) {
                Some(first) if first == position => {}
                Some(first) => {
                    return broken(format!("{server} committed {position:?} where {first:?} is committed"));
                }
                None if op.0 == committed.len() as u64 + 1 => committed.push(position),
                None => return broken(format!("{server} committed {position:?} before what precedes it")),
            }
            op = op.next();
        }
        Ok(())
    }
}
