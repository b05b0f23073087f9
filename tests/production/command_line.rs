//! The client's command line, as people and scripts use it: exit codes, JSON, values from files, options on
//! either side of the command.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use pbkv::process::Exit;
use serde_json::{Value, json};

use crate::cluster::{
    Cluster, Process, failed, kvserver, run, said, succeeded, testclient, testclient_reads, viewservice,
};

/// Without an answer from another process no command takes so long.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn with_server() -> (Cluster, Process) {
    let mut cluster = Cluster::start(&["--replicas", "1"]);
    let server = cluster.server(&[]);
    cluster.settled(&server, 0).await;
    (cluster, server)
}

/// The one line of standard output.
fn object(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_program_knows_its_name() {
    for (output, name) in [
        (viewservice(&["--replicas", "0"]), "viewservice"),
        (kvserver(&["--copies-min", "100"]), "kvserver"),
        (testclient(&["--deadline", "0s", "get", "a"]), "testclient"),
    ] {
        let said = failed(&output, 2);
        assert!(said.contains(&format!("Usage: {name} [OPTIONS]")), "{said}");
    }
}

#[test]
fn the_table_of_exit_codes_is_the_readme_s_and_the_help_s() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let help = succeeded(&testclient(&["--help"]));
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "README.md lacks: {row}");
        // Help is wrapped.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let row = format!(" {} {}", exit.code(), exit.meaning());
        assert!(words(&help).contains(&row), "{help}");
    }
    let helps = [viewservice(&["--help"]), kvserver(&["--help"])].map(|output| succeeded(&output));
    for help in helps {
        assert!(["Examples:", "Exit codes:", "Logs:"].iter().all(|part| help.contains(part)), "{help}");
    }
    assert!(succeeded(&testclient(&["keys", "--help"])).contains(r"escaped (\n, \xff)"));
    for command in ["put", "get", "append", "delete", "cas", "keys", "count", "view", "check", "bench"] {
        let help = succeeded(&testclient(&[command, "--help"]));
        let parts = [&*format!("testclient {command}"), "--vs", "PBKV_VS", "--output", "Exit codes:"];
        assert!(parts.iter().all(|part| help.contains(part)), "{help}");
    }
    // One that answers 'no' says so.
    for command in ["get", "delete", "cas", "check"] {
        let help = succeeded(&testclient(&[command, "--help"]));
        assert!(help.contains("\n    1  the answer is no"), "{help}");
    }
}

#[test]
fn a_script_tells_no_from_failed() {
    run(async {
        let (cluster, _server) = with_server().await;
        failed(&cluster.testclient(&["get", "lock"]), 1);
        succeeded(&cluster.testclient(&["cas", "lock", "mine"]));
        failed(&cluster.testclient(&["cas", "lock", "yours"]), 1);
        succeeded(&cluster.testclient(&["put", "empty", ""]));
        succeeded(&cluster.testclient(&["get", "empty"]));
        succeeded(&cluster.testclient(&["delete", "absent"]));
        succeeded(&cluster.testclient(&["view"]));
        for args in [&["cas", "lock", "his", "-q"][..], &["get", "absent", "-q"]] {
            let quiet = cluster.testclient(args);
            assert_eq!(failed(&quiet, 1), "");
            assert_eq!(quiet.stdout, b"");
        }
        assert_eq!(succeeded(&cluster.testclient(&["--quiet", "put", "k", "v"])), "");
        assert_eq!(succeeded(&cluster.testclient(&["--quiet", "get", "k"])), "v\n");
        let gone = testclient(&["--vs", "localhost:1", "--deadline", "100ms", "get", "k"]);
        let said = failed(&gone, 3);
        assert!(said.contains("Connection refused; is it running, is --vs right?"), "{said}");
        assert_eq!(said.matches("refused").count(), 1, "{said}");
        assert!(said.len() < 200 && said.lines().count() == 1, "{said}");
    });
}

