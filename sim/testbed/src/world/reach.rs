//! What clients can expect of a system about which nothing else is known: everything if every process runs
//! and all reach each other, else nothing in particular.

use std::collections::BTreeMap;

use crate::{
    data::node::NodeIndex,
    judges::liveness::{Condition, Prospect},
    world::{cluster::Cluster, simulated::Simulated},
};

/// What each client can expect, the reader among them.
pub fn prospects<S: Simulated>(cluster: &Cluster<S>) -> BTreeMap<NodeIndex, Prospect> {
    let world = cluster.world();
    let nodes = &world.nodes;
    let name = |node: NodeIndex| &**nodes.name(node);
    let conditions = cluster.conditions();
    let trouble = nodes.processes().find_map(|node| match conditions[node] {
        Condition::Runs => None,
        Condition::StandsStill => Some(format!("{} stands still", name(node))),
        Condition::IsDown => Some(format!("{} is down", name(node))),
    });
    let network = world.links.network();
    let apart = |one: NodeIndex| {
        let mut others = nodes.processes().filter(|other| *other != one);
        let other = others.find(|other| network.apart(one, *other))?;
        Some(format!("{} is cut off from {}", name(one), name(other)))
    };
    let trouble = trouble.or_else(|| nodes.processes().find_map(apart));
    let clients = nodes.clients().chain([nodes.reader()]);
    let still = |client: NodeIndex| {
        (conditions[client] == Condition::StandsStill).then(|| format!("{} stands still", name(client)))
    };
    let prospect = |client| trouble.clone().or_else(|| still(client)).or_else(|| apart(client));
    clients.map(|client| (client, prospect(client).map_or(Prospect::Served, Prospect::Perhaps))).collect()
}
