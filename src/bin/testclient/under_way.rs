//! What a command has done so far, for one that a signal ends: its last words and its exit code say whether
//! an update may take effect.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use pbkv::{
    client::{Client, Waiting},
    clock::SystemClock,
    process::Exit,
};

/// What the commands of one client have done so far.
#[derive(Clone, Debug)]
pub struct UnderWay {
    waiting: Waiting,
    deleted: Arc<AtomicU64>,
}

/// What a command had done when a signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// An update was sent and not answered.
    pub is_in_doubt: bool,
    /// Keys that it had removed, if it removes many.
    pub deleted: u64,
}

impl UnderWay {
    /// Of the commands that this client performs.
    pub fn of(client: &Client<SystemClock>) -> Self {
        Self { waiting: client.waiting(), deleted: Arc::default() }
    }

    /// What its calls wait for.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The command under way removes many keys, and has removed so many.
    pub fn has_deleted(&self, count: u64) {
        self.deleted.store(count, Ordering::Relaxed);
    }

    /// The command has ended, and its answer was printed.
    pub fn end(&self) {
        self.waiting.settle();
        self.has_deleted(0);
    }

    /// What the command under way has done.
    pub fn so_far(&self) -> SoFar {
        self.seen(self.waiting.is_in_doubt())
    }

    /// What the command under way has done, in a process that ends: it sends no update any more.
    pub fn stop(&self) -> SoFar {
        self.seen(self.waiting.stop())
    }

    fn seen(&self, is_in_doubt: bool) -> SoFar {
        SoFar { is_in_doubt, deleted: self.deleted.load(Ordering::Relaxed) }
    }
}

impl SoFar {
    /// How a command ends that a signal ends then.
    pub fn exit(self) -> Exit {
        match self {
            Self { is_in_doubt: true, .. } => Exit::Unknown,
            Self { deleted: 1.., .. } => Exit::InPart,
            Self { deleted: 0, .. } => Exit::Ended,
        }
    }
}