#[test]
fn every_answer_is_an_object() {
    run(async {
        let (cluster, server) = with_server().await;
        let ask =
            |args: &[&str], code| object(&cluster.testclient(&[args, &["--output", "json"]].concat()), code);
        let revision = |answer: &Value| answer["revision"].as_u64().expect("a number");
        let put = ask(&["put", "fruit", "apple"], 0);
        assert_eq!(put["key"], "fruit");
        let found = ask(&["get", "fruit"], 0);
        assert_eq!((&found["value"], &found["mod_revision"]), (&json!("apple"), &put["revision"]));
        assert!(revision(&found) >= revision(&put));
        let kept = ask(&["cas", "fruit", "pear"], 1);
        assert_eq!(
            (&kept["swapped"], &kept["previous"], &kept["previous_mod_revision"]),
            (&json!(false), &json!("apple"), &put["revision"])
        );
        assert!(revision(&ask(&["append", "fruit", "s"], 0)) > revision(&put));
        assert_eq!(ask(&["delete", "fruit"], 0)["existed"], true);
        let absent = ask(&["get", "fruit"], 1);
        assert_eq!((&absent["value"], &absent["mod_revision"]), (&Value::Null, &json!(0)));
        let view = ask(&["view"], 0);
        assert_eq!((&view["state"], &view["view"]["primary"]), (&json!("ok"), &json!(server.address)));
        let check = ask(&["check", "--time", "200ms", "--clients", "2"], 0);
        assert_eq!(check["verdict"], "linearizable");
        assert!(check["ok"].as_u64().is_some_and(|ok| ok > 0), "{check}");

        assert_eq!(ask(&["get", ""], 2)["error"], "invalid");
        let gone =
            object(&testclient(&["get", "k", "--vs=localhost:1", "--deadline=50ms", "--output=json"]), 3);
        assert_eq!(gone["error"], "not_executed");
        let lines = format!("put a 1\nget a\nget nothing\nget \"{}\"\npush\n", "k".repeat(5000));
        let args = ["--vs", &cluster.view_service.address, "--output", "json"];
        let piped = testclient_reads(&args, lines.as_bytes());
        assert_eq!(piped.status.code(), Some(2), "{piped:?}");
        assert_eq!(piped.stdout.split(|byte| *byte == b'\n').count(), 5 + 1, "a line for each: {piped:?}");
    });
}

#[test]
fn any_bytes_can_be_put_and_got() {
    run(async {
        let (cluster, _server) = with_server().await;
        let vs = ["--vs", &*cluster.view_service.address];
        let path = cluster.dir().join("value");
        let path = path.to_str().expect("UTF-8");
        // More than a command line may hold, and no text.
        let value: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        fs::write(path, &value).expect("written");
        let got = |key: &str| {
            let mut got = cluster.testclient(&["get", key]).stdout;
            assert_eq!(got.pop(), Some(b'\n'));
            got
        };
        succeeded(&cluster.testclient(&["put", "file", "--file", path]));
        assert!(got("file") == value);
        assert!(cluster.testclient(&["get", "file", "--raw"]).stdout == value);
        assert_eq!(failed(&cluster.testclient(&["get", "nothing", "--raw"]), 1), "(absent)\n");
        succeeded(&testclient_reads(&[&vs[..], &["put", "piped", "-"]].concat(), &value));
        assert!(got("piped") == value);
        succeeded(&testclient_reads(&[&vs[..], &["put", "dash", "-"]].concat(), b"-"));
        assert_eq!(got("dash"), b"-");
        succeeded(&testclient_reads(&vs, b"put prompted -\n"));
        assert_eq!(got("prompted"), b"-");
        succeeded(&cluster.testclient(&["put", "number", "-5"]));
        assert_eq!(got("number"), b"-5");
        succeeded(&cluster.testclient(&["cas", "number", "-6", "--expect", "-5"]));
        assert_eq!(got("number"), b"-6");
        let piped = testclient_reads(&vs, b"put b 1\nput \xff x\nget \xff\nget \"\xff\"\nput c 2\n");
        assert_eq!(succeeded(&piped), "ok\nok\nx\nx\nok\n");
        assert_eq!(succeeded(&cluster.testclient(&["get", "ff", "--encoding", "hex"])), "78\n");
        assert_eq!(
            failed(&testclient_reads(&vs, b"put d 1\n\xff\nput e 2\n"), 2).matches("error").count(),
            1
        );
        assert_eq!(got("e"), b"2");

        let said = failed(&cluster.testclient(&["put", "k", "v", "--file", path]), 2);
        assert!(said.contains("cannot be used with"), "{said}");
        let said = failed(&cluster.testclient(&["put", "k", "--file", "/nowhere"]), 2);
        assert!(said.contains("cannot read /nowhere: No such file"), "{said}");

        // ff is no UTF-8.
        succeeded(&cluster.testclient(&["put", "ff", "00ff", "--encoding", "hex"]));
        let hex = cluster.testclient(&["--encoding", "hex", "get", "ff"]);
        assert_eq!(succeeded(&hex), "00ff\n");
        assert_eq!(succeeded(&cluster.testclient(&["get", "/w==", "--encoding", "base64"])), "AP8=\n");
        let raw = Command::new("sh")
            .args(["-c", "exec \"$0\" --vs \"$1\" --output json get \"$(printf '\\377')\""])
            .args([env!("CARGO_BIN_EXE_testclient"), &cluster.view_service.address])
            .output()
            .expect("a shell");
        let raw = object(&raw, 0);
        assert_eq!((&raw["key"], &raw["value"]), (&json!({"base64": "/w=="}), &json!({"base64": "AP8="})));
        let said = failed(&cluster.testclient(&["get", "xyz", "--encoding", "hex"]), 2);
        assert!(said.contains("'xyz' is not hexadecimal"), "{said}");
    });
}

