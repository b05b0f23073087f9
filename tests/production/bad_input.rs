//! What goes wrong at the edge is said clearly, with what to do about it.

use std::time::Duration;

use pbkv::{
    client::ClientError,
    wire::{
        AppendRequest, CloseSessionRequest, Generation, GetRequest, OpenSessionRequest, PutRequest,
        RequestId, kv_client::KvClient, open_session_response, refusal, update_response,
    },
};
use rustix::process::Signal;
use tonic::{Code, transport::Channel};

use crate::cluster::{Cluster, connect, eventually, failed, kvserver, run, testclient, viewservice};

/// The session and its generation.
async fn open_session(client: &mut KvClient<Channel>) -> (u64, Option<Generation>) {
    let opened = client.open_session(OpenSessionRequest::default()).await.expect("answered").into_inner();
    match opened.result {
        Some(open_session_response::Result::Opened(opened)) => (opened.session, opened.generation),
        other => panic!("{other:?}"),
    }
}

fn put((session, generation): (u64, Option<Generation>), number: u64) -> PutRequest {
    let id = Some(RequestId { session, number, generation });
    PutRequest { id, key: "k".into(), value: "v".into() }
}

#[test]
fn wrong_command_lines_are_explained() {
    for (output, hint) in [
        (viewservice(&["--replica", "2"]), "--replica"),
        (kvserver(&["--port", "1"]), "--port"),
        (testclient(&["--deadline", "5", "view"]), "500ms"),
        (testclient(&["put", "k"]), "<VALUE|-|--file FILE>"),
        (testclient(&["cas", "k"]), "Usage: testclient cas <KEY> <VALUE|-|--file FILE>"),
        (viewservice(&["--addr", "localhost"]), "host:port"),
        (viewservice(&["--replicas", "0"]), "at least 1"),
        (kvserver(&["--vs", "http://localhost:8000"]), "must not start with a scheme"),
        (kvserver(&["--addr", "0.0.0.0:0"]), "--advertise"),
        (kvserver(&["--addr", "[::0]:0"]), "--advertise"),
        (kvserver(&["--addr", "0:0"]), "--advertise"),
        (kvserver(&["--addr", "localhost:0", "--vs", "192.0.2.1:8000"]), "--advertise"),
        (kvserver(&["--heartbeat-interval", "900ms"]), "--suspect-after (1s) must be at least 2.7s"),
        (testclient(&["--vs", "localhost:http", "view"]), "port is not a number"),
        (testclient(&["--deadline", "0s", "view"]), "--deadline (0s) must be at least 1ms"),
        (testclient(&["--attempt-timeout", "9999999999999s", "view"]), "--attempt-timeout ("),
        (viewservice(&["--policy-interval", "0s"]), "--policy-interval (0s)"),
        (viewservice(&["--policy-interval", "0s", "--dead-after", "0s"]), "--policy-interval (0s)"),
        (viewservice(&["--dead-after", "9999999999999s"]), "--dead-after ("),
        (viewservice(&["--join-stall-max", "0s"]), "--join-stall-max (0s) must be at least 200ms"),
        (viewservice(&["--replicas", "65"]), "at most 64"),
        (
            viewservice(&["--suspicion-min", "2m"]),
            "--suspicion-max (30s) must be at least 2m and at most 30d",
        ),
        (viewservice(&["--servers-max", "1"]), "--servers-max ("),
        (kvserver(&["--ping-interval", "0s"]), "--ping-interval ("),
        (kvserver(&["--heartbeat-interval", "9999999999999s"]), "--heartbeat-interval ("),
        (kvserver(&["--session-ttl", "1s"]), "--session-ttl (1s) must be at least 2s"),
        (kvserver(&["--copies-min", "65"]), "--copies-min (65) must be at least 0 and at most 64"),
        (
            viewservice(&["--policy-interval", "1ms", "--dead-after", "2ms"]),
            "--dead-after (2ms) must be at least 3ms",
        ),
        (testclient(&["check", "--time", "9999999999999s"]), "--time ("),
        (testclient(&["check", "--pause", "9999999999999s"]), "--pause ("),
        (kvserver(&["--append-window", "18446744073709551615"]), "--append-window ("),
        (kvserver(&["--checkpoint-interval", "9223372036854775807"]), "--checkpoint-interval ("),
        (kvserver(&["--chunk-bytes-max", "4294967296"]), "--chunk-bytes-max ("),
        (kvserver(&["--append-bytes-max", "0"]), "--append-bytes-max ("),
        (kvserver(&["--key-bytes-max", "0"]), "--key-bytes-max (0) must be at least 1"),
        (kvserver(&["--value-bytes-max", "67108864"]), "--suspect-after (1s) must be at least 8"),
        (kvserver(&["--value-bytes-max", "67108865"]), "--value-bytes-max ("),
        (testclient(&["--log", "k=loud", "view"]), "--log debug"),
        (viewservice(&["--log", "bogus"]), "'bogus' is not a log level"),
        (kvserver(&["--log", "inof"]), "'inof' is not a log level"),
        (viewservice(&["--dead-after", "1w"]), "(us, ms, s, m, h, d)"),
        (viewservice(&["--replicas", "18446744073709551615"]), "--replicas (18446744073709551615) must be"),
        (viewservice(&["--servers-max", "0"]), "--servers-max (0) must be at least 2"),
        (kvserver(&["--sessions-max", "99999999999999"]), "--sessions-max (99999999999999) must be"),
        (kvserver(&["--waiting-bytes-max", "18446744073709551615"]), "--waiting-bytes-max (1844"),
        (kvserver(&["--log-bytes-max", "18446744073709551615"]), "--log-bytes-max (1844"),
        (kvserver(&["--join-lag-max", "0s"]), "--join-lag-max (0s) must be at least 1ms"),
        (kvserver(&["--vs", "localhost:0"]), "'--vs <HOST:PORT>': no process is reached at port 0"),
        (kvserver(&["--advertise", "localhost:0"]), "'--advertise <HOST:PORT>': no process is reached"),
        (testclient(&["view", "--vs", "localhost:0"]), "no process is reached at port 0"),
        (viewservice(&["--adopt", "s1"]), "'--adopt <SERVER>': 's1' is not an address"),
        (testclient(&["check", "--clients", "0"]), "write a whole number from 1 to 10000"),
        (testclient(&["check", "--keys", "0"]), "write a whole number from 1 to 1000000"),
        (testclient(&["keys", "--limit", "0"]), "write a whole number, at least 1"),
        (testclient(&["keys", "--limit", "ten"]), "write a whole number, at least 1"),
        (testclient(&["cas", "k", "v", "--expect-revision", "-"]), "write a whole number, at least 0"),
        (viewservice(&["--replicas", "two"]), "'--replicas <N>': write a whole number, at least 0"),
        (viewservice(&["--servers-max", "1.5"]), "'--servers-max <N>': write a whole number, at least 0"),
        (kvserver(&["--value-bytes-max", "1MiB"]), "'--value-bytes-max <BYTES>': write a whole number"),
        (kvserver(&["--sessions-max", "99999999999999999999"]), "write a smaller number"),
        (viewservice(&["--accept-data-loss", "0"]), "write a whole number from 1 to 1000000"),
        (testclient(&["check", "--replace"]), "--save <FILE>"),
        (testclient(&["check", "--time", "0ms"]), "--time (0s) must be at least 1ms"),
        (testclient(&["check", "--save", "/nowhere/h.jsonl"]), "--save: cannot write to /nowhere/h.jsonl"),
        (testclient(&["bench", "--clients", "0"]), "write a whole number from 1 to 10000"),
        (testclient(&["bench", "--keys", "0"]), "write a whole number from 1 to 1000000000"),
        (testclient(&["bench", "--rate", "0"]), "write a whole number from 1 to 10000000"),
        (testclient(&["bench", "--value-bytes", "1KiB"]), "write a whole number from 0 to 67108864"),
        (testclient(&["bench", "--read-ratio", "1.1"]), "write a number from 0 to 1"),
        (
            testclient(&["bench", "--exponent", "0", "--distribution", "zipf"]),
            "write a number from 0.01 to 10",
        ),
        (testclient(&["bench", "--exponent", "1"]), "--exponent needs --distribution zipf"),
        (testclient(&["bench", "--time", "0s"]), "--time (0s) must be at least 1ms"),
        (testclient(&["bench", "--warmup", "9999999999999s"]), "--warmup ("),
        (
            testclient(&["bench", "--peer", "http://localhost:1"]),
            "write redis://HOST:PORT or etcd://HOST:PORT",
        ),
        (testclient(&["bench", "--peer", "redis://localhost:0"]), "no process is reached at port 0"),
        (kvserver(&["--addr", "localhost:0", "--log-dir", "/dev/null/x"]), "cannot log to the folder"),
    ] {
        let said = failed(&output, 2);
        assert!(said.starts_with("error: ") && said.contains(hint), "{said}");
        assert!(said.contains("For more information, try '--help'."), "{said}");
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let cluster = Cluster::start(&[]);
    let taken = cluster.view_service.address.as_str();
    let dir = cluster.dir().join("other");
    let dir = dir.to_str().expect("UTF-8");
    for output in [kvserver(&["--addr", taken]), viewservice(&["--addr", taken, "--dir", dir])] {
        let said = failed(&output, 3);
        assert!(said.contains("in use") && said.contains("--addr"), "{said}");
    }
}

#[test]
fn keys_and_values_have_limits() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.server(&["--key-bytes-max", "8", "--value-bytes-max", "16"]);
        cluster.settled(&server, 0).await;
        for (args, hint) in [
            (&["put", "", "v"][..], "the key is empty"),
            (&["get", ""], "the key is empty"),
            (&["get", "123456789"], "error: key too long: 9 bytes, limit 8"),
            (&["put", "k", "12345678901234567"], "error: value too long: 17 bytes, limit 16"),
            (
                &["cas", "k", "v", "--expect", "12345678901234567"],
                "error: value too long: 17 bytes, limit 16",
            ),
        ] {
            let said = failed(&cluster.testclient(args), 2);
            assert!(said.contains(hint), "{args:?}: {said}");
        }
        let mut client = cluster.client();
        client.put("k", "1234567890123456").await.expect("exactly as long as allowed");
        assert_eq!(client.append("k", "7").await, Err(ClientError::ValueTooLarge { value_bytes_max: 16 }));
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"1234567890123456"[..]));

        // Whatever client it is: malformed requests have a status of their own.
        let mut raw = connect(&server.address).await;
        let status = raw.get(GetRequest::default()).await.expect_err("no key");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let status = raw.append(AppendRequest { key: "k".into(), ..Default::default() }).await;
        assert_eq!(status.expect_err("no id").code(), Code::InvalidArgument);
        let session = open_session(&mut raw).await;
        let status = raw.put(put((u64::MAX, session.1), 1)).await.expect_err("no such number");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let status = raw.put(put((session.0, None), 1)).await.expect_err("a session of which generation?");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        let close = CloseSessionRequest { session: session.0, generation: None };
        let status = raw.close_session(close).await.expect_err("a session of which generation?");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    });
}

