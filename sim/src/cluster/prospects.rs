//! What the simulator knows of the cluster as a whole: who holds the data, who reaches whom, and what clients are owed.

use std::{collections::BTreeMap, sync::PoisonError};

use pbkv::protocol::{
    identity::{DataId, ServerId},
    view::{Members, Record},
};

use super::{Cluster, Process, Status};
use crate::{
    health::Surroundings,
    liveness::{Prospect, Scene},
    network::NodeIndex,
    nodes::Nodes,
};

impl Cluster {
    /// Whether a server may lose its memory: unless the scenario is about the loss of all data, a copy must
    /// remain among those from which the next primary is taken, and among those of the current view once its primary
    /// began to acknowledge it: the acknowledgement, which may be on its way, makes them those.
    pub(super) fn may_forget(&self, node: NodeIndex) -> bool {
        if node == Nodes::VIEW_SERVICE {
            return false;
        }
        let spares = |members: &Members| members.is_empty() || self.intact(members, Some(node));
        let (acknowledged, complete) = {
            let observer = self.world.observer();
            let facts = observer.invariants().facts();
            (facts.acknowledged, facts.complete.clone())
        };
        let allows = |record: &Record| {
            let in_use = record.view.as_ref().filter(|view| acknowledged >= view.number);
            spares(&record.stable) && in_use.is_none_or(|view| spares(&view.insync))
        };
        // The one that is there may become the durable one.
        let found = self.found_record();
        self.world.scenario.data_loss
            || (spares(&complete)
                && allows(&self.world.durable_record())
                && found.is_none_or(|found| allows(&found)))
    }

    /// Whether one of these, other than `except`, still has its data.
    fn intact(&self, members: &Members, except: Option<NodeIndex>) -> bool {
        members
            .iter()
            .any(|(server, data)| self.holder(server, *data).is_some_and(|node| Some(node) != except))
    }

    /// The node of a member that still has its data.
    fn holder(&self, server: &ServerId, data: DataId) -> Option<NodeIndex> {
        let node = self.world.nodes.server(server)?;
        let disk = self.world.disk(node).lock().unwrap_or_else(PoisonError::into_inner);
        (disk.content().data == Some(data)).then_some(node)
    }

    /// What is around the machines of the view service and of the servers. `stutters`: one of them does.
    pub fn surroundings(&self, stutters: bool) -> Surroundings {
        let last = *self.world.nodes.servers().end();
        let network = self.world.links.network();
        let pairs = (0..=last).flat_map(|one| (one + 1..=last).map(move |other| (one, other)));
        let apart = pairs
            .filter(|(one, other)| network.cut(*one, *other).or(network.cut(*other, *one)).is_some())
            .collect();
        Surroundings {
            runs: (0..=last)
                .map(|node| {
                    let is_right = self.mishap.is_none() && self.is_cleaned;
                    let serves = node != Nodes::VIEW_SERVICE || is_right;
                    serves && self.status(node) == Status::Up
                })
                .collect(),
            apart,
            answers: self.status(Nodes::VIEW_SERVICE) == Status::Up,
            disturbed: stutters || network.disturbs(0..last + 1),
        }
    }

    /// What every client can expect if nothing is repaired any more.
    pub fn prospects(&self) -> BTreeMap<NodeIndex, Prospect> {
        let record = self.world.durable_record();
        let holders = self.holders();
        let conditions: Vec<_> = self.processes.iter().map(Process::condition).collect();
        let scene = Scene {
            nodes: &self.world.nodes,
            record: &record,
            network: &self.world.links.network(),
            conditions: &conditions,
            holders: holders.as_deref(),
            is_calm: self.world.scenario.faults.len() == 1,
            copies_min: *self.world.scenario.cluster.copies_min().end(),
        };
        scene.prospects()
    }

    /// The servers that hold all the data, by what is on their disks and not by the record; none as long as there are no
    /// data.
    fn holders(&self) -> Option<Vec<NodeIndex>> {
        let observer = self.world.observer();
        let facts = observer.invariants().facts();
        let nodes = facts.holders().filter_map(|(server, _)| self.world.nodes.server(server));
        (!facts.complete.is_empty()).then(|| nodes.collect())
    }

    /// Whether the data are gone: nobody has its copy any more of those that held all of them.
    pub fn is_data_lost(&self) -> bool {
        self.holders().is_some_and(|holders| holders.is_empty())
    }
}
