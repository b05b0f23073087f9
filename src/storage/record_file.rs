//! The view service's record in a file.
//!
//! ```text
//! view            the record:  "pbkv view 1\n"  crc32 of the rest, 4 bytes big endian   protobuf `Record`
//! view.lock       held locked while a view service runs in this folder
//! ```
//!
//! A new record is written to a temporary file, synced, renamed over the old one, and the folder is synced: at
//! every moment there is one whole record, the old or the new. A record that is there but cannot be read
//! is an error, never a fresh start: numbers that go back would let two primaries share a view.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

use super::Storage;
use crate::{proto, protocol::view::Record};

const MAGIC: &[u8] = b"pbkv view 1\n";
const FILE: &str = "view";
const LOCK: &str = "view.lock";

/// A folder that holds one record.
#[derive(Debug)]
pub struct RecordFile {
    dir: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl RecordFile {
    /// Opens the folder, creating it if needed, and reads the record; the default one if there never was any.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, another process uses it, or the record is damaged.
    pub fn open(dir: &Path) -> io::Result<(Record, Self)> {
        let context = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot use the folder {}: {error}", dir.display()))
        };
        fs::create_dir_all(dir).map_err(context)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK))
            .map_err(context)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = format!("another view service is using the folder {}", dir.display());
            io::Error::new(io::ErrorKind::WouldBlock, message)
        })?;
        let path = dir.join(FILE);
        let record = match fs::read(&path) {
            Ok(bytes) => decode(&bytes).map_err(|why| {
                let message = format!(
                    "{} is damaged ({why}). Restore it from a copy that is not older than the last view \
                     change; if there is none, all data is lost to this service",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(context(error)),
        };
        Ok((record, Self { dir: dir.to_owned(), _lock: lock }))
    }

    /// Replaces the record; durable on return.
    ///
    /// # Errors
    ///
    /// If the disk fails. The old or the new record is then there.
    pub fn replace(&mut self, record: &Record) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix("view.").suffix(".new").tempfile_in(&self.dir)?;
        file.write_all(&encode(record))?;
        file.as_file().sync_all()?;
        file.persist(self.dir.join(FILE)).map_err(|error| error.error)?;
        File::open(&self.dir)?.sync_all()
    }
}

impl Storage for RecordFile {
    type Write = Record;

    /// Blocks its thread while the disk syncs: views change rarely, and until the change is durable the
    /// service has nothing to say to anybody.
    async fn persist(&mut self, writes: Vec<Record>) -> io::Result<()> {
        match writes.last() {
            Some(record) => self.replace(record),
            None => Ok(()),
        }
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let body = proto::encode_record(record);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Record, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a record of this version")?;
    let (sum, body) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return Err("its checksum does not match".into());
    }
    proto::decode_record(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::identity::{Generation, ViewNumber};

    fn record(number: u64) -> Record {
        Record { generation: Generation(1), number: ViewNumber(number), ..Record::default() }
    }

    #[test]
    fn a_record_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (first, mut file) = RecordFile::open(dir.path()).expect("a fresh folder");
        assert_eq!(first, Record::default());
        file.replace(&record(7)).expect("written");
        file.replace(&record(8)).expect("written");
        drop(file);
        assert_eq!(RecordFile::open(dir.path()).expect("again").0, record(8));
    }

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let _first = RecordFile::open(dir.path()).expect("a fresh folder");
        let error = RecordFile::open(dir.path()).expect_err("it is locked");
        assert!(error.to_string().contains("another view service"), "{error}");
    }

    #[test]
    fn no_damaged_record_is_taken_for_a_fresh_start() {
        let whole = encode(&record(300));
        assert_eq!(decode(&whole), Ok(record(300)));
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut to {cut} bytes");
        }
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(decode(&flipped).is_err(), "bit {at} flipped");
        }
    }
}
