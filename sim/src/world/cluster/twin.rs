//! Two processes with one address: a server was started a second time while the first process runs on, or a
//! pod was started anew elsewhere behind a partition.
//!
//! The second process is a node of its own, with an address of its own in the simulated network. What the
//! servers call an address is a name, and which of the two nodes that leads to is changed under them. A
//! connection that was made before stays where it is, in both directions. Not simulated: two sockets behind
//! one network address, between which a switch decides for each packet.

use std::sync::PoisonError;

use super::{Cluster, Status};
use crate::{
    data::{fault::Memory, node::NodeIndex, nodes::ip, outcome::Down},
    world::now,
};

/// A server with two processes.
#[derive(Clone, Copy)]
pub(super) struct Twins {
    pub(super) server: NodeIndex,
    /// The process that its address leads to.
    leads_to: NodeIndex,
}

impl Cluster {
    /// Starts a second process with the address of a server, which runs. The error says why that is
    /// impossible.
    pub fn begin_twin(&mut self, server: NodeIndex) -> Result<(), String> {
        let name = self.world.nodes.name(server).clone();
        if let Some(other) = self.twins {
            return Err(format!("{} has a twin", self.world.nodes.name(other.server)));
        }
        if !matches!(self.status(server), Status::Up | Status::Paused(_)) {
            return Err(format!("{name} does not run"));
        }
        let twin = self.twin();
        self.lead(server, twin);
        self.twins = Some(Twins { server, leads_to: twin });
        self.start(twin);
        Ok(())
    }

    /// The address of the server that has a twin leads to the twin, or to the server again.
    pub fn turn(&mut self, to_twin: bool) {
        if let Some(Twins { server, .. }) = self.twins {
            let leads_to = if to_twin { self.twin() } else { server };
            self.lead(server, leads_to);
            self.twins = Some(Twins { server, leads_to });
        }
    }

    /// Whether a server has a twin.
    pub fn has_twin(&self) -> bool {
        self.twins.is_some()
    }

    /// One of the two processes ends: the first one if the address `moves`, else the second one. Whoever
    /// holds the last copy of the data stays. Returns whether it is the second one, which goes on under the
    /// address of the first one; it has to begin another life for that.
    pub fn end_twin(&mut self, moves: bool) -> Option<bool> {
        let (server, twin) = (self.twins?.server, self.twin());
        let was_up = matches!(self.status(server), Status::Up | Status::Paused(_));
        let ends_first = moves && was_up && self.stop(server, Down::Crash, Memory::Lost) == Ok(Memory::Lost);
        let forgets = if ends_first { Memory::Kept } else { Memory::Lost };
        let was_there = self.stop(twin, Down::Crash, forgets);
        let stays = ends_first || was_there == Ok(Memory::Kept);
        if stays {
            if was_up && !ends_first {
                self.stop(server, Down::Crash, Memory::Kept).ok();
            }
            let held = self.world.disk(twin).lock().unwrap_or_else(PoisonError::into_inner).content().clone();
            self.world.disk(server).lock().unwrap_or_else(PoisonError::into_inner).replace(held);
            self.world.observer().disk_lost(now(), server);
        }
        self.world.disk(twin).lock().unwrap_or_else(PoisonError::into_inner).wipe();
        self.world.observer().disk_lost(now(), twin);
        self.twins = None;
        self.lead(server, server);
        if was_up || stays {
            self.start(server);
        }
        Some(stays)
    }

    /// What is wrong beside a twin, after so much time that nothing should be: whoever is reached at its
    /// address and holds all the data can lead, and one of those does; and if `is_complete` is due, all that
    /// are reached hold copies, as far as they are wanted.
    pub fn lacks_service(&self, is_complete: bool) -> Option<String> {
        let world = &self.world;
        let reached = |server: NodeIndex| {
            let leads_to = self.twins.filter(|twins| twins.server == server).map(|twins| twins.leads_to);
            Some(leads_to.unwrap_or(server)).filter(|node| self.status(*node) == Status::Up)
        };
        let held =
            |node: NodeIndex| world.disk(node).lock().unwrap_or_else(PoisonError::into_inner).content().data;
        let record = world.durable_record();
        let observer = world.observer();
        let facts = observer.invariants().facts();
        let node_with = |(server, data)| {
            let node = world.nodes.server(server).and_then(reached);
            node.filter(|node| held(*node) == Some(data))
        };
        facts.holders().find_map(node_with)?;
        let view = record.view.as_ref()?;
        let primary = world.nodes.server(&view.primary).and_then(reached);
        let seen = primary.and_then(|primary| observer.last_seen(primary));
        let leads = seen.is_some_and(|seen| seen.view == view.number && seen.leads_since.is_some());
        let (number, name) = (view.number, primary.map_or("nobody", |primary| &**world.nodes.name(primary)));
        if !leads || !view.activated {
            return Some(format!(
                "beside a twin, {name} is reached as the primary of {number} and does not lead it"
            ));
        }
        let copies = view.insync.iter().filter_map(|(server, data)| node_with((server, *data))).count();
        let wanted = (world.plan.cluster.replicas as usize).min(world.nodes.servers().count());
        let lacks = is_complete && copies < wanted;
        lacks.then(|| {
            format!("beside a twin, {number} of {name} has {copies} of {wanted} copies within reach")
        })
    }

    fn twin(&self) -> NodeIndex {
        self.world.nodes.twin().expect("a plan with a twin has a node for it")
    }

    /// What is called at the address of `server` reaches `node`.
    fn lead(&self, server: NodeIndex, node: NodeIndex) {
        let network = madsim::net::NetSim::current();
        network.add_dns_record(self.world.nodes.name(server), ip(node).into());
    }
}
