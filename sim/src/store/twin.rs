//! Two processes with one address: a server was started a second time while the first process runs on, or a
//! pod was started anew elsewhere behind a partition.
//!
//! The second process is a node of its own, with an address of its own in the simulated network. What the
//! servers call an address is a name, and which of the two nodes that leads to is changed under them. A
//! connection that was made before stays where it is, in both directions. Not simulated: two sockets behind
//! one network address, between which a switch decides for each packet.

use testbed::{
    data::{fault::Memory, node::NodeIndex, nodes::ip, outcome::Down},
    world::{cluster::Status, now},
};

use super::operator::Twins;
use crate::{
    bound::{Cluster, World},
    store::observe,
};

/// Starts a second process with the address of a server, which runs. The error says why that is
/// impossible.
pub(super) fn begin(cluster: &mut Cluster, server: NodeIndex) -> Result<(), String> {
    let world = cluster.world().clone();
    let name = world.nodes.name(server).clone();
    if let Some(other) = world.own.operator().twins {
        return Err(format!("{} has a twin", world.nodes.name(other.server)));
    }
    if !matches!(cluster.status(server), Status::Up | Status::Paused(_)) {
        return Err(format!("{name} does not run"));
    }
    let twin = twin(&world);
    lead(&world, server, twin);
    world.own.operator().twins = Some(Twins { server, leads_to: twin });
    cluster.start(twin);
    Ok(())
}

/// The address of the server that has a twin leads to the twin, or to the server again.
pub(super) fn turn(world: &World, to_twin: bool) {
    let twins = world.own.operator().twins;
    if let Some(Twins { server, .. }) = twins {
        let leads_to = if to_twin { twin(world) } else { server };
        lead(world, server, leads_to);
        world.own.operator().twins = Some(Twins { server, leads_to });
    }
}

/// One of the two processes ends: the first one if the address `moves`, else the second one. Whoever
/// holds the last copy of the data stays. Returns whether it is the second one, which goes on under the
/// address of the first one; it has to begin another life for that.
pub(super) fn end(cluster: &mut Cluster, moves: bool) -> Option<bool> {
    let world = cluster.world().clone();
    let (server, twin) = (world.own.operator().twins?.server, twin(&world));
    let was_up = matches!(cluster.status(server), Status::Up | Status::Paused(_));
    let ends_first = moves && was_up && cluster.stop(server, Down::Crash, Memory::Lost) == Ok(Memory::Lost);
    let forgets = if ends_first { Memory::Kept } else { Memory::Lost };
    let was_there = cluster.stop(twin, Down::Crash, forgets);
    let stays = ends_first || was_there == Ok(Memory::Kept);
    if stays {
        if was_up && !ends_first {
            cluster.stop(server, Down::Crash, Memory::Kept).ok();
        }
        world.own.disk_of(server).replace(&world.own.disk_of(twin));
        observe::disk_lost(&mut world.observer(), now(), server);
    }
    world.own.disk_of(twin).wipe();
    observe::disk_lost(&mut world.observer(), now(), twin);
    world.own.operator().twins = None;
    lead(&world, server, server);
    if was_up || stays {
        cluster.start(server);
    }
    Some(stays)
}

/// What is wrong beside a twin, after so much time that nothing should be: whoever is reached at its
/// address and holds all the data can lead, and one of those does; and if `is_complete` is due, all that
/// are reached hold copies, as far as they are wanted.
pub(super) fn lacks_service(cluster: &Cluster, is_complete: bool) -> Option<String> {
    let world = cluster.world();
    let reached = |server: NodeIndex| {
        let leads_to =
            world.own.operator().twins.filter(|twins| twins.server == server).map(|twins| twins.leads_to);
        Some(leads_to.unwrap_or(server)).filter(|node| cluster.status(*node) == Status::Up)
    };
    let held = |node: NodeIndex| world.own.disk_of(node).content().data;
    let record = world.own.durable_record();
    let observer = world.observer();
    let facts = observer.witness.invariants.facts();
    let node_with = |(server, data)| {
        let node = world.own.nodes.server(server).and_then(reached);
        node.filter(|node| held(*node) == Some(data))
    };
    facts.holders().find_map(node_with)?;
    let view = record.view.as_ref()?;
    let primary = world.own.nodes.server(&view.primary).and_then(reached);
    let seen = primary.and_then(|primary| observer.witness.last_seen(primary));
    let leads = seen.is_some_and(|seen| seen.view == view.number && seen.leads_since.is_some());
    let (number, name) = (view.number, primary.map_or("nobody", |primary| &**world.nodes.name(primary)));
    if !leads || !view.activated {
        return Some(format!(
            "beside a twin, {name} is reached as the primary of {number} and does not lead it"
        ));
    }
    let copies = view.insync.iter().filter_map(|(server, data)| node_with((server, *data))).count();
    let wanted = (world.plan.cluster.replicas as usize).min(world.own.nodes.servers().count());
    let lacks = is_complete && copies < wanted;
    lacks.then(|| format!("beside a twin, {number} of {name} has {copies} of {wanted} copies within reach"))
}

fn twin(world: &World) -> NodeIndex {
    world.own.nodes.twin().expect("a plan with a twin has a node for it")
}

/// What is called at the address of `server` reaches `node`.
fn lead(world: &World, server: NodeIndex, node: NodeIndex) {
    let network = madsim::net::NetSim::current();
    network.add_dns_record(world.nodes.name(server), ip(node).into());
}
