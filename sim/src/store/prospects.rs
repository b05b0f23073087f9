//! What is known of the cluster as a whole: who holds the data, who reaches whom, and what clients are owed.

use std::collections::{BTreeMap, BTreeSet};

use pbkv::protocol::{
    identity::{DataId, ServerId},
    message::VIEW_LEAP_MAX,
    replica::RoleName,
    view::{Members, Record},
};
use testbed::{data::node::NodeIndex, judges::liveness::Prospect, world::cluster::Status};

use super::{
    nodes::Nodes,
    reachability::{Reachability, Reign},
    record,
    setup::VIEW_SERVICE,
    witness::Heard,
};
use crate::{
    bound::{Cluster, End, FaultKind, World},
    judges::health::Surroundings,
};

/// Whether a server may lose its memory: unless the plan is about the loss of all data, a copy must
/// remain among those from which the next primary is taken, and among those of the current view once its
/// primary began to acknowledge it: the acknowledgement, which may be on its way, makes them those.
pub fn may_forget(world: &World, node: NodeIndex) -> bool {
    if node == Nodes::VIEW_SERVICE {
        return false;
    }
    let spares = |members: &Members| members.is_empty() || intact(world, members, Some(node));
    let (acknowledged, complete) = {
        let observer = world.observer();
        let facts = observer.witness.invariants.facts();
        (facts.acknowledged, facts.complete.clone())
    };
    let allows = |record: &Record| {
        let in_use = record.view.as_ref().filter(|view| acknowledged >= view.number);
        spares(&record.stable) && in_use.is_none_or(|view| spares(&view.insync))
    };
    // The one that is there may become the durable one.
    let found = world.own.found_record();
    world.plan.data_loss
        || (spares(&complete)
            && allows(&world.own.durable_record())
            && found.is_none_or(|found| allows(&found)))
}

/// Whether one of these, other than `except`, still has its data.
fn intact(world: &World, members: &Members, except: Option<NodeIndex>) -> bool {
    members.iter().any(|(server, data)| holder(world, server, *data).is_some_and(|node| Some(node) != except))
}

/// The node of a member that still has its data.
fn holder(world: &World, server: &ServerId, data: DataId) -> Option<NodeIndex> {
    let node = world.own.nodes.server(server)?;
    let disk = world.own.disk_of(node);
    (disk.content().data == Some(data) && !disk.is_older()).then_some(node)
}

/// What the view service has heard last of a server, if that is all that there is to be known: nothing in the
/// plan exchanges its record, makes its drive fail, or gives the server's address to another process.
pub fn heard(world: &World, node: NodeIndex) -> Option<Heard> {
    let is_in_doubt = |kind: &FaultKind| match kind {
        FaultKind::DiskFailure { node, .. } => node == VIEW_SERVICE,
        FaultKind::Own(_) => true,
        _ => false,
    };
    let is_known = !world.plan.faults.iter().any(|fault| is_in_doubt(&fault.kind));
    world.observer().witness.heard(node).filter(|_| is_known)
}

/// Whether a process may be ended. The view service must not forget what it heard of a server before that
/// knows that its disk is an older copy.
pub fn may_end(world: &World, node: NodeIndex) -> Result<(), String> {
    let unnoticed = world.own.nodes.servers().find(|server| world.own.disk_of(*server).is_older());
    match unnoticed.filter(|_| node == Nodes::VIEW_SERVICE) {
        None => Ok(()),
        Some(server) => {
            let name = world.nodes.name(server);
            Err(format!("{name} does not know yet that its disk is an older copy, and nothing else tells it"))
        }
    }
}

/// What is around the machines of the view service and of the servers. `stutters`: one of them does.
pub fn surroundings(cluster: &Cluster, stutters: bool) -> Surroundings {
    let world = cluster.world();
    let last = *world.own.nodes.servers().end();
    let network = world.links.network();
    let pairs = (0..=last).flat_map(|one| (one + 1..=last).map(move |other| (one, other)));
    let (mut apart, mut closed) = (BTreeSet::new(), BTreeSet::new());
    for (one, other) in pairs.filter(|(one, other)| network.apart(*one, *other)) {
        apart.insert((one, other));
        if !network.parted(one, other) {
            closed.insert((one, other));
        }
    }
    let unreached = world.own.nodes.servers().filter(|server| {
        let (vs, server) = (Nodes::VIEW_SERVICE, *server);
        !network.parted(vs, server)
            && network.closed(vs, server).is_some()
            && network.closed(server, vs).is_none()
    });
    Surroundings {
        unreached: unreached.collect(),
        stalled: (0..=last).filter(|node| world.drive(*node).is_stalled()).collect(),
        runs: (0..=last)
            .map(|node| {
                let is_right = world.own.operator().is_done();
                let serves = node != Nodes::VIEW_SERVICE || is_right;
                serves && cluster.status(node) == Status::Up
            })
            .collect(),
        apart,
        closed,
        answers: cluster.status(Nodes::VIEW_SERVICE) == Status::Up,
        strangers: if world.own.operator().needs_cleaning {
            record::strangers(world).into_iter().collect()
        } else {
            BTreeSet::new()
        },
        disturbed: stutters || network.disturbs(0..last + 1),
    }
}

