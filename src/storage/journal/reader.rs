//! Reads a journal's file, and tells what was torn from what is damaged.

use std::io;

use bytes::{Bytes, BytesMut};

use super::{
    PIECE,
    change::{Change, Replay},
    sector::{Found, SECTOR, Scan, Sector},
};
use crate::{
    proto,
    protocol::{identity::ServerId, log::Durable},
    storage::folder::Folder,
};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A server's memory.
    Journal,
    /// A store that no server has for its memory.
    Backup,
}

impl Kind {
    /// How its title begins, before the number of the format.
    pub(super) const fn begins(self) -> &'static [u8] {
        match self {
            Self::Journal => b"pbkv journal ",
            Self::Backup => b"pbkv backup ",
        }
    }
}

const FORMAT: &[u8] = b"1\n";

/// The first sector of a file.
pub(super) fn title(kind: Kind) -> Vec<u8> {
    let mut title = [kind.begins(), FORMAT].concat();
    title.resize(SECTOR - 4, 0);
    let sum = crc32fast::hash(&title);
    title.extend_from_slice(&sum.to_be_bytes());
    title
}

/// Reads until the piece is full or the file ends.
pub(super) fn fill(folder: &impl Folder, name: &str, at: u64, piece: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < piece.len() {
        match folder.read_at(name, at + read as u64, &mut piece[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// Its contents are not what was written.
    Damaged(String),
    /// The disk fails, or it is not to be used.
    Refused(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Refused(error)
    }
}

/// What a file holds.
pub(super) struct Contents {
    /// Whose it is.
    pub(super) server: ServerId,
    /// What it says.
    pub(super) memory: Durable,
    /// What of it is whole.
    pub(super) found: Found,
    /// How many sectors it was made with.
    pub(super) began_with: u64,
    /// How many bytes behind that are in sectors with something in them,
    pub(super) torn: u64,
    /// and how many in sectors with nothing.
    pub(super) empty: u64,
}

/// A file of a journal, or a backup.
pub(super) struct Reader<'a, F> {
    /// Where it is,
    folder: &'a F,
    /// what it is called,
    name: String,
    /// and what it is to be.
    kind: Kind,
}

impl<'a, F: Folder> Reader<'a, F> {
    /// Reads this file.
    pub(super) fn new(folder: &'a F, name: String, kind: Kind) -> Self {
        Self { folder, name, kind }
    }

    /// Whose file it is, if so much of it can be read; whatever the rest is.
    pub(super) fn owner(&self) -> Option<ServerId> {
        let mut sector = [0; SECTOR];
        let read = fill(self.folder, &self.name, SECTOR as u64, &mut sector).ok()?;
        match Sector::read(&sector) {
            Sector::Whole { contents, .. } if read == SECTOR => {
                match next(&mut Bytes::copy_from_slice(contents)) {
                    Ok(Some(Change::Server(server))) => Some(server),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What is in the file.
    pub(super) fn read(&self) -> Result<Contents, Unread> {
        self.read_title()?;
        let mut scan = Scan::default();
        let mut began_with = None;
        let Extent { length, filled } = self.sectors(u64::MAX, |sector| {
            scan.read(sector).map_err(Unread::Damaged)?;
            let found = scan.found();
            if found.batches == 1 {
                began_with.get_or_insert(found.end);
            }
            Ok(())
        })?;
        let found = scan.found();
        let began_with = began_with.ok_or_else(|| {
            Unread::Damaged("what it begins with is not whole, as when its end is missing".into())
        })?;
        let mut replay = Replay::default();
        let mut rest = BytesMut::new();
        let mut enough = PIECE;
        self.sectors(found.end - 1, |sector| {
            let Sector::Whole { contents, is_last, .. } = sector else {
                return Err(Unread::Damaged("it changed while it was read".into()));
            };
            rest.extend_from_slice(contents);
            if !is_last && rest.len() < enough {
                return Ok(());
            }
            let mut whole = rest.split().freeze();
            while let Some(change) = next(&mut whole)? {
                replay.perform(change).map_err(Unread::Damaged)?;
            }
            if is_last && !whole.is_empty() {
                return Err(Unread::Damaged("a batch ends in the middle of a change".into()));
            }
            rest.extend_from_slice(&whole);
            enough = PIECE.max(2 * rest.len()); // a long change is not looked at after every sector
            Ok(())
        })?;
        let Replay { memory, server: owner, .. } = replay;
        let server = owner.ok_or_else(|| Unread::Damaged("it does not say whose it is".into()))?;
        let (torn, empty) = (filled - found.end * SECTOR as u64, length - filled);
        Ok(Contents { server, memory, found, began_with, torn, empty })
    }

    fn read_title(&self) -> Result<(), Unread> {
        let mut found = vec![0; SECTOR];
        let read = fill(self.folder, &self.name, 0, &mut found)?;
        if read == SECTOR && found == title(self.kind) {
            return Ok(());
        }
        let whole = found[SECTOR - 4..] == crc32fast::hash(&found[..SECTOR - 4]).to_be_bytes();
        let begins = self.kind.begins();
        if whole && found.starts_with(begins) {
            let format: String = found[begins.len()..].iter().map(|byte| *byte as char).collect();
            let format = format.lines().next().unwrap_or_default().to_owned();
            let message = format!(
                "{}/{} has format {format}, and this version of pbkv knows format 1: start the version that wrote it",
                self.folder, self.name
            );
            return Err(Unread::Refused(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        if read == SECTOR && self.kind == Kind::Journal && found == title(Kind::Backup) {
            let message = format!(
                "{}/{} is a backup, which no server uses as it is: move it away, and see `kvserver restore`",
                self.folder, self.name
            );
            return Err(Unread::Refused(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        let expected = begins.trim_ascii().escape_ascii();
        Err(Unread::Damaged(format!("it does not begin with the words \"{expected}\" and their checksum")))
    }

    /// All sectors after the title, or the first so many.
    fn sectors(
        &self,
        count: u64,
        mut each: impl FnMut(Sector) -> Result<(), Unread>,
    ) -> Result<Extent, Unread> {
        let mut piece = vec![0; PIECE];
        let mut seen = 0;
        let mut extent = Extent { length: SECTOR as u64, filled: SECTOR as u64 }; // the title
        while seen < count {
            let at = (1 + seen) * SECTOR as u64;
            let read = fill(self.folder, &self.name, at, &mut piece)?;
            extent.length = at + read as u64;
            let (sectors, cut_off) = piece[..read].as_chunks::<SECTOR>();
            for sector in sectors {
                if seen == count {
                    break;
                }
                let sector = Sector::read(sector);
                seen += 1;
                if sector != Sector::Empty {
                    extent.filled += SECTOR as u64;
                }
                each(sector)?;
            }
            // A sector that the end of the file cuts off was never whole.
            if cut_off.iter().any(|byte| *byte != 0) {
                extent.filled += cut_off.len() as u64;
            }
            if read < PIECE {
                break;
            }
        }
        Ok(extent)
    }
}

/// How far a file was read.
struct Extent {
    /// Up to where, in bytes,
    length: u64,
    /// and how much of that is in sectors with something else than zeros.
    filled: u64,
}

fn next(from: &mut Bytes) -> Result<Option<Change>, Unread> {
    proto::take_change(from).map_err(|error| Unread::Damaged(error.to_string()))
}
