//! The command on recorded histories, on broken ones, and on command lines that make no sense.

mod run;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};
use linearizability::Cancel;
use run::{Line, run, run_until, run_with};
use serde_json::Value;

/// Not linearizable: a get of a value that was replaced.
const STALE: &str = concat!(
    r#"{"p":1,"call":1,"ret":2,"put":"k","value":"old"}"#,
    "\n\n",
    r#"{"p":1,"call":3,"ret":4,"put":"k","value":"new"}"#,
    "\n",
    r#"{"p":2,"call":5,"ret":6,"get":"k","value":"old"}"#,
    "\n",
);
const GOOD: &str = r#"{"p":1,"call":1,"ret":2,"put":"k","value":"v"}"#;
const BROKEN: &str = r#"{"p":1,"call":1,"ret":2,"get":"k"}"#;
/// One key, twenty clients, repeated values: needs a search.
const HARD: &str = "dup-c20-k1-n100-u0-none-s300228.txt.zst";

/// An empty folder of one test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder of ours");
    }
    fs::create_dir_all(&folder).expect("a new folder");
    folder
}

fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).expect("a new file");
    path.display().to_string()
}

fn histories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

/// Decompresses a recorded history into the folder.
fn recorded(folder: &Path, packed: &str) -> String {
    let bytes = fs::read(histories().join(packed)).expect("a recorded history");
    let text = zstd::decode_all(&bytes[..]).expect("a compressed file");
    file(folder, packed.trim_end_matches(".zst"), text)
}

