//! What is sent arrives unchanged, and no bytes whatever make a conversion panic or slip something impossible
//! through.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use prost::Message;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::protocol::{
    command::{Command, Entry, Executed, Expected, Listed, Outcome, Page, Refusal, Reply, Update, Versioned},
    identity::{Generation, RequestNumber, SessionId},
    message::{
        Append, AppendAck, AppendResult, Chunk, ChunkAck, ChunkResult, Echo, PeerMessage, Ping, PingReply,
        PingReplyBody, Probe, Token, TransferId,
    },
    options::ClusterOptions,
    store::{Item, Session},
    view::{Members, View},
    view_service::{Awaited, Distress, ServerStatus, Standing},
};

fn at(view: u64, op: u64) -> Position {
    Position { view: ViewNumber(view), op: OpNumber(op) }
}

fn generation() -> Generation {
    Generation { number: 1, nonce: u64::MAX }
}

fn data() -> DataId {
    DataId { boot: Boot(7), nonce: u64::MAX }
}

fn members(names: &[&str]) -> Members {
    names.iter().map(|name| (ServerId::new(*name), data())).collect()
}

fn view() -> View {
    View {
        generation: generation(),
        number: ViewNumber(3),
        primary: ServerId::new("a:1"),
        primary_boot: Boot(7),
        insync: members(&["a:1", "b:1"]),
        joining: members(&["c:1"]),
        activated: true,
    }
}

fn entries() -> Vec<Entry> {
    let key = Bytes::from_static(b"k");
    let swap =
        |expected| Update::CompareAndSwap { key: key.clone(), expected, new: Bytes::from_static(b"n") };
    let updates = [
        Update::Put { key: key.clone(), value: Bytes::new() },
        Update::Append { key: key.clone(), value: Bytes::from_static(b"v"), value_bytes_max: 9 },
        Update::Delete { key: key.clone() },
        swap(Expected::Value(None)),
        swap(Expected::Value(Some(Bytes::new()))),
        swap(Expected::Revision(OpNumber(0))),
        swap(Expected::Revision(OpNumber(3))),
    ];
    let session = SessionId(4);
    let mut commands =
        vec![Command::OpenSession { ttl: Duration::from_secs(60) }, Command::CloseSession { session }];
    commands.extend((1..).zip(updates).map(|(request, update)| Command::Update {
        session,
        request: RequestNumber(request),
        update,
    }));
    (5..)
        .zip(commands)
        .map(|(op, command)| Entry { position: at(2, op), timestamp: Duration::from_millis(op), command })
        .collect()
}

fn peer_messages() -> Vec<PeerMessage> {
    let from = ServerId::new("a:1");
    let (generation, view) = (generation(), ViewNumber(3));
    let transfer = TransferId { view, number: 2 };
    let session = |last| Session { last, active_at: Duration::from_secs(1), ttl: Duration::from_secs(60) };
    let held = |value| Versioned { value: Bytes::from_static(value), mod_revision: OpNumber(3) };
    let outcome = Outcome::Swapped { swapped: false, previous: Some(held(b"")) };
    let executed = Executed { revision: OpNumber(4), outcome };
    let items = vec![
        Item::Pair { key: Bytes::from_static(b"k"), held: held(b"v") },
        Item::Session { id: SessionId(1), session: session(None) },
        Item::Session { id: SessionId(2), session: session(Some((RequestNumber(9), executed))) },
        Item::Clock(Duration::from_secs(2)),
    ];
    let append = |entries| Append {
        generation,
        view,
        from: from.clone(),
        to_data: data(),
        round: 8,
        previous: at(2, 4),
        entries,
        commit: OpNumber(4),
        silence_max: Duration::from_millis(500),
    };
    let chunk = |items, last| Chunk {
        generation,
        view,
        from: from.clone(),
        to_data: data(),
        transfer,
        at: at(2, 4),
        part: 1,
        items,
        last,
    };
    let mut messages = vec![
        PeerMessage::Append(append(entries())),
        PeerMessage::Append(append(Vec::new())),
        PeerMessage::Chunk(chunk(items, false)),
        PeerMessage::Chunk(chunk(Vec::new(), true)),
    ];
    for result in [
        AppendResult::Match(OpNumber(0)),
        AppendResult::Mismatch { hint: OpNumber(1) },
        AppendResult::Stale { view_seen: ViewNumber(9) },
    ] {
        messages.push(PeerMessage::AppendAck(AppendAck {
            view,
            from: from.clone(),
            data: data(),
            round: 0,
            result,
        }));
    }
    for result in [
        ChunkResult::Next(0),
        ChunkResult::Installed(OpNumber(4)),
        ChunkResult::Stale { view_seen: ViewNumber(9) },
    ] {
        let from = from.clone();
        messages.push(PeerMessage::ChunkAck(ChunkAck { view, from, data: data(), transfer, result }));
    }
    messages
}

