//! What an operator makes of the view service's record: it is lost, or an old copy takes its place.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use pbkv::{
    protocol::{
        identity::{Position, ViewNumber},
        view_service::adoption::Adopt,
    },
    storage::record_file::{FILE, RecordFile},
};
use testbed::{
    data::{fault::Memory, node::NodeIndex, outcome::Down},
    hardware::files::{Files, SimulatedFolder},
    world::{cluster::Status, now},
};

use super::{hardware::Folder, nodes::Nodes, observe, shared};
use crate::bound::{Cluster, World};

/// What an operator made of the view service's record.
pub(super) struct LostRecord {
    /// The folder with the latest record.
    kept: Files,
    /// Its number.
    number: ViewNumber,
    /// The server whose data is to go on.
    pub(super) adopt: Option<Adopt>,
    /// The lives of the view service and of that server which follow or go on.
    lives: (u64, u64),
}

/// The record of the view service, which is down, is gone, so that a server's data is to go on; or an old
/// copy is in its place.
///
/// # Errors
///
/// If that is impossible.
pub(super) fn lose_record(cluster: &Cluster, adopt: Option<Adopt>) -> Result<(), String> {
    let world = cluster.world().clone();
    let older = world.own.older_copy();
    let number = world.own.durable_record().number;
    if world.own.operator().lost.is_some() || number == ViewNumber(0) || (adopt.is_none() && older.is_none())
    {
        return Err("there is no record to lose, or no older one".into());
    }
    let mut files = world.own.folder();
    let kept = files.lose();
    match older.filter(|_| adopt.is_none()) {
        Some(older) => files.put(FILE, &older),
        None => observe::record_lost(&mut world.observer()),
    }
    let named = adopt.as_ref().and_then(|adopt| world.own.nodes.server(&adopt.server));
    let lives = (cluster.life(Nodes::VIEW_SERVICE) + 1, named.map_or(0, |named| cluster.life(named)));
    world.own.operator().lost = Some(LostRecord { kept, number, adopt, lives });
    Ok(())
}

/// An operator who had a server's data go on, whatever others hold, is not obeyed, although nothing
/// stands between it and that server, which runs and holds something. It is for the caller to say that
/// this has been so for long enough.
pub(super) fn is_disobeyed(cluster: &Cluster) -> Option<String> {
    let operator = cluster.world().own.operator();
    let LostRecord { adopt: Some(Adopt { server, anyway: true }), number, lives, .. } =
        operator.lost.as_ref()?
    else {
        return None;
    };
    let world = cluster.world();
    let (vs, node) = (Nodes::VIEW_SERVICE, world.own.nodes.server(server)?);
    let runs =
        [vs, node].iter().all(|node| cluster.status(*node) == Status::Up && !world.drive(*node).is_stalled());
    let goes_on = (cluster.life(vs), cluster.life(node)) == *lives;
    let disk = world.own.disk_of(node);
    let holds = disk.content().data.is_some() && disk.content().log.end() != Position::default();
    let is_owed = runs && goes_on && holds && !world.links.network().apart(vs, node);
    (is_owed && world.own.durable_record().number == *number)
        .then(|| format!("an operator had the data of {server} go on, whatever others hold, and it does not"))
}

/// The servers that run and hold more than what an operator had go on, and are not taken in.
pub(super) fn left_behind(cluster: &Cluster) -> Vec<NodeIndex> {
    let world = cluster.world();
    let record = world.own.durable_record();
    let Some((adopted, view)) = record.adopted.as_ref().zip(record.view.as_ref()) else {
        return Vec::new();
    };
    let holds_more = |node: &NodeIndex| {
        let disk = world.own.disk_of(*node);
        disk.content().log.end() > adopted.end && view.data_of(world.own.nodes.id(*node)).is_none()
    };
    let running = cluster.up();
    world.own.nodes.servers().filter(|node| running[*node]).filter(holds_more).collect()
}

/// An operator gives all data up, while the view service is down: its record says so. Servers that hold
/// data of what was given up are looked after some day.
///
/// # Errors
///
/// If there is no data to lose, or the operator has made another mistake.
pub(super) fn accept_loss(cluster: &Cluster) -> Result<(), String> {
    let world = cluster.world().clone();
    let found = world.own.found_record().filter(|found| found.view.is_some());
    let Some(found) = found.filter(|_| world.own.operator().lost.is_none()) else {
        return Err("there is no data that could be lost".into());
    };
    let given_up = found.accept_data_loss();
    // What the operator's command does takes no time.
    let written = Arc::new(Mutex::new(Files::new(0, 0)));
    let mut file =
        RecordFile::new(Folder(SimulatedFolder::new(written.clone(), Arc::default()), "vs".into()));
    file.replace(&given_up).now_or_never().expect("nothing takes time").expect("the folder is there");
    drop(file);
    let written = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    world.own.folder().put_back(written);
    shared::data_given_up(&world, &given_up);
    world.own.operator().needs_cleaning = true;
    Ok(())
}

/// The servers that hold data of a generation that was given up, on disk.
pub(super) fn strangers(world: &World) -> Vec<NodeIndex> {
    let record = world.own.durable_record();
    let is_stranger = |node: &NodeIndex| {
        let disk = world.own.disk_of(*node);
        let held = disk.content();
        let is_bound = held.log.end() != Position::default() || held.view_seen > record.number;
        held.data.is_some() && held.generation.number < record.generation.number && is_bound
    };
    world.own.nodes.servers().filter(is_stranger).collect()
}

/// Ends a server and all that it holds. The error says why that is impossible.
pub(super) fn empty(cluster: &mut Cluster, node: NodeIndex) -> Result<(), String> {
    cluster.stop(node, Down::Crash, Memory::Kept)?;
    let world = cluster.world();
    world.own.disk_of(node).wipe();
    observe::disk_lost(&mut world.observer(), now(), node);
    Ok(())
}

/// An operator looks whether a server's data goes on. If not, the view service is stopped, and started
/// with its latest record. Returns whether there was anything to look after.
pub(super) fn find_record(cluster: &mut Cluster) -> bool {
    let world = cluster.world().clone();
    let Some(LostRecord { kept, number, adopt, .. }) = world.own.operator().lost.take() else { return false };
    let record = world.own.durable_record();
    if record.number != number {
        return true;
    }
    let up = matches!(cluster.status(Nodes::VIEW_SERVICE), Status::Up | Status::Paused(_));
    if up {
        cluster.stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept).expect("it runs");
    }
    world.own.folder().put_back(kept);
    if adopt.is_some() {
        observe::record_restored(&mut world.observer(), &record);
    }
    if up {
        cluster.start(Nodes::VIEW_SERVICE);
    }
    true
}