#[test]
fn options_may_follow_the_command_and_stand_in_the_environment() {
    run(async {
        let (cluster, _server) = with_server().await;
        let vs = &*cluster.view_service.address;
        succeeded(&testclient(&["put", "a", "b", "--vs", vs, "--deadline", "1h"]));
        let by_environment = |args: &[&str], vs: &str| {
            let run = Command::new(env!("CARGO_BIN_EXE_testclient")).args(args).env("PBKV_VS", vs).output();
            run.expect("the binary was built")
        };
        assert_eq!(succeeded(&by_environment(&["get", "a"], vs)), "b\n");
        assert_eq!(succeeded(&by_environment(&["get", "a", "--vs", vs], "localhost:1")), "b\n");
        // A usage line shows what was written, and no variable.
        let said = failed(&by_environment(&["put", "k"], vs), 2);
        assert!(said.contains("Usage: testclient put <KEY>"), "{said}");
        // The second address, when the first is not reached.
        assert_eq!(succeeded(&by_environment(&["get", "a"], &format!("localhost:1,{vs}"))), "b\n");
        assert_eq!(succeeded(&testclient(&["--vs", "localhost:1", "--vs", vs, "get", "a"])), "b\n");
        let said = failed(&by_environment(&["get", "a"], "nonsense"), 2);
        assert!(said.contains("'nonsense' is not an address"), "{said}");
        let said = failed(&by_environment(&["get", "a"], ""), 2);
        assert!(said.contains("unset PBKV_VS if it is empty"), "{said}");
    });
}

