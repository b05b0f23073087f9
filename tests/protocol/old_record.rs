//! Two views of one number: the view service's record is an old copy, and somebody was told otherwise.

use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, DataId, OpNumber, Position, ServerId, Ticket, ViewNumber},
    machine::Machine,
    message::{Ping, Token},
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{Notice, RoleName},
    view::{Members, Record, View},
    view_service::{self, Answer, Distress, Effect, Event, SealKey, ViewService, adoption::Adopt},
};

use crate::{
    pair::{Driven, GENERATION, Pair, view},
    pings,
};

#[test]
fn a_primary_that_is_told_of_another_one_in_its_view_gives_up_its_role() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    pair.join(2);
    assert_eq!(pair.a.replica.role(), RoleName::Primary);
    let (life, other) = (pair.a.replica.boot(), Driven::new("C", &ReplicaOptions::default()));
    pair.a.told(Some(view(2, &other, None)));
    assert_eq!(pair.a.replica.role(), RoleName::Idle);
    assert!(pair.a.replica.boot() > life, "no view names it any more");
    let primary = other.replica.server().clone();
    assert!(pair.a.notices.contains(&Notice::AnotherPrimary { view: ViewNumber(2), primary }));
}

fn data(boot: u64) -> DataId {
    DataId { boot: Boot(boot), nonce: boot }
}

fn ping(name: &str, number: u64, token: Option<Token>) -> Ping {
    Ping {
        boot: Boot(7),
        data: Some(data(7)),
        generation: GENERATION,
        view_known: ViewNumber(3),
        view_told: ViewNumber(3),
        wants_lease: true,
        ..pings::of_a_newcomer(name, number, token)
    }
}

/// What comes of a ping that is believed.
fn hear(viewer: &mut ViewService, now: Duration, ping: impl Fn(Option<Token>) -> Ping) -> Vec<Effect> {
    let mut effects = Vec::new();
    viewer.step(now, Event::Ping { ticket: Ticket(1), ping: ping(None) }, &mut effects);
    let token = pings::token(&effects);
    effects.clear();
    viewer.step(now, Event::Ping { ticket: Ticket(2), ping: ping(token) }, &mut effects);
    effects
}

/// A record in which A is primary of v3.
fn viewer() -> ViewService {
    let insync = Members::from([(ServerId::new("A"), data(7))]);
    let view = View {
        generation: GENERATION,
        number: ViewNumber(3),
        primary: ServerId::new("A"),
        primary_boot: Boot(7),
        insync: insync.clone(),
        joining: Members::new(),
        activated: true,
    };
    let record = Record {
        generation: GENERATION,
        number: view.number,
        view: Some(view),
        stable: insync,
        promised: ViewServiceOptions::default().dead_after,
        adopted: None,
    };
    ViewService::new(ViewServiceOptions::default(), record, 9, SealKey(1, 2), Duration::ZERO)
}

fn shows_old_record(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Notice(view_service::Notice::OldRecord { .. })))
}

#[test]
fn who_acts_as_primary_in_another_view_of_the_number_shows_an_old_record() {
    for (name, boot, confirms, shows) in
        [("A", 7, true, false), ("B", 7, false, false), ("B", 7, true, true), ("A", 8, true, true)]
    {
        let mut viewer = viewer();
        let confirmed: Members = confirms.then(|| (ServerId::new(name), data(7))).into_iter().collect();
        let effects = hear(&mut viewer, Duration::from_millis(100), |token| Ping {
            boot: Boot(boot),
            confirmed: confirmed.clone(),
            ..ping(name, 1 + u64::from(token.is_some()), token)
        });
        assert_eq!(shows_old_record(&effects), shows, "{name} in life {boot}, confirms: {confirms}");
    }
}

/// Another primary may reign in a view that the record does not know: within a dead interval it is heard.
#[test]
fn no_lease_is_granted_before_others_could_be_heard() {
    let mut viewer = viewer();
    let lease = |viewer: &mut ViewService, now: u64, number: u64| {
        let confirmed = Members::from([(ServerId::new("A"), data(7))]);
        let effects = hear(viewer, Duration::from_millis(now), |token| Ping {
            confirmed: confirmed.clone(),
            ..ping("A", number + u64::from(token.is_some()), token)
        });
        effects.iter().any(|effect| match effect {
            Effect::Answer { answer: Answer::Ping(reply), .. } => {
                format!("{:?}", reply.body).contains("lease: Some")
            }
            _ => false,
        })
    };
    let mut granted = Vec::new();
    for now in (50..=1_600).step_by(50) {
        viewer.step(Duration::from_millis(now), ViewService::tick(), &mut Vec::new());
        if lease(&mut viewer, now, now) {
            granted.push(now);
        }
    }
    assert_eq!(granted, [1_500, 1_550, 1_600]);
}

fn distress(viewer: &mut ViewService, now: Duration) -> Option<Distress> {
    let mut effects = Vec::new();
    viewer.step(now, Event::GetView { ticket: Ticket(9) }, &mut effects);
    match effects.as_slice() {
        [Effect::Answer { answer: Answer::View { distress, .. }, .. }] => distress.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_asks_for_the_view_is_told_what_is_wrong() {
    let now = Duration::from_millis(100);
    let mut viewer = viewer();
    assert_eq!(distress(&mut viewer, now), Some(Distress::Listening(vec![ServerId::new("A")])));
    hear(&mut viewer, now, |token| ping("A", 1 + u64::from(token.is_some()), token));
    assert_eq!(distress(&mut viewer, now), None);
    hear(&mut viewer, now, |token| Ping { view_told: ViewNumber(4), ..ping("A", 1, token) });
    assert_eq!(distress(&mut viewer, now), Some(Distress::OldRecord));

    let start = || {
        let options = ViewServiceOptions::default();
        ViewService::new(options, Record::default(), 9, SealKey(1, 2), Duration::ZERO)
    };
    let mut fresh = start();
    hear(&mut fresh, now, |token| pings::of_a_newcomer("A", 1 + u64::from(token.is_some()), token));
    assert_eq!(distress(&mut fresh, now), None, "it holds nothing");
    let holds = Position { view: ViewNumber(3), op: OpNumber(1) };
    hear(&mut fresh, now, |token| Ping { log_end: holds, ..ping("B", 1, token) });
    let b = || ServerId::new("B");
    assert_eq!(distress(&mut fresh, now), Some(Distress::UnknownHistory(vec![b()])));
    let later = (100..4_000).step_by(100).map(Duration::from_millis);
    later.for_each(|now| fresh.step(now, Event::Tick, &mut Vec::new()));
    assert_eq!(distress(&mut fresh, Duration::from_secs(4)), None, "it went");

    let adopt = Adopt { server: b(), anyway: false };
    let options = ViewServiceOptions::default();
    let mut adopting = ViewService::adopting(options, adopt, 9, SealKey(1, 2), Duration::ZERO);
    assert_eq!(distress(&mut adopting, now), Some(Distress::Adopting(b())));
}
