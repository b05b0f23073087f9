//! How everything stands at a moment: gathered from what is there anyway. Nothing is drawn, sent or waited
//! for.

use std::{sync::TryLockError, time::Duration};

use crate::{
    data::{
        node::{NodeIndex, NodeName},
        nodes::Nodes,
        outcome::{End, Operation},
        standing::{Sort, Stands},
    },
    hardware::network::{Active, Effect},
    nemesis::in_plans,
    observer::messages::{MESSAGES_MAX, Messages},
    report::timeline,
    world::{
        World,
        cluster::Cluster,
        flights::{Due, Flight},
        now,
        simulated::{Shared, Simulated},
    },
};

/// How everything stands now. None if something that this looks at is being used right now.
pub(super) fn standing<S: Simulated>(cluster: &Cluster<S>) -> Option<Vec<Stands>> {
    let world = &**cluster.world();
    let links = links(world)?;
    let disks: Option<Vec<_>> = processes(world).map(|node| disk(world, node)).collect();
    let mut lines: Vec<Stands> =
        S::standing(cluster).into_iter().map(|text| of_system(&world.nodes, text)).collect();
    lines.extend(disks?.into_iter().flatten());
    lines.extend(links);
    lines.extend(messages(world));
    lines.extend(calls(world));
    Some(lines)
}

fn processes<S: Simulated>(world: &World<S>) -> impl Iterator<Item = NodeIndex> + '_ {
    world.nodes.processes().chain(world.nodes.spares())
}

/// A line of the system's own. It is about the node with whose name it begins.
fn of_system(nodes: &Nodes, text: String) -> Stands {
    let node = text.split_once(':').and_then(|(name, _)| nodes.find(name));
    let nodes = node.map(|node| nodes.name(node).clone()).into_iter().collect();
    Stands { sort: Sort::Stands, nodes, text }
}

fn disk<S: Simulated>(world: &World<S>, node: NodeIndex) -> Option<Vec<Stands>> {
    let name = world.nodes.name(node);
    let lines = S::Shared::on_disk(world, node)?.into_iter().chain(world.drive(node).standing());
    let line = |text| Stands { sort: Sort::Disk, nodes: vec![name.clone()], text: format!("{name}: {text}") };
    Some(lines.map(line).collect())
}