fn objects(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

#[test]
fn recorded_histories_get_their_known_verdicts() {
    let folder = folder("verdicts");
    let table = fs::read_to_string(histories().join("expected.tsv")).expect("a table of verdicts");
    let mut counts = [0, 0];
    for (packed, expected) in table.lines().filter_map(|line| line.split_once('\t')) {
        let expected = u8::from(expected.trim() != "Ok");
        let ran = run(&[&recorded(&folder, packed)]);
        assert_eq!((ran.code, ran.errors.as_str()), (Ok(expected), ""), "{packed}: {}", ran.out);
        let format = match packed {
            log if log.contains(".log") => "Jepsen log",
            lines if lines.contains(".jsonl") => "JSON lines",
            _ => "porcupine key-value text",
        };
        assert!(ran.out.contains(format), "{}", ran.out);
        counts[usize::from(expected)] += 1;
    }
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
}

#[test]
fn a_violation_names_its_operations_and_their_lines() {
    let folder = folder("violation");
    let ran = run(&[&file(&folder, "stale.jsonl", STALE)]);
    assert_eq!(ran.code, Ok(1));
    for words in [
        "stale.jsonl: NOT LINEARIZABLE; JSON lines, kv, 3 operations",
        "line 4 (get \"k\" -> \"old\") is stale: it was called at 0.000000005 s, but line 3 (put \"k\" \"new\") had replaced",
        "line      1  operation      0  process    1  put \"k\" \"old\"",
        "line      3  operation      1  process    1  put \"k\" \"new\"",
        "line      4  operation      2  process    2  get \"k\" -> \"old\"",
    ] {
        assert!(ran.out.contains(words), "no {words:?} in\n{}", ran.out);
    }
    for (unit, shown) in
        [("us", "at 0.000005 s, but"), ("ms", "at 0.005 s, but"), ("s", "at 5 s, but"), ("none", "at 5, but")]
    {
        let ran = run(&["--unit", unit, &file(&folder, "stale.jsonl", STALE)]);
        assert!(ran.out.contains(shown), "no {shown:?} in\n{}", ran.out);
    }
}

#[test]
fn json_holds_one_object_for_each_file() {
    let folder = folder("json");
    let files = [
        file(&folder, "good", GOOD),
        file(&folder, "stale", STALE),
        file(&folder, "broken", BROKEN),
        recorded(&folder, HARD),
        folder.join("missing").display().to_string(),
    ];
    let mut arguments = vec!["--json", "--configurations", "50"];
    arguments.extend(files.iter().map(String::as_str));
    let objects = objects(&run(&arguments).out);
    let verdicts: Vec<&str> =
        objects.iter().map(|object| object["verdict"].as_str().expect("a verdict")).collect();
    assert_eq!(verdicts, ["linearizable", "violation", "malformed", "undecided", "unreadable"]);
    for (object, file) in objects.iter().zip(&files) {
        assert_eq!(object["file"], file.as_str());
    }
    let lines: Vec<&Value> =
        objects[1]["contradiction"].as_array().expect("a list").iter().map(|named| &named["line"]).collect();
    assert_eq!(lines, [1, 3, 4]);
    assert_eq!(objects[1]["format"], "JSON lines");
    assert_eq!(objects[1]["operations"], 3);
    assert!(objects[1]["check_ms"].is_number());
    assert_eq!(objects[2]["line"], 1);
    assert_eq!(objects[3]["configurations"], 50);
}

#[test]
fn an_exhausted_budget_is_undecided_and_says_what_was_spent_where() {
    let folder = folder("undecided");
    let hard = recorded(&folder, HARD);
    let ran = run(&["--configurations", "50", &hard]);
    assert_eq!(ran.code, Ok(6));
    for words in [
        "UNDECIDED",
        "used up (--configurations)",
        "the hardest is \"0\"; spent: 50 configurations",
        "the longest order found explains",
        "of the 100 operations",
        "open where the search",
        "line ",
    ] {
        assert!(ran.out.contains(words), "no {words:?} in\n{}", ran.out);
    }
    assert_eq!(run(&[&hard]).code, Ok(0));
    assert_eq!(run(&[&histories().join(HARD).display().to_string()]).code, Ok(0), "compressed");
}

#[test]
fn malformed_files_are_refused_with_line_and_expectation() {
    let folder = folder("malformed");
    for (text, line, words) in [
        (BROKEN, 1, "expected \"value\" and a string or null, found none"),
        ("\n\nhello\n", 3, "expected a history: JSON lines, JSON events, porcupine"),
        ("{:process 0, :type :invoke, :f :put, :key \"x\", :value nil}", 1, "expected the value to write"),
        ("{:process 0, :type :ok, :f :get, :key \"x\", :value \"1\"}", 1, "never called"),
        (
            "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:okay\t:read\t1\n",
            2,
            "expected :invoke, :ok, :fail or :info",
        ),
        ("[{:process 0, :type :invoke, :f :read\n", 2, "expected } to close the { of line 1"),
        ("", 1, "expected a history"),
    ] {
        let path = file(&folder, "broken", text);
        let ran = run(&[&path]);
        assert_eq!((ran.code, ran.out.as_str()), (Ok(2), ""), "{text}");
        let place = format!("error: {path}, line {line}: ");
        assert!(ran.errors.starts_with(&place), "{} does not begin with {place}", ran.errors);
        assert!(ran.errors.contains(words), "no {words:?} in {}", ran.errors);
    }
}

#[test]
fn the_worst_file_decides_the_exit_code_and_hides_no_other() {
    let folder = folder("codes");
    let (good, stale) = (file(&folder, "good", GOOD), file(&folder, "stale", STALE));
    let (broken, hard) = (file(&folder, "broken", BROKEN), recorded(&folder, HARD));
    for (files, code) in [
        (vec![&good, &good], 0),
        (vec![&hard, &good], 6),
        (vec![&broken, &hard, &good], 2),
        (vec![&broken, &stale, &hard, &good], 1),
    ] {
        let mut arguments = vec!["--configurations", "50", "--json"];
        arguments.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&arguments);
        assert_eq!(ran.code, Ok(code), "{files:?}");
        assert_eq!(objects(&ran.out).len(), files.len());
    }
}

