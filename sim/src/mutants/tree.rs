//! A copy of the source tree in which mistakes are planted, and that stays cheap to build again.
//!
//! Only files whose content differs are written, so all others keep their time of modification and cargo
//! builds what changed and no more. There is nothing to restore: the next copy begins by writing back what
//! the last mutant changed. The original is read once, so it can be edited while mutants are tried. One
//! process at a time works in a copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::Overlay;

/// A copy of a source tree.
pub struct Copy {
    original: BTreeMap<PathBuf, Vec<u8>>,
    at: PathBuf,
    /// Held as long as this is.
    _lock: File,
}

impl Copy {
    /// The copy of the tree at `original` in the folder `at`, which need not exist. Waits for whoever works
    /// in it.
    ///
    /// # Errors
    ///
    /// If the original cannot be read or the folder not be written.
    pub fn open(original: &Path, at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| failed("make", at, &error))?;
        let path = at.with_extension("lock");
        let lock = File::create(&path).map_err(|error| failed("write", &path, &error))?;
        lock.lock().map_err(|error| failed("lock", &path, &error))?;
        let read = |path: PathBuf| {
            let from = original.join(&path);
            let content = fs::read(&from).map_err(|error| failed("read", &from, &error))?;
            Ok((path, content))
        };
        let original = files(original)?.into_iter().map(read).collect::<Result<_, String>>()?;
        Ok(Self { original, at: at.into(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// The text of a file of the original.
    pub fn original(&self, path: &Path) -> Option<&str> {
        str::from_utf8(self.original.get(path)?).ok()
    }

    /// Makes the copy equal to the original, except for the files in `overlay`.
    ///
    /// # Errors
    ///
    /// The first file that cannot be written.
    pub fn make(&self, overlay: &Overlay) -> Result<(), String> {
        let wanted: BTreeSet<&PathBuf> = self.original.keys().chain(overlay.keys()).collect();
        for path in &wanted {
            let content = overlay.get(*path).map_or_else(|| &*self.original[*path], |text| text.as_bytes());
            let to = self.at.join(path);
            if fs::read(&to).is_ok_and(|present| present == content) {
                continue;
            }
            let folder = to.parent().unwrap_or(&self.at);
            fs::create_dir_all(folder).map_err(|error| failed("make", folder, &error))?;
            fs::write(&to, content).map_err(|error| failed("write", &to, &error))?;
        }
        for path in files(&self.at)?.iter().filter(|path| !wanted.contains(path)) {
            let path = self.at.join(path);
            fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Ok(())
    }
}

/// All files below a folder, by path below it, except for hidden ones and what was built.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).map_err(|error| failed("read", &path, &error))? {
            let entry = entry.map_err(|error| failed("read", &path, &error))?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') || name == "target" {
                continue;
            }
            let below = folder.join(&name);
            if entry.path().is_dir() {
                folders.push(below);
            } else {
                found.insert(below);
            }
        }
    }
    Ok(found)
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
