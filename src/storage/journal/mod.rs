//! What a server remembers, in a journal: one file that tells all changes in their order.
//!
//! ```text
//! 7.journal        a title, then what the memory was when the file was made, then every change since
//! 8.journal.new    the next one, while it is written
//! 6.damaged        a file that was found damaged, for whoever wants to know why
//! journal.lock     held locked while a server runs in this folder
//! ```
//!
//! Changes are appended in batches, one at a time, and each is synced before the next one begins ([`sector`]
//! says how they lie on the disk). A batch for which there is no room takes zeros behind it along. Those
//! after it change what the file holds and not its length: to sync them, the file system need not write more.
//!
//! When the file has grown by as much again as it began with, or is four times as long as what is stored, it
//! is written anew, a piece after each batch: disk and time to read it stay proportional to what is stored,
//! and no batch waits for more than a piece. A state that replaces everything is a new file from the start. A
//! new file takes its name when all of it is durable, and the old one goes when that is durable, too.
//!
//! A start reads the file with the highest number. The end of a batch that was torn is cut off: nobody was
//! told of it. Of the last whole one nobody knows whether its sync succeeded. It is written again before
//! anything is built on it, since a sync after one that failed says nothing about what that one left behind;
//! and for the same reason the file is given another name. If anything else is damaged, the memory is void:
//! the file is set aside, and the server is a stranger that gets the state from another one. After an error
//! nothing is written any more, and the process has to end.

pub mod backup;
pub mod change;
mod look;
mod reader;
pub mod sector;

#[cfg(test)]
mod tests;

pub use self::look::{Looked, look};

use std::{collections::VecDeque, io, path::Path};

use self::{
    change::Change,
    reader::{Contents, Kind, Reader, Unread, fill, title},
    sector::{Batch, Found, SECTOR},
};
use super::{
    Progress, Storage,
    folder::{Folder, OsFolder},
};
use crate::{
    proto,
    protocol::{
        identity::ServerId,
        log::{Durable, Write},
    },
};

/// How the name of a journal's file ends,
pub const SUFFIX: &str = ".journal";
/// and that of one that is not whole yet.
pub const NEW: &str = ".journal.new";
/// How the name of a damaged file ends that was set aside.
pub const DAMAGED: &str = ".damaged";
/// The file that is held locked while a server runs in its folder.
pub const LOCK: &str = "journal.lock";

/// How much is read in one go, and written if the options say nothing else, in bytes: whole sectors.
const PIECE: usize = 2048 * SECTOR;

/// How many zeros are written ahead if the options say nothing else, in bytes.
const AHEAD: usize = 512 * SECTOR;

/// After each batch at least so many times its bytes of the next file are written.
const REWRITE_SHARE: u64 = 4;

/// A file that has grown is written anew if it is so many times as long as what is remembered.
const LONG: u64 = 4;

/// So much of the next file is written before it is synced, so that the last sync is a short one.
const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// When a journal is written anew, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// How far it grows, whatever it began with, before it is written anew, in bytes.
    pub growth_min: u64,
    /// How much of the next file is written after each batch at least, in bytes.
    pub rewrite_min: u64,
    /// How much is written in one go at most, but for one long change, in bytes.
    pub piece: usize,
    /// How many zeros a batch takes along for which there is no room, in bytes.
    pub ahead: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { growth_min: 64 << 20, rewrite_min: 64 << 10, piece: PIECE, ahead: AHEAD }
    }
}

/// A server's memory on a disk.
pub struct Journal<F = OsFolder> {
    folder: F,
    server: ServerId,
    options: JournalOptions,
    /// The memory after all that was written.
    memory: Durable,
    file: Place,
    /// Up to where there is room in the file: its zeros end there.
    room: u64,
    /// How long the file was when it was new.
    began_with: u64,
    /// How much was appended since the next file went on, in bytes.
    written: u64,
    rewrite: Option<Rewrite>,
    /// Counts pieces of files that are written anew.
    progress: Progress,
    /// What went wrong.
    failed: Option<String>,
}

/// Where a file ends.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The number in the name of the file.
    file: u64,
    /// Where its last batch ends, in bytes.
    length: u64,
    /// Batches in it.
    batches: u64,
}

/// The next file, under way.
struct Rewrite {
    place: Place,
    unsynced: u64,
    /// What it is to say,
    changes: Box<dyn Iterator<Item = Change> + Send>,
    /// and then what was written since.
    since: VecDeque<Change>,
    batch: Batch,
}