/// What every client can expect if nothing is repaired any more.
pub fn prospects(cluster: &Cluster) -> BTreeMap<NodeIndex, Prospect> {
    let world = cluster.world();
    let record = world.own.durable_record();
    let holders = holders(world);
    let conditions = cluster.conditions();
    let reign = reign(cluster, &record);
    let reachability = Reachability {
        nodes: &world.own.nodes,
        record: &record,
        network: &world.links.network(),
        conditions: &conditions,
        holders: holders.as_deref(),
        is_calm: world.plan.faults.len() == 1,
        copies_min: *world.plan.cluster.copies_min().end(),
        reign: reign.as_ref(),
    };
    reachability.prospects()
}

/// The servers that hold all the data, by what is on their disks and not by the record; none as long as
/// there are no data.
fn holders(world: &World) -> Option<Vec<NodeIndex>> {
    let observer = world.observer();
    let facts = observer.witness.invariants.facts();
    let nodes = facts.holders().filter_map(|(server, _)| world.own.nodes.server(server));
    (!facts.complete.is_empty()).then(|| nodes.collect())
}

/// Who goes on while the view service is gone: the primary of the recorded view, if it leads it and knows
/// that it is activated, and no server obeys a later one. Not where somebody lies of such views.
fn reign(cluster: &Cluster, record: &Record) -> Option<Reign> {
    let world = cluster.world();
    let clients = &world.plan.clients;
    let hears_lies = world.observer().witness.invariants.hears_lies();
    if cluster.status(Nodes::VIEW_SERVICE) == Status::Up || hears_lies {
        return None;
    }
    // Beyond that number a server that was started since does not believe the primary alone (R19).
    let view = record.view.as_ref().filter(|view| view.activated && view.number.0 <= VIEW_LEAP_MAX)?;
    let primary = world.own.nodes.server(&view.primary)?;
    let observer = world.observer();
    let facts = observer.witness.invariants.facts();
    let seen = |node: NodeIndex| observer.witness.last_seen(node);
    let since = seen(primary).filter(|seen| seen.view == view.number)?.leads_since?;
    let is_latest = facts.disks.values().all(|disk| disk.view_seen <= view.number)
        && world.own.nodes.servers().filter_map(seen).all(|seen| seen.view <= view.number);
    let members = || view.insync.iter().chain(&view.joining);
    if !is_latest || !members().all(|(server, data)| facts.is_intact(server, *data)) {
        return None;
    }
    let others = members().filter_map(|(server, _)| world.own.nodes.server(server));
    // One that was started since is not accepted by anybody, and obeys nobody (R22).
    let obeys =
        |node| seen(node).is_some_and(|seen| seen.view == view.number && seen.role == RoleName::Backup);
    if !others.clone().filter(|other| *other != primary).all(obeys) {
        return None;
    }
    let first = world.nodes.clients().start;
    // One that comes back as another client knows nobody.
    let stays =
        |client: &NodeIndex| clients[*client - first].script.iter().all(|line| !line.contains(" restart "));
    let answered = observer
        .operations()
        .iter()
        .filter(|operation| operation.called >= since && matches!(operation.end, End::Returned { .. }));
    let known_to = answered.filter_map(|operation| world.nodes.find(&operation.client));
    Some(Reign {
        primary,
        others: others.filter(|other| *other != primary).collect(),
        copies: view.insync.len(),
        known_to: known_to.filter(|node| world.nodes.clients().contains(node)).filter(stays).collect(),
    })
}

/// Whether the data are gone: nobody has its copy any more of those that held all of them.
pub fn is_data_lost(world: &World) -> bool {
    holders(world).is_some_and(|holders| holders.is_empty())
}
