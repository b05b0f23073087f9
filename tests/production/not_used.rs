//! A server runs and is not used: 'testclient view' says why, also if no copy is missing, and says nothing
//! that is not so.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::{
    cluster::{Cluster, eventually, run, said, succeeded, viewservice},
    proxy::Damage,
};

const QUICK: [&str; 2] = ["--dead-after", "500ms"];

async fn shows(cluster: &Cluster, text: &str) -> Output {
    eventually(&format!("'{text}' in the view"), async || {
        Some(cluster.testclient(&["view"])).filter(|view| said(view).contains(text))
    })
    .await
}

/// What 'view' tells programs of the servers with this role.
fn with_role(cluster: &Cluster, role: &str) -> Vec<Json> {
    let view = cluster.testclient(&["--output", "json", "view"]);
    let view: Json = serde_json::from_slice(&view.stdout).expect("an object");
    let servers = view["servers"].as_array().expect("servers").iter();
    servers.filter(|it| it["role"] == role).cloned().collect()
}

#[test]
fn a_server_that_is_not_reached_is_shown_though_no_copy_is_missing() {
    run(async {
        let mut cluster = Cluster::start(&QUICK);
        let _pair = cluster.pair_of(&[]).await;
        let lost = cluster.server(&["--advertise", "localhost:1"]);
        cluster.view_service.logs("cannot be reached at its advertised address").await;
        // At once: what the log says is shown.
        let view = succeeded(&cluster.testclient(&["view"]));
        assert!(view.contains("NOT TAKEN: localhost:1 pings, but cannot be reached"), "{view}");
        let not_taken = with_role(&cluster, "not_taken");
        assert_eq!(not_taken.len(), 1, "{not_taken:?}");
        assert_eq!((&not_taken[0]["server"], &not_taken[0]["runs"]), (&"localhost:1".into(), &true.into()));
        assert!(not_taken[0]["trouble"].to_string().contains("--advertise"), "{not_taken:?}");

        lost.kill();
        cluster.view_service.logs("could not be reached at its advertised address pings no longer").await;
        let view = succeeded(&cluster.testclient(&["view"]));
        assert!(!view.contains("localhost:1 "), "{view}");
        assert!(!cluster.view_service.log().contains("is reached at its advertised address now"));
    });
}

#[test]
fn a_server_is_said_to_be_reached_when_it_is() {
    run(async {
        let mut cluster = Cluster::start(&QUICK);
        let _pair = cluster.pair_of(&[]).await;
        let third = cluster.wired(&[]).await;
        third.inward.damage(Damage::Cut);
        cluster.view_service.logs("cannot be reached at its advertised address").await;
        let view = succeeded(&cluster.testclient(&["view"]));
        assert!(view.contains(&format!("NOT TAKEN: {} pings, but", third.inward.address)), "{view}");
        third.heal();
        cluster.view_service.logs("is reached at its advertised address now").await;
        assert!(!cluster.view_service.log().contains("pings no longer"));
        shows(&cluster, &format!("{} is a spare", third.inward.address)).await;
    });
}

#[test]
fn the_second_server_of_one_address_is_shown_beside_the_first() {
    run(async {
        let mut cluster = Cluster::start(&QUICK);
        let (s1, _s2) = cluster.pair_of(&[]).await;
        let second = cluster.server(&["--advertise", &s1.address]);
        let told = format!("NOT TAKEN: {} is also the --advertise of another server", s1.address);
        succeeded(&shows(&cluster, &told).await);
        let not_taken = with_role(&cluster, "not_taken");
        assert_eq!(not_taken.len(), 1, "{not_taken:?}");
        let primary = with_role(&cluster, "primary");
        assert!(primary[0]["server"] == *s1.address && primary[0]["trouble"].is_null(), "{primary:?}");
        second.kill();
        eventually("it is gone", async || {
            (!said(&cluster.testclient(&["view"])).contains("NOT TAKEN")).then_some(())
        })
        .await;
    });
}

#[test]
fn a_server_whose_data_was_given_up_is_shown_though_no_copy_is_missing() {
    run(async {
        let mut cluster = Cluster::start(&QUICK);
        let old = cluster.server(&[]);
        cluster.settled(&old, 0).await;
        succeeded(&cluster.testclient(&["put", "k", "v"]));
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let record = cluster.dir().join("record");
        let record = record.to_str().expect("UTF-8");
        succeeded(&viewservice(&["--dir", record, "--accept-data-loss", "1"]));
        cluster.start_view_service(&QUICK);
        let _pair = cluster.pair_of(&[]).await;
        let told =
            format!("NOT TAKEN: {} holds data of another history, or data that was given up", old.address);
        succeeded(&shows(&cluster, &told).await);
    });
}

#[test]
fn a_server_that_refuses_the_primary_says_why() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let small = cluster.server(&["--value-bytes-max", "100"]);
        // Whether it just joins or was dropped a moment ago.
        let why = "it refuses the primary: this server takes messages of up to";
        shows(&cluster, why).await;
        shows(&cluster, &format!("{} is not used: {why}", small.address)).await;
    });
}

#[test]
fn a_primary_that_gave_up_its_role_is_not_said_to_have_restarted() {
    run(async {
        let args = ["--dead-after", "3s"];
        let mut cluster = Cluster::start(&args);
        let (s1, _s2) = cluster.pair_of(&[]).await;
        succeeded(&cluster.testclient(&["put", "k", "v"]));
        // For a while another view service is there, with a wrong record.
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        let wrong = cluster.dir().join("wrong");
        cluster.start_view_service_in(&wrong, &args);
        s1.logs("belongs to another generation").await;
        assert_eq!(cluster.view_service.end(Signal::TERM).await, Some(0));
        cluster.start_view_service(&args);
        // As long as the view service listens.
        let view = said(&shows(&cluster, "NO SERVICE: the primary").await);
        assert!(view.contains(
            "or gave up its role (see its log) or restarted; it will be replaced when the view service"
        ));
        assert!(!view.contains("lease"), "{view}");
        cluster
            .view_service
            .logs("the primary gave up its role (see its log), or restarted with its data")
            .await;
        cluster.settled(&s1, 1).await;
        assert_eq!(succeeded(&cluster.testclient(&["get", "k"])), "v\n");
    });
}
