//! What an operator makes of the view service's record: it is lost, or an old copy takes its place.

use std::sync::PoisonError;

use pbkv::{
    protocol::identity::{ServerId, ViewNumber},
    storage::record_file::FILE,
};

use super::{Cluster, Status};
use crate::{files::Files, nodes::Nodes, outcome::Down, scenario::Memory};

/// What an operator made of the view service's record.
pub(super) struct Mishap {
    /// The folder with the latest record.
    kept: Files,
    /// Its number.
    number: ViewNumber,
    /// The server whose data is to go on.
    pub(super) adopt: Option<ServerId>,
}

impl Cluster {
    /// The record of the view service, which is down, is gone, so that a server's data is to go on; or an old copy is in its
    /// place.
    ///
    /// # Errors
    ///
    /// If that is impossible.
    pub fn lose_record(&mut self, adopt: Option<ServerId>) -> Result<(), String> {
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
        self.mishap = Some(Mishap { kept, number, adopt });
        Ok(())
    }

    /// An operator looks whether a server's data goes on. If not, the view service is stopped, and started with its latest
    /// record. Returns whether there was anything to look after.
    pub fn find_record(&mut self) -> bool {
        let Some(Mishap { kept, number, adopt }) = self.mishap.take() else { return false };
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
