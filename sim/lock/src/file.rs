//! The log in a file.
//!
//! ```text
//! "lock log 2\n"   then for each record, from the next sector on
//! length of the body  crc32 of the body  crc32 of these 8 bytes  body                                 zeros
//! 4 bytes             4 bytes            4 bytes                 kind, length of the lock, lock, owner
//! ```
//!
//! Numbers are big endian. Zeros fill the last sector. A crash during an append leaves a last record that is
//! too short, and a loss of power one in which any sector may be missing, and is zeros. That record was never
//! answered, and is cut off. Anything else that is no record is damage: records behind it could no longer be
//! found, and locks would be granted twice. The header has a checksum of its own, so that a damaged length
//! cannot pass for a record that is too short.
//!
//! The last record may be there because it was written, although its sync failed: no later sync would make it
//! durable. So a start writes it again, before anything is answered that follows from it. A file without
//! records is made anew, since the same holds for its name.

use std::{io, path::Path};

use crate::{
    disk::{Disk, OsFile},
    grants::Record,
    log::Log,
};

const MAGIC: &[u8] = b"lock log 2\n";
const HEADER_BYTES: usize = 12;

/// What a drive writes as a whole, or not at all.
const SECTOR: usize = 512;

/// The longest record, in bytes.
const RECORD_BYTES_MAX: usize = 2 * SECTOR;

/// A log file. One process at a time has it.
#[derive(Debug)]
pub struct FileLog<D = OsFile> {
    disk: D,
    /// Where the last record ends.
    end: u64,
}

impl FileLog {
    /// Takes the file at this path, which is made if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be used, or another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        OsFile::lock(path).map(Self::new)
    }
}

impl<D: Disk> FileLog<D> {
    /// The log in this file.
    pub fn new(disk: D) -> Self {
        Self { disk, end: 0 }
    }

    async fn read(&mut self) -> io::Result<Vec<Record>> {
        let bytes = self.disk.read().await?;
        let Contents { records, last, end } = decode(&bytes).map_err(|(at, why)| {
            let why = format!(
                "it is damaged at byte {at} ({why}). Nothing was changed: restore the file from a copy; without one, \
                 make sure that no owner still relies on its locks, and start with a new file"
            );
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        if records.is_empty() {
            self.disk.remove().await?;
            self.put(0, padded(MAGIC)).await?;
            self.disk.sync_name().await?;
        } else {
            self.disk.truncate(end as u64).await?;
            self.put(last as u64, bytes[last..end].to_vec()).await?;
        }
        Ok(records)
    }

    /// The file holds this from there on, durably, and ends with it.
    async fn put(&mut self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.end = offset + bytes.len() as u64;
        self.disk.write_at(offset, bytes).await?;
        self.disk.sync().await
    }
}

impl<D: Disk> Log for FileLog<D> {
    async fn load(&mut self) -> io::Result<Vec<Record>> {
        self.read().await.map_err(|error| explain(error, &format!("cannot use {}", self.disk)))
    }

    async fn append(&mut self, record: &Record) -> io::Result<()> {
        let put = self.put(self.end, encode(record)).await;
        put.map_err(|error| explain(error, &format!("cannot write to {}", self.disk)))
    }
}

fn explain(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Zeros follow to the end of a sector.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
    bytes
}

fn encode(record: &Record) -> Vec<u8> {
    let (kind, lock, owner) = match record {
        Record::Grant { lock, owner } => (b'G', lock, owner),
        Record::Release { lock, owner } => (b'R', lock, owner),
    };
    let length = |bytes: usize| u32::try_from(bytes).expect("names are short").to_be_bytes();
    let body = [&[kind], &length(lock.len())[..], lock.as_bytes(), owner.as_bytes()].concat();
    let header = [length(body.len()), crc32fast::hash(&body).to_be_bytes()].concat();
    let sum = crc32fast::hash(&header).to_be_bytes();
    padded(&[&header[..], &sum, &body].concat())
}

/// What a file holds.
#[derive(Default)]
struct Contents {
    records: Vec<Record>,
    /// Where the last record begins,
    last: usize,
    /// and where it ends.
    end: usize,
}

/// What the file holds; else where it is damaged, and how.
fn decode(bytes: &[u8]) -> Result<Contents, (usize, &'static str)> {
    let magic = padded(MAGIC);
    if !bytes.starts_with(&magic) {
        // The first start did not come to its end.
        let is_unfinished = magic.starts_with(bytes) || (bytes.len() <= SECTOR && is_zero(bytes));
        let other = Err((0, "it is no log of this version"));
        return if is_unfinished { Ok(Contents::default()) } else { other };
    }
    let mut contents = Contents { end: magic.len(), ..Contents::default() };
    while let Some((record, length)) = record(&bytes[contents.end..]).map_err(|why| (contents.end, why))? {
        contents.records.push(record);
        contents.last = contents.end;
        contents.end += length;
    }
    Ok(contents)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The first record of these bytes and its length; nothing if it is not there as a whole.
fn record(bytes: &[u8]) -> Result<Option<(Record, usize)>, &'static str> {
    let Some((first, others)) = bytes.split_at_checked(SECTOR) else { return Ok(None) };
    if is_zero(first) && (is_zero(others) || bytes.len() <= RECORD_BYTES_MAX) {
        return Ok(None);
    }
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if crc32fast::hash(&bytes[..8]) != number(8) {
        return Err("the checksum of a header does not match");
    }
    let filled = HEADER_BYTES + number(0) as usize;
    let length = filled.next_multiple_of(SECTOR);
    if bytes.len() < length {
        return Ok(None);
    }
    let body = &bytes[HEADER_BYTES..filled];
    if crc32fast::hash(body) == number(4) && is_zero(&bytes[filled..length]) {
        return Ok(Some((parse(body).ok_or("a record cannot be understood")?, length)));
    }
    let misses_a_sector = length > SECTOR && is_zero(&bytes[SECTOR..]);
    if misses_a_sector { Ok(None) } else { Err("the checksum of a record does not match") }
}

fn parse(body: &[u8]) -> Option<Record> {
    let (kind, rest) = body.split_first()?;
    let (length, names) = rest.split_first_chunk::<4>()?;
    let (lock, owner) = names.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let (lock, owner) = (text(lock)?, text(owner)?);
    match kind {
        b'G' => Some(Record::Grant { lock, owner }),
        b'R' => Some(Record::Release { lock, owner }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
