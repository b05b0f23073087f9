//! What is in a folder, for whoever only looks: a server may be using it.

use std::{io, path::Path, time::Duration};

use super::{
    Journal, damage, name, number,
    reader::{Contents, Kind, Reader, Unread},
    sector::SECTOR,
};
use crate::{
    clock::{Clock, SystemClock},
    protocol::{identity::ServerId, log::Durable},
    storage::folder::{Folder, OsFolder},
};

/// A folder that a server may be using is looked at so many times before it counts as damaged,
const LOOKS_MAX: u32 = 5;

/// and so long after the last time.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What there is to be read in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// Whose it is.
    pub server: ServerId,
    /// What this server remembers if it starts with it.
    pub memory: Durable,
    /// The file that says so,
    pub file: String,
    /// how many bytes of it do,
    pub length: u64,
    /// in how many batches,
    pub batches: u64,
    /// and how many more bytes there are of a batch that is not finished: the next start cuts them off.
    pub torn: u64,
    /// Behind that there is room for so many bytes.
    pub room: u64,
}

/// What a server finds that starts with this folder now; none if nothing was ever kept in it. Nothing is
/// changed.
///
/// # Errors
///
/// As for [`Journal::read`]; [`io::ErrorKind::InvalidData`] if it is damaged.
pub fn look(folder: &impl Folder) -> io::Result<Option<Looked>> {
    let Some(latest) = folder.names()?.iter().filter_map(|name| number(name)).max() else { return Ok(None) };
    let file = name(latest);
    match Reader::new(folder, file.clone(), Kind::Journal).read() {
        Ok(Contents { server, memory, found, torn, empty: room, .. }) => {
            let (length, batches) = (found.end * SECTOR as u64, found.batches);
            Ok(Some(Looked { server, memory, file, length, batches, torn, room }))
        }
        Err(Unread::Damaged(why)) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, damage(folder, latest, &why)))
        }
        Err(Unread::Refused(error)) => Err(error),
    }
}

impl Journal {
    /// What a server would find that starts with this folder now; none if nothing was ever kept in it. A
    /// server may be using it.
    ///
    /// # Errors
    ///
    /// As for [`look`].
    pub async fn look(dir: &Path) -> io::Result<Option<Looked>> {
        let folder = OsFolder::unlocked(dir);
        let mut tries = 1;
        loop {
            let looked = look(&folder);
            // A sector that is being written is neither the old nor the new one, and a file that is written
            // anew takes the place of the one that was just found.
            let is_passing = looked.as_ref().is_err_and(|error| {
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound)
            });
            if !is_passing || tries == LOOKS_MAX {
                // What the operating system says names no file.
                return looked.map_err(|error| match error.raw_os_error() {
                    Some(_) => io::Error::new(
                        error.kind(),
                        format!("cannot read the folder {}: {error}", dir.display()),
                    ),
                    None => error,
                });
            }
            tries += 1;
            SystemClock.sleep_until(SystemClock.now() + LOOK_AGAIN).await;
        }
    }
}
