//! Where something is saved for a person. A file that is there keeps what it holds until a whole new one
//! takes its place, and only if that was asked for.

// rules: allow fs: a person wants to keep what a command found
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::New(path.to_owned()),
            Err(error) => return Err(unwritable(error)),
        };
        if let Self::New(path) | Self::Replaced(path) = &target {
            let part = part(path);
            File::create_new(&part).and_then(|_| fs::remove_file(part)).map_err(unwritable)?;
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
            Self::New(path) | Self::Replaced(path) => {
                let part = part(path);
                let moved = self.write_beside(contents, &part);
                if moved.is_err() {
                    let _ = fs::remove_file(part);
                }
                moved
            }
        };
        saved.map_err(|error| format!("cannot save {what} to {}: {error}", self.path().display()))
    }

    fn write_beside(
        &self,
        contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        part: &Path,
    ) -> io::Result<()> {
        write(contents, File::create_new(part)?)?.sync_all()?;
        if let Self::New(path) = self {
            File::create_new(path)?; // another process may have made it meanwhile
        }
        fs::rename(part, self.path())?;
        let folder = self.path().parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// The name under which a file is written until it is whole: in the same folder.
fn part(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // rules: allow randomness: two processes may save to one folder
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

fn write(contents: impl FnOnce(&mut dyn Write) -> io::Result<()>, file: File) -> io::Result<File> {
    let mut file = BufWriter::new(file);
    contents(&mut file)?;
    file.flush()?;
    file.into_inner().map_err(io::IntoInnerError::into_error)
}
