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

use super::{Cluster, Status};
use crate::{
    data::{fault::Memory, node::NodeIndex, outcome::Down},
    hardware::files::{Files, SimulatedFolder},
    store::nodes::Nodes,
    world::now,
};

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

impl Cluster {
    /// The record of the view service, which is down, is gone, so that a server's data is to go on; or an old
    /// copy is in its place.
    ///
    /// # Errors
    ///
    /// If that is impossible.
    pub fn lose_record(&mut self, adopt: Option<Adopt>) -> Result<(), String> {
        let world = self.world.clone();
        let older = world.older_copy();
        let number = world.durable_record().number;
        if self.mishap.is_some() || number == ViewNumber(0) || (adopt.is_none() && older.is_none()) {
            return Err("there is no record to lose, or no older one".into());
        }
        let mut files = world.record.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = files.lose();
        match older.filter(|_| adopt.is_none()) {
            Some(older) => files.put(FILE, &older),
            None => world.observer().record_lost(),
        }
        let named = adopt.as_ref().and_then(|adopt| world.nodes.server(&adopt.server));
        let lives = (self.life(Nodes::VIEW_SERVICE) + 1, named.map_or(0, |named| self.life(named)));
        self.mishap = Some(LostRecord { kept, number, adopt, lives });
        Ok(())
    }

    /// An operator who had a server's data go on, whatever others hold, is not obeyed, although nothing
    /// stands between it and that server, which runs and holds something. It is for the caller to say that
    /// this has been so for long enough.
    pub fn is_disobeyed(&self) -> Option<String> {
        let LostRecord { adopt: Some(Adopt { server, anyway: true }), number, lives, .. } =
            self.mishap.as_ref()?
        else {
            return None;
        };
        let world = &self.world;
        let (vs, node) = (Nodes::VIEW_SERVICE, world.nodes.server(server)?);
        let runs = [vs, node]
            .iter()
            .all(|node| self.status(*node) == Status::Up && !world.drive(*node).is_stalled());
        let goes_on = (self.life(vs), self.life(node)) == *lives;
        let disk = world.disk(node).lock().unwrap_or_else(PoisonError::into_inner);
        let holds = disk.content().data.is_some() && disk.content().log.end() != Position::default();
        let is_owed = runs && goes_on && holds && !world.links.network().apart(vs, node);
        (is_owed && world.durable_record().number == *number).then(|| {
            format!("an operator had the data of {server} go on, whatever others hold, and it does not")
        })
    }

    /// The servers that run and hold more than what an operator had go on, and are not taken in.
    pub fn left_behind(&self) -> Vec<NodeIndex> {
        let record = self.world.durable_record();
        let Some((adopted, view)) = record.adopted.as_ref().zip(record.view.as_ref()) else {
            return Vec::new();
        };
        let holds_more = |node: &NodeIndex| {
            let disk = self.world.disk(*node).lock().unwrap_or_else(PoisonError::into_inner);
            disk.content().log.end() > adopted.end && view.data_of(self.world.nodes.id(*node)).is_none()
        };
        let running = self.up();
        self.world.nodes.servers().filter(|node| running[*node]).filter(holds_more).collect()
    }

    /// An operator gives all data up, while the view service is down: its record says so. Servers that hold
    /// data of what was given up are looked after some day.
    ///
    /// # Errors
    ///
    /// If there is no data to lose, or the operator has made another mistake.
    pub fn accept_loss(&mut self) -> Result<(), String> {
        let world = self.world.clone();
        let found = self.found_record().filter(|found| found.view.is_some());
        let (Some(found), None) = (found, &self.mishap) else {
            return Err("there is no data that could be lost".into());
        };
        let given_up = found.accept_data_loss();
        // What the operator's command does takes no time.
        let written = Arc::new(Mutex::new(Files::new(0, 0)));
        let mut file = RecordFile::new(SimulatedFolder::new(written.clone(), Arc::default()));
        file.replace(&given_up).now_or_never().expect("nothing takes time").expect("the folder is there");
        drop(file);
        let written = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        world.record.lock().unwrap_or_else(PoisonError::into_inner).put_back(written);
        world.data_given_up(&given_up);
        self.is_cleaned = false;
        Ok(())
    }

    /// The servers that hold data of a generation that was given up, on disk.
    pub fn strangers(&self) -> Vec<NodeIndex> {
        let record = self.world.durable_record();
        let is_stranger = |node: &NodeIndex| {
            let disk = self.world.disk(*node).lock().unwrap_or_else(PoisonError::into_inner);
            let held = disk.content();
            let is_bound = held.log.end() != Position::default() || held.view_seen > record.number;
            held.data.is_some() && held.generation.number < record.generation.number && is_bound
        };
        self.world.nodes.servers().filter(is_stranger).collect()
    }

    /// No server that runs or will run holds data that was given up.
    pub fn cleaned(&mut self) {
        self.is_cleaned = true;
    }

    /// Ends a server and all that it holds. The error says why that is impossible.
    pub fn empty(&mut self, node: NodeIndex) -> Result<(), String> {
        self.stop(node, Down::Crash, Memory::Kept)?;
        self.world.disk(node).lock().unwrap_or_else(PoisonError::into_inner).wipe();
        self.world.observer().disk_lost(now(), node);
        Ok(())
    }

    /// An operator looks whether a server's data goes on. If not, the view service is stopped, and started
    /// with its latest record. Returns whether there was anything to look after.
    pub fn find_record(&mut self) -> bool {
        let Some(LostRecord { kept, number, adopt, .. }) = self.mishap.take() else { return false };
        let world = self.world.clone();
        let record = world.durable_record();
        if record.number != number {
            return true;
        }
        let up = matches!(self.status(Nodes::VIEW_SERVICE), Status::Up | Status::Paused(_));
        if up {
            self.stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept).expect("it runs");
        }
        world.record.lock().unwrap_or_else(PoisonError::into_inner).put_back(kept);
        if adopt.is_some() {
            world.observer().record_restored(&record);
        }
        if up {
            self.start(Nodes::VIEW_SERVICE);
        }
        true
    }
}