#[test]
fn the_wrong_kind_of_service_is_named_at_once() {
    run(async {
        let (cluster, server) = with_server().await;
        let begun = Instant::now();
        for command in ["get", "view"] {
            let args = ["--vs", &server.address, "--deadline", "30s", command];
            let wrong = testclient(&[&args[..], if command == "get" { &["k"] } else { &[] }].concat());
            let said = failed(&wrong, 2);
            let expected = format!(
                "another gRPC service answers at {}, not a view service; is --vs right?",
                server.address
            );
            assert!(said.contains(&expected), "{said}");
        }
        // A check does not ask it for a minute, and an address that is right is found behind it.
        let check = testclient(&["--vs", &server.address, "check", "--time", "1m", "--clients", "2"]);
        assert!(failed(&check, 2).contains("another gRPC service answers at"), "{check:?}");
        let both = format!("{},{}", server.address, cluster.view_service.address);
        succeeded(&testclient(&["--vs", &both, "put", "k", "v"]));
        succeeded(&testclient(&["--vs", &both, "view"]));
        let neither = format!("{},localhost:1", server.address);
        let said = failed(&testclient(&["--vs", &neither, "--deadline", "300ms", "get", "k"]), 3);
        assert!(said.contains("another gRPC service") && said.contains("refused"), "{said}");
        let http = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = http.local_addr().expect("bound").to_string();
        thread::spawn(move || {
            for stream in http.incoming() {
                let mut stream = stream.expect("accepted");
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.read(&mut request);
            }
        });
        let said = failed(&testclient(&["--vs", &address, "--deadline", "30s", "get", "k"]), 2);
        assert!(said.contains("something that does not speak gRPC answers"), "{said}");
        assert!(begun.elapsed() < AT_ONCE, "it was asked again and again");

        // A server says it, too, and goes on trying: its view service may come.
        let mut cluster = cluster;
        let lost = cluster.start_server(&["--addr", "localhost:0", "--vs", &server.address]);
        lost.logs("another gRPC service answers there, not a view service").await;
    });
}

#[test]
fn piped_commands_all_run_and_the_first_error_decides() {
    run(async {
        let (cluster, _server) = with_server().await;
        let vs = ["--vs", &*cluster.view_service.address];
        let ended = |lines: &str, code| {
            let output = testclient_reads(&vs, lines.as_bytes());
            assert_eq!(output.status.code(), Some(code), "{lines}: {output:?}");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        assert_eq!(ended("put a 1\nget a\n", 0), "ok\n1\n");
        assert_eq!(ended("get nothing\nput a 2\nget a\n", 1), "ok\n2\n");
        assert_eq!(ended("get nothing\npush\nget \"\"\nget a\nquit\nget a\n", 2), "2\n");
        assert_eq!(ended("# put a 3\n  # get a\nget a\n", 0), "2\n");
        assert!(ended("check --time 100ms\n", 0).contains("linearizable"));
    });
}

#[test]
fn an_error_of_piped_commands_names_its_line() {
    run(async {
        let (cluster, _server) = with_server().await;
        let vs = &*cluster.view_service.address;
        let lines = b"put a 1\n# a comment\npush\nput k 'a b'\nput k \"a \\\"b\\\" c\"\nget \"\"\ncheck --time 0s\nget \"a\n";
        let text = failed(&testclient_reads(&["--vs", vs], lines), 2);
        let told = testclient_reads(&["--vs", vs, "--output", "json"], lines);
        assert_eq!(failed(&told, 2), "");
        let objects: Vec<Value> =
            said(&told).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let expected = [
            (3, "unrecognized subcommand 'push'"),
            (4, "only double quotes hold words together"),
            (5, "only double quotes hold words together"),
            (6, "the key is empty"),
            (7, "--time (0s) must be at least 1ms"),
            (8, "a double quote is not closed"),
        ];
        assert_eq!(objects.len(), 1 + expected.len(), "{objects:?}");
        assert_eq!(text.matches("error: line ").count(), expected.len(), "{text}");
        for ((line, why), object) in expected.into_iter().zip(&objects[1..]) {
            assert!(text.contains(&format!("error: line {line}: ")) && text.contains(why), "{text}");
            let message = object["message"].as_str().expect("a message");
            let why = why.trim_start_matches("--");
            assert!(object["line"] == line && message.contains(why), "{object}");
            assert!(!["error: ", "Usage", "--help"].iter().any(|part| message.contains(part)), "{object}");
        }
        // On a command line no line is named.
        assert!(failed(&cluster.testclient(&["get", ""]), 2).starts_with("error: the key is empty"));
    });
}

#[test]
fn a_check_does_not_count_its_own_set_up() {
    run(async {
        let (cluster, _server) = with_server().await;
        let many = ["check", "--time", "100ms", "--clients", "50", "--keys", "1000000", "--output", "json"];
        let told = object(&cluster.testclient(&many), 0);
        assert!(told["seconds"].as_f64().is_some_and(|seconds| seconds < 5.0), "{told}");
    });
}
