//! The log in a file of the operating system.
//!
//! ```text
//! "lock log 1\n"   then for each record
//! length of the body   crc32 of these 4 bytes   body                                  crc32 of the body
//! 4 bytes              4 bytes                  kind, length of the lock, lock, owner  4 bytes
//! ```
//!
//! Numbers are big endian. A crash during an append leaves a last record that is too short, or zeros where
//! it should be. That record was never answered, and is cut off. Anything else that is no record is damage:
//! records behind it could no longer be found, and locks would be granted twice. The length has a checksum of
//! its own, so that a damaged one cannot pass for a record that is too short.

// rules: allow fs: the log of production; any other implements the same trait
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{grants::Record, log::Log};

const MAGIC: &[u8] = b"lock log 1\n";
const HEADER_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// A log file. One process at a time has it.
#[derive(Debug)]
pub struct FileLog {
    file: File,
    path: PathBuf,
}

impl FileLog {
    /// Opens the file, or makes it, and locks it.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let name = path.display();
        let context = |error| explain(error, &format!("cannot open {name}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(context)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => {
                let why = format!("another process is using {name}: stop it, or choose another file");
                Err(io::Error::new(io::ErrorKind::WouldBlock, why))
            }
            Err(TryLockError::Error(error)) => Err(context(error)),
        }
    }

    fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let (records, end) = decode(&bytes).map_err(|(at, why)| {
            let why = format!(
                "it is damaged at byte {at} ({why}). Nothing was changed: restore the file from a copy; without one, \
                 make sure that no owner still relies on its locks, and start with a new file"
            );
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        self.file.set_len(end as u64)?;
        self.file.seek(SeekFrom::Start(end as u64))?;
        if end == 0 {
            self.file.write_all(MAGIC)?;
        }
        self.file.sync_all()?;
        // The file's name must last as well.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(records)
    }
}

/// Blocks its thread while the disk works: until a record is durable there is nothing to answer.
impl Log for FileLog {
    async fn load(&mut self) -> io::Result<Vec<Record>> {
        self.read().map_err(|error| explain(error, &format!("cannot use {}", self.path.display())))
    }

    async fn append(&mut self, record: &Record) -> io::Result<()> {
        let written = self.file.write_all(&encode(record)).and_then(|()| self.file.sync_data());
        written.map_err(|error| explain(error, &format!("cannot write to {}", self.path.display())))
    }
}

fn explain(error: io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn encode(record: &Record) -> Vec<u8> {
    let (kind, lock, owner) = match record {
        Record::Grant { lock, owner } => (b'G', lock, owner),
        Record::Release { lock, owner } => (b'R', lock, owner),
    };
    let length = |bytes: usize| u32::try_from(bytes).expect("names are short").to_be_bytes();
    let body = [&[kind], &length(lock.len())[..], lock.as_bytes(), owner.as_bytes()].concat();
    let length = length(body.len());
    let (header, whole) = (crc32fast::hash(&length), crc32fast::hash(&body));
    [&length[..], &header.to_be_bytes(), &body, &whole.to_be_bytes()].concat()
}

/// The records, and where the last of them ends; else where it is damaged, and how.
fn decode(bytes: &[u8]) -> Result<(Vec<Record>, usize), (usize, &'static str)> {
    let mut rest = match bytes.strip_prefix(MAGIC) {
        Some(rest) => rest,
        None if MAGIC.starts_with(bytes) => return Ok((Vec::new(), 0)),
        None => return Err((0, "it is no log of this version")),
    };
    let mut records = Vec::new();
    loop {
        let at = bytes.len() - rest.len();
        match record(rest).map_err(|why| (at, why))? {
            Some((record, behind)) => {
                records.push(record);
                rest = behind;
            }
            None => return Ok((records, at)),
        }
    }
}

/// The first record of these bytes and what follows it; nothing if it is not there as a whole.
fn record(bytes: &[u8]) -> Result<Option<(Record, &[u8])>, &'static str> {
    if bytes.len() < HEADER_BYTES || bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if crc32fast::hash(&bytes[..4]) != number(4) {
        return Err("the checksum of a length does not match");
    }
    let end = HEADER_BYTES + number(0) as usize;
    if bytes.len() < end + CHECKSUM_BYTES {
        return Ok(None);
    }
    let body = &bytes[HEADER_BYTES..end];
    if crc32fast::hash(body) != number(end) {
        return Err("the checksum of a record does not match");
    }
    let record = parse(body).ok_or("a record cannot be understood")?;
    Ok(Some((record, &bytes[end + CHECKSUM_BYTES..])))
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
