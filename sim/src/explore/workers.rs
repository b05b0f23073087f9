//! Runs what the schedule hands out, on several threads at once.

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use super::{Report, Schedule};

/// Runs seeds until there are none left or `proceed` says no. Reports are consumed on the calling thread, in the
/// order in which the runs end; workers wait for a consumer that falls behind.
pub fn work(
    schedule: &Mutex<Schedule>,
    jobs: usize,
    proceed: impl Fn() -> bool + Sync,
    run: impl Fn(u64) -> Report + Sync,
    mut consume: impl FnMut(Report),
) {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(jobs);
        for _ in 0..jobs {
            let (sender, proceed, run) = (sender.clone(), &proceed, &run);
            scope.spawn(move || {
                while proceed() {
                    let next = schedule.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let Some(seed) = next else { return };
                    if sender.send(run(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        receiver.iter().for_each(&mut consume);
    });
}
