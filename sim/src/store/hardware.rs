//! The testbed's hardware in the terms of the store: what its servers, clients and view service run on.

#[cfg(madsim)]
pub use simulated::{Clock, Folder, Found, JournalDisk, RecordDisk, ServerDisk};

#[cfg(madsim)]
mod simulated {
    use std::{
        fmt, io,
        sync::{Arc, Mutex, MutexGuard, PoisonError},
        time::Duration,
    };

    use pbkv::{
        protocol::{
            log::{Durable, Write},
            view::Record,
        },
        storage::{
            Progress, Storage, folder,
            journal::{self, Journal, Looked},
            record_file::RecordFile,
        },
    };
    use testbed::{
        hardware::{
            clock::SimulatedClock,
            copies::Copies,
            files::{Files, SimulatedFolder},
        },
        judges::broken::Broken,
        report::screen::counted,
    };

    use crate::judges::disks;

    /// A node's clock.
    #[derive(Clone)]
    pub struct Clock(pub SimulatedClock);

    /// How long everything else has its turn: what asks for it for ever is seen to be restless.
    const TURN: Duration = Duration::from_micros(10);

    impl pbkv::clock::Clock for Clock {
        fn now(&self) -> Duration {
            self.0.now()
        }

        async fn sleep_until(&self, at: Duration) {
            self.0.sleep_until(at).await;
        }

        async fn give_way(&self) {
            self.0.sleep_until(self.0.now() + TURN).await;
        }
    }

    /// What a process would find.
    #[derive(Default)]
    pub struct Found {
        /// What it would remember,
        pub memory: Durable,
        /// and how many bytes it would cut off.
        pub torn: u64,
    }

    /// What a server keeps: a folder, and what is known of it.
    pub struct ServerDisk {
        /// The folder, which outlives the process.
        pub files: Arc<Mutex<Files>>,
        /// What is durable in it.
        durable: Durable,
        /// What was being made durable when it was last looked at.
        under_way: Vec<Write>,
        /// A bit of it is another one.
        is_rotten: bool,
        /// It is an older copy of itself, and its server has not noticed.
        is_older: bool,
        /// As it was at earlier moments, and what was durable then.
        copies: Copies<(Files, Durable)>,
    }

    impl ServerDisk {
        /// With nothing in this folder.
        pub fn new(files: Files) -> Self {
            let (durable, under_way, copies) = (Durable::default(), Vec::new(), Copies::default());
            let files = Arc::new(Mutex::new(files));
            Self { files, durable, under_way, is_rotten: false, is_older: false, copies }
        }

        /// The folder, to look at or to change.
        pub fn files(&self) -> MutexGuard<'_, Files> {
            self.files.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// What is durable.
        pub fn content(&self) -> &Durable {
            &self.durable
        }

        /// Everything is lost.
        pub fn wipe(&mut self) {
            self.files().lose();
            self.durable = Durable::default();
            self.under_way.clear();
            self.is_rotten = false;
            self.is_older = false;
        }

        /// Keeps a copy of what a loss of power would leave now.
        pub fn keep_copy(&mut self) {
            let mut files = self.files().clone();
            files.lose_power();
            if let Some(Found { memory, .. }) = found(Arc::new(Mutex::new(files.clone()))) {
                self.copies.keep((files, memory));
            }
        }

        /// One of the copies that fit is put back, which a hash chooses. Returns whether there is one.
        pub fn go_back(&mut self, hash: u64, fits: impl Fn(&Durable) -> bool) -> bool {
            let copy = self.copies.choose(hash, |(_, memory)| fits(memory)).cloned();
            let Some((files, memory)) = copy else { return false };
            self.files().put_back(files);
            self.believe(&memory);
            self.is_rotten = false;
            self.is_older = true;
            true
        }

        /// Whether it is an older copy of itself, and its server has not noticed.
        pub fn is_older(&self) -> bool {
            self.is_older
        }

        /// One bit is another one. Returns whether this server finds nothing any more.
        pub fn rot(&mut self) -> bool {
            let file = self.files().rot();
            let is_lost = file.is_some() && self.found().is_none();
            if is_lost {
                self.durable = Durable::default();
                self.under_way.clear();
                self.is_rotten = true;
                self.is_older = false;
            }
            is_lost
        }

        /// Whether what a start finds is a disk of which a bit became another one.
        pub fn is_rotten(&self) -> bool {
            self.is_rotten && self.found().is_none()
        }

        /// What was rotten was set aside.
        pub fn is_read(&mut self) {
            self.is_rotten = false;
        }

        /// What is on another one is on this one, too.
        pub fn replace(&mut self, other: &Self) {
            let files = other.files().clone();
            self.files().put_back(files);
            self.durable = other.durable.clone();
            self.under_way.clone_from(&other.under_way);
            self.is_rotten = other.is_rotten;
            self.is_older = other.is_older;
        }

        /// What a process finds now, unless it is damaged.
        pub fn found(&self) -> Option<Found> {
            found(self.files.clone())
        }

        /// Whether what was under way is in what was found; else none of it is.
        ///
        /// # Errors
        ///
        /// If what was durable is not what was found.
        pub fn kept(&self, found: &Durable) -> Result<bool, Broken> {
            disks::kept(&self.durable, &self.under_way, found)
        }

        /// This is what is durable now, whatever was before.
        pub fn believe(&mut self, found: &Durable) {
            self.durable = found.clone();
            self.under_way.clear();
        }

