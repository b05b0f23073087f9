//! A folder: what the operating system shows of it, and what a loss of power leaves.
//!
//! A crash of the process takes nothing of what it had written. A loss of power takes, by a hash, any part of
//! what was not synced: a file that was not keeps a prefix of its contents, or what it held before; of the
//! names that were changed and not synced the first few are as new, the others as old. Names and contents are
//! lost independently of each other.
//!
//! Left out: files that are removed, and a disk that says it synced and did not.

#[cfg(madsim)]
pub use self::simulated::SimulatedFolder;

use std::{collections::BTreeMap, io, time::Duration};

use crate::{
    data::hash::{below, stable_hash},
    report::screen::counted,
};

/// What a file holds.
#[derive(Clone, Debug, Default)]
struct File {
    /// As a process reads it,
    shown: Vec<u8>,
    /// and as it was when it was last synced.
    synced: Vec<u8>,
}

/// A folder, outside the process that uses it, so that it outlives it.
#[derive(Clone, Debug)]
pub struct Files {
    /// Files by their number, which a rename does not change.
    files: BTreeMap<u64, File>,
    /// The durable names,
    names: BTreeMap<String, u64>,
    /// and what was changed since: this name leads to that file, and what led to it before does not any more.
    changes: Vec<(String, u64)>,
    /// Counts what is drawn: the source of all decisions, together with `salt`.
    ordinal: u64,
    /// A file is being replaced.
    under_way: bool,
    /// Counts crashes: what an earlier life does has no effect.
    life: u64,
    salt: u64,
    slowest_ms: u64,
}

fn change(names: &mut BTreeMap<String, u64>, name: &str, file: u64) {
    names.retain(|_, other| *other != file);
    names.insert(name.to_owned(), file);
}

impl Files {
    /// An empty folder. A file and then its name are synced within `slowest_ms`; `salt` makes it differ from
    /// others.
    pub fn new(salt: u64, slowest_ms: u64) -> Self {
        let (files, names) = (BTreeMap::new(), BTreeMap::new());
        Self { files, names, changes: Vec::new(), ordinal: 0, under_way: false, life: 0, salt, slowest_ms }
    }

    fn draw(&mut self) -> u64 {
        self.ordinal += 1;
        stable_hash(&(self.salt, self.ordinal))
    }

    fn shown(&self) -> BTreeMap<String, u64> {
        let mut names = self.names.clone();
        self.changes.iter().for_each(|(name, file)| change(&mut names, name, *file));
        names
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.shown().get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// If there is none of that name, as for the others.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.files[&self.find(name)?].shown.clone())
    }

    /// Makes a file or replaces what it holds.
    pub fn write(&mut self, name: &str, bytes: &[u8]) {
        let number = self.find(name).unwrap_or_else(|_| {
            let number = self.files.last_key_value().map_or(0, |(last, _)| last + 1);
            self.changes.push((name.to_owned(), number));
            number
        });
        self.files.entry(number).or_default().shown = bytes.to_vec();
    }

    /// Each file, and what of it a loss of power can take, as lines.
    pub fn standing(&self) -> Vec<String> {
        let shown = self.shown();
        let named = shown.iter().map(|(name, number)| {
            let known = self.names.get(name) == Some(number);
            let File { shown, synced } = &self.files[number];
            let bytes = counted(shown.len() as u64, "byte", "bytes");
            let contents = if shown == synced {
                format!("{bytes}, synced")
            } else {
                let same = shown.iter().zip(synced).take_while(|(one, other)| one == other).count();
                format!(
                    "{bytes}, not synced: a loss of power leaves the first few of them, or the {} of the last sync; \
                     the first {same} are the same",
                    synced.len()
                )
            };
            let name_is = if known { "" } else { "; its name is not synced: a loss of power can take it" };
            format!("file {name}: {contents}{name_is}")
        });
        let gone = self.names.iter().filter(|(name, number)| shown.get(*name) != Some(number));
        let back = gone.map(|(name, number)| {
            let bytes = counted(self.files[number].synced.len() as u64, "byte", "bytes");
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
        let file = self.files.get_mut(&self.find(name)?);
        file.into_iter().for_each(|file| file.synced.clone_from(&file.shown));
        Ok(())
    }

    /// A file has another name.
    ///
    /// # Errors
    ///
    /// If there is none of that name.
    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.find(from)?;
        self.changes.push((to.to_owned(), file));
        Ok(())
    }

    /// The names are durable.
    pub fn sync_names(&mut self) {
        self.under_way = false;
        self.names = self.shown();
        self.changes.clear();
        let kept: Vec<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| kept.contains(file));
    }

