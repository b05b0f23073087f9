//! The testbed's hardware in the terms of the store: what its servers, clients and view service run on.

use std::ops::Deref;

use pbkv::protocol::log::{Durable, Write};
use testbed::{hardware::disk::Content, report::screen::counted};

#[cfg(madsim)]
pub use simulated::{Clock, Disk, Folder, RecordDisk};

/// What a server keeps on its disk.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub Durable);

impl Deref for Memory {
    type Target = Durable;

    fn deref(&self) -> &Durable {
        &self.0
    }
}

impl Content for Memory {
    type Write = Write;

    fn change(&mut self, write: Write) {
        self.0.apply(write);
    }

    fn describe(&self) -> String {
        let Durable { boot, data, generation, view_seen, log } = &self.0;
        let data = data.map_or_else(|| "no data".into(), |data| format!("{data:?} of {generation:?}"));
        format!(
            "{boot:?}, {data}, {view_seen:?} seen, snapshot up to {:?}, {} after it with {}, up to {:?}",
            log.base(),
            counted(log.len(), "entry", "entries"),
            counted(log.bytes(), "byte", "bytes"),
            log.end()
        )
    }
}

#[cfg(madsim)]
mod simulated {
    use std::{fmt, io, time::Duration};

    use pbkv::{
        protocol::{log::Write, view::Record},
        storage::{Storage, folder, record_file::RecordFile},
    };

    use super::Memory;
    use testbed::hardware::{clock::SimulatedClock, disk::SimulatedDisk, files::SimulatedFolder};

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

    /// A server's disk.
    pub struct Disk(pub SimulatedDisk<Memory>);

    impl Storage for Disk {
        type Write = Write;

        async fn persist(&mut self, writes: Vec<Write>) -> io::Result<()> {
            self.0.persist(writes).await
        }
    }

    /// The folder of the view service's record.
    pub struct Folder(pub SimulatedFolder);

    impl fmt::Display for Folder {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("vs")
        }
    }

    impl folder::Folder for Folder {
        fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            self.0.read(name)
        }

        fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.0.write(name, bytes)
        }

        async fn sync(&mut self, name: &str) -> io::Result<()> {
            self.0.sync(name).await
        }

        fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
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