fn ping() -> Ping {
    Ping {
        server: ServerId::new("a:1"),
        boot: Boot(7),
        data: Some(data()),
        generation: generation(),
        view_known: ViewNumber(3),
        view_told: ViewNumber(2),
        confirmed: members(&["a:1", "b:1"]),
        suspects: BTreeSet::from([ServerId::new("c:1")]),
        log_end: at(2, 9),
        log_durable: at(2, 8),
        progress: 3,
        echo: Some(Echo { epoch: u64::MAX, at: Duration::from_nanos(1) }),
        token: Some(Token { at: Duration::from_secs(2), seal: u64::MAX }),
        number: 11,
        nonce: u64::MAX,
        wants_lease: true,
        copies_min: 2,
        cannot_follow: Some("it takes no more".into()),
    }
}

fn ping_replies() -> Vec<PingReply> {
    let accepted = |view, lease| PingReplyBody::Accepted {
        view,
        echo: Echo { epoch: 1, at: Duration::from_secs(1) },
        lease,
        generation: generation(),
    };
    let cluster = ClusterOptions { dead_after: Duration::from_nanos(1_500_000_001), replicas: 3 };
    [
        accepted(Some(view()), Some(Duration::from_millis(1500))),
        accepted(None, None),
        PingReplyBody::StaleBoot { max: Boot(8) },
        PingReplyBody::StaleData { data: data() },
        PingReplyBody::Unconfirmed { holder: Some(Boot(8)) },
        PingReplyBody::Unconfirmed { holder: None },
        PingReplyBody::WrongGeneration { generation: Generation { number: 2, nonce: 1 } },
    ]
    .map(|body| PingReply { boot: Boot(7), number: 11, cluster, body })
    .into()
}

enum Encoded {
    Primary(Vec<u8>),
    Replica(Vec<u8>),
}

fn encode(message: PeerMessage) -> Encoded {
    match message.into() {
        Outgoing::Primary(message) => Encoded::Primary(message.encode_to_vec()),
        Outgoing::Replica(message) => Encoded::Replica(message.encode_to_vec()),
    }
}

fn decode(encoded: &Encoded) -> Option<Result<PeerMessage, Malformed>> {
    match encoded {
        Encoded::Primary(bytes) => wire::PrimaryMessage::decode(&bytes[..]).ok().map(TryInto::try_into),
        Encoded::Replica(bytes) => wire::ReplicaMessage::decode(&bytes[..]).ok().map(TryInto::try_into),
    }
}

#[test]
fn what_is_sent_arrives_unchanged() {
    for message in peer_messages() {
        assert_eq!(decode(&encode(message.clone())), Some(Ok(message)));
    }
    let bytes = wire::PingRequest::from(ping()).encode_to_vec();
    assert_eq!(wire::PingRequest::decode(&bytes[..]).map(Ping::try_from), Ok(Ok(ping())));
    let probe = Probe { token: Token { at: Duration::from_secs(2), seal: 3 }, view: ViewNumber(7) };
    let bytes = wire::ProbeRequest::from(probe).encode_to_vec();
    assert_eq!(wire::ProbeRequest::decode(&bytes[..]).map(Probe::try_from), Ok(Ok(probe)));
    for reply in ping_replies() {
        let bytes = wire::PingResponse::from(reply.clone()).encode_to_vec();
        assert_eq!(wire::PingResponse::decode(&bytes[..]).map(PingReply::try_from), Ok(Ok(reply)));
    }
    for after in [Awaited::Nothing, Awaited::Lease, Awaited::Listening] {
        let distress = Distress::Replacing { primary: ServerId::new("a:1"), after };
        let bytes = wire::Distress::from(distress.clone()).encode_to_vec();
        assert_eq!(wire::Distress::decode(&bytes[..]).map(Distress::try_from), Ok(Ok(distress)));
    }
    for trouble in [None, Some("is not heard".to_owned())] {
        let status = ServerStatus {
            server: ServerId::new("a:1"),
            standing: if trouble.is_some() { Standing::NotTaken } else { Standing::Joiner },
            runs: trouble.is_none(),
            trouble,
            log_end: at(2, 9),
            progress: 3,
            still_for: Duration::from_nanos(1),
            silent_for: Duration::from_secs(1),
        };
        let bytes = wire::ServerStatus::from(status.clone()).encode_to_vec();
        assert_eq!(wire::ServerStatus::decode(&bytes[..]).map(ServerStatus::try_from), Ok(Ok(status)));
    }
    let page = Reply::Page(page(&["a", "b"], true));
    let bytes =
        <wire::ScanResponse as kv::ToClient>::from_reply(page.clone()).expect("a page").encode_to_vec();
    assert_eq!(wire::ScanResponse::decode(&bytes[..]).map(Reply::try_from), Ok(Ok(page)));
}

fn page(keys: &[&'static str], more: bool) -> Page {
    let listed = |key: &&'static str| Listed {
        key: Bytes::from_static(key.as_bytes()),
        mod_revision: OpNumber(4),
        value: (*key == "a").then(Bytes::new),
    };
    Page { revision: OpNumber(9), keys: keys.iter().map(listed).collect(), more }
}

