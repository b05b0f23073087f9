//! How long others may be silent: a primary as long as it says itself, whatever its backups were told of
//! their own heartbeats; a view service for two pings.

use std::time::Duration;

use pbkv::protocol::{
    machine::Machine,
    message::{Echo, PingReply, PingReplyBody},
    options::{ClusterOptions, ReplicaOptions},
    replica::{Event, Notice, Replica, RoleName},
};

use crate::pair::{Driven, GENERATION, Pair};

#[test]
fn a_backup_goes_by_the_pace_of_its_primary() {
    let slow = ReplicaOptions {
        heartbeat_interval: Duration::from_secs(2),
        suspect_after: Duration::from_secs(6),
        ..ReplicaOptions::default()
    };
    let mut pair = Pair::new(&slow, 1);
    pair.b = Driven::new("B", &ReplicaOptions::default());
    pair.join(2);
    (0..1_000).for_each(|_| pair.step());
    assert_eq!(pair.b.replica.role(), RoleName::Backup);
    assert_eq!(
        pair.b.count(|notice| matches!(notice, Notice::PrimarySilent { .. })),
        0,
        "it is as quiet as it said"
    );
    // It is gone: after half of what it bears itself that is said.
    for step in 0..400 {
        pair.b.now += Duration::from_millis(10);
        pair.b.step(Replica::flush());
        let silent = pair.b.count(|notice| matches!(notice, Notice::PrimarySilent { .. })) > 0;
        assert!(!silent || step >= 90, "after {step} steps");
    }
    assert_eq!(pair.b.count(|notice| matches!(notice, Notice::PrimarySilent { .. })), 1);
}

/// A view service that begins without a record listens for some seconds, and must hear everybody who is
/// there.
#[test]
fn a_view_service_that_does_not_answer_is_asked_often() {
    let rarely = ReplicaOptions { ping_interval: Duration::from_secs(20), ..ReplicaOptions::default() };
    let mut server = Driven::new("A", &rarely);
    let dead_after = Duration::from_secs(60);
    let mut pings_within = |seconds: u64, answers: bool| {
        let before = server.pings;
        for _ in 0..seconds * 100 {
            server.now += Duration::from_millis(10);
            server.step(Replica::flush());
            if answers {
                let echo = Echo { epoch: 1, at: server.now };
                let body = PingReplyBody::Accepted { view: None, echo, lease: None, generation: GENERATION };
                let cluster = ClusterOptions { dead_after, replicas: 2 };
                let (boot, number) = (server.replica.boot(), server.pings);
                server.step(Event::PingReply(PingReply { boot, number, cluster, body }));
            }
        }
        server.pings - before
    };
    pings_within(20, true);
    assert_eq!(pings_within(60, true), 3);
    let until_it_is_missed = pings_within(40, false);
    assert!(until_it_is_missed >= 2, "{until_it_is_missed}");
    let twice_a_second = pings_within(10, false);
    assert!((19..=20).contains(&twice_a_second), "{twice_a_second}");
}
