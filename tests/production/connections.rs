//! Connections that are too many, too silent, or cannot carry what is sent on them.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use pbkv::wire::GetRequest;

use crate::{
    cluster::{Cluster, Process, connect, eventually, failed, run},
    proxy::Damage,
};

/// Longer than a server may be out of reach before it is replaced: two dead intervals.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

/// Clients that ask all the time, each on a connection of its own, and connections that say nothing: more
/// than fit.
fn crowd(server: &Process) {
    for _ in 0..40 {
        let address = server.address.clone();
        tokio::spawn(async move {
            let mut client = connect(&address).await;
            loop {
                let _ = client.get(GetRequest { key: "k".into(), generation: None }).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let address = server.address.clone();
    tokio::spawn(async move {
        loop {
            let silent: Vec<_> = (0..40).map(|_| tokio::net::TcpStream::connect(&address)).collect();
            let _silent = futures::future::join_all(silent).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
}

#[test]
fn clients_that_fill_a_server_do_not_cut_it_off() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let primary = cluster.server_with_open_files(64, &[]);
        cluster.settled(&primary, 0).await;
        crowd(&primary);
        primary.logs("no room for more connections").await;
        // A new backup that is full as well.
        let backup = cluster.server_with_open_files(64, &[]);
        crowd(&backup);
        let before = cluster.settled(&primary, 1).await;
        backup.logs("no room for more connections").await;
        tokio::time::sleep(LONG_ENOUGH).await;
        assert_eq!(cluster.report().await.view, Some(before));
        // The streams of a new primary find room, too.
        primary.kill();
        let third = cluster.server_with_open_files(64, &[]);
        crowd(&third);
        cluster.settled(&backup, 1).await;
    });
}

#[test]
fn a_full_table_of_connections_is_logged_and_waited_out() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.server_with_open_files(64, &[]);
        cluster.settled(&server, 0).await;
        // They never say a word.
        let connect = |_| TcpStream::connect(&server.address).expect("the operating system accepts them");
        let silent: Vec<_> = (0..70).map(connect).collect();
        server.logs("no room for more connections").await;

        // It waits, and does not spin.
        let (begun, busy) = (Instant::now(), server.busy());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (took, busy) = (begun.elapsed(), server.busy() - busy);
        assert!(busy < took / 2, "{busy:?} of {took:?} on the processor");

        let mut client = cluster.client();
        eventually("a put among silent connections", async || client.put("k", "v").await.ok()).await;
        let told = server.log().matches("no room for more connections").count();
        assert!(told <= silent.len() / 8, "logged {told} times for {} connections", silent.len());
    });
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may_be() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.server_with_ulimit("-S -n 48", &[]);
        cluster.settled(&server, 0).await;
    });
}

#[test]
fn too_few_open_files_are_explained() {
    let run = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 48 && exec \"$0\" --addr localhost:0", env!("CARGO_BIN_EXE_kvserver")])
        .output()
        .expect("the binary was built");
    let said = failed(&run, 3);
    assert!(said.contains("48 files") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn a_replica_that_cannot_take_what_the_primary_sends_is_named_with_both_limits() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let primary = cluster.server(&["--value-bytes-max", "4194304"]);
        cluster.settled(&primary, 0).await;
        let mut client = cluster.client();
        client.put("k", vec![7; 4 << 20]).await.expect("as long as the primary allows");
        let small = cluster.server(&[]);
        primary.logs("breaks again and again").await;
        let log = primary.log();
        let named = log.lines().find(|line| line.contains("breaks again and again")).expect("just seen");
        assert!(
            named.contains(&small.address) && named.contains("this server takes messages of up to"),
            "{named}"
        );
        // And nobody waits for it.
        client.put("k", vec![8; 4 << 20]).await.expect("put");
    });
}

#[test]
fn what_takes_its_time_on_a_slow_link_arrives() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.wired(&[]).await;
        cluster.settled(&server.process, 0).await;
        let mut client = cluster.client();
        client.put("k", vec![7; 1 << 20]).await.expect("the link is fast");
        let value = Some(vec![7; 1 << 20].into());
        assert!(client.get("k").await.expect("get") == value);

        // 64 parts, each late by 25 ms: longer than an attempt waits for an answer of which nothing arrives.
        server.inward.damage(Damage::Slow(Duration::from_millis(25)));
        let began = Instant::now();
        assert!(client.get("k").await.expect("however large it is") == value);
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1500), "the link is slow: {took:?}");
        // An update is given the time that its bytes need.
        server.inward.damage(Damage::Slow(Duration::from_millis(20)));
        client.put("k", vec![8; 1 << 20]).await.expect("put");
        server.heal();
        assert!(client.get("k").await.expect("get") == Some(vec![8; 1 << 20].into()));
    });
}
