//! The view service's record is lost or old, and operators do what the README tells them to do.

use std::{fs, path::PathBuf, time::Duration};

use pbkv::{
    client::{ClientError, ViewReport},
    protocol::{identity::ServerId, view_service::Distress},
};
use rustix::process::Signal;

use crate::cluster::{Cluster, PATIENCE, Process, eventually, failed, run, viewservice};

/// The options of the command in the README that has the data of `server` go on.
fn documented(server: &str) -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let command = readme.lines().find_map(|line| line.trim().strip_prefix("$ viewservice --adopt "));
    assert_eq!(command, Some("localhost:8001"), "the README names the first server of its session");
    ["--adopt", server].map(str::to_owned).to_vec()
}

fn adopt(cluster: &mut Cluster, server: &Process) {
    let options = documented(&server.address);
    cluster.start_view_service(&options.iter().map(String::as_str).collect::<Vec<_>>());
}

fn record(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("record").join("view")
}

#[test]
fn data_goes_on_after_the_record_was_lost() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let mut client = cluster.client();
        for number in 0..100 {
            client.put(format!("key {number}"), format!("value {number}")).await.expect("put");
        }

        // With a record nothing is adopted, and nothing is changed.
        let dir = cluster.dir().join("record").to_str().expect("UTF-8").to_owned();
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let before = fs::read(record(&cluster)).expect("a record");
        let refused = viewservice(&["--addr", "localhost:0", "--dir", &dir, "--adopt", &s2.address]);
        assert!(failed(&refused, 3).contains("there is a record in"), "{refused:?}");
        assert_eq!(fs::read(record(&cluster)).expect("a record"), before);

        // Without, nothing begins, and everybody is told why.
        fs::remove_file(record(&cluster)).expect("removed");
        cluster.start_view_service(&[]);
        let unknown = |report: ViewReport| match report.distress {
            Some(Distress::UnknownHistory(servers)) => (servers.len() == 2).then_some(()),
            _ => None,
        };
        eventually("both hold unknown data", async || unknown(cluster.report().await)).await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("knows nothing of"), "{seen:?}");
        let mut newcomer = cluster.client();
        newcomer.set_deadline(Duration::from_secs(3));
        let error = newcomer.get("key 0").await.expect_err("there is no view").to_string();
        assert!(error.contains(&s1.address) && error.contains("--adopt"), "{error}");
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));

        // S2 goes on with all the data, and S1 joins it.
        adopt(&mut cluster, &s2);
        let listens = cluster.report().await.distress;
        assert_eq!(listens, Some(Distress::Adopting(ServerId::new(&*s2.address))));
        let view = cluster.settled(&s2, 1).await;
        assert!(view.number.0 > 1_000 && view.generation.number == 1, "{view:?}");
        assert!(view.backups().any(|backup| backup.as_str() == s1.address), "{view:?}");
        cluster.view_service.logs("a server's data is adopted").await;
        for number in 0..100 {
            let value = client.get(format!("key {number}")).await.expect("get");
            assert_eq!(value.as_deref(), Some(format!("value {number}").as_bytes()), "key {number}");
        }
        client.put("after", "it").await.expect("the session lives");

        // Later it is an ordinary view service with an ordinary record.
        cluster.restart_view_service(Signal::KILL, &[]).await;
        s2.kill();
        cluster.settled(&s1, 0).await;
        assert_eq!(client.get("after").await.expect("get").as_deref(), Some(&b"it"[..]));
    });
}

#[test]
fn what_cannot_be_adopted_is_refused_in_a_sentence() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");
        let address = cluster.view_service.address.clone();
        let dir = cluster.dir().join("record").to_str().expect("UTF-8").to_owned();
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let damaged = &fs::read(record(&cluster)).expect("a record")[1..];
        fs::write(record(&cluster), damaged).expect("damaged");

        let options = ["--dead-after", "1500ms", "--adopt"];
        let refusal = |address: &str, server: &str| {
            let place = ["--addr", address, "--dir", &dir];
            failed(&viewservice(&[&place[..], &options, &[server]].concat()), 3)
        };
        let nobody = refusal("localhost:0", &s1.address);
        assert!(nobody.contains("no server was heard"), "{nobody}");
        let unknown = refusal(&address, "localhost:1");
        assert!(unknown.contains("localhost:1 was not heard") && unknown.contains(&s1.address), "{unknown}");
        let empty = cluster.server(&[]);
        let nothing = refusal(&address, &empty.address);
        assert!(nothing.contains("holds no data") && nothing.contains("operation 2 of view 1"), "{nothing}");
        assert_eq!(fs::read(record(&cluster)).expect("a record"), damaged, "nothing was written");

        adopt(&mut cluster, &s1);
        cluster.settled(&s1, 1).await;
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn an_old_record_is_noticed_and_takes_no_data_with_it() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let old = fs::read(record(&cluster)).expect("a record");
        let s2 = cluster.server(&[]);
        cluster.settled(&s1, 1).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");

        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let latest = fs::read(record(&cluster)).expect("a record");
        fs::write(record(&cluster), old).expect("the old copy");
        cluster.start_view_service(&[]);
        cluster.view_service.logs("an old copy of its record").await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("OLD RECORD"), "{seen:?}");
        s1.kill();
        client.set_deadline(Duration::from_secs(5));
        let error = client.get("k").await.expect_err("nobody is promoted with an old record");
        assert!(error.to_string().contains("runs with an old record"), "{error}");
        client.set_deadline(PATIENCE);

        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        fs::write(record(&cluster), latest).expect("the latest record");
        cluster.start_view_service(&[]);
        cluster.settled(&s2, 0).await;
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
    });
}

#[test]
fn a_client_does_not_follow_into_another_history() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        let own = cluster.settled(&s1, 0).await.generation;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        fs::remove_file(record(&cluster)).expect("removed");
        s1.kill();
        cluster.start_view_service(&[]);
        let s2 = cluster.server(&[]);
        let other = cluster.settled(&s2, 0).await.generation;
        let error = eventually("the client is told", async || match client.get("k").await {
            Err(error @ ClientError::OtherHistory { .. }) => Some(error),
            Err(_) => None,
            Ok(value) => panic!("it answered from another history: {value:?}"),
        });
        let text = error.await.to_string();
        assert!(
            text.contains(&format!("another history ({other}) than this client knows ({own})")),
            "{text}"
        );
        assert_eq!(cluster.client().get("k").await.expect("a new client takes what it finds"), None);
    });
}
