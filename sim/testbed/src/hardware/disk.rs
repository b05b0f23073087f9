//! A node's disk: what it made durable, outside the node, so that it outlives the process.
//!
//! A write to disk is a batch of changes. While it is under way none, some or all of them may have reached
//! the platter: a crash keeps a *prefix* of the batch, chosen by a hash (a torn write). Once the write has
//! returned, nothing of it is ever lost, except by [`Disk::wipe`], which stands for a lost or replaced disk.
//!
//! The drive below it (`drive.rs`) may make a write wait longer than that, or fail.
//!
//! Whoever keeps files has a folder instead ([`crate::hardware::files`]).
//!
//! Left out: changes that reach the platter out of order, and bits that rot: folders have both.

#[cfg(madsim)]
pub use self::simulated::{SimulatedDisk, Witness};

use std::{fmt, time::Duration};

use crate::{
    data::hash::{below, stable_hash},
    report::screen::{counted, short},
};

/// What a disk holds.
pub trait Content: Clone + Default + fmt::Debug + Send + 'static {
    /// A change of it.
    type Write: fmt::Debug + Send + 'static;

    /// Makes a change.
    fn change(&mut self, write: Self::Write);

    /// What it holds, as a line.
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// What a crash left of the write that was under way, in changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// How many are durable,
    pub kept: usize,
    /// and how many are lost.
    pub lost: usize,
}

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk<C: Content> {
    content: C,
    under_way: Option<Vec<C::Write>>,
    /// Counts writes and crashes: the source of all decisions, together with `salt`.
    ordinal: u64,
    salt: u64,
    slowest_ms: u64,
    /// It was wiped, and nobody has asked since.
    lost: bool,
}

impl<C: Content> Disk<C> {
    /// An empty disk whose writes take up to `slowest_ms`; `salt` makes it differ from other disks.
    pub fn new(salt: u64, slowest_ms: u64) -> Self {
        Self { content: C::default(), under_way: None, ordinal: 0, salt, slowest_ms, lost: false }
    }

    /// What is durable.
    pub fn content(&self) -> &C {
        &self.content
    }

    /// What is durable, and what is being written, as lines.
    pub fn standing(&self) -> Vec<String> {
        let mut lines = vec![format!("durable: {}", short(&self.content.describe()))];
        if let Some(writes) = &self.under_way {
            let changes = counted(writes.len() as u64, "change", "changes");
            lines.push(format!(
                "being written, not durable: {changes}, of which a crash keeps the first few or none: {}",
                short(&format!("{writes:?}"))
            ));
        }
        if self.lost {
            lines.push("lost all that it held".into());
        }
        lines
    }

    /// Begins a write; returns how long it takes and its number.
    pub fn begin(&mut self, writes: Vec<C::Write>) -> (Duration, u64) {
        assert!(self.under_way.is_none(), "a disk has one writer, which writes one batch at a time");
        self.under_way = Some(writes);
        let hash = self.draw();
        (Duration::from_millis(below(hash, self.slowest_ms + 1)), self.ordinal)
    }

    /// Completes the write of this number, unless a crash came first; `durable` sees each change.
    pub fn complete(&mut self, number: u64, durable: impl FnMut(&C::Write)) {
        if number == self.ordinal {
            let writes = self.under_way.take().unwrap_or_default();
            self.keep(writes, usize::MAX, durable);
        }
    }

    /// The write of this number fails, unless a crash came first. As with a crash, it is unknown what of it
    /// is durable.
    pub fn fail(&mut self, number: u64, durable: impl FnMut(&C::Write)) -> Torn {
        if number == self.ordinal { self.crash(durable) } else { Torn { kept: 0, lost: 0 } }
    }

    /// The node dies. A prefix of a write under way is kept; `durable` sees each change of it.
    pub fn crash(&mut self, durable: impl FnMut(&C::Write)) -> Torn {
        let hash = self.draw();
        let writes = self.under_way.take().unwrap_or_default();
        let kept = usize::try_from(below(hash, writes.len() as u64 + 1)).expect("no more than there were");
        let torn = Torn { kept, lost: writes.len() - kept };
        self.keep(writes, kept, durable);
        torn
    }

    fn keep(&mut self, writes: Vec<C::Write>, first: usize, mut durable: impl FnMut(&C::Write)) {
        for write in writes.into_iter().take(first) {
            durable(&write);
            self.content.change(write);
        }
    }

    /// Everything is lost.
    pub fn wipe(&mut self) {
        self.draw();
        self.under_way = None;
        self.content = C::default();
        self.lost = true;
    }