#[test]
fn a_value_of_a_mebibyte_survives_all_paths() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let short_log = ["--checkpoint-interval", "4", "--log-entries-max", "1000"];
        let s1 = cluster.server(&short_log);
        cluster.settled(&s1, 0).await;
        let value = |fill: u8| vec![fill; 1 << 20];
        let mut client = cluster.client();
        for fill in 0..12 {
            client.put(format!("{fill}"), value(fill)).await.expect("put");
        }
        let too_long = client.put("k", vec![0; (1 << 20) + 1]).await;
        assert!(
            matches!(&too_long, Err(ClientError::Invalid(why)) if why.contains("1048577")),
            "{too_long:?}"
        );
        let far_too_long = client.put("k", vec![0; 32 << 20]).await;
        assert!(matches!(far_too_long, Err(ClientError::Invalid(_))), "{far_too_long:?}");

        // By state transfer,
        let s2 = cluster.server(&short_log);
        cluster.settled(&s1, 1).await;
        s2.logs("the state is installed").await;
        // by the log,
        let swap = client.compare_and_swap("0", Some(value(0).into()), value(100)).await.expect("swap");
        assert!(swap.swapped);
        s1.kill();
        // and back.
        for (key, fill) in [(0, 100), (1, 1), (11, 11)] {
            let found = client.get(format!("{key}")).await.expect("get").expect("there");
            assert!(found == value(fill), "key {key} holds {} bytes of {:?}", found.len(), found.first());
        }
    });
}

