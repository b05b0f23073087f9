//! A measurement of real processes: what is counted, and how it ends.

use std::time::Duration;

use pbkv::protocol::command::Scan;
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, eventually, failed, run, said, succeeded, testclient};

const SHORT: [&str; 5] = ["bench", "--time", "300ms", "--warmup", "0s"];

/// What a measurement tells programs.
fn told(said: &str) -> Value {
    serde_json::from_str(said).expect("JSON")
}

fn number(told: &Value, path: &str) -> f64 {
    told.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {path}: {told}"))
}

#[test]
fn a_measurement_tells_how_much_is_answered_and_how_soon() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let few = ["--keys", "50", "--value-bytes", "7", "--clients", "3"];
        let said = succeeded(&cluster.testclient(&[&SHORT[..], &few].concat()));
        let lines: Vec<&str> = said.lines().collect();
        let begins = ["3 clients on one stream, 50 keys, 7 bytes, closed loop, 0.3s", "reads ", "updates "];
        assert_eq!(lines.len(), begins.len(), "{said}");
        for (line, begins) in lines.iter().zip(begins) {
            assert!(line.starts_with(begins), "{said}");
        }
        assert!(
            ["/s, p50 ", ", p90 ", ", p99 ", ", p99.9 ", ", max "].iter().all(|it| lines[1].contains(it))
        );

        // The keys are there, and their values as long as asked for.
        let page = cluster.client().scan(&Scan { values: true, ..Scan::of("bench-") }).await.expect("a page");
        let lengths = page.keys.iter().map(|found| found.value.as_ref().map(|value| value.len()));
        assert_eq!(lengths.collect::<Vec<_>>(), [Some(7); 50]);

        let zipf = ["--distribution", "zipf", "--no-fill", "--read-ratio", "1", "--output", "json"];
        let told = told(&succeeded(&cluster.testclient(&[&SHORT[..], &few, &zipf].concat())));
        assert!(number(&told, "/reads/ok") > 0.0 && number(&told, "/reads/per_second") > 0.0, "{told}");
        assert_eq!((number(&told, "/reads/absent"), number(&told, "/updates/ok")), (0.0, 0.0), "{told}");
        let steps = ["p50", "p90", "p99", "p99.9", "max"];
        let steps = steps.map(|step| number(&told, &format!("/reads/latency_ms/{step}")));
        assert!(steps[0] > 0.0 && steps.is_sorted(), "{told}");
        assert_eq!((&told["zipf"], &told["fill_seconds"]), (&0.99.into(), &Value::Null), "{told}");
        assert_eq!(told["errors"], serde_json::json!({}), "{told}");
    });
}

#[test]
fn a_server_that_stands_still_is_seen_in_an_open_loop() {
    run(async {
        let (cluster, server) = Cluster::of_one().await;
        let open = ["bench", "--time", "3s", "--warmup", "0s", "--rate", "200", "--keys", "10"];
        let vs = cluster.view_service.address.clone();
        let bench =
            cluster.spawn_testclient(&vs, &[&open[..], &["--deadline", "60s", "--output", "json"]].concat());
        // It fills, and then it reads.
        let mut client = cluster.client();
        eventually("all is put", async || {
            let page = client.scan(&Scan::of("bench-")).await.ok()?;
            (page.keys.len() == 10).then_some(())
        })
        .await;
        server.signal(Signal::STOP);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        server.signal(Signal::CONT);
        let told = told(&succeeded(&bench.output()));
        let answered = number(&told, "/reads/ok") + number(&told, "/updates/ok");
        let errors = told["errors"].as_object().expect("errors").values().filter_map(Value::as_f64);
        let all = answered + errors.sum::<f64>() + number(&told, "/unsent");
        assert_eq!(all, 600.0, "each operation that was due is answered, failed or not sent: {told}");
        // At least a half of what was due, was so while the server stood still.
        let p90 = number(&told, "/reads/latency_ms/p90").max(number(&told, "/updates/latency_ms/p90"));
        assert!(p90 > 500.0, "{told}");
    });
}

#[test]
fn a_signal_ends_a_measurement_with_what_was_measured() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let vs = cluster.view_service.address.clone();
        let long = ["bench", "--time", "1h", "--warmup", "0s", "--keys", "1", "--output", "json"];
        for signal in [Signal::INT, Signal::TERM] {
            let bench = cluster.spawn_testclient(&vs, &long);
            let mut client = cluster.client();
            let before = client.find("bench-0000000000").await.expect("read").revision;
            eventually("it is at work", async || {
                let found = client.find("bench-0000000000").await.ok()?;
                (found.revision.0 > before.0 + 100).then_some(())
            })
            .await;
            bench.signal(signal);
            let told = told(&succeeded(&bench.output()));
            assert!(number(&told, "/updates/ok") > 0.0, "{told}");
            assert!(number(&told, "/seconds") < 3000.0, "{told}");
            let name = if signal == Signal::INT { "SIGINT" } else { "SIGTERM" };
            assert_eq!(told["ended_by"], name, "{told}");
        }
    });
}

#[test]
fn what_is_not_answered_is_no_success() {
    run(async {
        let nothing = ["--vs", "localhost:1", "--deadline", "100ms"];
        let unfilled = failed(&testclient(&[&nothing, &SHORT[..]].concat()), 3);
        assert!(unfilled.contains("cannot be reached"), "{unfilled}");
        let unanswered = testclient(&[&nothing, &SHORT[..], &["--no-fill", "--output", "json"]].concat());
        failed(&unanswered, 3);
        assert_eq!(told(&said(&unanswered))["error"], "not_executed");

        // Values that no server takes: it would be the same again and again.
        let (cluster, _server) = Cluster::of_one().await;
        let long = [&SHORT[..], &["--value-bytes", "2000000"]].concat();
        assert!(failed(&cluster.testclient(&long), 2).contains("value too long"));
        let reads = [&SHORT[..], &["--no-fill", "--read-ratio", "1", "--output", "json"]].concat();
        let absent = told(&succeeded(&cluster.testclient(&reads)));
        assert_eq!(number(&absent, "/reads/absent"), number(&absent, "/reads/ok"), "{absent}");
    });
}

#[test]
fn a_peer_that_is_not_there_is_told() {
    for peer in ["redis://localhost:1", "etcd://localhost:1"] {
        let output = testclient(&[&["--deadline", "200ms"], &SHORT[..], &["--peer", peer]].concat());
        assert!(matches!(output.status.code(), Some(3 | 4)), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Connection refused"), "{output:?}");
    }
}
