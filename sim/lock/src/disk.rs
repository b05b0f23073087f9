//! What the log needs of a file system: one file, real or simulated.
//!
//! What a file holds and that it is there under its name become durable separately. A drive writes whole
//! sectors, in any order. A sync that failed says nothing about what is durable, and the next one does not
//! write it, though it is still read: it has to be written again.

// rules: allow fs: the file of production; the simulated one implements the same trait
use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    future::Future,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// One file. Its text names it in messages.
pub trait Disk: fmt::Display + Send + 'static {
    /// All that the file holds; nothing if there is none.
    fn read(&mut self) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// The file holds this from `offset` on; it is made if there is none. Not durable yet, as for the next
    /// two.
    fn write_at(&mut self, offset: u64, bytes: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send;

    /// The file ends there.
    fn truncate(&mut self, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// There is no such file.
    fn remove(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes durable what the file holds.
    fn sync(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes durable that it is there.
    fn sync_name(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A file of the operating system. Blocks its thread while the disk works: until a record is durable there is
/// nothing to answer.
#[derive(Debug)]
pub struct OsFile {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl OsFile {
    /// Takes the file, which need not be there. One process at a time has it: the file `PATH.lock` beside it
    /// is held locked.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or another process has the file.
    pub fn lock(path: &Path) -> io::Result<Self> {
        let name = path.display();
        let context = |error: io::Error| io::Error::new(error.kind(), format!("cannot open {name}: {error}"));
        let mut beside = path.as_os_str().to_owned();
        beside.push(".lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(beside).map_err(context)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let why = format!("another process is using {name}: stop it, or choose another file");
                Err(io::Error::new(io::ErrorKind::WouldBlock, why))
            }
            Err(TryLockError::Error(error)) => Err(context(error)),
        }
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)
    }
}

impl fmt::Display for OsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// What is not there is nothing.
fn present<T: Default>(done: io::Result<T>) -> io::Result<T> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        done => done,
    }
}

impl Disk for OsFile {
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        present(fs::read(&self.path))
    }

    async fn write_at(&mut self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.open()?.write_all_at(&bytes, offset)
    }

    async fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.open()?.set_len(length)
    }

    async fn remove(&mut self) -> io::Result<()> {
        present(fs::remove_file(&self.path))
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.open()?.sync_data()
    }

    async fn sync_name(&mut self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