#[test]
fn standard_input_is_a_file_like_others_but_only_once() {
    let ran = run_with(STALE, &["-"]);
    assert_eq!(ran.code, Ok(1));
    assert!(ran.out.starts_with("standard input: NOT LINEARIZABLE"), "{}", ran.out);
    assert!(run_with(BROKEN, &["-"]).errors.starts_with("error: standard input, line 1: "));
    assert_eq!(run(&["-", "-"]).code, Err("standard input (-) can be read only once".into()));
}

#[test]
fn drawings_go_into_a_file_or_a_folder_and_replace_no_history() {
    let folder = folder("drawings");
    let (here, there) = (folder.join("here"), folder.join("there"));
    fs::create_dir_all(&here).expect("a new folder");
    fs::create_dir_all(&there).expect("a new folder");
    let (one, other) = (file(&here, "same", GOOD), file(&there, "same", STALE));
    let page = folder.join("page.html").display().to_string();
    assert_eq!(run(&["--html", &page, &one]).code, Ok(0));
    assert!(fs::read_to_string(&page).expect("a page").contains("Linearizable: 1 operation\""));
    let pages = folder.join("pages");
    let ran = run(&["--html", &pages.display().to_string(), &one, &other]);
    assert_eq!(ran.code, Ok(1));
    for (name, words) in [("same.html", "Linearizable"), ("same-2.html", "Not linearizable")] {
        let page = pages.join(name);
        assert!(fs::read_to_string(&page).expect("a page").contains(words), "{name}");
        assert!(ran.out.contains(&format!("drawn in {}", page.display())), "{}", ran.out);
    }
    assert!(run(&["--html", &one, &other]).code.is_err_and(|error| error.contains("ends in .html")));
    assert_eq!(fs::read_to_string(&one).expect("the history"), GOOD);
}

#[test]
fn every_option_is_explained() {
    Line::command().debug_assert();
    for argument in Line::command().get_arguments() {
        assert!(argument.get_help().is_some(), "{argument}");
    }
    for wrong in
        [&["check"][..], &["check", "--configurations", "0", "f"], &["check", "--memory-mib", "x", "f"]]
    {
        assert!(Line::try_parse_from(wrong).is_err(), "{wrong:?}");
    }
}

/// What public tools write when no client got anywhere, or what merely looks like a history to a careless
/// reader.
#[test]
fn a_history_in_which_nothing_was_judged_does_not_pass() {
    let folder = folder("empty");
    let nemesis = "{:type :info, :f :start, :value nil, :process :nemesis}\n";
    let log = "2021-02-26 23:39:01,300{GMT}\tINFO\t[jepsen nemesis] jepsen.util: :nemesis\t:info\t:start\tnil\n\
        2021-02-26 23:39:01,301{GMT}\tINFO\t[main] jepsen.util: done\n";
    let failed = "0\t:invoke\t:write\t1\n0\t:fail\t:write\t1\n";
    for (text, summary) in [
        (nemesis, "Jepsen EDN history, 1 lines: 0 read, 1 skipped (1 of the nemesis, line 1)"),
        ("[]", "1 lines: 0 read, 0 skipped"),
        (
            log,
            "Jepsen log, 2 lines: 0 read, 2 skipped (1 logged by others, line 2, 1 of the nemesis, line 1)",
        ),
        (failed, "Jepsen history.txt, 2 lines: 2 read, 0 skipped"),
    ] {
        let path = file(&folder, "history", text);
        let ran = run(&[&path]);
        assert_eq!((ran.code, ran.out.as_str()), (Ok(2), ""), "{text}");
        assert!(ran.errors.contains("nothing to judge") && ran.errors.contains(summary), "{}", ran.errors);
        assert_eq!(objects(&run(&["--json", &path]).out)[0]["verdict"], "empty");
        let allowed = run(&["--allow-empty", &path]);
        assert_eq!(allowed.code, Ok(0), "{}", allowed.errors);
        assert!(allowed.out.contains("0 operations"), "{}", allowed.out);
    }
    for words in
        ["jepsen.util\n", "see jepsen.util - 1 in the manual\n", "INFO jepsen.utility 1 :invoke :read nil\n"]
    {
        let ran = run(&[&file(&folder, "words", words)]);
        assert_eq!(ran.code, Ok(2));
        assert!(ran.errors.contains("line 1: expected a history"), "{}", ran.errors);
    }
}

