//! The view service's record in a file.
//!
//! ```text
//! view            the record:  "pbkv view 2\n"  crc32 of the rest, 4 bytes big endian   protobuf `Record`
//! view.new        the next record, while it is written
//! view.lock       held locked while a view service runs in this folder
//! ```
//!
//! A new record is written to a temporary file, synced, renamed over the old one, and the folder is synced:
//! at every moment there is one whole record, the old or the new. What is there at a start is written and
//! synced again before anybody is told of it. A record that is there but cannot be read is an error, never a
//! fresh start: numbers that go back would let two primaries share a view.

use std::{io, path::Path};

use super::{
    Storage,
    folder::{Folder, OsFolder},
};
use crate::{proto, protocol::view::Record};

const MAGIC: &[u8] = b"pbkv view 2\n";
/// The name of the record's file in its folder.
pub const FILE: &str = "view";

const NEW: &str = "view.new";
/// The file that is held locked while a view service runs in its folder.
pub const LOCK: &str = "view.lock";

/// A folder that holds one record.
#[derive(Debug)]
pub struct RecordFile<F = OsFolder> {
    folder: F,
}

impl RecordFile {
    /// Opens the folder, creating it if needed, and reads the record; the default one if there never was any.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, another process uses it, or the record is damaged.
    pub async fn open(dir: &Path) -> io::Result<(Record, Self)> {
        let mut file = Self::lock(dir)?;
        let record = file.load().await?.unwrap_or_default();
        Ok((record, file))
    }

    /// Takes the folder, creating it if needed, whatever is in it.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or another process uses it.
    pub fn lock(dir: &Path) -> io::Result<Self> {
        OsFolder::lock(dir, LOCK, "view service").map(Self::new)
    }
}

impl<F: Folder> RecordFile<F> {
    /// The record in this folder, if there is one.
    pub fn new(folder: F) -> Self {
        Self { folder }
    }

    /// The record; none if there never was any.
    ///
    /// # Errors
    ///
    /// If it cannot be read; [`io::ErrorKind::InvalidData`] if it is damaged.
    pub fn read(&self) -> io::Result<Option<Record>> {
        let folder = &self.folder;
        match folder.read(FILE) {
            Ok(bytes) => decode(&bytes).map(Some).map_err(|why| {
                let message = format!(
                    "{folder}/{FILE} is damaged ({why}). Restore it from a copy that was made since the last view \
                     change"
                );
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("cannot read {folder}/{FILE}: {error}"))),
        }
    }

    /// The record, durable on return: an earlier process that ended before it had synced it leaves one that
    /// is there, that this process will speak of (V-c), and that a loss of power would still take. It is
    /// written again: if the earlier process ended because a sync had failed, a sync alone would succeed
    /// without making anything durable.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read), or if the disk fails.
    pub async fn load(&mut self) -> io::Result<Option<Record>> {
        let record = self.read()?;
        if let Some(record) = &record {
            self.replace(record).await?;
        }
        Ok(record)
    }

    /// Replaces the record; durable on return.
    ///
    /// # Errors
    ///
    /// If the disk fails. The old or the new record is then there.
    pub async fn replace(&mut self, record: &Record) -> io::Result<()> {
        self.put(encode(record)).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot write to {}, where {FILE} is kept: {error}", self.folder),
            )
        })
    }

    async fn put(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.folder.write(NEW, bytes).await?;
        self.folder.sync(NEW).await?;
        self.folder.rename(NEW, FILE).await?;
        self.folder.sync_names().await
    }
}

impl<F: Folder> Storage for RecordFile<F> {
    type Write = Record;

    async fn persist(&mut self, writes: Vec<Record>) -> io::Result<()> {
        match writes.last() {
            Some(record) => self.replace(record).await,
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
    use std::fs;

    use super::*;
    use crate::{
        process::block_on,
        protocol::{
            identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
            view::{Adopted, Members, View},
        },
    };

    fn open(dir: &Path) -> io::Result<(Record, RecordFile)> {
        block_on(RecordFile::open(dir)).expect("a runtime")
    }

    fn replace(file: &mut RecordFile, record: &Record) {
        block_on(file.replace(record)).expect("a runtime").expect("written");
    }

    fn record(number: u64) -> Record {
        Record {
            generation: Generation { number: 1, nonce: u64::MAX },
            number: ViewNumber(number),
            promised: std::time::Duration::from_secs(9),
            adopted: Some(Adopted {
                view: ViewNumber(1_007),
                end: Position { view: ViewNumber(3), op: OpNumber(9) },
            }),
            ..Record::default()
        }
    }

    /// A record in which nothing is left out.
    fn full() -> Record {
        let server = |number: u64| {
            let data = DataId { boot: Boot(10 + number), nonce: u64::MAX - number };
            (ServerId::new(format!("s{number}:8001")), data)
        };
        let view = View {
            generation: record(7).generation,
            number: ViewNumber(7),
            primary: server(1).0,
            primary_boot: Boot(12),
            insync: Members::from([server(1), server(2)]),
            joining: Members::from([server(3)]),
            activated: true,
        };
        Record { stable: view.insync.clone(), view: Some(view), ..record(7) }
    }

    /// A file of format 2 is kept: whatever becomes of this program, it reads it.
    #[test]
    fn a_record_of_format_2_can_be_read() {
        let kept = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/storage/kept/record-2/view"));
        if !kept.exists() && std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::create_dir_all(kept.parent().expect("a folder")).expect("made");
            fs::write(kept, encode(&full())).expect("written");
        }
        let kept = fs::read(kept).expect("it is kept");
        assert_eq!(decode(&kept), Ok(full()));
        assert!(encode(&full()) == kept, "another format needs another number");
    }

    #[test]
    fn a_record_survives_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let (first, mut file) = open(dir.path()).expect("a fresh folder");
        assert_eq!(first, Record::default());
        replace(&mut file, &record(7));
        replace(&mut file, &record(8));
        drop(file);
        assert_eq!(open(dir.path()).expect("again").0, record(8));
    }

    #[test]
    fn a_damaged_record_can_be_replaced_by_who_says_so() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().join("not").join("there yet");
        let mut file = RecordFile::lock(&dir).expect("a fresh folder");
        assert_eq!(file.read().expect("nothing is there"), None);
        fs::write(dir.join(FILE), "no record").expect("written");
        assert_eq!(file.read().expect_err("damaged").kind(), io::ErrorKind::InvalidData);
        replace(&mut file, &record(8));
        drop(file);
        assert_eq!(open(&dir).expect("again").0, record(8));
    }

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let _first = open(dir.path()).expect("a fresh folder");
        let error = open(dir.path()).expect_err("it is locked");
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