#[test]
fn a_missing_view_service_is_reported_and_awaited() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        cluster.view_service.end(Signal::TERM).await;

        let get = cluster.testclient(&["--deadline", "1s", "get", "k"]);
        let said = failed(&get, 3);
        assert!(said.contains("not executed") && said.contains("cannot be reached"), "{said}");
        let put = cluster.testclient(&["--deadline", "1s", "put", "k", "v"]);
        assert!(failed(&put, 3).contains("not executed"), "{put:?}");

        let server = cluster.server(&["--ping-interval", "20ms"]);
        server.logs("cannot reach the view service, will keep trying").await;
        cluster.start_view_service(&[]);
        server.logs("connected to the view service").await;
        cluster.settled(&server, 0).await;
        let complaints = server.log().matches("cannot reach the view service").count();
        assert_eq!(complaints, 1, "once, not on every attempt");

        cluster.view_service.end(Signal::KILL).await;
        server.logs("lost the view service").await;
    });
}

#[test]
fn a_backup_sends_clients_to_the_primary() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let mut backup = connect(&s2.address).await;
        eventually("the backup names the primary", async || {
            let request = GetRequest { key: "k".into(), generation: None };
            let response = backup.get(request).await.expect("a refusal is a value").into_inner();
            match response.refusal.expect("a backup answers no client").reason {
                Some(refusal::Reason::NotPrimary(not)) => (not.primary == s1.address).then_some(()),
                other => panic!("{other:?}"),
            }
        })
        .await;
    });
}

