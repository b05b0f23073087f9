//! A folder: what the operating system shows of it, and what a loss of power leaves.
//!
//! | what happens | what it leaves |
//! | --- | --- |
//! | a process ends | all that it wrote, and a prefix of the write that was under way: where there was something before, whole sectors of it, since an operating system copies whole pages |
//! | power is lost | what was synced, and any part of the rest: each sector has its old contents or the new ones (zeros, if it is new and was not written); a file that grew has any length from the old to the new one; each change of a name was made or not |
//! | a sync fails | any part of what it was to write is durable, as after a loss of power. The next sync does not write the rest, which processes still read until power is lost |
//! | a write fails | such a prefix of it was written |
//! | any other access fails | what was there |
//! | a bit rots | the same files, in which one durable bit is another one |
//!
//! Names and contents are lost independently of each other: a rename may survive without what the file held,
//! and the other way round; a file that was removed may be there again. Hashes choose all of that, and how
//! much a read returns, which may be less than was asked for.
//!
//! Left out: a disk that says it synced and did not, sectors that hold something else than what was there
//! before or after, a rename or removal that fails and was done, what the operating system writes by itself,
//! and a process that is killed in the middle of a sector because a page of its own was swapped out.

mod contents;
mod names;
mod part;
#[cfg(madsim)]
mod simulated;
#[cfg(test)]
mod tests;

pub use self::contents::SECTOR;
#[cfg(madsim)]
pub use self::simulated::SimulatedFolder;

use std::{collections::BTreeMap, io, time::Duration};

use self::{contents::Contents, names::Names};
use crate::{
    data::hash::{below, stable_hash},
    report::screen::counted,
};

/// A write takes at most the longest time of a whole batch divided by this.
const WRITE_SHARE: u64 = 3;

/// A file, for tests and screens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: usize,
    /// How many of its bytes are not as they are on the drive.
    pub not_durable: usize,
}

/// A write that is under way.
#[derive(Clone, Debug)]
struct Writing {
    file: u64,
    offset: usize,
    bytes: Vec<u8>,
}

/// A folder, outside the process that uses it, so that it outlives it. It can be copied as it is.
#[derive(Clone, Debug)]
pub struct Files {
    /// Files by their number, which a rename does not change.
    files: BTreeMap<u64, Contents>,
    names: Names,
    writing: Option<Writing>,
    /// Counts what is drawn: the source of all decisions, together with `salt`.
    ordinal: u64,
    /// Something was written and is not synced yet.
    under_way: bool,
    /// Counts crashes: what an earlier life does has no effect.
    life: u64,
    salt: u64,
    slowest_ms: u64,
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("no longer than fits in memory")
}

impl Files {
    /// An empty folder. One write, the sync of its file and that of the names take up to `slowest_ms`
    /// together, and so does reading all that is in it; `salt` makes it differ from others.
    pub fn new(salt: u64, slowest_ms: u64) -> Self {
        let (files, names) = (BTreeMap::new(), Names::default());
        Self { files, names, writing: None, ordinal: 0, under_way: false, life: 0, salt, slowest_ms }
    }

