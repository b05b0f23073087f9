//! Where something is saved for a person. A file that is there keeps what it holds until a whole new one
//! takes its place, and only if that was asked for.

// rules: allow fs: a person wants to keep what a command found
use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Where something is saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file that is made when there is something to save.
    New(PathBuf),
    /// A file that is replaced then.
    Replaced(PathBuf),
    /// Something that cannot be replaced, as a pipe: it is written to.
    Special(PathBuf),
}

impl Target {
    /// Chooses a place before there is anything to save: one that cannot be written must not cost all the
    /// work. It is left as it is.
    ///
    /// # Errors
    ///
    /// In words, if nothing can be saved there.
    pub fn at(path: &Path, replace: bool) -> Result<Self, String> {
        let unwritable = |error: io::Error| format!("cannot write to {}: {error}", path.display());
        let target = match fs::metadata(path) {
            Ok(found) if found.is_file() && !replace => {
                return Err(format!("{} exists: choose another name, or add --replace", path.display()));
            }
            // The file that a link leads to.
            Ok(found) if found.is_file() => Self::Replaced(fs::canonicalize(path).map_err(unwritable)?),
            Ok(found) if found.is_dir() => return Err(unwritable(io::ErrorKind::IsADirectory.into())),
            Ok(_) => Self::Special(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_ok() {
                    return Err(format!("{} is a link that leads nowhere: remove it", path.display()));
                }
                Self::New(path.to_owned())
            }
            Err(error) => return Err(unwritable(error)),
        };
        if let Self::New(path) | Self::Replaced(path) = &target {
            drop(Part::of(path)?);
        }
        Ok(target)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        let (Self::New(path) | Self::Replaced(path) | Self::Special(path)) = self;
        path
    }

    /// Saves what is written, which is `what` in messages; durable on return, if it is a file.
    ///
    /// # Errors
    ///
    /// In words. What was there is as it was.
    pub fn save(
        &self,
        what: &str,
        contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), String> {
        let saved = match self {
            Self::Special(path) => {
                File::options().write(true).open(path).and_then(|file| write(contents, file).map(|_| ()))
            }
            Self::New(path) | Self::Replaced(path) => self.write_beside(contents, Part::of(path)?),
        };
        saved.map_err(|error| format!("cannot save {what} to {}: {error}", self.path().display()))
    }

    fn write_beside(
        &self,
        contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        mut part: Part,
    ) -> io::Result<()> {
        write(contents, part.file.try_clone()?)?.sync_all()?;
        match self {
            // Whoever could read the file can, and nobody else.
            Self::Replaced(path) => part.file.set_permissions(fs::metadata(path)?.permissions())?,
            // Another process may have made it meanwhile.
            _ if fs::symlink_metadata(self.path()).is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
            _ => {}
        }
        fs::rename(&part.path, self.path())?;
        part.is_whole = true;
        File::open(folder(self.path()))?.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file until it is whole, beside the one that it will be. Of a process that was killed one may be left
/// over: the next one takes it. It goes when this does, unless it has its name by then.
struct Part {
    path: PathBuf,
    file: File,
    /// It has its name.
    is_whole: bool,
}

impl Part {
    /// The one of this file.
    fn of(path: &Path) -> Result<Self, String> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".part");
        let part = path.with_file_name(name);
        let unwritable = |error: io::Error| format!("cannot write to {}: {error}", path.display());
        let file =
            File::options().create(true).truncate(false).write(true).open(&part).map_err(unwritable)?;
        let busy = || format!("another process is writing {}", path.display());
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        // Another process may have given it its name before it was locked.
        let (locked, named) = (file.metadata().map_err(unwritable)?, fs::metadata(&part));
        if !named.is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())) {
            return Err(busy());
        }
        file.set_len(0).map_err(unwritable)?;
        Ok(Self { path: part, file, is_whole: false })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn write(contents: impl FnOnce(&mut dyn Write) -> io::Result<()>, file: File) -> io::Result<File> {
    let mut file = BufWriter::new(file);
    contents(&mut file)?;
    file.flush()?;
    file.into_inner().map_err(io::IntoInnerError::into_error)
}
