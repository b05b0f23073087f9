//! Many calls over one stream, on real servers: what travels together, what does not, and what becomes of
//! calls under way when the primary dies.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt, future, stream};
use pbkv::{
    channel,
    client::{Client, ClientOptions},
    clock::SystemClock,
    options::{STREAM_MESSAGE_BYTES_MAX, TOGETHER_BYTES_MAX},
    proto::proves_not_executed,
    wire::{self, answer, call, kv_stream_client::KvStreamClient},
};
use tonic::Code;

use crate::cluster::{Cluster, run};

const CLIENTS: usize = 32;

/// So many of one client's updates.
const UPDATES: usize = 40;

#[test]
fn clients_of_one_connection_are_told_their_own_answers_whatever_their_size() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let first = cluster.client();
        let clients = (0..CLIENTS).map(|number| {
            let mut client = first.another();
            async move {
                // Around the length from which a call or an answer travels alone, and far from it.
                let bytes = [0, 10, TOGETHER_BYTES_MAX - 100, TOGETHER_BYTES_MAX, 1 << 20][number % 5];
                let key = format!("key-{number}");
                for round in 0..3 {
                    let value = vec![b'a' + (number + round) as u8 % 26; bytes];
                    client.put(key.clone(), value.clone()).await.expect("it is served");
                    let found = client.get(key.clone()).await.expect("it is served");
                    assert_eq!(found.as_deref(), Some(&*value), "client {number}");
                    let new = vec![b'A' + (number + round) as u8 % 26; bytes];
                    let swap = client.compare_and_swap(key.clone(), Some(value.clone().into()), new).await;
                    let previous = swap.expect("it is served").previous.expect("it was there");
                    assert_eq!(previous.value, value, "client {number}");
                }
                client.close().await.expect("it is served");
            }
        });
        future::join_all(clients).await;
    });
}

#[test]
fn calls_under_way_when_the_primary_dies_are_executed_once() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (primary, _backup) = cluster.pair_of(&[]).await;
        let options = ClientOptions { deadline: Duration::from_secs(20), ..cluster.options() };
        let first = Client::new(options, SystemClock);
        let done = AtomicUsize::new(0);
        let appended = |number: usize| {
            let (mut client, done) = (first.another(), &done);
            async move {
                for update in 0..UPDATES {
                    let item = format!("{update},");
                    client.append(format!("key-{number}"), item).await.expect("the backup takes over");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let work = future::join_all((0..CLIENTS).map(appended));
        let death = async {
            while done.load(Ordering::Relaxed) < CLIENTS * UPDATES / 4 {
                tokio::task::yield_now().await;
            }
            primary.kill();
            assert!(done.load(Ordering::Relaxed) < CLIENTS * (UPDATES - 1), "nothing was under way");
        };
        future::join(work, death).await;
        let mut reader = first.another();
        let whole: String = (0..UPDATES).map(|update| format!("{update},")).collect();
        for number in 0..CLIENTS {
            let found = reader.get(format!("key-{number}")).await.expect("it is served");
            assert_eq!(found.as_deref(), Some(whole.as_bytes()), "client {number}");
        }
    });
}

#[test]
fn any_client_may_speak_on_a_stream() {
    run(async {
        let (_cluster, server) = Cluster::of_one().await;
        let channel = channel::lazy(&server.address).expect("an address");
        let mut client = KvStreamClient::new(channel);
        let get = |id, key: &'static str| {
            let get = wire::GetRequest { key: key.into(), generation: None };
            wire::Call { id, request: Some(call::Request::Get(get)) }
        };
        let open = wire::Call { id: 7, request: Some(call::Request::OpenSession(Default::default())) };
        let calls = vec![get(3, "absent"), get(5, ""), open, wire::Call { id: 9, request: None }];
        let said = stream::iter([wire::Calls { calls }]);
        let answers: Vec<_> = client.open(said).await.expect("it opens").into_inner().collect().await;
        let answers: Vec<wire::Answer> =
            answers.into_iter().flat_map(|answers| answers.expect("a good stream").answers).collect();
        let ids: BTreeSet<u64> = answers.iter().map(|answer| answer.id).collect();
        assert_eq!(ids, BTreeSet::from([3, 5, 7, 9]), "all are answered before the stream ends");
        for answer in answers {
            match (answer.id, answer.result.expect("it says something")) {
                (3, answer::Result::Get(get)) => assert_eq!(get.value, None),
                (7, answer::Result::OpenSession(open)) => assert!(open.result.is_some()),
                (5, answer::Result::Failure(failure)) => {
                    assert_eq!((failure.code, failure.not_executed), (Code::InvalidArgument as u32, true));
                }
                (9, answer::Result::Failure(failure)) => {
                    assert_eq!((failure.code, failure.not_executed), (Code::Unimplemented as u32, true));
                }
                other => panic!("{other:?}"),
            }
        }

        // Ids that do not go upwards, and a message that is longer than any may be.
        let backwards = wire::Calls { calls: vec![get(2, "a"), get(1, "a")] };
        let long = wire::GetRequest { key: vec![b'k'; STREAM_MESSAGE_BYTES_MAX].into(), generation: None };
        let long = wire::Calls { calls: vec![wire::Call { id: 1, request: Some(call::Request::Get(long)) }] };
        for (wrong, code) in [(backwards, Code::InvalidArgument), (long, Code::OutOfRange)] {
            let said = stream::iter([wrong]).chain(stream::pending());
            let mut answers = client.open(said).await.expect("it opens").into_inner();
            let status = loop {
                match answers.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("it ended well"),
                    Err(status) => break status,
                }
            };
            assert_eq!(status.code(), code, "{status}");
            assert!(!proves_not_executed(&status), "{status}");
        }
    });
}
