//! What is in the store, and how it is: keys, counts, and the servers behind them, on the command line.

use pbkv::{protocol::command::PAGE_KEYS_MAX, wire::ScanRequest};
use prost::Message;
use rustix::process::Signal;
use serde_json::Value;
use tonic::Code;

use crate::{
    cluster::{Cluster, Process, connect, eventually, failed, run, said, succeeded},
    memory::status_bytes,
};

#[test]
fn keys_are_listed_counted_and_deleted_by_their_prefix() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (primary, backup) = cluster.pair_of(&[]).await;
        let mut client = cluster.client();
        for (key, value) in [("fruit/apple", "red"), ("fruit/pear", "green"), ("fruit/", ""), ("nut", "a\tb")]
        {
            client.put(key, value).await.expect("put");
        }
        let told = |args: &[&str]| succeeded(&cluster.testclient(args));
        assert_eq!(told(&["keys"]), "fruit/\nfruit/apple\nfruit/pear\nnut\n");
        assert_eq!(told(&["keys", "--prefix", "fruit/p", "--values"]), "fruit/pear\tgreen\n");
        assert_eq!(told(&["keys", "--prefix", "nut", "--values"]), "nut\ta\\tb\n");
        assert_eq!((told(&["count"]), told(&["count", "--prefix", "fruit/"])), ("4\n".into(), "3\n".into()));
        assert_eq!(
            (told(&["keys", "--prefix", "x"]), told(&["count", "--prefix", "x"])),
            ("".into(), "0\n".into())
        );
        let some = cluster.testclient(&["keys", "--limit", "2"]);
        assert_eq!(succeeded(&some), "fruit/\nfruit/apple\n");
        assert!(String::from_utf8_lossy(&some.stderr).contains("there are more keys"), "{some:?}");
        assert_eq!(cluster.testclient(&["keys", "--limit", "4"]).stderr, b"", "there are no more");
        assert_eq!(cluster.testclient(&["keys", "--limit", "2", "--quiet"]).stderr, b"", "nor is it said");
        for command in ["keys", "count"] {
            let told = cluster.testclient(&[command, "--revision"]);
            let revision = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(revision.starts_with("revision ") && revision.lines().count() == 1, "{told:?}");
        }

        // The promoted backup lists the same.
        primary.kill();
        cluster.settled(&backup, 0).await;
        assert_eq!(told(&["keys", "--prefix", "fruit/"]), "fruit/\nfruit/apple\nfruit/pear\n");

        // Nobody is there to confirm it.
        let refused = cluster.testclient(&["delete", "--prefix", "fruit/"]);
        assert!(failed(&refused, 2).contains("3 keys start with 'fruit/': add --yes"), "{refused:?}");
        assert_eq!(told(&["count"]), "4\n");
        assert_eq!(told(&["delete", "--prefix", "fruit/", "--yes"]), "deleted 3 keys\n");
        assert_eq!(told(&["keys"]), "nut\n");
        for wrong in [
            &["delete"][..],
            &["delete", "nut", "--prefix", "n"],
            &["delete", "nut", "--yes"],
            &["keys", "--limit", "0"],
        ] {
            failed(&cluster.testclient(wrong), 2);
        }
    });
}

#[test]
fn more_keys_than_a_page_has_are_listed_page_by_page() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let primary = cluster.server(&[]);
        cluster.settled(&primary, 0).await;
        let mut client = cluster.client();
        for number in 0..1_005 {
            client.put(format!("key{number:04}"), "v").await.expect("put");
        }
        let all: String = (0..1_005).map(|number| format!("key{number:04}\n")).collect();
        assert_eq!(succeeded(&cluster.testclient(&["keys"])), all);
        assert_eq!(succeeded(&cluster.testclient(&["count"])), "1005\n");
        let few = succeeded(&cluster.testclient(&["keys", "--limit", "1003", "--values"]));
        assert_eq!((few.lines().count(), few.lines().last()), (1_003, Some("key1002\tv")));

        // Any gRPC client is told the same, and where a page ends.
        let mut raw = connect(&primary.address).await;
        let mut scan = ScanRequest { limit: u32::MAX, ..Default::default() };
        let page = raw.scan(scan.clone()).await.expect("a page").into_inner();
        assert!(page.more && page.keys.len() == 1_000 && page.revision == 1_006, "{}", page.keys.len());
        scan.start_after = page.keys.last().expect("a thousand").key.clone();
        let rest = raw.scan(scan.clone()).await.expect("a page").into_inner();
        assert!(!rest.more && rest.keys.len() == 5, "{rest:?}");
        scan.prefix = vec![b'k'; 4097].into();
        let status = raw.scan(scan).await.expect_err("no key is so long");
        assert!(status.message().contains("the prefix has 4097 bytes"), "{status:?}");
        assert_eq!(
            succeeded(&cluster.testclient(&["delete", "--prefix", "", "--yes"])),
            "deleted 1005 keys\n"
        );
        assert_eq!(succeeded(&cluster.testclient(&["count"])), "0\n");
    });
}