    /// How long it takes to sync a file, and after it the names.
    pub fn takes(&mut self) -> (Duration, Duration) {
        self.under_way = true;
        let total = below(self.draw(), self.slowest_ms + 1);
        (Duration::from_millis(total - total / 2), Duration::from_millis(total / 2))
    }

    /// The process ends. Returns whether a file was being replaced.
    pub fn crash(&mut self) -> bool {
        self.life += 1;
        std::mem::take(&mut self.under_way)
    }

    /// The machine ends, and with it whatever of what was not synced a hash says. Returns whether a file was
    /// being replaced.
    pub fn lose_power(&mut self) -> bool {
        let under_way = self.crash();
        let kept = usize::try_from(below(self.draw(), self.changes.len() as u64 + 1)).expect("a few");
        self.changes.truncate(kept);
        self.names = self.shown();
        self.changes.clear();
        for number in self.files.keys().copied().collect::<Vec<_>>() {
            let hash = self.draw();
            let file = self.files.get_mut(&number).expect("it is there");
            if file.shown != file.synced {
                let length = below(hash / 2, file.shown.len() as u64 + 1);
                let length = usize::try_from(length).expect("no longer than it was");
                match hash % 2 {
                    0 => file.shown.clone_from(&file.synced),
                    _ => file.shown.truncate(length),
                }
                file.synced.clone_from(&file.shown);
            }
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
        self.names = other.shown();
        self.changes.clear();
        self.files = other.files;
        self.files.values_mut().for_each(|file| file.synced.clone_from(&file.shown));
        self.under_way = false;
    }

    /// A file holds this, durably.
    pub fn put(&mut self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        self.sync_names();
        self.files.values_mut().for_each(|file| file.synced.clone_from(&file.shown));
    }

    /// The same folder in which one bit of a file is another one. None if there is no such file.
    pub fn damaged(&mut self, name: &str) -> Option<Self> {
        let number = self.find(name).ok()?;
        let bits = self.files[&number].shown.len() as u64 * 8;
        let bit = usize::try_from(below(self.draw(), bits.max(1))).expect("a few");
        let mut copy = self.clone();
        let byte = copy.files.get_mut(&number)?.shown.get_mut(bit / 8)?;
        *byte ^= 1 << (bit % 8);
        Some(copy)
    }
}

#[cfg(madsim)]
mod simulated {
    use std::{
        future, io,
        sync::{Arc, Mutex, MutexGuard, PoisonError},
        time::Duration,
    };

    use super::Files;
    use crate::world::drive::Drive;

    /// The folder as a running process sees it.
    pub struct SimulatedFolder {
        files: Arc<Mutex<Files>>,
        /// The drive that holds it.
        drive: Arc<Drive>,
        life: u64,
        /// What it takes to sync the names after a file was synced.
        names_take: Duration,
    }

    impl SimulatedFolder {
        /// What the process of the current life sees.
        pub fn new(files: Arc<Mutex<Files>>, drive: Arc<Drive>) -> Self {
            let life = files.lock().unwrap_or_else(PoisonError::into_inner).life;
            Self { files, drive, life, names_take: Duration::ZERO }
        }

        /// The folder, unless this life is over.
        fn files(&self) -> io::Result<MutexGuard<'_, Files>> {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            if files.life == self.life { Ok(files) } else { Err(io::Error::other("this process is dead")) }
        }

        /// Waits for the drive, for ever if this life is over by then.
        async fn wait(&self, time: Duration) -> io::Result<()> {
            if !time.is_zero() {
                madsim::time::sleep(time).await;
            }
            let synced = self.drive.write().await;
            if self.files().is_err() {
                future::pending::<()>().await;
            }
            synced
        }
    }

