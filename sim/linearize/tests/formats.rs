//! What is read from each format, and what is refused with which words.

use bytes::Bytes;
use linearizability::formats::{Format, parse};
use linearizability::kv::{Input, Kv, Output};
use linearizability::{Options, Outcome, Verdict, check, html};

fn problem(text: &str) -> String {
    parse(text.as_bytes()).expect_err("this text is broken").to_string()
}

fn legal(text: &str) -> bool {
    let recorded = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    check(&Kv, &recorded.history, &Options::default()).is_linearizable()
}

#[test]
fn lines_hold_every_operation_and_any_bytes() {
    let text = concat!(
        r#"{"p":1,"call":10,"ret":14,"put":"k","value":{"hex":"00ff"}}"#,
        "\n\n",
        r#"{"p":2,"call":15,"ret":16,"rev":0,"get":"k","value":{"hex":"00ff"}}"#,
        "\n",
        r#"{"p":2,"call":17,"ret":19,"rev":18446744073709551615,"delete":"k","existed":true}"#,
        "\n",
        r#"{"p":3,"call":20,"ret":21,"cas":"k","expected":null,"new":"3","swapped":true,"previous":null}"#,
        "\n",
        r#"{"p":3,"call":22,"append":"k","value":"2,"}"#,
        "\n",
        r#"{"p":4,"call":23,"ret":24,"get":"k","value":"32,"}"#,
        "\n",
        r#"{"p":4,"call":25,"ret":26,"cas":"k","expected":"9","new":"8","swapped":false}"#,
        "\n",
    );
    let recorded = parse(text.as_bytes()).expect("a history");
    assert_eq!(recorded.format, Format::Lines);
    assert_eq!(recorded.lines, [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!(recorded.history.operations()[4].outcome, Outcome::Unknown);
    let last = recorded.history.operations()[6].output();
    assert_eq!(last, Some(&Output::Swapped { swapped: false, previous: None }));
    let revisions: Vec<_> = (0..7).map(|operation| recorded.history.revision(operation)).collect();
    assert_eq!(revisions, [None, Some(0), Some(u64::MAX), None, None, None, None]);
    assert!(legal(text));
    let mut again = Vec::new();
    linearizability::formats::write(&recorded.history, &mut again).expect("a vector takes everything");
    assert_eq!(parse(&again).expect("just written").history, recorded.history);
}

#[test]
fn broken_lines_are_refused_with_line_and_expectation() {
    let ok = r#"{"p":1,"call":1,"ret":2,"put":"k","value":"v"}"#;
    for (line, words) in [
        (r#"{"p":1,"call":3,"ret":4}"#, "expected exactly one of \"get\", \"put\""),
        (r#"{"p":1,"call":3,"ret":4,"get":"k"}"#, "expected \"value\" and a string or null, found none"),
        (r#"{"p":1,"call":3,"ret":4,"put":"k"}"#, "expected \"value\" and a string"),
        (r#"{"p":1,"call":3,"ret":4,"get":"k","value":"v","new":"w"}"#, "only the fields of this operation"),
        (r#"{"p":1,"call":3,"ret":4,"cas":"k","expected":"a","new":"b"}"#, "expected \"swapped\""),
        (r#"{"p":1,"call":3,"ret":4,"put":"k","value":{"hex":"0"}}"#, "even number of hexadecimal digits"),
        (r#"{"p":1,"call":3,"ret":4,"frobnicate":"k"}"#, "expected exactly one of \"get\""),
        (r#"{"p":1,"call":3"#, "column"),
        (r#"{"p":-1,"call":3,"ret":4,"get":"k","value":null}"#, "expected \"p\" and the number"),
        (r#"{"p":1,"call":3,"rev":4,"put":"k","value":"v"}"#, "the revision 4 and no answer"),
        (
            r#"{"p":1,"call":3,"ret":4,"rev":"7","get":"k","value":"v"}"#,
            "expected \"rev\" and a whole number",
        ),
        (r#"{"p":1,"call":3,"ret":4,"rev":-7,"get":"k","value":"v"}"#, "expected \"rev\" and a whole number"),
        (
            r#"{"p":1,"call":3,"ret":4,"rev":1.5,"get":"k","value":"v"}"#,
            "expected \"rev\" and a whole number",
        ),
        (
            r#"{"p":1,"call":3,"ret":4,"rev":null,"get":"k","value":"v"}"#,
            "expected \"rev\" and a whole number",
        ),
        (r#"{"p":1,"call":9,"ret":4,"get":"k","value":null}"#, "before its call"),
        (r#"{"p":1,"call":0,"ret":4,"get":"k","value":null}"#, "went back"),
        (r#"{"p":1,"call":1,"ret":4,"get":"k","value":null}"#, "still open"),
        (r#"{"p":5,"call":18446744073709551615,"get":"k"}"#, "above the largest"),
    ] {
        let error = problem(&format!("{ok}\n{line}\n"));
        assert!(error.starts_with("line 2: ") && error.contains(words), "{line}: {error}");
    }
}

#[test]
fn porcupine_text_begins_with_the_empty_string() {
    let event = |process: u64, kind: &str, f: &str, value: &str| {
        format!("{{:process {process}, :type :{kind}, :f :{f}, :key \"x\", :value {value}}}\n")
    };
    let get =
        |process, value: &str| event(process, "invoke", "get", "nil") + &event(process, "ok", "get", value);
    let put =
        |process, value: &str| event(process, "invoke", "put", value) + &event(process, "ok", "put", value);
    assert!(legal(&get(0, "\"\"")));
    assert!(legal(&(put(0, "\"1\"") + &put(0, "\"\"") + &get(1, "\"\""))));
    assert!(!legal(&(put(0, "\"1\"") + &get(1, "\"\""))));
    let gave_up = event(3, "invoke", "append", "\"2\"") + &event(3, "info", "append", "\"2\"");
    assert!(legal(&(put(0, "\"1\"") + &gave_up + &get(0, "\"1\"") + &get(0, "\"12\""))));
    assert!(!legal(&(put(0, "\"1\"") + &gave_up + &get(0, "\"12\"") + &get(0, "\"1\""))));
    for (text, words) in [
        (event(0, "ok", "get", "\"\""), "line 1: process 0 ends an operation it never called"),
        (
            event(0, "invoke", "get", "nil") + &event(0, "invoke", "get", "nil"),
            "line 2: process 0 calls an operation while the one it called in line 1 is still open",
        ),
        (
            event(0, "invoke", "get", "nil") + &event(0, "ok", "put", "\"1\""),
            "line 2: expected the end of what this process called, found :put",
        ),
        (
            event(0, "invoke", "steal", "nil"),
            "line 1: expected :f and :read, :write, :cas, :get, :put, :append, :delete or :txn, \
             or an operation of a mutex, queue, set or counter, found :steal",
        ),
        (
            event(0, "sometimes", "get", "nil"),
            "line 1: expected :type and :invoke, :ok, :fail or :info, found :sometimes",
        ),
        ("{:process 0, :type :invoke, :f :get, :key \"x".to_owned(), "line 1: this string is never closed"),
        (
            "{:process 0, :key \"x\"".to_owned(),
            "line 1: expected } to close the { of line 1, found the end of the text",
        ),
    ] {
        assert_eq!(problem(&text), words, "{text}");
    }
}

#[test]
fn jepsen_histories_map_to_registers_and_lists() {
    let register = "[{:process 0, :type :invoke, :f :write, :value 3, :time 1, :index 0}\n\
        {:process :nemesis, :type :info, :f :start, :value nil}\n\
        {:process 0, :type :ok, :f :write, :value 3}\n\
        {:process 1, :type :invoke, :f :cas, :value [3 4]} {:process 1, :type :ok, :f :cas, :value [3 4]}\n\
        {:process 2, :type :invoke, :f :cas, :value [3 5]} {:process 2, :type :fail, :f :cas, :value [3 5]}\n\
        {:process 3, :type :invoke, :f :read, :value nil} {:process 3, :type :ok, :f :read, :value 4}]";
    assert_eq!(parse(register.as_bytes()).expect("a history").format, Format::JepsenEdn);
    assert_eq!(
        parse(register.as_bytes()).expect("a history").history.len(),
        3,
        "the failed swap did not happen"
    );
    assert!(legal(register));
    assert!(!legal(&register.replace(":f :read, :value 4", ":f :read, :value 3")));
    let keyed = "#jepsen.history.Op{:process 0, :type :invoke, :f :write, :value [7 1]}\n\
        #jepsen.history.Op{:process 0, :type :ok, :f :write, :value [7 1]}\n\
        #jepsen.history.Op{:process 0, :type :invoke, :f :read, :value [8 nil]}\n\
        #jepsen.history.Op{:process 0, :type :ok, :f :read, :value [8 nil]}\n\
        #jepsen.history.Op{:process 0, :type :invoke, :f :cas, :value [7 [1 2]]}\n\
        #jepsen.history.Op{:process 0, :type :info, :f :cas, :value [7 [1 2]]}\n";
    assert!(legal(keyed));
    let asked = parse(keyed.as_bytes()).expect("a history").history.operations()[2].input.clone();
    let (key, expected, new) = (Bytes::from("7"), Some(Bytes::from("1")), Bytes::from("2"));
    assert_eq!(asked, Input::CompareAndSwap { key, expected, new });
    assert!(!legal(&keyed.replace(":ok, :f :read, :value [8 nil]", ":ok, :f :read, :value [8 1]")));
    let lists = "{:process 0, :type :invoke, :f :txn, :value [[:append 5 1]]}\n\
        {:process 0, :type :ok, :f :txn, :value [[:append 5 1]]}\n\
        {:process 0, :type :invoke, :f :txn, :value [[:append 5 12]]}\n\
        {:process 0, :type :ok, :f :txn, :value [[:append 5 12]]}\n\
        {:process 0, :type :invoke, :f :txn, :value [[:r 5 nil]]}\n\
        {:process 0, :type :ok, :f :txn, :value [[:r 5 [1 12]]]}\n";
    assert!(legal(lists));
    assert!(!legal(&lists.replace("[1 12]", "[12 1]")));
    let several = lists.replace("[[:r 5 nil]]", "[[:r 5 nil] [:append 5 3]]");
    assert!(problem(&several).starts_with("line 5: expected a transaction of one operation"));
    let other_key = keyed.replace(":ok, :f :read, :value [8 nil]", ":ok, :f :read, :value [9 nil]");
    assert_eq!(problem(&other_key), "line 4: expected an answer about key 8, found 9");
}

#[test]
fn logs_skip_what_is_no_event_and_refuse_what_is_half_one() {
    let line = |event: &str| format!("INFO  jepsen.util - {}\n", event.replace(' ', "\t").replace('_', " "));
    let text = "INFO  jepsen.core - Worker 0 starting\n".to_owned()
        + &line("0 :invoke :write 1")
        + &line("0 :ok :write 1")
        + &line(":nemesis :info :start nil")
        + &line("1 :invoke :cas [2_3]")
        + &line("1 :fail :cas [2_3]")
        + &line("2 :invoke :read nil")
        + &line("2 :fail :read :timed-out");
    let recorded = parse(text.as_bytes()).expect("a history");
    assert_eq!((recorded.format, recorded.history.len()), (Format::JepsenLog, 2));
    assert!(legal(&text));
    let aligned = text.replace('\t', "   ");
    assert_eq!(parse(aligned.as_bytes()).expect("a history").history.len(), 2, "spaces instead of tabs");
    assert!(!legal(&text.replace("[2 3]", "[1 3]")), "the swap must have found 1");
    assert!(
        problem(&(text.clone() + &line("0 :invoke :jump 1"))).starts_with("line 9: expected :f and :read")
    );
    assert!(problem(&(text.clone() + &line("4 :ok :write 1"))).contains("never called"));
    assert!(problem(&(text + &line("0 :invoke :cas [1]"))).contains("expected [expected new]"));
}

#[test]
fn what_is_no_history_is_an_error() {
    assert!(problem("hello\n").contains("expected a history"));
    let packed = parse(&[0x28, 0xb5, 0x2f, 0xfd, 0xff]).expect_err("not text");
    assert!(packed.to_string().contains("cannot be unpacked"));
    for nothing in ["", " \n\n"] {
        assert!(problem(nothing).contains("expected a history: JSON lines"), "{}", problem(nothing));
        assert!(problem(nothing).ends_with("found nothing"), "{}", problem(nothing));
    }
    let event = "{:process 0, :type :invoke, :f :read, :value nil}\n";
    assert!(legal(&format!("[{event}]")));
    assert_eq!(
        problem(&format!("\n[{event}{event}").replacen("process 0", "process 1", 1)),
        "line 4: expected another event, or ] to close the list that begins in line 2, found the end of the text"
    );
    assert_eq!(
        problem(&format!("[{}", event.replace("nil}", "[1 2}"))),
        "line 1: expected ] to close the [ of line 1, found }"
    );
    let deep = "{:process ".to_owned() + &"[".repeat(100_000);
    assert!(problem(&deep).contains("nested too deeply"));
}

#[test]
fn a_drawing_is_one_page_that_names_its_operations() {
    let text = concat!(
        r#"{"p":1,"call":1,"ret":2,"put":"<k>","value":"1"}"#,
        "\n",
        r#"{"p":1,"call":3,"ret":4,"put":"<k>","value":"2"}"#,
        "\n",
        r#"{"p":2,"call":5,"ret":6,"get":"<k>","value":"1"}"#,
        "\n",
    );
    let history = parse(text.as_bytes()).expect("a history").history;
    let verdict = check(&Kv, &history, &Options::default());
    assert!(matches!(verdict, Verdict::Violation(_)));
    let page = html::page(&history, &verdict);
    assert!(page.contains("Not linearizable") && page.contains("\"part\":\"against\""));
    assert!(page.contains("\\u003ck\\u003e") && !page.contains("<k>"));
    assert!(!page.contains("http") && !page.contains("src="));
    let legal =
        parse(text.lines().take(2).collect::<Vec<_>>().join("\n").as_bytes()).expect("a history").history;
    let page = html::page(&legal, &check(&Kv, &legal, &Options::default()));
    assert!(page.contains(r#""order":[[0,0.3,"\"1\""],[1,2.3,"\"2\""]]"#), "{page}");
}

/// One line of an event, as each version of Jepsen logs it.
const LOGGED: [&str; 4] = [
    "INFO  jepsen.util - {}",
    "INFO [2019-04-01 11:25:23,719] jepsen worker 8 - jepsen.util {}",
    "2021-02-26 23:39:01,300{GMT}\tINFO\t[jepsen worker 1] jepsen.util: {}",
    "{}",
];

#[test]
fn logs_of_every_version_of_jepsen_are_read_and_judged() {
    for (place, logged) in LOGGED.iter().enumerate() {
        let line = |event: &str| logged.replace("{}", &event.replace(' ', "\t")) + "\n";
        let text = line("0 :invoke :write 1")
            + &line("0 :ok :write 1")
            + &line(":nemesis :info :start #{\"n1\"}")
            + &line("1 :invoke :read nil")
            + &line("1 :ok :read 7");
        let recorded = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let format = if place == 3 { Format::JepsenText } else { Format::JepsenLog };
        assert_eq!((recorded.format, recorded.history.len()), (format, 2), "{text}");
        assert_eq!(recorded.lines, [1, 4]);
        assert!(!legal(&text), "7 was never written");
        assert!(legal(&text.replace('7', "1")));
        for broken in
            ["2 :invok :read nil", "2 :invoke", "2 :invoke read nil", "2 :ok :read", "2 :invoke :write \"1"]
        {
            let error = problem(&(text.clone() + &line(broken)));
            assert!(error.starts_with("line 6: "), "{broken}: {error}");
        }
    }
    let cut = LOGGED[2].replace("{}", "0\t:invoke\t:read\tnil") + "\n" + &LOGGED[2].replace("{}", "0");
    assert!(problem(&cut).starts_with("line 2: expected :invoke"), "a log that was cut off");
    let failed_swap = |logged: &str| {
        let events = ["0 :invoke :write 1", "0 :ok :write 1", "0 :invoke :cas [1_2]", "0 :fail :cas [1_2]"];
        events.map(|event| logged.replace("{}", &event.replace(' ', "\t").replace('_', " ")) + "\n").concat()
    };
    assert_eq!(LOGGED.map(|logged| legal(&failed_swap(logged))), [false, true, true, true]);
}

#[test]
fn a_format_is_found_by_its_grammar_and_never_by_a_word() {
    let lines = concat!(
        r#"{"p":1,"call":10,"ret":14,"put":"k","value":"INFO jepsen.util - 1 :invoke :read nil"}"#,
        "\n",
        r#"{"p":2,"call":15,"ret":16,"get":"k","value":"{:process 0, :key 1}"}"#,
        "\n"
    );
    assert_eq!(parse(lines.as_bytes()).expect("a history").format, Format::Lines);
    assert!(!legal(lines));
    let event = "{:process 0, :type :invoke, :f :write, :value \"INFO jepsen.util - 1\\t:ok :key \"}\n";
    assert_eq!(parse(event.as_bytes()).expect("a history").format, Format::JepsenEdn);
    let bracketed = "[2021-02-26 23:39] INFO main - jepsen.core hello\n".to_owned()
        + &LOGGED[1].replace("{}", "0\t:invoke\t:write\t1");
    assert_eq!(parse(bracketed.as_bytes()).expect("a history").format, Format::JepsenLog);
}
