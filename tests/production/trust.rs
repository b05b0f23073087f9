//! The view service and those who ping it under a name at which they are not reached.

use std::time::Duration;

use pbkv::wire::{
    DataId, Member, PingRequest, Token, ping_response::Body, view_service_client::ViewServiceClient,
};

use crate::cluster::{Cluster, failed, run, succeeded};

/// Longer than two dead intervals.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

#[test]
fn a_forged_ping_changes_nothing() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, _s2) = cluster.pair_of(&[]).await;
        let before = cluster.settled(&s1, 1).await;
        let forged = PingRequest {
            server: s1.address.clone(),
            boot: u64::MAX / 4,
            data: None,
            generation: Some(before.generation.into()),
            view_known: before.number.0,
            view_told: before.number.0,
            confirmed: vec![Member {
                server: s1.address.clone(),
                data: before
                    .insync
                    .get(&before.primary)
                    .map(|data| DataId { boot: data.boot.0, nonce: data.nonce }),
            }],
            token: Some(Token { at_ns: 1, seal: 1 }),
            ..PingRequest::default()
        };
        let address = format!("http://{}", cluster.view_service.address);
        let mut hostile = ViewServiceClient::connect(address).await.expect("the view service listens");
        for _ in 0..20 {
            let answer = hostile.ping(forged.clone()).await.expect("an answer").into_inner();
            assert!(matches!(answer.body, Some(Body::Unconfirmed(_))), "{answer:?}");
        }
        tokio::time::sleep(LONG_ENOUGH).await;
        assert_eq!(cluster.report().await.view, Some(before));
        succeeded(&cluster.testclient(&["put", "colour", "blue"]));
        cluster.view_service.logs("two servers advertise one address").await;
    });
}

#[test]
fn the_second_server_of_one_address_is_refused_and_told() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let s1 = cluster.server(&[]);
        let before = cluster.settled(&s1, 0).await;
        let second = cluster.server(&["--advertise", &s1.address]);
        second.logs("another server answers at the address that this one advertises").await;
        cluster.view_service.logs("two servers advertise one address").await;
        tokio::time::sleep(LONG_ENOUGH).await;
        assert_eq!(cluster.report().await.view, Some(before), "the first is not disturbed");
        succeeded(&cluster.testclient(&["put", "colour", "blue"]));
    });
}

#[test]
fn a_server_that_is_not_reached_is_not_taken_and_told() {
    run(async {
        let mut cluster = Cluster::start(&["--dead-after", "500ms"]);
        // Nothing listens there.
        let lost = cluster.server(&["--advertise", "localhost:1"]);
        lost.logs("cannot reach this server at its advertised address").await;
        cluster.view_service.logs("cannot be reached at its advertised address").await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("NOT TAKEN: localhost:1"), "{seen:?}");
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        failed(&cluster.testclient(&["view"]), 8);
        let s2 = cluster.server(&[]);
        cluster.settled(&s1, 1).await;
        succeeded(&cluster.testclient(&["view"]));
        // Both copies are gone: that is said, to the operator and to whoever asks.
        s1.kill();
        s2.kill();
        cluster.view_service.logs("waiting for one of them to come back").await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("NO SERVICE: waiting for one of these"));
    });
}
