//! I5: the committed operations of any two replicas are prefixes of one and the same history.
//!
//! Source: section 8. Operations that came with a snapshot are compared by the snapshot's position only.

use std::collections::BTreeMap;

use pbkv::protocol::{
    identity::{OpNumber, ServerId},
    replica::Replica,
};

use super::{
    Broken, Check,
    facts::{Committed, Disk},
};

#[derive(Default)]
pub(super) struct SameHistory {
    commits: BTreeMap<ServerId, OpNumber>,
}

impl SameHistory {
    pub(super) fn forget(&mut self, server: &ServerId) {
        self.commits.remove(server);
    }

    /// Compares what `replica` committed since the last time, and adds what nobody had committed.
    pub(super) fn check(
        &mut self,
        server: &ServerId,
        replica: &Replica,
        disk: Option<&Disk>,
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
        // What was committed and then compacted away in one step is still on disk.
        let position = |op| replica.log().position(op).or_else(|| disk?.position(op));
        let base = OpNumber(replica.log().base().op.0.saturating_sub(1));
        let first_new = OpNumber(committed.len() as u64);
        let mut op = seen.max(base.min(first_new)).next();
        while op <= commit {
            let Some(position) = position(op) else {
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