#[test]
fn an_expired_session_is_refused_and_replaced() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.server(&["--session-ttl", "2s"]);
        cluster.settled(&server, 0).await;
        let mut idle = cluster.client();
        idle.put("k", "v").await.expect("put");
        let mut raw = connect(&server.address).await;
        let session = open_session(&mut raw).await;

        // Not for luck: a session lives for this long, and the next operation finds it older.
        tokio::time::sleep(Duration::from_millis(2200)).await;
        let response = raw.put(put(session, 1)).await.expect("a refusal is a value").into_inner();
        let Some(update_response::Result::Refusal(refused)) = response.result else { panic!("{response:?}") };
        assert!(matches!(refused.reason, Some(refusal::Reason::SessionExpired(_))), "{refused:?}");

        // The client library opens another one, and says nothing about it.
        idle.append("k", "w").await.expect("append");
        assert_eq!(idle.get("k").await.expect("get").as_deref(), Some(&b"vw"[..]));
    });
}

#[test]
fn a_busy_server_says_so_at_once() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let args = ["--waiting-max", "2", "--suspect-after", "10s"];
        let (s1, s2) = cluster.pair_of(&args).await;
        let mut client = connect(&s1.address).await;
        let sessions = [
            open_session(&mut client).await,
            open_session(&mut client).await,
            open_session(&mut client).await,
        ];

        s2.signal(Signal::STOP); // nothing is acknowledged from here on
        let attempts = sessions.map(|session| {
            let mut client = client.clone();
            tokio::spawn(async move { client.put(put(session, 1)).await })
        });
        let mut codes = Vec::new();
        for attempt in attempts {
            match attempt.await.expect("no panic") {
                Ok(_) => codes.push(Code::Ok),
                Err(status) => codes.push(status.code()),
            }
        }
        s2.signal(Signal::CONT);
        assert_eq!(codes.iter().filter(|code| **code == Code::ResourceExhausted).count(), 1, "{codes:?}");
    });
}

#[test]
fn options_that_contradict_those_of_another_process_are_named_with_both_values() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "3"]);
        let s1 = cluster.server(&["--ping-interval", "60m", "--copies-min", "4"]);
        cluster.settled(&s1, 0).await;
        s1.logs("--ping-interval is too long for the view service's --dead-after").await;
        s1.logs("--copies-min is more than the view service's --replicas").await;
        s1.logs("all updates are refused until as many copies as --copies-min are in sync").await;
        let seen = cluster.testclient(&["view"]);
        failed(&seen, 7);
        assert!(String::from_utf8_lossy(&seen.stdout).contains("NO UPDATES"), "{seen:?}");
        let log = s1.log();
        let named = |text: &str| log.lines().find(|line| line.contains(text)).expect("just seen").to_owned();
        let line = named("--ping-interval is too long");
        assert!(["3600s", "1.5s", "500ms"].iter().all(|value| line.contains(value)), "{line}");
        let line = named("--copies-min is more");
        assert!(line.contains("copies_min=4") && line.contains("replicas=3"), "{line}");

        let larger = ["--session-ttl", "5s", "--ping-interval", "60m", "--value-bytes-max", "2097152"];
        let s2 = cluster.server(&larger);
        cluster.settled(&s1, 1).await;
        s2.logs("the primary's sessions live for a different time").await;
        s2.logs("takes larger messages than the primary sends").await;
        s2.logs("needs a different number of copies").await;
        let log = s2.log();
        let lines: Vec<_> =
            log.lines().filter(|line| line.contains("sessions live for a different time")).collect();
        assert!(lines.len() == 1 && lines[0].contains("60s") && lines[0].contains("5s"), "{lines:?}");

        // Nobody is dead in the meantime.
        let view = cluster.settled(&s1, 1).await;
        tokio::time::sleep(Duration::from_secs(3)).await; // two dead intervals
        assert_eq!(cluster.settled(&s1, 1).await.number, view.number);
    });
}

#[test]
fn a_primary_says_when_copies_are_missing_and_when_no_longer() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "3"]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut client = cluster.client();
        client.put("k", "1").await.expect("put");
        s1.logs("updates are acknowledged with a single copy").await;
        let _s2 = cluster.server(&[]);
        cluster.settled(&s1, 1).await;
        client.put("k", "2").await.expect("put");
        s1.logs("updates are acknowledged with fewer copies than wanted").await;
        assert!(s1.log().contains("copies=2 wanted=3"), "{}", s1.log());
        let _s3 = cluster.server(&[]);
        cluster.settled(&s1, 2).await;
        s1.logs("as many copies as wanted again").await;
    });
}
