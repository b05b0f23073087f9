//! A backup: the keys of a store as they were after one operation, in one file.
//!
//! It is written as a journal is, and has another title: no server takes it for its memory. What is restored
//! from it is another store. It has an identity of its own, so that it is a stranger to all servers that hold
//! what was backed up, and belongs to a generation of its own, so that neither their positions nor their
//! clients' sessions are taken for its own. Sessions are left out for that reason.

use std::{
    ffi::OsStr,
    io::{self, Write},
    path::Path,
};

use super::{
    DAMAGED, Journal, JournalOptions, LOCK, Looked, NEW, PIECE, Place, change, numbered,
    reader::{Contents, Kind, Reader, Unread, title},
    sector::{Batch, SECTOR},
};
use crate::{
    proto,
    protocol::{
        identity::{Boot, DataId, Generation, OpNumber, Position, ServerId},
        log::{Durable, Log},
        store::{Item, Snapshot, State},
    },
    storage::folder::{Folder, OsFolder},
};

/// How each backup begins, whatever its format.
pub const BEGINS: &[u8] = Kind::Backup.begins();

/// A restored store numbers its operations on from so far above the backup's: what the other cluster did
/// since then has numbers that nothing here gets, so that a revision that was kept from there is never taken
/// for one of here, and later revisions are larger.
pub const REVISIONS_LEFT_OUT: u64 = 1 << 32;

/// What is to be backed up: the store after the last operation of which the server knows. None if it holds
/// no operation. Its life is not part of it.
pub fn of(looked: &Looked) -> Option<Durable> {
    let Durable { data, generation, view_seen, ref log, .. } = looked.memory;
    let Snapshot { at, state } = change::at_the_end(log);
    if data.is_none() || at == Position::default() {
        return None;
    }
    let mut keys = State::default();
    let items = change::items(state).filter(|item| !matches!(item, Item::Session { .. }));
    items.for_each(|item| keys.restore(item));
    let log = Log::from_snapshot(Snapshot { at, state: keys });
    Some(Durable { boot: Boot(0), data, generation, view_seen, log })
}

/// Writes a backup of what this server holds. Returns its length, in bytes.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(server: &ServerId, memory: Durable, to: &mut dyn Write) -> io::Result<u64> {
    let mut length = 0;
    let mut put = |sectors: Vec<u8>| {
        length += sectors.len() as u64;
        to.write_all(&sectors)
    };
    put(title(Kind::Backup))?;
    let mut batch = Batch::new(1);
    for change in change::of_memory(server.clone(), memory) {
        proto::put_change(change, batch.contents());
        if batch.contents().len() >= PIECE {
            put(batch.take_full())?;
        }
    }
    put(batch.end())?;
    Ok(length)
}

/// What is in a backup.
///
/// # Errors
///
/// If it cannot be read; [`io::ErrorKind::InvalidData`] if it is damaged, not whole, or no backup.
pub fn look(path: &Path) -> io::Result<Looked> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| {
        let message = format!("the name of {} is not UTF-8: rename it", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    look_at(&OsFolder::unlocked(dir.unwrap_or(Path::new("."))), name)
}

pub(super) fn look_at(folder: &impl Folder, name: &str) -> io::Result<Looked> {
    let wrong = |why: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{folder}/{name} is no sound backup: {why}"))
    };
    match Reader::new(folder, name.to_owned(), Kind::Backup).read() {
        Ok(Contents { torn, empty, .. }) if torn + empty > 0 => Err(wrong("something follows its end")),
        Ok(Contents { server, memory, found, torn, .. }) => {
            let (length, batches) = (found.end * SECTOR as u64, found.batches);
            Ok(Looked { server, memory, file: name.to_owned(), length, batches, torn, room: 0 })
        }
        Err(Unread::Damaged(why)) => Err(wrong(&why)),
        Err(Unread::Refused(error)) => {
            Err(io::Error::new(error.kind(), format!("cannot read {folder}/{name}: {error}")))
        }
    }
}

/// Makes what was backed up the memory of a server, in a folder in which nothing is kept. `data` is the
/// store's new identity, and `nonce` that of its generation. Returns the generation.
///
/// # Errors
///
/// If the disk fails; [`io::ErrorKind::AlreadyExists`] if something is kept there.
pub async fn restore<F: Folder>(
    backup: Durable,
    folder: F,
    server: &ServerId,
    data: DataId,
    nonce: u64,
) -> io::Result<Generation> {
    let names = folder.names()?;
    let is_left_over =
        |name: &&String| *name == LOCK || numbered(name, DAMAGED).is_some() || numbered(name, NEW).is_some();
    if let Some(kept) = names.iter().find(|name| !is_left_over(name)) {
        let message = format!("{folder} is not empty, {kept} is in it: restore into another folder");
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let generation = Generation { nonce, ..backup.generation.next() };
    let Snapshot { at, state } = backup.log.snapshot().clone();
    let at = Position { op: OpNumber(at.op.0.saturating_add(REVISIONS_LEFT_OUT)), ..at };
    let log = Log::from_snapshot(Snapshot { at, state });
    let memory = Durable { data: Some(data), generation, log, ..backup };
    let aside = names.iter().filter_map(|name| numbered(name, DAMAGED)).max().unwrap_or(0);
    let file = Place { file: aside, ..Place::default() };
    let mut journal = Journal::with(folder, server.clone(), JournalOptions::default(), memory, file);
    journal.begin_rewrite();
    let written = journal.rewrite(u64::MAX).await;
    if let Err(error) = written {
        // What is not whole is of no use to anybody.
        let _ = journal.folder.remove(&format!("{}{NEW}", aside + 1)).await;
        return Err(io::Error::new(error.kind(), format!("cannot write to {}: {error}", journal.folder)));
    }
    Ok(generation)
}