#[test]
fn a_summary_says_what_was_read_and_what_was_skipped_and_why() {
    let log = "INFO [2019-04-01 11:25:23,719] main - jepsen.core Running test\n\n\
        INFO [2019-04-01 11:25:23,720] jepsen worker 1 - jepsen.util 1\t:invoke\t:write\t4\n\
        INFO [2019-04-01 11:25:23,721] jepsen worker 1 - jepsen.util 1\t:ok\t:write\t4\n\
        INFO [2019-04-01 11:25:23,722] main - jepsen.core Done\n";
    let ran = run_with(log, &["-"]);
    assert_eq!(ran.code, Ok(0));
    let summary = "5 lines: 2 read, 3 skipped (1 blank, line 2, 2 logged by others, from line 1)";
    assert!(ran.out.contains(summary), "{}", ran.out);
    let json = &objects(&run_with(log, &["--json", "-"]).out)[0];
    assert_eq!((&json["lines"], &json["read"]), (&5.into(), &2.into()));
    assert_eq!(json["skipped"][1]["first_line"], 1);
}

#[test]
fn what_only_an_initial_value_explains_is_said_and_the_option_named() {
    let register = "{:type :invoke, :f :read, :process 0} {:type :ok, :f :read, :value 0, :process 0}\n\
        {:type :invoke, :f :write, :value 0, :process 0} {:type :ok, :f :write, :value 0, :process 0}\n";
    let ran = run_with(register, &["-"]);
    assert_eq!(ran.code, Ok(1));
    assert!(
        ran.out.contains("only an initial value explains it") && ran.out.contains("(--initial 0)"),
        "{}",
        ran.out
    );
    assert_eq!(run_with(register, &["--initial", "0", "-"]).code, Ok(0));
    let wrong = run_with(register, &["--initial", "1", "-"]);
    assert_eq!(wrong.code, Ok(1));
    assert!(!wrong.out.contains("only an initial value"), "{}", wrong.out);
    let unexplained = register.replace(":f :write, :value 0", ":f :write, :value 2")
        + "{:type :invoke, :f :read, :process 1} {:type :ok, :f :read, :value 7, :process 1}\n";
    assert!(!run_with(&unexplained, &["-"]).out.contains("only an initial value"), "7 needs another one");

    let lines = concat!(
        r#"{"initial":"a","value":"0"}"#,
        "\n",
        r#"{"initial":"b","value":1}"#,
        "\n",
        r#"{"p":1,"call":0,"ret":1,"get":"a","value":"0"}"#,
        "\n",
        r#"{"p":1,"call":2,"ret":3,"get":"b","value":"1"}"#,
        "\n",
        r#"{"p":1,"call":4,"ret":5,"get":"c","value":null}"#,
        "\n",
    );
    assert_eq!(run_with(lines, &["-"]).code, Ok(0));
    let stale = lines.to_owned() + r#"{"p":1,"call":6,"ret":7,"get":"a","value":null}"#;
    let ran = run_with(&stale, &["-"]);
    assert_eq!(ran.code, Ok(1));
    assert!(
        ran.out.contains("the beginning (put \"a\" \"0\")") && ran.out.contains("at first"),
        "{}",
        ran.out
    );

    for (initial, event, code) in [
        ("held", ":f :release", 0),
        ("free", ":f :release", 1),
        ("[5 6]", ":f :dequeue, :value 5", 0),
        ("[5 6]", ":f :dequeue, :value 6", 1),
        ("7", ":f :increment", 2),
    ] {
        let text = format!("{{:type :invoke, {event}, :process 0}} {{:type :ok, {event}, :process 0}}");
        let code = if event.contains("increment") { 0 } else { code };
        assert_eq!(run_with(&text, &["--initial", initial, "-"]).code, Ok(code), "{initial} {event}");
    }
    let counter = "0 :invoke :add 1\n0 :ok :add 1\n0 :invoke :read nil\n0 :ok :read 8\n";
    assert_eq!(run_with(counter, &["--initial", "7", "-"]).code, Ok(0));
    let wrong = run_with(counter, &["--initial", "seven", "-"]);
    assert!(wrong.code == Ok(2) && wrong.errors.contains("expected a whole number"), "{}", wrong.errors);
}

