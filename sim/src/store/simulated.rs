//! The store, run.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use pbkv::proto::proves_not_executed;
use testbed::{
    data::node::NodeIndex,
    judges::liveness::Prospect,
    world::{
        encoding::Type,
        now,
        script::NoCaller,
        simulated::{Liar, Simulated},
    },
};
use tonic::{Status, codegen::BoxMessage};

use super::{Pbkv, client, forgery::Earlier, nodes::Nodes, process, prospects, script, shared::Shared, wire};
use crate::bound::{Cluster, Nemesis, Plan, World};

impl Simulated for Pbkv {
    type Shared = Shared;

    type Caller = NoCaller;

    const MESSAGES: &'static [Type] = wire::TYPES;

    fn may_start(world: &World, node: NodeIndex) -> bool {
        world.own.nodes.twin() != Some(node) || world.own.operator().has_twin()
    }

    fn process(world: Arc<World>, node: NodeIndex, life: u64) -> impl Future<Output = ()> + Send + 'static {
        process::run(world, node, life)
    }

    fn client(world: Arc<World>, node: NodeIndex) -> impl Future<Output = ()> + Send + 'static {
        client::run(world, node)
    }

    fn reader(world: Arc<World>) -> impl Future<Output = ()> + Send + 'static {
        let keys = script::keys(&world.plan);
        client::read_everything(world, keys)
    }

    fn linger(world: Arc<World>, until: Duration) -> impl Future<Output = ()> + Send + 'static {
        client::linger(world, until)
    }

    fn is_volatile(plan: &Plan) -> bool {
        plan.cluster.volatile
    }

    fn may_forget(world: &World, node: NodeIndex) -> bool {
        prospects::may_forget(world, node)
    }

    fn may_end(world: &World, node: NodeIndex) -> Result<(), String> {
        prospects::may_end(world, node)
    }

    fn resolve(world: &World, role: &str, up: &[bool]) -> Result<NodeIndex, String> {
        world.own.nodes.resolve(role, &world.own.durable_record(), up)
    }

    fn has_drive(world: &World, node: NodeIndex) -> Result<(), String> {
        let keeps = node == Nodes::VIEW_SERVICE || !world.plan.cluster.volatile;
        if keeps { Ok(()) } else { Err(format!("{} keeps nothing on disk", world.nodes.name(node))) }
    }

    fn parts_of_a_write(node: NodeIndex) -> u64 {
        // The record's file is synced, and then its name; a journal's, and sometimes a new one with its name.
        if node == Nodes::VIEW_SERVICE { 2 } else { 3 }
    }

    fn accesses_of_a_start(node: NodeIndex) -> u64 {
        // The record is read and replaced. Of a journal are read names and sectors, and older files removed.
        if node == Nodes::VIEW_SERVICE { 2 } else { 12 }
    }

    fn prospects(cluster: &Cluster) -> BTreeMap<NodeIndex, Prospect> {
        prospects::prospects(cluster)
    }

    fn surrounded(nemesis: &Nemesis, cause: Option<&'static str>) {
        let disturbs = nemesis.stutters() || nemesis.world().own.operator().has_twin();
        let surroundings = prospects::surroundings(nemesis.cluster(), disturbs);
        nemesis.world().observer().witness.health.surrounded(now(), surroundings, cause);
    }

    fn is_lost(world: &World) -> bool {
        prospects::is_data_lost(world)
    }

    fn standing(cluster: &Cluster) -> Vec<String> {
        let world = cluster.world();
        let observer = world.observer();
        let record = world.own.durable_record();
        let dead_after = world.plan.cluster.view_service_options(1).dead_after;
        let mut lines = vec![match &record.view {
            None => format!("vs: no view; a server that it does not hear for {dead_after:?} is dead to it"),
            Some(view) => format!("vs: {view:?}, stable {:?}", record.stable),
        }];
        for node in world.nodes.processes() {
            let standing = cluster.standing(node);
            lines.push(match observer.witness.last_seen(node) {
                Some(seen) => format!(
                    "{standing}, {:?} in {:?}, committed up to {:?}",
                    seen.role, seen.view, seen.commit
                ),
                None => standing,
            });
        }
        lines
    }

    fn words(message: &BoxMessage) -> Option<String> {
        wire::words(message)
    }

    fn liar() -> Option<Box<dyn Liar>> {
        Some(Box::new(Earlier::default()))
    }

    fn proves_not_executed(status: &Status) -> bool {
        proves_not_executed(status)
    }
}
