use pbkv::protocol::{
    identity::{OpNumber, Position},
    log::Durable,
    message::{Append, PeerMessage, VIEW_LEAP_MAX},
    options::ReplicaOptions,
    replica::{Effect, Event, Implausible, Replica, Start},
};

use super::*;

/// The second server, which holds something, in its second life.
fn s2(nodes: &Nodes) -> Replica {
    let durable = Durable { boot: Boot(1), data: Some(data(S2)), ..Durable::default() };
    let start = Start { server: nodes.id(S2).clone(), boot: Boot(2), nonce: 1, durable };
    Replica::new(ReplicaOptions::default(), start, seconds(1))
}

#[test]
fn a_lie_is_told_of_once_in_each_view() {
    let told = |view: u64, steps: &[&[Effect]]| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        let machine = s2(&fixture.nodes);
        let append = Append {
            generation: machine.generation(),
            to_data: data(S2),
            view: ViewNumber(view),
            from: fixture.nodes.id(S1).clone(),
            round: 1,
            previous: Position::default(),
            entries: Vec::new(),
            commit: OpNumber(0),
            silence_max: seconds(1),
        };
        let event = Event::Peer(PeerMessage::Append(append));
        for effects in steps {
            fixture.health.hears(&machine, &event);
            fixture.health.refuses(seconds(4), S2, &machine, effects);
        }
        fixture.broken(4).map(|(promise, _)| promise)
    };
    let from = Fixture::new().nodes.id(S1).clone();
    let refusal = [Effect::Notice(replica::Notice::PeerRefused { from, why: Implausible::View })];
    let last = 1 + VIEW_LEAP_MAX;
    assert_eq!(told(last, &[&[]]), None, "such a view may come");
    assert_eq!(told(last + 1, &[&[]]), Some(Promise::Silence));
    assert_eq!(told(last + 1, &[&refusal, &[]]), None);
}

#[test]
fn data_that_was_given_up_and_comes_back_is_told_by_both() {
    let seen = |by_vs: bool, by_server: bool| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.around.strangers.insert(S3);
        fixture.runs(20, S3, true);
        let (server, first) = (fixture.nodes.id(S3).clone(), Generation::FIRST);
        if by_vs {
            let notice = view_service::Notice::OtherHistory { server, holds: first, current: first };
            fixture.health.view_service_said(seconds(21), &notice);
        }
        if by_server {
            let notice = replica::Notice::WrongGeneration { own: first, current: first };
            fixture.health.replica_said(seconds(21), S3, &notice);
        }
        fixture.broken(60).map(|(_, seen)| seen)
    };
    assert_eq!(seen(true, true), None);
    assert!(seen(false, true).is_some_and(|seen| seen.starts_with("vs said nothing")));
    assert!(seen(true, false).is_some_and(|seen| seen.starts_with("s3 said nothing")));
}