#[test]
fn what_is_wrong_with_a_server_is_one_plain_line() {
    let status = |trouble: &str| {
        let trouble = trouble.to_owned();
        ServerStatus::try_from(wire::ServerStatus { server: "a:1".into(), trouble, ..Default::default() })
    };
    assert!(status("is not heard").is_ok());
    for trouble in ["is\nfine", "\u{1b}[2J", &"x".repeat(601)] {
        assert!(status(trouble).is_err(), "{trouble:?}");
    }
}

#[test]
fn damaged_messages_never_panic_nor_break_a_log() {
    let mut rng = StdRng::seed_from_u64(1);
    let messages: Vec<Encoded> = peer_messages().into_iter().map(encode).collect();
    let replies: Vec<Vec<u8>> =
        ping_replies().into_iter().map(|reply| wire::PingResponse::from(reply).encode_to_vec()).collect();
    let (mut refused, mut passed) = (0, 0);
    for round in 0..50_000 {
        let mut damage = |bytes: &Vec<u8>| {
            let mut bytes = bytes.clone();
            for _ in 0..rng.random_range(1..4) {
                let index = rng.random_range(0..bytes.len());
                match rng.random_range(0..8) {
                    0..6 => bytes[index] = bytes[index].wrapping_add(rng.random_range(0..4)),
                    6 => bytes.insert(index, rng.random()),
                    _ => drop(bytes.remove(index)),
                }
            }
            bytes
        };
        let damaged = match &messages[round % messages.len()] {
            Encoded::Primary(bytes) => Encoded::Primary(damage(bytes)),
            Encoded::Replica(bytes) => Encoded::Replica(damage(bytes)),
        };
        match decode(&damaged) {
            Some(Ok(PeerMessage::Append(append))) => {
                passed += 1;
                let mut end = append.previous;
                for entry in &append.entries {
                    assert_eq!(entry.position.op, end.op.next());
                    assert!(entry.position.view >= end.view && entry.position.view <= append.view);
                    end = entry.position;
                }
            }
            Some(Ok(_)) => passed += 1,
            Some(Err(_)) => refused += 1,
            None => {}
        }
        if let Ok(reply) = wire::PingResponse::decode(&damage(&replies[round % replies.len()])[..])
            && let Ok(PingReply { body: PingReplyBody::Accepted { view: Some(view), .. }, .. }) =
                reply.try_into()
        {
            assert!(view.insync.contains_key(&view.primary));
            assert!(view.joining.keys().all(|server| !view.insync.contains_key(server)));
        }
    }
    assert!(
        refused > 200 && passed > 5000,
        "{refused} refused, {passed} passed: the damage is too mild or too wild"
    );
}

#[test]
fn a_name_that_would_write_something_else_to_a_terminal_is_refused() {
    let ping = |server: &str| {
        let (generation, log_end) = (Some(Default::default()), Some(Default::default()));
        Ping::try_from(wire::PingRequest {
            server: server.to_owned(),
            generation,
            log_end,
            ..Default::default()
        })
    };
    assert!(ping("[::1]:8001").is_ok() && ping("db-1.example:8001").is_ok());
    for name in ["", "a:1\nview 7", "\u{1b}[2J:1", "a b:1", "b\u{fc}cher:1"] {
        assert!(ping(name).is_err_and(|Malformed(why)| why.contains("address")), "{name:?}");
    }
}

#[test]
fn numbers_near_overflow_are_refused() {
    let mut append =
        wire::ForwardUpdate { from: "a:1".into(), to_data: Some(data().into()), ..Default::default() };
    assert!(Append::try_from(append.clone()).is_ok());
    append.commit = u64::MAX;
    assert_eq!(
        Append::try_from(append),
        Err(Malformed(format!("malformed message: commit {} is out of range", u64::MAX))),
    );
}

#[test]
fn a_refusal_that_is_a_status_proves_that_nothing_was_executed() {
    let refusals = [
        Refusal::Busy,
        Refusal::TooManySessions,
        Refusal::TooFewCopies { copies: 1, copies_min: 2 },
        Refusal::SessionExpired,
    ];
    let open = Reply::Refused(Refusal::TooFewHoldIt { copies: 1, copies_min: 2 });
    let open = <wire::UpdateResponse as kv::ToClient>::from_reply(open).expect_err("a status");
    assert!(!proves_not_executed(&open), "{open:?}");
    let statuses: Vec<_> = refusals
        .into_iter()
        .filter_map(|refusal| {
            <wire::UpdateResponse as kv::ToClient>::from_reply(Reply::Refused(refusal)).err()
        })
        .collect();
    assert_eq!(statuses.len(), 3);
    assert!(statuses.iter().all(|status| status.code() == tonic::Code::ResourceExhausted));
    assert!(statuses.iter().all(proves_not_executed), "{statuses:?}");
}