    fn draw(&mut self) -> u64 {
        self.ordinal += 1;
        stable_hash(&(self.salt, self.ordinal))
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.find(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn existing(&mut self, name: &str) -> io::Result<&mut Contents> {
        let file = self.find(name)?;
        Ok(self.files.get_mut(&file).expect("each name leads to a file"))
    }

    /// The file of a name, which is made if there is none.
    fn find_or_make(&mut self, name: &str) -> u64 {
        self.under_way = true;
        self.names.find(name).unwrap_or_else(|| {
            let file = self.files.last_key_value().map_or(0, |(last, _)| last + 1);
            self.files.insert(file, Contents::default());
            self.names.lead(name, file);
            file
        })
    }

    fn contents(&mut self, file: u64) -> &mut Contents {
        self.files.get_mut(&file).expect("it was found")
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.names.iter().map(|(name, _)| name.clone()).collect()
    }

    /// All files, in the order of their names.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(name, file): (&String, u64)| {
            let contents = &self.files[&file];
            let (length, not_durable) = (contents.shown().len(), contents.not_durable());
            Listed { name: name.clone(), length, not_durable }
        };
        self.names.iter().map(listed).collect()
    }

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// If there is none of that name, as for the others.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.files[&self.find(name)?].shown().to_vec())
    }

    /// What a file holds from `offset` on: as far as it fits, or less, but nothing only at its end. Reading
    /// draws nothing, so that looking into the folder leaves everything as it was.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let rest = self.files[&self.find(name)?].shown().get(place(offset)..).unwrap_or_default();
        let all = rest.len().min(into.len());
        let hash = stable_hash(&(self.salt, self.ordinal, "read", offset, into.len()));
        let read = match hash % 4 {
            0 => all.min(1 + below(stable_hash(&hash), all as u64) as usize),
            _ => all,
        };
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    /// Makes a file or replaces what it holds.
    pub fn write(&mut self, name: &str, bytes: &[u8]) {
        let file = self.find_or_make(name);
        self.contents(file).replace(bytes);
    }

    /// Makes a file or replaces what it holds, by a prefix of this.
    pub fn write_in_part(&mut self, name: &str, bytes: &[u8]) {
        let length = self.draw_prefix(bytes);
        self.write(name, &bytes[..length]);
    }

    /// Begins to write into a file from `offset` on; makes it, if there is none. Returns how long it takes.
    ///
    /// # Panics
    ///
    /// If another write is under way: a folder has one user, who does one thing after the other.
    pub fn begin_write(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> Duration {
        assert!(self.writing.is_none(), "a write of {name} begins while another one is under way");
        let file = self.find_or_make(name);
        self.writing = Some(Writing { file, offset: place(offset), bytes });
        Duration::from_micros(below(self.draw(), self.slowest_ms * 1_000 / WRITE_SHARE + 1))
    }

    /// What is under way is written.
    pub fn complete_write(&mut self) {
        if let Some(Writing { file, offset, bytes }) = self.writing.take() {
            self.contents(file).write_at(offset, &bytes);
        }
    }

    /// A prefix of what is under way is written, and the rest is not.
    pub fn fail_write(&mut self) {
        if let Some(Writing { file, offset, bytes }) = self.writing.take() {
            let end = offset + self.draw_prefix(&bytes);
            let is_over_something = end < self.files[&file].shown().len();
            let end = if is_over_something { end - end % SECTOR } else { end };
            self.contents(file).write_at(offset, &bytes[..end.saturating_sub(offset)]);
        }
    }

    fn draw_prefix(&mut self, bytes: &[u8]) -> usize {
        below(self.draw(), bytes.len() as u64 + 1) as usize
    }

    /// A file ends there.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.existing(name)?.truncate(place(length));
        self.under_way = true;
        Ok(())
    }

    /// Each file, and what of it a loss of power can take, as lines.
    pub fn standing(&self) -> Vec<String> {
        let named = self.list().into_iter().map(|Listed { name, length, not_durable }| {
            let bytes = counted(length as u64, "byte", "bytes");
            let contents = match not_durable {
                0 => "synced".into(),
                count => format!("not synced: a loss of power can take {count} of them"),
            };
            let is_known = self.names.is_durable(&name);
            let name_is = if is_known { "" } else { "; its name is not synced: a loss of power can take it" };
            format!("file {name}: {bytes}, {contents}{name_is}")
        });
        let back = self.names.replaced().map(|(name, file)| {
            let bytes = counted(self.files[&file].durable().len() as u64, "byte", "bytes");
            format!("file {name} as last synced: {bytes}; a loss of power can bring it back")
        });
        named.chain(back).collect()
    }

    /// What a file holds is durable.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn sync(&mut self, name: &str) -> io::Result<()> {
        self.existing(name)?.sync();
        self.under_way = self.names.are_changed();
        Ok(())
    }

    /// A part of what a file holds is durable, and the rest is not and will not be.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn fail_sync(&mut self, name: &str) -> io::Result<()> {
        let hash = self.draw();
        self.existing(name)?.sync_in_part(hash);
        Ok(())
    }

    /// A file has another name.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        self.names.lead(to, file);
        self.under_way = true;
        Ok(())
    }

    /// A file is gone.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        self.find(name)?;
        self.names.remove(name);
        self.under_way = true;
        Ok(())
    }

    /// The names are durable.
    pub fn sync_names(&mut self) {
        self.under_way = false;
        self.names.sync();
        self.forget_unnamed();
    }

    /// Some of the changes of names are durable, and the rest are not and will not be.
    pub fn fail_sync_names(&mut self) {
        let hash = self.draw();
        self.names.sync_in_part(hash);
        self.forget_unnamed();
    }

    fn forget_unnamed(&mut self) {
        let named = self.names.files();
        self.files.retain(|file, _| named.contains(file));
    }

    /// How long it takes to sync a file, and after it the names; `write_took` is what the write before took.
    pub fn takes(&mut self, write_took: Duration) -> (Duration, Duration) {
        self.under_way = true;
        let gone_ms = u64::try_from(write_took.as_micros().div_ceil(1_000)).expect("a part of the slowest");
        let total = below(self.draw(), self.slowest_ms.saturating_sub(gone_ms) + 1);
        (Duration::from_millis(total - total / 2), Duration::from_millis(total / 2))
    }

    /// How long it takes to read all that is in it.
    pub fn reading_takes(&mut self) -> Duration {
        Duration::from_micros(below(self.draw(), self.slowest_ms * 1_000 + 1))
    }

    /// The process ends. A prefix of a write that was under way is written. Returns whether something was
    /// written and not synced.
    pub fn crash(&mut self) -> bool {
        self.fail_write();
        self.life += 1;
        std::mem::take(&mut self.under_way)
    }

    /// The machine ends, and with it whatever of what was not synced a hash says. Returns whether something
    /// was written and not synced.
    pub fn lose_power(&mut self) -> bool {
        let under_way = self.crash();
        let hash = self.draw();
        self.names.lose_power(hash);
        self.forget_unnamed();
        for file in self.files.keys().copied().collect::<Vec<_>>() {
            let hash = self.draw();
            self.contents(file).lose_power(hash);
        }
        under_way
    }

    /// The folder is empty. Returns what was in it.
    pub fn lose(&mut self) -> Self {
        let kept = self.clone();
        self.put_back(Self::new(self.salt, self.slowest_ms));
        kept
    }

    /// What is in the other folder is in this one, durably.
    pub fn put_back(&mut self, other: Self) {
        self.names = other.names;
        self.files = other.files;
        self.writing = None;
        self.all_durable();
    }

    /// A file holds this, durably.
    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        self.all_durable();
    }

    fn all_durable(&mut self) {
        self.under_way = false;
        self.names.all_durable();
        self.forget_unnamed();
        self.files.values_mut().for_each(Contents::all_durable);
    }

    /// One bit of what is durable in some file is another one. Returns the file's name; none if nothing is
    /// durable.
    pub fn rot(&mut self) -> Option<String> {
        let at_rest = |(name, file): (&String, u64)| (name.clone(), file, self.files[&file].at_rest());
        let mut files: Vec<_> = self.names.iter().map(at_rest).filter(|(.., at)| !at.is_empty()).collect();
        let drawn = below(self.draw(), files.len() as u64) as usize;
        let (name, file, at_rest) = (drawn < files.len()).then(|| files.swap_remove(drawn))?;
        let bit = below(self.draw(), at_rest.len() as u64 * 8) as usize;
        self.contents(file).flip(at_rest[bit / 8] * 8 + bit % 8);
        Some(name)
    }

    /// The same folder in which one bit of a file is another one. None if there is no such file, or nothing
    /// in it.
    pub fn damaged(&mut self, name: &str) -> Option<Self> {
        let file = self.find(name).ok()?;
        let bits = self.files[&file].shown().len() as u64 * 8;
        let bit = below(self.draw(), bits.max(1)) as usize;
        let mut copy = self.clone();
        copy.contents(file).flip(bit);
        (bits > 0).then_some(copy)
    }
}