    impl SimulatedFolder {
        /// What a file holds.
        ///
        /// # Errors
        ///
        /// If there is none of that name, or this life is over; so for the others, too.
        pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            self.files()?.read(name)
        }

        /// Makes a file or replaces what it holds.
        ///
        /// # Errors
        ///
        /// If this life is over.
        pub fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.files()?.write(name, bytes);
            Ok(())
        }

        /// Makes durable what a file holds.
        ///
        /// # Errors
        ///
        /// If the drive fails, or there is no such file.
        pub async fn sync(&mut self, name: &str) -> io::Result<()> {
            let (takes, names_take) = self.files()?.takes();
            self.names_take = names_take;
            self.wait(takes).await?;
            self.files()?.sync(name)
        }

        /// Gives a file another name.
        ///
        /// # Errors
        ///
        /// If there is no such file.
        pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
            self.files()?.rename(from, to)
        }

        /// Makes the names durable.
        ///
        /// # Errors
        ///
        /// If the drive fails.
        pub async fn sync_names(&mut self) -> io::Result<()> {
            self.wait(self.names_take).await?;
            self.files()?.sync_names();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(salt: u64, steps: usize) -> Files {
        let mut files = Files::new(salt, 2);
        files.write("view.new", b"old");
        files.sync("view.new").expect("it is there");
        files.rename("view.new", "view").expect("it is there");
        files.sync_names();
        for step in 0..steps {
            match step {
                0 => files.write("view.new", b"the new one"),
                1 => files.sync("view.new").expect("it is there"),
                2 => files.rename("view.new", "view").expect("it is there"),
                _ => files.sync_names(),
            }
        }
        files
    }

    #[test]
    fn a_synced_file_is_the_old_or_the_new_one_after_a_loss_of_power() {
        let mut seen = [0, 0];
        for (salt, steps) in (0..100).flat_map(|salt| (0..=4).map(move |steps| (salt, steps))) {
            let mut files = replaced(salt, steps);
            files.lose_power();
            let found = files.read("view").expect("it is there");
            let is_new = found == b"the new one";
            assert!(is_new || found == b"old", "{steps} steps: {found:?}");
            assert!(if steps == 4 { is_new } else { steps == 3 || !is_new }, "{steps} steps: {found:?}");
            seen[usize::from(is_new)] += usize::from(steps == 3);
        }
        assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
    }

    #[test]
    fn what_was_not_synced_is_lost_in_part() {
        let mut shorter = 0;
        for salt in 0..100 {
            let mut files = replaced(salt, 1);
            files.rename("view.new", "view").expect("it is there");
            files.sync_names();
            let mut after_crash = files.clone();
            after_crash.crash();
            assert_eq!(after_crash.read("view").expect("it is there"), b"the new one");
            files.lose_power();
            shorter += usize::from(files.read("view").expect("it is there").len() < 11);
        }
        assert!(shorter > 50, "{shorter}");
    }

    #[test]
    fn what_a_loss_of_power_can_take_is_named() {
        let standing = |steps| replaced(1, steps).standing().join("\n");
        assert_eq!(standing(4), "file view: 11 bytes, synced");
        let written = standing(1);
        assert!(
            written.contains("file view: 3 bytes, synced\nfile view.new: 11 bytes, not synced"),
            "{written}"
        );
        assert!(written.contains("the 0 of the last sync") && written.contains("its name is not synced"));
        let renamed = standing(3);
        assert!(renamed.starts_with("file view: 11 bytes, synced; its name is not synced"), "{renamed}");
        assert!(renamed.contains("file view as last synced: 3 bytes; a loss of power can bring it back"));
    }

    #[test]
    fn a_damaged_copy_differs_in_one_bit() {
        let mut files = replaced(1, 4);
        let damaged = files.damaged("view").expect("it is there").read("view").expect("it is there");
        let whole = files.read("view").expect("it is there");
        let bits: u32 = whole.iter().zip(&damaged).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, whole.len()), (1, damaged.len()));
        assert!(files.damaged("none").is_none());
    }
}
