//! The life of a cluster: servers come, take over, receive the state, and go.

use pbkv::{
    client::ClientError,
    protocol::{
        identity::ServerId,
        view_service::{Distress, NotTaken},
    },
};
use rustix::process::Signal;

use crate::cluster::{Cluster, PATIENCE, eventually, failed, run, succeeded, viewservice};

/// Long logs are cut early, so that a new backup needs the state and not just the log.
const SHORT_LOG: [&str; 4] = ["--checkpoint-interval", "50", "--log-entries-max", "1000"];

#[test]
fn data_survives_the_eight_steps() {
    run(async {
        // 1. The view service, alone.
        let mut cluster = Cluster::start(&[]);
        let nothing = cluster.testclient(&["view"]);
        failed(&nothing, 7);
        assert!(
            String::from_utf8_lossy(&nothing.stdout).contains("no server was accepted yet"),
            "{nothing:?}"
        );

        // 2. S1 becomes primary.
        let s1 = cluster.server(&SHORT_LOG);
        cluster.settled(&s1, 0).await;
        s1.logs("connected to the view service").await;

        // 3. Put and get.
        succeeded(&cluster.testclient(&["put", "colour", "blue"]));
        succeeded(&cluster.testclient(&["append", "colour", "ish"]));
        assert_eq!(succeeded(&cluster.testclient(&["get", "colour"])), "blueish\n");
        let mut client = cluster.client();
        for number in 0..300 {
            client.put(format!("key {number}"), format!("value {number}")).await.expect("put");
        }

        // 4. S2 becomes backup.
        let s2 = cluster.server(&SHORT_LOG);
        cluster.settled(&s1, 1).await;

        // 5. S1 dies; S2 is promoted and has everything.
        s1.kill();
        assert_eq!(succeeded(&cluster.testclient(&["get", "colour"])), "blueish\n");
        cluster.settled(&s2, 0).await;
        s2.logs("role=Primary").await;

        // 6. S3 joins and receives the state.
        let s3 = cluster.server(&SHORT_LOG);
        cluster.settled(&s2, 1).await;
        s2.logs("a state transfer began").await;
        s2.logs("a state transfer completed").await;
        s3.logs("the state is installed").await;

        // 7. S2 dies; S3 is promoted.
        s2.kill();
        cluster.settled(&s3, 0).await;

        // 8. The data is intact.
        assert_eq!(succeeded(&cluster.testclient(&["get", "colour"])), "blueish\n");
        for number in 0..300 {
            let value = client.get(format!("key {number}")).await.expect("get");
            assert_eq!(value.as_deref(), Some(format!("value {number}").as_bytes()), "key {number}");
        }
    });
}

#[test]
fn all_operations_work_at_the_prompt() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        assert_eq!(succeeded(&cluster.testclient(&["cas", "k", "1"])), "swapped\n");
        let kept = cluster.testclient(&["cas", "k", "2"]);
        failed(&kept, 1);
        assert_eq!(kept.stdout, b"not swapped, found 1\n");
        assert_eq!(succeeded(&cluster.testclient(&["cas", "k", "2", "--expect", "1"])), "swapped\n");
        assert_eq!(succeeded(&cluster.testclient(&["delete", "k"])), "deleted\n");
        assert_eq!(succeeded(&cluster.testclient(&["delete", "k"])), "was absent\n");
        let absent = cluster.testclient(&["get", "k"]);
        assert_eq!(failed(&absent, 1), "(absent)\n");
        assert_eq!(absent.stdout, b"");
    });
}

#[test]
fn an_idle_server_steps_in_when_the_primary_dies() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let s3 = cluster.server(&[]);
        s3.logs("accepted by the view service").await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");
        s1.kill();
        let view = cluster.settled(&s2, 1).await;
        assert!(view.backups().any(|backup| backup.as_str() == s3.address), "{view:?}");
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn a_restarted_view_service_goes_on_where_it_was() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, _s2) = cluster.pair_of(&[]).await;
        let before = cluster.settled(&s1, 1).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");

        cluster.restart_view_service(Signal::KILL, &[]).await;
        let after = cluster.settled(&s1, 1).await;
        assert_eq!((after.number, &after.primary), (before.number, &before.primary));
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn processes_end_cleanly_when_asked() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let mut s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut s2 = cluster.server(&["--log", "warn"]);
        cluster.settled(&s1, 1).await;
        assert_eq!(s1.end(Signal::TERM).await, Some(0));
        assert_eq!(s2.end(Signal::INT).await, Some(0));
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        assert!(s1.log().contains("SIGTERM"));
        assert_eq!(s2.log(), "", "the flag overrides RUST_LOG");
    });
}