/// What a page may hold does not depend on how long other messages are.
#[test]
fn keys_are_listed_however_small_the_limits_are() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let limits =
            ["--key-bytes-max=100", "--value-bytes-max=100", "--append-bytes-max=1", "--chunk-bytes-max=1"];
        let primary = cluster.server(&limits);
        cluster.settled(&primary, 0).await;
        let mut client = cluster.client();
        for number in 0..1_000 {
            client.put(format!("{number:0100}"), vec![b'v'; 100]).await.expect("put");
        }
        assert_eq!(succeeded(&cluster.testclient(&["count"])), "1000\n");
        let listed = succeeded(&cluster.testclient(&["keys", "--values"]));
        assert_eq!((listed.lines().count(), listed.len()), (1_000, 1_000 * 202));
    });
}

/// Scans at once, each of as many keys as a page has.
const BURST: usize = 4_000;
/// On so many connections.
const CONNECTIONS: usize = 20;

#[test]
fn a_burst_of_scans_deposes_nobody_and_needs_little_memory() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (primary, _backup) = cluster.pair_of(&[]).await;
        let mut client = cluster.client();
        for number in 0..PAGE_KEYS_MAX {
            client.put(format!("key {number}"), "v").await.expect("put");
        }
        let before = cluster.report().await.view.expect("a view");
        let occupied = occupied_at_most(&primary);
        let mut scans = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let connection = connect(&primary.address).await;
            for _ in 0..BURST / CONNECTIONS {
                let mut connection = connection.clone();
                scans.spawn(async move { connection.scan(ScanRequest::default()).await });
            }
        }
        let (mut read, mut refused, mut bytes) = (0, 0, 0);
        while let Some(scan) = scans.join_next().await {
            match scan.expect("no task panics") {
                Ok(page) => {
                    read += 1;
                    bytes += page.into_inner().encoded_len();
                }
                Err(status) => {
                    assert!(status.code() == Code::ResourceExhausted, "{status:?}");
                    refused += 1;
                }
            }
        }
        let more = occupied_at_most(&primary) - occupied;
        println!(
            "{read} pages of {bytes} bytes were read, {refused} refused; the primary grew by {more} bytes"
        );
        assert!(
            more < 4.0 * bytes as f64,
            "the README says so of what is on its way, of which this was a part"
        );
        assert!(read >= BURST / 4, "{read}");
        assert_eq!(cluster.report().await.view.expect("a view"), before);
        assert!(!cluster.view_service.log().contains("is dead"), "{}", cluster.view_service.log());
    });
}

/// The most bytes that a server ever occupied, where the system tells.
fn occupied_at_most(server: &Process) -> f64 {
    if cfg!(target_os = "linux") { status_bytes(server, "VmHWM") } else { 0.0 }
}

/// Waits until 'view' says so.
async fn shows(cluster: &Cluster, line: String) {
    eventually(&line, async || said(&cluster.testclient(&["view"])).contains(&line).then_some(())).await;
}

#[test]
fn spares_are_shown_and_missing_copies_are_told_once() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (primary, backup) = cluster.pair_of(&[]).await;
        cluster.view_service.logs("all copies are in sync").await;
        let spare = cluster.server(&[]);
        shows(&cluster, format!("{} is a spare\n", spare.address)).await;
        let gone = spare.address.clone();
        spare.kill();
        shows(&cluster, format!("{gone} is not used: it ")).await;

        // Nothing can step in, and that is told; then something does.
        let told = |cluster: &Cluster, what: &str| cluster.view_service.log().matches(what).count();
        assert_eq!(told(&cluster, "all copies are in sync"), 1);
        let gone = backup.address.clone();
        backup.kill();
        cluster.view_service.logs("fewer copies than wanted are in sync").await;
        shows(&cluster, "copies   1 of 2, FEWER THAN WANTED".to_owned()).await;
        shows(&cluster, format!("{gone} is not used: it ")).await;
        let _other = cluster.server(&[]);
        cluster.settled(&primary, 1).await;
        eventually("all is well again", async || {
            (told(&cluster, "all copies are in sync") == 2).then_some(())
        })
        .await;
        assert_eq!(
            (
                told(&cluster, "all copies are in sync"),
                told(&cluster, "fewer copies than wanted are in sync")
            ),
            (2, 2)
        );
    });
}

#[test]
fn programs_are_told_whether_every_server_is_listed() {
    run(async {
        let options = ["--replicas", "1", "--dead-after", "3s"];
        let mut cluster = Cluster::start(&options);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        let view = |cluster: &Cluster| -> Value {
            serde_json::from_slice(&cluster.testclient(&["view", "--output", "json"]).stdout).expect("JSON")
        };
        let all = async |cluster: &Cluster| {
            eventually("the service has listened", async || {
                let view = view(cluster);
                (view["complete"] == true && view["servers"][0]["server"] == *server.address).then_some(())
            })
            .await;
        };
        all(&cluster).await;
        cluster.restart_view_service(Signal::TERM, &options).await;
        assert_eq!(view(&cluster)["complete"], false, "another server may run, and not have pinged yet");
        all(&cluster).await;
    });
}