        /// What is on it, as lines; none if it is being used right now.
        pub fn standing(&self) -> Option<Vec<String>> {
            let Durable { boot, data, generation, view_seen, log } = &self.durable;
            let data = data.map_or_else(|| "no data".into(), |data| format!("{data:?} of {generation:?}"));
            let durable = format!(
                "durable: {boot:?}, {data}, {view_seen:?} seen, snapshot up to {:?}, {} after it with {}, up to {:?}",
                log.base(),
                counted(log.len(), "entry", "entries"),
                counted(log.bytes(), "byte", "bytes"),
                log.end()
            );
            let mut lines = vec![durable];
            if !self.under_way.is_empty() {
                lines.push(format!(
                    "{} on the way",
                    counted(self.under_way.len() as u64, "change", "changes")
                ));
            }
            lines.extend(self.files.try_lock().ok()?.standing());
            Some(lines)
        }

        /// The name of the journal's file, if there is one.
        fn journal(&self) -> Option<String> {
            self.files().names().into_iter().rfind(|name| name.ends_with(journal::SUFFIX))
        }

        /// Whether a journal is being written anew.
        pub fn is_written_anew(&self) -> bool {
            self.journal().is_some() && self.files().names().iter().any(|name| name.ends_with(journal::NEW))
        }

        /// How many changes are under way.
        pub fn under_way(&self) -> usize {
            self.under_way.len()
        }

        /// What was under way is lost.
        pub fn lose_under_way(&mut self) {
            self.under_way.clear();
        }

        /// These are being made durable.
        fn begin(&mut self, writes: &[Write]) {
            self.under_way = writes.to_vec();
        }

        /// What was under way is durable.
        pub fn complete(&mut self) -> Vec<Write> {
            let writes = std::mem::take(&mut self.under_way);
            writes.iter().for_each(|write| self.durable.apply(write.clone()));
            self.is_older &= !writes.iter().any(|write| matches!(write, Write::Data { .. }));
            writes
        }
    }

    /// What a process finds in a folder, unless it is damaged.
    fn found(files: Arc<Mutex<Files>>) -> Option<Found> {
        let looked =
            journal::look(&Folder(SimulatedFolder::new(files, Arc::default()), String::new())).ok()?;
        Some(looked.map_or_else(Found::default, |Looked { memory, torn, .. }| Found { memory, torn }))
    }

    /// A server's memory as the running process has it: production's journal, in the simulated folder.
    pub struct JournalDisk {
        /// The journal.
        pub journal: Journal<Folder>,
        /// Where it is.
        pub disk: Arc<Mutex<ServerDisk>>,
        /// Sees each change when it has become durable.
        pub durable: Box<dyn Fn(&Write) + Send>,
        /// Hears that the drive failed.
        pub failed: Box<dyn Fn() + Send>,
        /// Hears that the journal was written anew.
        pub anew: Box<dyn Fn() + Send>,
    }

    impl Storage for JournalDisk {
        type Write = Write;

        async fn persist(&mut self, writes: Vec<Write>) -> io::Result<()> {
            self.disk.lock().unwrap_or_else(PoisonError::into_inner).begin(&writes);
            self.journal.persist(writes).await.inspect_err(|_| (self.failed)())?;
            let writes = self.disk.lock().unwrap_or_else(PoisonError::into_inner).complete();
            writes.iter().for_each(&self.durable);
            Ok(())
        }

        async fn keep_up(&mut self) -> io::Result<()> {
            let file = self.disk.lock().unwrap_or_else(PoisonError::into_inner).journal();
            self.journal.keep_up().await.inspect_err(|_| (self.failed)())?;
            let now = self.disk.lock().unwrap_or_else(PoisonError::into_inner).journal();
            if now != file {
                (self.anew)();
            }
            Ok(())
        }

        fn progress(&self) -> Progress {
            self.journal.progress()
        }
    }

    /// A folder, and what messages call it.
    pub struct Folder(pub SimulatedFolder, pub String);

    impl fmt::Display for Folder {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.1)
        }
    }

    impl folder::Folder for Folder {
        fn names(&self) -> io::Result<Vec<String>> {
            self.0.names()
        }

        fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(name, offset, into)
        }

        fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            self.0.read(name)
        }

        async fn write(&mut self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
            self.0.write(name, &bytes)
        }

        async fn write_at(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
            self.0.write_at(name, offset, bytes).await
        }

        async fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
            self.0.truncate(name, length)
        }

        async fn sync(&mut self, name: &str) -> io::Result<()> {
            self.0.sync(name).await
        }

        async fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }

        async fn remove(&mut self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }

        async fn sync_names(&mut self) -> io::Result<()> {
            self.0.sync_names().await
        }
    }

    /// The record as the running view service has it: production's file, in the simulated folder.
    pub struct RecordDisk {
        /// The file.
        pub file: RecordFile<Folder>,
        /// Sees each record when it has become durable.
        pub durable: Box<dyn Fn(&Record) + Send>,
    }

    impl Storage for RecordDisk {
        type Write = Record;

        async fn persist(&mut self, writes: Vec<Record>) -> io::Result<()> {
            self.file.persist(writes.clone()).await?;
            // Those that the latest one replaces may be told as well: nothing goes back behind them.
            writes.iter().for_each(&self.durable);
            Ok(())
        }
    }
}
