use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use lock::{grants::Record, log::Log};
use testbed::hardware::files::Files;

use super::*;

const SALTS: u64 = 40;

/// The file of a mistaken program, which forgets to sync.
struct Forgetful(SimulatedFile);

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Disk for Forgetful {
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read().await
    }

    async fn write_at(&mut self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.0.write_at(offset, bytes).await
    }

    async fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length).await
    }

    async fn remove(&mut self) -> io::Result<()> {
        self.0.remove().await
    }

    async fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn sync_name(&mut self) -> io::Result<()> {
        self.0.sync_name().await
    }
}

/// A disk that takes no time never waits, so one poll completes it.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Whether all is there after a loss of power that was appended before. `open` makes the file of a life.
fn keeps_all<D: Disk>(salt: u64, open: impl Fn(SimulatedFile) -> D) -> bool {
    let files = Arc::new(Mutex::new(Files::new(salt, 0)));
    let life = || {
        let folder = SimulatedFolder::new(files.clone(), Arc::default());
        FileLog::new(open(SimulatedFile(folder)))
    };
    let mut appended = Vec::new();
    for owner in 0..4 {
        let mut log = life();
        let Ok(found) = at_once(log.load()) else { return false };
        if found != appended {
            return false;
        }
        let record = Record::Grant { lock: "l".repeat(200 * owner % 257), owner: format!("c{owner}") };
        at_once(log.append(&record)).expect("the drive works");
        appended.push(record);
        files.lock().expect("no panic").lose_power();
    }
    at_once(life().load()).is_ok_and(|found| found == appended)
}

#[test]
fn what_was_appended_survives_a_loss_of_power_unless_a_sync_is_forgotten() {
    assert!((0..SALTS).all(|salt| keeps_all(salt, |file| file)));
    let kept = (0..SALTS).filter(|salt| keeps_all(*salt, Forgetful)).count();
    assert!(kept < SALTS as usize / 4, "{kept} of {SALTS} times nothing was lost");
}