/// What the faults of the network do, and which streams let nothing pass.
fn links<S: Simulated>(world: &World<S>) -> Option<Vec<Stands>> {
    let network = match world.links.try_network() {
        Ok(network) => network,
        Err(TryLockError::Poisoned(network)) => network.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    let nodes = &world.nodes;
    let mut lines: Vec<Stands> = network.active().iter().map(|active| fault(nodes, active)).collect();
    for (opener, other) in world.links.flights().map(|flights| flights.mute()).unwrap_or_default() {
        let names = [nodes.name(opener).clone(), nodes.name(other).clone()];
        let text = format!(
            "{} to {}: a stream lets nothing pass any more, and neither end knows",
            names[0], names[1]
        );
        lines.push(Stands { sort: Sort::Link, nodes: names.into(), text });
    }
    Some(lines)
}

fn fault(nodes: &Nodes, Active { fault, link, effect, .. }: &Active) -> Stands {
    let (from, to) = (named(nodes, &link.from, &link.to), named(nodes, &link.to, &link.from));
    let what = match effect {
        Effect::Cut { both_ways, how } => {
            format!("{from} {} {to} ({})", if *both_ways { "<-/->" } else { "-/->" }, in_plans(how))
        }
        Effect::Closed { how } => format!("{to} is not reached by {from} ({})", in_plans(how)),
        Effect::Slow { both_ways, latency, jitter } => format!(
            "{from} {} {to}: {} to {} ms slower",
            if *both_ways { "<->" } else { "->" },
            latency.as_millis(),
            (*latency + *jitter).as_millis()
        ),
        Effect::Mistreat { how, percent } => format!("{from} -> {to}: {} {percent} %", in_plans(how)),
    };
    let about = link.from.iter().chain(&link.to).map(|node| nodes.name(*node).clone()).collect();
    Stands { sort: Sort::Link, nodes: about, text: format!("{what}, by fault {fault}") }
}

/// These nodes by name, or that they are all but the others.
fn named(nodes: &Nodes, these: &[NodeIndex], others: &[NodeIndex]) -> String {
    if these.len() > 1 && these.len() + others.len() == nodes.len() {
        return "all others".into();
    }
    these.iter().map(|node| &**nodes.name(*node)).collect::<Vec<_>>().join(",")
}

/// The messages on their way: those that a fault holds, and those that the network brings by its latency.
fn messages<S: Simulated>(world: &World<S>) -> Vec<Stands> {
    let (nodes, now) = (&world.nodes, now());
    let told = |flight: &Flight| S::HAS_STEPS && nodes.is_process(flight.from) && nodes.is_process(flight.to);
    let mut flights = world.links.flights().map(|flights| flights.now(now)).unwrap_or_default();
    // What processes say to each other is known from their steps, until a fault holds it.
    flights.retain(|flight| !told(flight) || !matches!(flight.due, Due::Between(..)));
    let latest = now.saturating_sub(world.links.latency_max());
    let mut held: Vec<(NodeIndex, NodeIndex)> = flights
        .iter()
        .filter(|flight| told(flight) && flight.sent >= latest)
        .map(|flight| (flight.from, flight.to))
        .collect();
    let observer = world.observer();
    for message in observer.messages.iter().flat_map(|messages| messages.on_their_way(latest)) {
        let way = (message.from, message.to);
        if let Some(place) = held.iter().position(|other| *other == way) {
            held.swap_remove(place);
            continue;
        }
        let (sent, text) = (message.sent, message.text.to_string());
        let due = world.links.by_latency(sent);
        flights.push(Flight { from: message.from, to: message.to, text, sent, due });
    }
    flights.sort_by_key(|flight| flight.sent);
    let mut lines: Vec<Stands> = flights.iter().map(|flight| message(nodes, flight, now)).collect();
    if observer.messages.as_ref().is_some_and(Messages::is_full) {
        let text = format!("what processes sent after the first {MESSAGES_MAX} messages is not known");
        lines.push(Stands { sort: Sort::Message, nodes: Vec::new(), text });
    }
    lines
}

fn message(nodes: &Nodes, Flight { from, to, text, sent, due }: &Flight, now: Duration) -> Stands {
    let names = [nodes.name(*from).clone(), nodes.name(*to).clone()];
    let due = match due {
        Due::Between(_, last) if *last < now => "has arrived, not taken up".to_owned(),
        Due::Between(first, last) if first == last => format!("arrives at {}", at(*first)),
        Due::Between(first, last) => format!("arrives between {} and {}", at(*first), at(*last)),
        Due::At(time) => format!("held until {}", at(*time)),
        Due::After(what) => format!("waits for {what} to end"),
    };
    let text = format!("{} -> {}: {text}; sent at {}, {due}", names[0], names[1], at(*sent));
    Stands { sort: Sort::Message, nodes: names.into(), text }
}

/// The calls of clients that have not ended.
fn calls<S: Simulated>(world: &World<S>) -> Vec<Stands> {
    let observer = world.observer();
    let open = observer.operations().iter().filter(|operation| operation.end == End::Open);
    let line = |client: &NodeName, text| Stands { sort: Sort::Call, nodes: vec![client.clone()], text };
    open.map(|operation| line(&operation.client, call(world, operation))).collect()
}

/// An open call, and what came of its attempts so far.
pub(super) fn call<S: Simulated>(world: &World<S>, operation: &Operation<S>) -> String {
    let client = world.nodes.find(&operation.client).expect("clients are nodes");
    let (asked, since) = (S::asked(operation), at(operation.called));
    let attempts = world.links.attempts.of(&world.nodes, client, operation.called);
    format!("{asked} by {}, since {since}; {attempts}", operation.client)
}

/// A time without the spaces before it.
fn at(time: Duration) -> String {
    timeline::time(time).trim_start().to_owned()
}
