//! What a machine runs on: a clock that is not exact, and a disk that takes its time.

use std::{collections::VecDeque, time::Duration};

use pbkv::protocol::{
    identity::{Boot, WriteNumber},
    log::{Durable, Write},
    replica::Replica,
    view::Record,
    view_service::ViewService,
};

/// A clock that began at some time and runs a little too fast or too slow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub began_at: Duration,
    /// Parts in a thousand that it gains.
    pub gains_permille: i32,
}

impl Clock {
    /// What it shows at the true time `now`.
    pub fn read(&self, now: Duration) -> Duration {
        let rate = u32::try_from(1000 + self.gains_permille).expect("clocks do not stop");
        self.began_at + now * rate / 1000
    }
}

/// Changes on their way to a disk, in order.
pub type Unwritten<W> = VecDeque<(WriteNumber, Vec<W>)>;

/// A server: what survives, and its current life.
#[derive(Default)]
pub struct Server {
    pub clock: Clock,
    pub disk: Durable,
    /// A copy of it.
    pub copy: Durable,
    /// It is that copy, and nobody has noticed.
    pub is_older: bool,
    pub unwritten: Unwritten<Write>,
    pub replica: Option<Replica>,
    /// The largest number any of its lives had.
    pub last_boot: Boot,
    /// How often its clock was set back.
    pub set_back: u64,
}

/// The view service: what survives, and its current life.
#[derive(Default)]
pub struct Viewer {
    pub clock: Clock,
    pub disk: Record,
    pub unwritten: Unwritten<Record>,
    pub machine: Option<ViewService>,
    /// A copy of a record.
    pub saved: Option<Record>,
    /// The record that was lost last.
    pub lost: Option<Record>,
    /// Its lives so far.
    pub epoch: u64,
}
