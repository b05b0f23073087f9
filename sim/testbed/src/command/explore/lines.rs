//! The file of `--json`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    explore::{Record, Report},
    system::System,
};

/// Bytes of a line, at most.
const LINE_BYTES_MAX: u64 = 1 << 16;

/// A file with a line for each run.
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// A new file, or the end of one that an exploration left that now goes on.
    pub fn open(path: &Path, goes_on: bool) -> Result<Self, String> {
        let file = if goes_on { at_end(path) } else { File::create(path) };
        let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self { path: path.into(), file })
    }

    /// Writes the line of a run.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn write<S: System>(&mut self, report: &Report<S>) -> Result<(), String> {
        let written = Record::new(report).write(&mut self.file);
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

/// A line that was half written when the process was killed is dropped: its run is made again.
fn at_end(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place as u64 + 1);
    file.set_len(start + whole)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}