#[test]
fn lost_data_is_never_replaced_silently() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");

        // The only copy dies; a new, empty server must not answer in its place.
        let address = s1.address.clone();
        s1.kill();
        let s2 = cluster.server_at(&address, &[]);
        eventually("the loss is noticed", async || {
            matches!(cluster.report().await.distress, Some(Distress::DataLost(_))).then_some(())
        })
        .await;
        let get = cluster.testclient(&["--deadline", "2s", "get", "k"]);
        assert!(failed(&get, 5).contains("operator"), "{get:?}");
        let lost = cluster.testclient(&["view"]);
        failed(&lost, 5);
        assert!(String::from_utf8_lossy(&lost.stdout).contains("--accept-data-loss"), "{lost:?}");

        // The operator decides, and must say what is lost.
        let record = cluster.dir().join("record");
        let record = record.to_str().expect("UTF-8");
        let busy = viewservice(&["--dir", record, "--accept-data-loss", "1"]);
        assert!(failed(&busy, 3).contains("the view service still runs"), "{busy:?}");
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let wrong = viewservice(&["--dir", record, "--accept-data-loss", "7"]);
        assert!(failed(&wrong, 3).contains("the current generation is 1"), "{wrong:?}");
        succeeded(&viewservice(&["--dir", record, "--accept-data-loss", "1"]));
        cluster.start_view_service(&[]);

        let view = cluster.settled(&s2, 0).await;
        assert_eq!(view.generation.number, 2);
        let begun = std::time::Instant::now();
        let told = loop {
            match client.put("k", "w").await {
                Err(ClientError::DataLost { generation }) => break generation,
                Ok(_) => panic!("the client was not told that the data is gone"),
                Err(_) => assert!(begun.elapsed() < PATIENCE),
            }
        };
        assert_eq!(told.number, 2);
        assert_eq!(client.get("k").await.expect("the new generation"), None);
    });
}

#[test]
fn a_lost_record_takes_no_data_with_it_unless_an_operator_says_so() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");
        let dir = cluster.dir().join("record");
        let (dir, record) = (dir.to_str().expect("UTF-8").to_owned(), dir.join("view"));

        // The record is gone while a server holds the data: nothing begins, and everybody is told why.
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let saved = std::fs::read(&record).expect("a record");
        std::fs::remove_file(&record).expect("removed");
        cluster.start_view_service(&[]);
        let s2 = cluster.server(&[]);
        s1.logs("another generation than the view service's").await;
        cluster.view_service.logs("holds data of another history").await;
        s2.logs("accepted by the view service").await;
        let get = cluster.testclient(&["--deadline", "3s", "get", "k"]);
        assert!(failed(&get, 3).contains("knows nothing of"), "{get:?}");

        // It is restored: the data was never touched.
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        std::fs::write(&record, &saved).expect("restored");
        cluster.start_view_service(&[]);
        eventually("the data is back", async || client.get("k").await.ok().flatten()).await;

        // Damaged, it is not taken for a fresh start, and an operator can go on without it.
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        std::fs::write(&record, &saved[..saved.len() - 1]).expect("damaged");
        let damaged = viewservice(&["--addr", "localhost:0", "--dir", &dir]);
        assert!(failed(&damaged, 3).contains("--accept-data-loss"), "{damaged:?}");
        let zero = viewservice(&["--dir", &dir, "--accept-data-loss", "0"]);
        assert!(failed(&zero, 2).contains("write a whole number from 1 to 1000000"), "{zero:?}");
        succeeded(&viewservice(&["--dir", &dir, "--accept-data-loss", "1"]));
        cluster.start_view_service(&[]);
        // Who still holds what was given up is not taken, and whoever asks hears that.
        eventually("a server is named", async || match cluster.report().await.not_taken {
            Some(NotTaken::OtherHistory(servers)) => {
                servers.contains(&ServerId::new(s1.address.as_str())).then_some(())
            }
            _ => None,
        })
        .await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("start it again empty"), "{seen:?}");
        s1.kill();
        s2.kill();
        let s3 = cluster.server(&[]);
        assert_eq!(cluster.settled(&s3, 0).await.generation.number, 2);
        let told = eventually("the client is told", async || client.get("k").await.err()).await;
        assert!(matches!(told, ClientError::DataLost { generation } if generation.number == 2), "{told}");
        assert_eq!(client.get("k").await.expect("the new generation"), None);
    });
}

/// A server is told to end in the moment in which it says that it listens.
#[test]
fn a_server_that_listens_hears_that_it_is_to_end() {
    run(async {
        for round in 0..10 {
            let mut cluster = Cluster::start(&[]);
            assert_eq!(cluster.view_service.end(Signal::INT).await, Some(0), "round {round}");
            let dir = cluster.dir().join("kept");
            let mut server = cluster.server(&["--data-dir", dir.to_str().expect("UTF-8")]);
            assert_eq!(server.end(Signal::TERM).await, Some(0), "round {round}");
        }
    });
}
