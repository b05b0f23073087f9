//! The folder as a running process sees it: calls take time, and the drive below may hold them up or fail.

#[cfg(test)]
mod tests;

use std::{
    future, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Files;
use crate::world::drive::{Access, Drive};

/// The folder as a running process sees it.
pub struct SimulatedFolder {
    files: Arc<Mutex<Files>>,
    /// The drive that holds it.
    drive: Arc<Drive>,
    life: u64,
    /// What the latest write took that was not synced yet.
    write_took: Duration,
    /// What it takes to sync the names after a file was synced.
    names_take: Duration,
}

impl SimulatedFolder {
    /// What the process of the current life sees.
    pub fn new(files: Arc<Mutex<Files>>, drive: Arc<Drive>) -> Self {
        let life = files.lock().unwrap_or_else(PoisonError::into_inner).life;
        Self { files, drive, life, write_took: Duration::ZERO, names_take: Duration::ZERO }
    }

    /// The folder, unless this life is over.
    fn files(&self) -> io::Result<MutexGuard<'_, Files>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.life == self.life { Ok(files) } else { Err(io::Error::other("this process is dead")) }
    }

    /// Waits for the drive, for ever if this life is over by then.
    async fn wait(&self, time: Duration, access: Access) -> io::Result<()> {
        if !time.is_zero() {
            madsim::time::sleep(time).await;
        }
        let done = self.drive.access(access).await;
        if self.files().is_err() {
            future::pending::<()>().await;
        }
        done
    }

    /// The folder, for an access that takes no time, unless that fails.
    fn accessed(&self, access: Access) -> io::Result<MutexGuard<'_, Files>> {
        let files = self.files()?;
        self.drive.access_at_once(access)?;
        Ok(files)
    }

    /// Waits as long as it takes to read all that is in it. What is read after that takes no more time.
    ///
    /// # Errors
    ///
    /// If the drive fails, or this life is over; so for the others, too.
    pub async fn until_read(&self) -> io::Result<()> {
        let takes = self.files()?.reading_takes();
        self.wait(takes, Access::Read).await
    }

    /// The names of all files, in order.
    ///
    /// # Errors
    ///
    /// If the drive fails.
    pub fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.accessed(Access::Read)?.names())
    }

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.accessed(Access::Read)?.read(name)
    }

    /// What a file holds from `offset` on, or the beginning of that.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.accessed(Access::Read)?.read_at(name, offset, into)
    }

    /// Makes a file or replaces what it holds.
    ///
    /// # Errors
    ///
    /// If the drive fails. A part may have been written then.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.files()?;
        let written = self.drive.access_at_once(Access::Write);
        match &written {
            Ok(()) => files.write(name, bytes),
            Err(_) => files.write_in_part(name, bytes),
        }
        written
    }

    /// Makes a file hold this from `offset` on. If this life ends meanwhile, it holds a prefix of that.
    ///
    /// # Errors
    ///
    /// If the drive fails. A prefix may have been written then.
    pub async fn write_at(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let takes = self.files()?.begin_write(name, offset, bytes);
        self.write_took = takes;
        let written = self.wait(takes, Access::Write).await;
        let mut files = self.files()?;
        match &written {
            Ok(()) => files.complete_write(),
            Err(_) => files.fail_write(),
        }
        written
    }

    /// Makes a file end there.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.accessed(Access::Truncate)?.truncate(name, length)
    }

    /// Makes durable what a file holds.
    ///
    /// # Errors
    ///
    /// If the drive fails, or there is no such file.
    pub async fn sync(&mut self, name: &str) -> io::Result<()> {
        let after = std::mem::take(&mut self.write_took);
        let (takes, names_take) = self.files()?.takes(after);
        self.names_take = names_take;
        let synced = self.wait(takes, Access::Sync).await;
        let mut files = self.files()?;
        match &synced {
            Ok(()) => files.sync(name)?,
            Err(_) => files.fail_sync(name)?,
        }
        synced
    }

    /// Gives a file another name.
    ///
    /// # Errors
    ///
    /// If there is no such file.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.accessed(Access::Rename)?.rename(from, to)
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        self.accessed(Access::Remove)?.remove(name)
    }

    /// Makes the names durable.
    ///
    /// # Errors
    ///
    /// If the drive fails.
    pub async fn sync_names(&mut self) -> io::Result<()> {
        let synced = self.wait(self.names_take, Access::Sync).await;
        let mut files = self.files()?;
        match &synced {
            Ok(()) => files.sync_names(),
            Err(_) => files.fail_sync_names(),
        }
        synced
    }
}