    /// Whether everything was lost since the last time that was asked.
    pub fn take_loss(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Another disk is in its place, of a process that has ended.
    pub fn replace(&mut self, content: C) {
        self.wipe();
        self.content = content;
        self.lost = false;
    }

    fn draw(&mut self) -> u64 {
        self.ordinal += 1;
        stable_hash(&(self.salt, self.ordinal))
    }
}

#[cfg(madsim)]
mod simulated {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::{Content, Disk, Torn};
    use crate::world::drive::{Access, Drive};

    /// Sees changes when they have become durable.
    pub type Witness<C> = Box<dyn Fn(&<C as Content>::Write) + Send>;

    /// The disk as a running node sees it.
    pub struct SimulatedDisk<C: Content> {
        /// The disk, which outlives the node,
        pub disk: Arc<Mutex<Disk<C>>>,
        /// and the drive below it.
        pub drive: Arc<Drive>,
        /// Sees each change when it has become durable.
        pub durable: Witness<C>,
        /// Sees what is left of a write that failed.
        pub failed: Box<dyn Fn(Torn) + Send>,
    }

    impl<C: Content> SimulatedDisk<C> {
        /// What is durable.
        pub fn content(&self) -> C {
            self.disk.lock().expect("no panic while locked").content().clone()
        }

        /// Makes changes durable, in order.
        ///
        /// # Errors
        ///
        /// If the drive fails. What of the changes is durable is then unknown.
        pub async fn persist(&mut self, writes: Vec<C::Write>) -> io::Result<()> {
            let (latency, number) = self.disk.lock().expect("no panic while locked").begin(writes);
            if !latency.is_zero() {
                madsim::time::sleep(latency).await;
            }
            let written = self.drive.access(Access::WriteAndSync).await;
            let mut disk = self.disk.lock().expect("no panic while locked");
            match &written {
                Ok(()) => disk.complete(number, &self.durable),
                Err(_) => {
                    let torn = disk.fail(number, &self.durable);
                    (self.failed)(torn);
                }
            }
            written
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Numbers(Vec<u32>);

    impl Content for Numbers {
        type Write = u32;

        fn change(&mut self, write: u32) {
            self.0.push(write);
        }
    }

    #[test]
    fn what_was_written_survives_every_crash() {
        let mut disk = Disk::<Numbers>::new(1, 20);
        for batch in 0..10 {
            let (latency, number) = disk.begin(vec![2 * batch, 2 * batch + 1]);
            assert!(latency <= Duration::from_millis(20));
            disk.complete(number, |_| ());
            disk.crash(|_| ());
        }
        assert_eq!(disk.content().0, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_crash_keeps_some_prefix_of_the_write_under_way() {
        let mut kept = [0; 5];
        for salt in 0..100 {
            let mut disk = Disk::<Numbers>::new(salt, 20);
            let (_, first) = disk.begin(vec![9]);
            disk.complete(first, |_| ());
            let (_, torn) = disk.begin(vec![0, 1, 2, 3]);
            let mut seen = vec![9];
            let Torn { kept: of_four, lost } = disk.crash(|write| seen.push(*write));
            assert_eq!((of_four, of_four + lost), (seen.len() - 1, 4));
            disk.complete(torn, |_| panic!("the write was cut short"));
            assert_eq!(seen, disk.content().0, "every change that became durable is seen");
            let content = &disk.content().0;
            assert_eq!(content[0], 9, "what was durable before stays");
            assert_eq!(content[1..], [0, 1, 2, 3][..content.len() - 1]);
            kept[content.len() - 1] += 1;
        }
        assert!(kept.iter().all(|n| *n > 5), "every length of prefix occurs: {kept:?}");
    }

    #[test]
    fn what_is_being_written_is_told_apart_from_what_is_durable() {
        let mut disk = Disk::<Numbers>::new(1, 0);
        let (_, number) = disk.begin(vec![7, 8]);
        let [durable, written] = &disk.standing()[..] else { panic!("two lines") };
        assert_eq!(durable, "durable: Numbers([])");
        assert!(written.contains("not durable: 2 changes") && written.ends_with("[7, 8]"), "{written}");
        disk.complete(number, |_| ());
        assert_eq!(disk.standing(), ["durable: Numbers([7, 8])"]);
        disk.wipe();
        assert_eq!(disk.standing(), ["durable: Numbers([])", "lost all that it held"]);
    }

    #[test]
    fn a_wiped_disk_is_empty_and_usable() {
        let mut disk = Disk::<Numbers>::new(1, 0);
        let (latency, number) = disk.begin(vec![1]);
        assert_eq!(latency, Duration::ZERO);
        disk.complete(number, |_| ());
        let (_, lost) = disk.begin(vec![2]);
        disk.wipe();
        disk.complete(lost, |_| ());
        assert_eq!(disk.content(), &Numbers::default());
        assert_eq!([disk.take_loss(), disk.take_loss()], [true, false]);
        let (_, number) = disk.begin(vec![3]);
        disk.complete(number, |_| ());
        assert_eq!(disk.content().0, [3]);
    }
}