#[test]
fn a_read_of_nil_is_understood_as_chosen() {
    let text = "0\t:invoke\t:write\t1\n0\t:ok\t:write\t1\n1\t:invoke\t:read\tnil\n1\t:ok\t:read\tnil\n";
    let ran = run_with(text, &["-"]);
    assert!(ran.code == Ok(1) && ran.out.contains("(--nil unknown)"), "{}", ran.out);
    assert_eq!(run_with(text, &["--nil", "unknown", "-"]).code, Ok(0));
}

#[test]
fn the_object_is_guessed_and_named_and_can_be_chosen() {
    let added = "0 :invoke :add 1\n0 :ok :add 1\n";
    let named = |arguments: &[&str], name: &str| {
        let ran = run_with(added, arguments);
        assert!(
            ran.code == Ok(0) && ran.out.contains(&format!(", {name}, 1 operation,")),
            "{}{}",
            ran.out,
            ran.errors
        );
    };
    named(&["-"], "set");
    named(&["--model", "counter", "-"], "counter");
    let ran = run_with(added, &["--model", "queue", "-"]);
    assert!(
        ran.code == Ok(2) && ran.errors.contains("line 1: expected an operation of a queue"),
        "{}",
        ran.errors
    );
    let broken = "0 :invoke :acquire\n0 :ok :acquire\n1 :invoke :acquire\n1 :ok :acquire\n";
    let ran = run_with(broken, &["-"]);
    assert!(ran.code == Ok(1) && ran.out.contains("line 3 (acquire) is stuck"), "{}", ran.out);
    assert!(ran.out.contains("process    1  acquire"), "{}", ran.out);
}

/// Sixty clients that write two values each, and reads that agree with no order: far beyond any budget of a
/// test.
fn endless() -> String {
    let mut text = String::new();
    for (phase, kind) in [(0, "invoke"), (1, "ok")] {
        for process in 0..60 {
            let value = process % 7;
            let _ = writeln!(text, "{process} :{kind} :add {}", 1 << value);
            let _ = phase;
        }
    }
    text + "99 :invoke :read nil\n99 :ok :read 1\n"
}

#[test]
fn time_that_is_up_and_an_interruption_say_what_is_known() {
    let text = endless();
    let begin = std::time::Instant::now();
    let ran = run_with(&text, &["--model", "counter", "--seconds", "1", "-"]);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    assert_eq!(ran.code, Ok(6), "{}{}", ran.out, ran.errors);
    for words in
        ["UNDECIDED", "the time is used up (--seconds)", "of the 61 operations", "the order ends with"]
    {
        assert!(ran.out.contains(words), "no {words:?} in\n{}", ran.out);
    }
    let cancel = Cancel::new();
    let ran = std::thread::scope(|scope| {
        let waits = || {
            while cancel.configurations() == 0 {
                std::thread::yield_now();
            }
            cancel.cancel();
        };
        scope.spawn(waits);
        run_until(&cancel, &text, &["--model", "counter", "--json", "-", "other"])
    });
    assert_eq!(ran.code, Ok(6));
    let judged = &objects(&ran.out)[0];
    assert_eq!((&judged["verdict"], &judged["limit"]), (&"undecided".into(), &"interrupted".into()));
    assert!(judged["order"].as_array().is_some_and(|order| order.len() > 30), "{judged}");
    assert!(ran.errors.contains("interrupted; files not judged: 1"), "{}", ran.errors);
}
