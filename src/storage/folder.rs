//! What a storage needs of a file system: one folder, real or simulated.
//!
//! What a file holds and under which name it is found become durable separately, as POSIX has it: after a
//! loss of power a name may lead to the file before it or to one without its contents, unless both were
//! synced. A sync that failed says nothing about what is durable, and the next one, if it succeeds, nothing
//! about what the failed one was to write: that must be written again. The simulator's folder
//! (`sim/testbed/src/hardware/files.rs`) makes use of all of that.

// rules: allow fs: the real folder; the simulated one implements the same trait
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    future::Future,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::FlockOperation;

use crate::process::aside;

/// A folder of which one process at a time is the user. Its text names it in messages. Whatever changes it
/// fails if the file system does.
pub trait Folder: fmt::Display + Send + 'static {
    /// The names of all files that there are, in order.
    ///
    /// # Errors
    ///
    /// If the file system fails, as for the others.
    fn names(&self) -> io::Result<Vec<String>>;

    /// What a file holds from `offset` on, as far as it fits, or less. Nothing at its end.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none of that name.
    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none of that name.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a file, or replaces what it holds; not durable yet. After an error a part may have been written.
    fn write(&mut self, name: &str, bytes: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send;

    /// A file holds this from `offset` on; it is made, and zeros fill what lies before, if there is a gap.
    /// Not durable yet.
    fn write_at(
        &mut self,
        name: &str,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// A file ends there; not durable yet.
    fn truncate(&mut self, name: &str, length: u64) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes durable what a file holds.
    fn sync(&mut self, name: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// [`write_at`](Self::write_at), and [`sync`](Self::sync) after it, in one go.
    fn write_synced(
        &mut self,
        name: &str,
        offset: u64,
        bytes: Vec<u8>,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            self.write_at(name, offset, bytes).await?;
            self.sync(name).await
        }
    }

    /// A file has another name from now on, in the place of the file of that name; not durable yet.
    fn rename(&mut self, from: &str, to: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// A file is no longer there; not durable yet.
    fn remove(&mut self, name: &str) -> impl Future<Output = io::Result<()>> + Send;

    /// Makes durable which names there are, and what they lead to.
    fn sync_names(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A folder of the operating system. Its disk works beside the threads that answer: whoever waits for a sync
/// keeps nobody else from anything.
#[derive(Debug)]
pub struct OsFolder {
    dir: PathBuf,
    /// Those that were written to.
    open: BTreeMap<String, Arc<File>>,
    /// Locked as long as this lives; none if it is only looked at.
    _lock: Option<File>,
}

impl OsFolder {
    /// Takes the folder for a `user`, creating it if needed; the file `lock` in it is held locked.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or another process uses it.
    pub fn lock(dir: &Path, lock: &str, user: &str) -> io::Result<Self> {
        let context = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot use the folder {}: {error}", dir.display()))
        };
        if dir.exists() && !dir.is_dir() {
            return Err(context(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder")));
        }
        create_durably(dir).map_err(context)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(lock))
            .map_err(context)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = format!(
                "another {user} is using the folder {}: give this one a folder of its own",
                dir.display()
            );
            io::Error::new(io::ErrorKind::WouldBlock, message)
        })?;
        Ok(Self { dir: dir.to_owned(), open: BTreeMap::new(), _lock: Some(lock) })
    }

    /// A folder to be looked at, whoever uses it.
    pub fn unlocked(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), open: BTreeMap::new(), _lock: None }
    }

    /// The file, to be read and written.
    fn file(&mut self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.get(name) {
            return Ok(file.clone());
        }
        let path = self.dir.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(self.open.entry(name.to_owned()).or_insert(Arc::new(file)).clone())
    }
}

impl fmt::Display for OsFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dir.display().fmt(f)
    }
}

impl Folder for OsFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.dir)?.collect::<io::Result<Vec<_>>>()?;
        let mut names: Vec<String> =
            entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        File::open(self.dir.join(name))?.read_at(into, offset)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    async fn write(&mut self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.open.remove(name);
        let path = self.dir.join(name);
        aside(move || File::create(path)?.write_all(&bytes)).await
    }

    async fn write_at(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let file = self.file(name)?;
        aside(move || file.write_all_at(&bytes, offset)).await
    }

    async fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let file = self.file(name)?;
        aside(move || file.set_len(length)).await
    }

    async fn sync(&mut self, name: &str) -> io::Result<()> {
        let file = self.file(name)?;
        aside(move || file.sync_data()).await
    }

    async fn write_synced(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let file = self.file(name)?;
        aside(move || file.write_all_at(&bytes, offset).and_then(|()| file.sync_data())).await
    }

    async fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (before, after) = (self.dir.join(from), self.dir.join(to));
        aside(move || fs::rename(before, after)).await?;
        self.open.remove(to);
        if let Some(file) = self.open.remove(from) {
            self.open.insert(to.to_owned(), file);
        }
        Ok(())
    }

    async fn remove(&mut self, name: &str) -> io::Result<()> {
        let (file, path) = (self.open.remove(name), self.dir.join(name));
        // To free what a long file takes lasts, and is done when nobody has it open any more.
        aside(move || {
            drop(file);
            fs::remove_file(path)
        })
        .await
    }

    async fn sync_names(&mut self) -> io::Result<()> {
        let dir = self.dir.clone();
        aside(move || File::open(dir)?.sync_all()).await
    }
}

/// Creates a folder with all that it is in. A folder is durable when the one it is in is synced: else a power
/// loss soon after the first start could take what is in it along. One that is there may be left over from a
/// process that ended before it had synced it. A parent that this process may not read is another user's.
fn create_durably(dir: &Path) -> io::Result<()> {
    let parent = |dir: &Path| match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let created: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    if created.is_empty() {
        return match File::open(parent(&fs::canonicalize(dir)?)) {
            Ok(parent) => parent.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        };
    }
    created.iter().try_for_each(|dir| File::open(parent(dir))?.sync_all())
}