/// What was found in a folder.
pub struct Opened<F> {
    /// What the server remembers.
    pub memory: Durable,
    /// Where it goes on.
    pub journal: Journal<F>,
    /// How many bytes of a batch were cut off that was not written in full.
    pub cut: u64,
    /// Why it remembers nothing, if there was something that cannot be read.
    pub damage: Option<String>,
    /// It remembers nothing although a file was begun here: a first start, or a restore, that did not come to
    /// its end.
    pub is_unfinished: bool,
}

impl Journal {
    /// Takes a folder for a server, creating it if needed, and [reads](Self::read) what it remembers.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, another process uses it, it is another server's, or a later version of
    /// this program wrote it.
    pub async fn open(
        dir: &Path,
        server: &ServerId,
        options: JournalOptions,
    ) -> io::Result<Opened<OsFolder>> {
        let opened = Self::read(Self::lock(dir)?, server, options).await;
        // What the operating system says names no file.
        opened.map_err(|error| match error.raw_os_error() {
            Some(_) => {
                io::Error::new(error.kind(), format!("cannot use the folder {}: {error}", dir.display()))
            }
            None => error,
        })
    }

    /// Takes a folder as a server does, creating it if needed, whatever is in it.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or another process uses it.
    pub fn lock(dir: &Path) -> io::Result<OsFolder> {
        OsFolder::lock(dir, LOCK, "server")
    }
}

fn damage(folder: &impl Folder, file: u64, why: &str) -> String {
    format!("{folder}/{} is damaged: {why}", name(file))
}

