//! What the view service's record needs of a file system: one folder, real or simulated.
//!
//! What a file holds and under which name it is found become durable separately, as POSIX has it: after a
//! loss of power a name may lead to the file before it or to one without its contents, unless both were
//! synced. The simulator's folder (`sim/src/hardware/files.rs`) makes use of that.

// rules: allow fs: the real folder; the simulated one implements the same trait
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    future::Future,
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

/// A folder of which one process at a time is the user. Its text names it in messages.
pub trait Folder: fmt::Display + Send + 'static {
    /// What a file holds.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none of that name.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a file, or replaces what it holds; not durable yet.
    ///
    /// # Errors
    ///
    /// If the file system fails, as for the others.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what a file holds.
    fn sync(&mut self, name: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// A file has another name from now on, in the place of the file of that name; not durable yet.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Makes durable which names there are, and what they lead to.
    fn sync_names(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A folder of the operating system. Blocks its thread while the disk syncs: views change rarely, and until a
/// change is durable the view service has nothing to say to anybody.
#[derive(Debug)]
pub struct OsFolder {
    dir: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl OsFolder {
    /// Takes the folder, creating it if needed; the file `lock` in it is held locked.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or another process uses it.
    pub fn lock(dir: &Path, lock: &str) -> io::Result<Self> {
        let context = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot use the folder {}: {error}", dir.display()))
        };
        create_durably(dir).map_err(context)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(lock))
            .map_err(context)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = format!("another view service is using the folder {}", dir.display());
            io::Error::new(io::ErrorKind::WouldBlock, message)
        })?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }
}

impl fmt::Display for OsFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dir.display().fmt(f)
    }
}

impl Folder for OsFolder {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        File::create(self.dir.join(name))?.write_all(bytes)
    }

    async fn sync(&mut self, name: &str) -> io::Result<()> {
        File::open(self.dir.join(name))?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    async fn sync_names(&mut self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Creates a folder with all that it is in. A folder is durable when the one it is in is synced: else a power
/// loss soon after the first start could take the record with it.
fn create_durably(dir: &Path) -> io::Result<()> {
    let parent = |dir: &Path| match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let created: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    created.iter().try_for_each(|dir| File::open(parent(dir))?.sync_all())
}
