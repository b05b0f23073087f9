//! To whom the view service promises that nobody else is promoted.

use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, DataId, ServerId, Ticket, ViewNumber},
    machine::Machine,
    message::{Echo, Ping, PingReplyBody, Token},
    options::ViewServiceOptions,
    view::{Members, Record, View},
    view_service::{Answer, Awaited, Distress, Effect, Event, SealKey, ViewService},
};

use crate::{pair::GENERATION, pings};

const PRIMARY_LIFE: Boot = Boot(7);

/// The life of the view service.
const EPOCH: u64 = 9;

/// From one round of pings to the next.
const ROUND: Duration = Duration::from_millis(100);

/// Rounds of pings.
const HALF: u32 = 50;

fn data(nonce: u64) -> DataId {
    DataId { boot: PRIMARY_LIFE, nonce }
}

/// A record in which A is primary of v3 and B its backup.
fn record() -> Record {
    let insync = Members::from([(ServerId::new("A"), data(1)), (ServerId::new("B"), data(2))]);
    let view = View {
        generation: GENERATION,
        number: ViewNumber(3),
        primary: ServerId::new("A"),
        primary_boot: PRIMARY_LIFE,
        insync: insync.clone(),
        joining: Members::new(),
        activated: true,
    };
    Record {
        generation: GENERATION,
        number: view.number,
        view: Some(view),
        stable: insync,
        promised: ViewServiceOptions::default().dead_after,
        adopted: None,
    }
}

fn view_service() -> ViewService {
    ViewService::new(ViewServiceOptions::default(), record(), EPOCH, SealKey(1, 2), Duration::ZERO)
}

/// Both servers ping once, each with a token that it was just brought; at A's address a process of this life,
/// which holds what has this nonce. Returns whether A got a lease.
fn ping(viewer: &mut ViewService, round: u32, life: Boot, nonce: u64) -> bool {
    ping_hearing(viewer, round, life, nonce, round, true)
}

/// The same; A heard the view service in round `hears` for the last time, and wants a lease or not.
fn ping_hearing(
    viewer: &mut ViewService,
    round: u32,
    life: Boot,
    nonce: u64,
    hears: u32,
    wants_lease: bool,
) -> bool {
    let now = round * ROUND;
    let mut leased = false;
    for (name, boot, data, hears) in [("A", life, data(nonce), hears), ("B", PRIMARY_LIFE, data(2), round)] {
        let ping = |number, token: Option<Token>| Ping {
            boot,
            data: Some(data),
            generation: GENERATION,
            view_known: ViewNumber(3),
            view_told: ViewNumber(3),
            echo: Some(Echo { epoch: EPOCH, at: hears * ROUND }),
            wants_lease,
            ..pings::of_a_newcomer(name, number, token)
        };
        let mut effects = Vec::new();
        viewer.step(now, Event::Ping { ticket: Ticket(1), ping: ping(0, None) }, &mut effects);
        let token = pings::token(&effects);
        let ping = ping(u64::from(round), token);
        viewer.step(now, Event::Ping { ticket: Ticket(2), ping }, &mut effects);
        leased |= effects.iter().any(|effect| {
            let Effect::Answer { answer: Answer::Ping(reply), .. } = effect else { return false };
            matches!(reply.body, PingReplyBody::Accepted { lease: Some(_), .. })
        });
    }
    leased
}

/// Both servers ping for a while. From the second half on A holds what has this nonce. Returns whether A got
/// a lease in that half, and the primary at the end.
fn after_a_while(nonce: u64) -> (bool, ServerId) {
    let mut viewer = view_service();
    let mut leased = false;
    for round in 1..=2 * HALF {
        let changed = round > HALF;
        leased |= ping(&mut viewer, round, PRIMARY_LIFE, if changed { nonce } else { 1 }) && changed;
    }
    (leased, viewer.record().view.as_ref().expect("there was one").primary.clone())
}

#[test]
fn a_lease_is_granted_to_what_the_view_names() {
    assert_eq!(after_a_while(1), (true, ServerId::new("A")));
}

/// A server without memory takes the number of its life from a clock, which may have been set back.
#[test]
fn a_number_of_a_life_that_comes_again_without_the_data_blocks_no_promotion() {
    assert_eq!(after_a_while(3), (false, ServerId::new("B")));
}

/// How long after the primary's latest lease somebody else is promoted, if a later life is heard at its
/// address that holds what has this nonce: in rounds of pings.
fn rounds_until_a_promotion(nonce: u64) -> u32 {
    let mut viewer = view_service();
    for round in 1..=HALF {
        ping(&mut viewer, round, PRIMARY_LIFE, 1);
    }
    let promoted = (1..=HALF).find(|round| {
        ping(&mut viewer, HALF + round, Boot(8), nonce);
        viewer.step((HALF + round) * ROUND, Event::Tick, &mut Vec::new());
        viewer.record().number > ViewNumber(3)
    });
    promoted.expect("somebody is promoted")
}

/// Whoever holds something else may be a second process, beside the one that has the lease.
#[test]
fn a_later_life_ends_a_lease_only_if_it_holds_what_the_view_names() {
    let lease = ViewServiceOptions::default().dead_after.as_millis() as u32 / 100;
    assert!(rounds_until_a_promotion(1) <= 2);
    let waited = rounds_until_a_promotion(3);
    assert!((lease..2 * lease).contains(&waited), "{waited} rounds, a lease is {lease}");
}

/// What is told just before the second round in which the primary hears the view service too long ago to be
/// alive, if it wants leases or not.
fn told_of_a_deaf_primary(wants_lease: bool) -> Option<Distress> {
    let mut viewer = view_service();
    let deaf = 2 * ViewServiceOptions::default().dead_after.as_millis() as u32 / 100;
    for round in 1..HALF + deaf {
        ping_hearing(&mut viewer, round, PRIMARY_LIFE, 1, round.min(HALF), wants_lease);
        assert_eq!(viewer.distress(), None, "in round {round}");
    }
    viewer.step((HALF + deaf) * ROUND, Event::GetView { ticket: Ticket(3) }, &mut Vec::new());
    viewer.distress()
}

#[test]
fn a_lease_is_told_as_the_reason_only_if_there_may_be_one() {
    let replacing = |after| Some(Distress::Replacing { primary: ServerId::new("A"), after });
    assert_eq!(told_of_a_deaf_primary(true), replacing(Awaited::Lease));
    assert_eq!(told_of_a_deaf_primary(false), replacing(Awaited::Nothing));
    // It gave up its role while another view service was there.
    let mut viewer = view_service();
    ping(&mut viewer, 1, Boot(8), 1);
    assert_eq!(viewer.distress(), replacing(Awaited::Listening));
    for after in [Awaited::Nothing, Awaited::Lease, Awaited::Listening] {
        let told = replacing(after).expect("it is").to_string();
        assert_eq!(told.contains("lease"), after == Awaited::Lease, "{told}");
        assert!(told.contains("gave up its role (see its log) or restarted"), "{told}");
    }
}