/// A folder is one server's.
fn check_owner(folder: &impl Folder, owner: &ServerId, server: &ServerId) -> io::Result<()> {
    if owner == server {
        return Ok(());
    }
    let message = format!(
        "the folder {folder} belongs to the server {owner}, and this one is {server}: use another folder, or \
         --advertise {owner}"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

impl<F: Folder> Journal<F> {
    /// Reads what is in a folder.
    ///
    /// # Errors
    ///
    /// If the disk fails, what is there is another server's, or a later version of this program wrote it.
    pub async fn read(mut folder: F, server: &ServerId, options: JournalOptions) -> io::Result<Opened<F>> {
        let names = folder.names()?;
        let found = names.iter().filter_map(|name| number(name)).max();
        let aside = names.iter().filter_map(|name| numbered(name, DAMAGED)).max().unwrap_or(0);
        let is_unfinished = found.is_none() && names.iter().any(|name| numbered(name, NEW).is_some());
        let (mut damaged, mut cut) = (None, 0);
        let (memory, file, began_with) = match found {
            None => (None, Place { file: aside, ..Place::default() }, 0),
            // The next one could not be told from a file of somebody else's.
            Some(latest) if number(&name(latest + 1)).is_none() => {
                let message =
                    format!("{folder}/{}: no journal has so large a number; move it away", name(latest));
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            Some(latest) => {
                let reader = Reader::new(&folder, name(latest), Kind::Journal);
                match reader.read() {
                    Ok(Contents { server: owner, memory, found, began_with, torn, .. }) => {
                        check_owner(&folder, &owner, server)?;
                        cut = torn;
                        let place = go_on(&mut folder, latest, found).await?;
                        (Some(memory), place, began_with * SECTOR as u64)
                    }
                    Err(Unread::Damaged(why)) => {
                        reader.owner().map_or(Ok(()), |owner| check_owner(&folder, &owner, server))?;
                        damaged = Some(damage(&folder, latest, &why));
                        set_aside(&mut folder, &names, latest).await?;
                        (None, Place { file: latest.max(aside), ..Place::default() }, 0)
                    }
                    Err(Unread::Refused(error)) => return Err(error),
                }
            }
        };
        let is_fresh = memory.is_none();
        let memory = memory.unwrap_or_default();
        let mut journal = Self::with(folder, server.clone(), options, memory, file);
        journal.began_with = began_with;
        if is_fresh {
            journal.begin_rewrite();
            journal.rewrite(u64::MAX).await?;
        }
        // What earlier lives did not come to remove.
        for old in journal.folder.names()? {
            let is_older = number(&old).is_some_and(|number| number != journal.file.file);
            if is_older || numbered(&old, NEW).is_some() {
                journal.folder.remove(&old).await?;
            }
        }
        Ok(Opened { memory: journal.memory.clone(), journal, cut, damage: damaged, is_unfinished })
    }

    fn with(folder: F, server: ServerId, options: JournalOptions, memory: Durable, file: Place) -> Self {
        let (room, began_with, written, rewrite) = (file.length, 0, 0, None);
        let (progress, failed) = (Progress::default(), None);
        Self { folder, server, options, memory, file, room, began_with, written, rewrite, progress, failed }
    }

    fn works(&self) -> io::Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!("the journal failed before: {why}"))),
        }
    }

    /// After an error nothing is done any more.
    fn latch(&mut self, done: io::Result<()>) -> io::Result<()> {
        done.map_err(|error| {
            let why = format!("cannot write to {}/{}: {error}", self.folder, name(self.file.file));
            self.failed = Some(why.clone());
            io::Error::new(error.kind(), why)
        })
    }

    /// Makes changes durable.
    async fn append(&mut self, writes: Vec<Write>) -> io::Result<()> {
        if writes.iter().any(|write| matches!(write, Write::Data { .. } | Write::Install(_))) {
            return self.begin_anew(writes).await;
        }
        let mut batch = Batch::new(self.file.batches + 1);
        let name = name(self.file.file);
        let before = self.file.length;
        for change in writes.iter().cloned().flat_map(change::of_write) {
            proto::put_change(change, batch.contents());
            if batch.contents().len() >= self.options.piece {
                put(&mut self.folder, &name, &mut self.file.length, batch.take_full()).await?;
            }
        }
        let (rest, at) = (batch.end(), self.file.length);
        self.file.length += rest.len() as u64;
        if self.file.length <= self.room || self.options.ahead == 0 {
            self.folder.write_synced(&name, at, rest).await?;
        } else {
            self.folder.write_at(&name, at, rest).await?;
            self.make_room(&name).await?;
            self.folder.sync(&name).await?;
        }
        self.file.batches += 1;
        if let Some(rewrite) = &mut self.rewrite {
            rewrite.since.extend(writes.iter().cloned().flat_map(change::of_write));
        }
        writes.into_iter().for_each(|write| self.memory.apply(write));
        self.written += self.file.length - before;
        Ok(())
    }

    /// Writes zeros ahead. Where there is no place for them there may be for what comes next.
    async fn make_room(&mut self, name: &str) -> io::Result<()> {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        self.room = self.file.length;
        match self.folder.write_at(name, self.room, vec![0; self.options.ahead]).await {
            Ok(()) => self.room += self.options.ahead as u64,
            Err(error) if matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What replaces everything is durable when a file is that begins with it.
    async fn begin_anew(&mut self, writes: Vec<Write>) -> io::Result<()> {
        writes.into_iter().for_each(|write| self.memory.apply(write));
        self.begin_rewrite();
        self.rewrite(u64::MAX).await
    }

    /// The next file is written if this one has grown, in pace with what was appended.
    async fn keep_pace(&mut self) -> io::Result<()> {
        if self.rewrite.is_none() && self.is_long() {
            self.begin_rewrite();
        }
        let share = std::mem::take(&mut self.written).saturating_mul(REWRITE_SHARE);
        self.rewrite(self.options.rewrite_min.max(share)).await
    }

    /// Whether the file has grown, and is much longer than what is to be remembered.
    fn is_long(&self) -> bool {
        let grown = self.file.length - self.began_with;
        let log = &self.memory.log;
        let stored = log.snapshot().state.bytes() + log.bytes();
        grown >= self.options.growth_min && (grown >= self.began_with || self.file.length / LONG > stored)
    }

    fn begin_rewrite(&mut self) {
        self.rewrite = Some(Rewrite {
            place: Place { file: self.file.file + 1, length: 0, batches: 1 },
            unsynced: 0,
            changes: Box::new(change::of_memory(self.server.clone(), self.memory.clone())),
            since: VecDeque::new(),
            batch: Batch::new(1),
        });
    }

    /// The file that is under way, if any, goes on by so many bytes.
    async fn rewrite(&mut self, bytes: u64) -> io::Result<()> {
        let Some(rewrite) = &mut self.rewrite else { return Ok(()) };
        let (next, new) = (rewrite.place.file, format!("{}{NEW}", rewrite.place.file));
        let length = &mut rewrite.place.length;
        let begins = *length;
        if *length == 0 {
            self.folder.write(&new, Vec::new()).await?; // an earlier life may have left something
            put(&mut self.folder, &new, length, title(Kind::Journal)).await?;
        }
        loop {
            let contents = rewrite.batch.contents();
            if let Some(change) = rewrite.changes.next() {
                proto::put_change(change, contents);
            } else if let Some(change) = rewrite.since.pop_front() {
                proto::put_change(change, contents);
            } else {
                break;
            }
            let is_enough = *length - begins + contents.len() as u64 >= bytes;
            if is_enough || contents.len() >= self.options.piece {
                let sectors = rewrite.batch.take_full();
                rewrite.unsynced += sectors.len() as u64;
                if !sectors.is_empty() {
                    self.progress.advance();
                }
                put(&mut self.folder, &new, length, sectors).await?;
            }
            if rewrite.unsynced >= UNSYNCED_BYTES_MAX {
                self.folder.sync(&new).await?;
                self.progress.advance();
                rewrite.unsynced = 0;
            }
            if is_enough {
                return Ok(());
            }
        }
        let batch = std::mem::replace(&mut rewrite.batch, Batch::new(1));
        put(&mut self.folder, &new, length, batch.end()).await?;
        let (old, place) = (self.file.file, rewrite.place);
        self.rewrite = None;
        self.folder.sync(&new).await?;
        self.progress.advance();
        self.folder.rename(&new, &name(next)).await?;
        self.folder.sync_names().await?;
        if self.file.length > 0 {
            self.folder.remove(&name(old)).await?;
        }
        self.file = place;
        self.room = place.length;
        self.began_with = place.length;
        Ok(())
    }
}

impl<F: Folder> Storage for Journal<F> {
    type Write = Write;

    async fn persist(&mut self, writes: Vec<Write>) -> io::Result<()> {
        self.works()?;
        let done = self.append(writes).await;
        self.latch(done)
    }

    async fn keep_up(&mut self) -> io::Result<()> {
        self.works()?;
        let done = self.keep_pace().await;
        self.latch(done)
    }

    fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

fn name(file: u64) -> String {
    format!("{file}{SUFFIX}")
}

/// The number in the name of a journal's file.
fn number(file: &str) -> Option<u64> {
    numbered(file, SUFFIX)
}

/// The number in a name that this program gave, and there are numbers behind it.
fn numbered(file: &str, suffix: &str) -> Option<u64> {
    let number = file.strip_suffix(suffix)?.parse().ok().filter(|number| *number < u64::MAX / 2)?;
    (format!("{number}{suffix}") == file).then_some(number)
}

/// A damaged file has another name. Before, older ones are gone for good: after the next start nobody would
/// know that there was a later one.
async fn set_aside(folder: &mut impl Folder, names: &[String], damaged: u64) -> io::Result<()> {
    for old in names.iter().filter(|name| number(name).is_some_and(|number| number != damaged)) {
        folder.remove(old).await?;
    }
    folder.sync_names().await?;
    folder.rename(&name(damaged), &format!("{damaged}{DAMAGED}")).await?;
    folder.sync_names().await
}

/// Writes sectors at the end of a file.
async fn put(folder: &mut impl Folder, name: &str, length: &mut u64, sectors: Vec<u8>) -> io::Result<()> {
    let grows = sectors.len() as u64;
    if grows > 0 {
        folder.write_at(name, *length, sectors).await?;
        *length += grows;
    }
    Ok(())
}

/// A life goes on with a file: what is torn is cut off, the last batch is written again unless it is the one
/// with which the file was made, and the file has the next name.
async fn go_on(folder: &mut impl Folder, file: u64, found: Found) -> io::Result<Place> {
    let (from, to) = (name(file), name(file + 1));
    let (mut at, end) = (found.last * SECTOR as u64, found.end * SECTOR as u64);
    folder.truncate(&from, end).await?;
    while found.batches > 1 && at < end {
        let mut piece = vec![0; PIECE.min(usize::try_from(end - at).unwrap_or(PIECE))];
        let read = fill(folder, &from, at, &mut piece)?;
        piece.truncate(read);
        folder.write_at(&from, at, piece).await?;
        at += read as u64;
    }
    folder.sync(&from).await?;
    folder.rename(&from, &to).await?;
    folder.sync_names().await?;
    Ok(Place { file: file + 1, length: end, batches: found.batches })
}
