use futures::FutureExt;
use madsim::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    data::fault::DriveFailure,
    world::{drive::is_failure, now},
};

const SLOWEST_MS: u64 = 20;
const SALTS: u64 = 50;

/// What happens to a folder and its drive in virtual time.
fn happens<F: Future<Output = ()>>(does: impl Fn(Arc<Mutex<Files>>, Arc<Drive>) -> F) {
    for salt in 0..SALTS {
        let files = Arc::new(Mutex::new(Files::new(salt, SLOWEST_MS)));
        let runtime = Runtime::with_seed_and_config(salt, madsim::Config::default());
        runtime.block_on(does(files, Arc::default()));
    }
}

#[test]
fn a_batch_takes_no_longer_than_the_slowest_and_a_stall_holds_all_of_it_up() {
    happens(|files, drive| async move {
        let mut folder = SimulatedFolder::new(files, drive.clone());
        let began = now();
        folder.write_at("a", 0, vec![1; 100]).await.expect("the drive works");
        folder.sync("a").await.expect("the drive works");
        folder.sync_names().await.expect("the drive works");
        // A timer is late by a part of a millisecond.
        let most = Duration::from_millis(SLOWEST_MS + 3);
        assert!(now() - began <= most, "{:?}", now() - began);
        let long = Duration::from_secs(9);
        drive.stall();
        assert!(timeout(long, folder.sync_names()).await.is_err());
        assert!(timeout(long, folder.sync("a")).await.is_err());
        {
            let mut write = Box::pin(folder.write_at("a", 0, vec![2; 100]));
            assert!(timeout(long, &mut write).await.is_err());
            drive.go_on();
            write.await.expect("the drive works");
        }
        assert_eq!(folder.read("a").expect("it is there"), [2; 100]);
    });
}

#[test]
fn reading_takes_time_and_a_stall_holds_it_up() {
    happens(|files, drive| async move {
        let folder = SimulatedFolder::new(files, drive.clone());
        let began = now();
        folder.until_read().await.expect("the drive works");
        assert!(now() - began <= Duration::from_millis(SLOWEST_MS + 1), "{:?}", now() - began);
        drive.stall();
        assert!(timeout(Duration::from_secs(9), folder.until_read()).await.is_err());
        drive.go_on();
        drive.fails_after(Some((DriveFailure::Access, 0)));
        assert!(is_failure(&folder.until_read().await.expect_err("it fails")));
    });
}

#[test]
fn calls_of_an_earlier_life_fail_or_do_not_return() {
    happens(|files, drive| async move {
        let mut earlier = SimulatedFolder::new(files.clone(), drive.clone());
        earlier.write("a", b"old").expect("the drive works");
        let mut write = Box::pin(earlier.write_at("a", 0, b"new".to_vec()));
        drive.stall();
        assert!((&mut write).now_or_never().is_none());
        files.lock().expect("no panic").crash();
        drive.go_on();
        assert!(timeout(Duration::from_secs(9), write).await.is_err());
        let found = SimulatedFolder::new(files, drive).read("a").expect("it is there");
        let kept = found.iter().zip(b"new").take_while(|(found, new)| found == new).count();
        assert_eq!(found[kept..], b"old"[kept..], "a prefix was written");
        assert!(earlier.names().is_err() && earlier.read("a").is_err() && earlier.remove("a").is_err());
        assert!(earlier.write("a", b"late").is_err());
        assert!(earlier.write_at("a", 0, vec![1]).await.is_err());
        assert!(earlier.sync("a").await.is_err());
        sleep(Duration::from_millis(1)).await;
    });
}

#[test]
fn a_drive_fails_at_what_its_failure_is_about() {
    happens(|files, drive| async move {
        let mut folder = SimulatedFolder::new(files.clone(), drive.clone());
        for how in [DriveFailure::Write, DriveFailure::Full] {
            drive.fails_after(Some((how, 0)));
            folder.sync_names().await.expect("it is no write");
            let error = folder.write_at("a", 0, vec![1; 100]).await.expect_err("it fails");
            assert!(is_failure(&error));
            let written = folder.read("a").expect("it was made").len();
            assert!(written <= 100);
            drive.fails_after(Some((how, 0)));
            assert!(is_failure(&folder.write("a", &[1; 100]).expect_err("it fails")));
            folder.write("a", &[1; 100]).expect("it fails once");
        }
        drive.fails_after(Some((DriveFailure::Sync, 1)));
        folder.write_at("a", 0, vec![2; 100]).await.expect("it is no sync");
        folder.sync("a").await.expect("the next one fails");
        assert!(is_failure(&folder.sync_names().await.expect_err("it fails")));
        folder.sync_names().await.expect("it fails once");
        drive.fails_after(Some((DriveFailure::Sync, 0)));
        folder.write_at("a", 0, vec![3; 100]).await.expect("it is no sync");
        assert!(is_failure(&folder.sync("a").await.expect_err("it fails")));
        assert_eq!(folder.read("a").expect("it is there"), [3; 100]);
        folder.sync("a").await.expect("it fails once");
        let mut files = files.lock().expect("no panic");
        let not_durable = files.list()[0].not_durable;
        files.sync("a").expect("it is there");
        assert_eq!(files.list()[0].not_durable, not_durable, "it was given up");
    });
}

#[test]
fn an_access_that_fails_does_nothing() {
    happens(|files, drive| async move {
        let mut folder = SimulatedFolder::new(files.clone(), drive.clone());
        files.lock().expect("no panic").put("a", b"held");
        let fails = || drive.fails_after(Some((DriveFailure::Access, 0)));
        let failed = |done: io::Result<()>, at| {
            assert!(done.is_err_and(|error| is_failure(&error)), "{at:?}");
            assert_eq!(drive.take_failure(), Some(at));
        };
        fails();
        folder.write_at("a", 0, b"held".to_vec()).await.expect("it is a write");
        folder.sync("a").await.expect("it is a sync");
        failed(folder.read("a").map(drop), Access::Read);
        fails();
        failed(folder.read_at("a", 0, &mut [0; 4]).map(drop), Access::Read);
        fails();
        failed(folder.names().map(drop), Access::Read);
        fails();
        failed(folder.rename("a", "b"), Access::Rename);
        fails();
        failed(folder.remove("a"), Access::Remove);
        fails();
        failed(folder.truncate("a", 1), Access::Truncate);
        assert_eq!(
            (folder.names().expect("it works"), folder.read("a").expect("it works")),
            (vec!["a".into()], b"held".to_vec())
        );
    });
}
