//! Files that leave something open or say something twice, and what the command makes of them.

mod run;

use run::{Ran, run_with};
use serde_json::Value;

/// Events of `history.txt`, with spaces for tabs.
fn judge(text: &str, arguments: &[&str]) -> Ran {
    run_with(text, &[arguments, &["-"]].concat())
}

fn refused(text: &str, words: &str) {
    let Ran { code, out, errors } = judge(text, &[]);
    assert_eq!((&code, &*out), (&Ok(2), ""), "{text}");
    assert!(errors.contains(words), "{text}: {errors}");
}

#[test]
fn a_history_in_which_nothing_returned_is_not_judged() {
    let lost = "0 :invoke :write 1\n0 :info :write 1\n";
    refused(lost, "the only operation is of unknown outcome, so there is nothing to judge");
    let more =
        format!("{lost}1 :invoke :read nil\n2 :invoke :write 3\n3 :invoke :write 4\n3 :fail :write 4\n");
    refused(&more, "all 3 operations are of unknown outcome, so there is nothing to judge");
    assert_eq!(judge(lost, &["--allow-empty"]).code, Ok(0));
    // What keys begin with is none of theirs.
    assert_eq!(judge(lost, &["--initial", "0"]).code, Ok(2));
    let ran = judge(&format!("{lost}1 :invoke :read nil\n1 :ok :read 1\n"), &[]);
    assert!(
        ran.code == Ok(0) && ran.out.contains("2 operations (1 of unknown outcome), read in"),
        "{}",
        ran.out
    );
}

#[test]
fn a_drain_that_ends_saw_the_queue_empty() {
    let begin = "0 :invoke :enqueue 1\n0 :ok :enqueue 1\n0 :invoke :enqueue 2\n0 :ok :enqueue 2\n1 :invoke :drain nil\n";
    for (end, code) in [("[1 2]", 0), ("[1]", 1), ("[]", 1), ("[1 2 3]", 1)] {
        let ran = judge(&format!("{begin}1 :ok :drain {end}\n"), &[]);
        assert_eq!(ran.code, Ok(code), "{end}: {}", ran.out);
    }
    assert_eq!(judge("1 :invoke :drain nil\n1 :ok :drain []\n", &[]).code, Ok(0));
}

#[test]
fn a_drain_takes_one_item_after_the_other_and_finds_nothing_at_its_end() {
    let put = |item: u32| format!("0 :invoke :enqueue {item}\n0 :ok :enqueue {item}\n");
    let one_two = put(1) + &put(2);
    let taken = |items: &str| format!("{one_two}1 :invoke :drain nil\n1 :ok :drain {items}\n");
    assert_eq!(judge(&taken("[1 2]"), &[]).code, Ok(0));
    let ran = judge(&taken("[2 1]"), &[]);
    assert!(ran.code == Ok(1) && ran.out.contains("drain -> 1"), "{}", ran.out);
    // From the return of 3 on there is something until it is taken, and 2 was taken before 3 and after 1.
    let held = |third: &str| {
        let begin = format!("1 :invoke :drain nil\n{one_two}{}", put(3));
        begin + "2 :invoke :dequeue nil\n2 :ok :dequeue 1\n1 :ok :drain [2]\n" + third
    };
    assert_eq!(judge(&held("2 :invoke :dequeue nil\n2 :ok :dequeue 3\n"), &[]).code, Ok(1));
    assert_eq!(judge(&held("").replace("[2]", "[2 3]"), &[]).code, Ok(0));
    // Two of the same item are for the search.
    let twice = put(1) + &put(2) + &put(1) + "1 :invoke :drain nil\n";
    for (items, code) in [("[1 2 1]", 0), ("[1 1 2]", 1), ("[2 1 1]", 1)] {
        assert_eq!(judge(&format!("{twice}1 :ok :drain {items}\n"), &[]).code, Ok(code), "{items}");
    }
}

/// Two clients drain a long queue at once, each what it gets.
#[test]
fn long_drains_are_decided() {
    let put = |item: u32| format!("{0} :invoke :enqueue {item}\n{0} :ok :enqueue {item}\n", item % 3);
    let begin: String = (0..2_000).map(put).collect();
    let items = |part: u32, change: &dyn Fn(u32) -> u32| {
        let items = (0..2_000).filter(|item| item % 2 == part).map(|item| change(item).to_string());
        items.collect::<Vec<_>>().join(" ")
    };
    let end = |change: &dyn Fn(u32) -> u32| {
        let (even, odd) = (items(0, &|item| item), items(1, change));
        format!("8 :invoke :drain nil\n9 :invoke :drain nil\n8 :ok :drain [{even}]\n9 :ok :drain [{odd}]\n")
    };
    assert_eq!(judge(&format!("{begin}{}", end(&|item| item)), &[]).code, Ok(0));
    let exchanged = |item| match item {
        1_001 => 1_003,
        1_003 => 1_001,
        item => item,
    };
    let ran = judge(&format!("{begin}{}", end(&exchanged)), &[]);
    assert!(ran.code == Ok(1) && ran.out.lines().count() < 12, "{}", ran.out);
}

#[test]
fn nil_to_begin_with_is_absence() {
    let read = |value: &str| format!("0 :invoke :read nil\n0 :ok :read {value}\n");
    for nil in ["nil", "null"] {
        assert_eq!(judge(&read("nil"), &["--initial", nil]).code, Ok(0), "{nil}");
        let queue = "0 :invoke :dequeue nil\n0 :ok :dequeue nil\n";
        assert_eq!(judge(queue, &["--initial", nil]).code, Ok(0), "{nil}");
        let line = r#"{"p":1,"call":1,"ret":2,"get":"k","value":null}"#;
        assert_eq!(judge(line, &["--initial", nil]).code, Ok(0), "{nil}");
    }
    assert_eq!(judge(&read("7"), &["--initial", "7"]).code, Ok(0));
}

#[test]
fn values_are_compared_by_their_text_as_the_help_says() {
    for (written, read) in [("1", "\"1\""), (":a", "\"a\""), ("[1 2]", "\"1,2,\"")] {
        let history = |value: &str, function: &str, kind: &str| {
            format!("{{:process 0, :type :{kind}, :f :{function}, :value {value}}}\n")
        };
        let text = history(written, "write", "invoke")
            + &history(written, "write", "ok")
            + &history("nil", "read", "invoke")
            + &history(read, "read", "ok");
        assert_eq!(judge(&text, &[]).code, Ok(0), "{text}");
    }
}

#[test]
fn what_is_told_says_where_to_look_and_what_else_to_try() {
    let read = |value: &str| format!("0 :invoke :read nil\n0 :ok :read {value}\n");
    let add = "0 :invoke :add 1\n0 :ok :add 1\n";
    let not_whole = read("1.5");
    let problem = "line 4: expected the elements of a set that were read (--model counter reads";
    refused(&format!("{add}{not_whole}"), problem);
    let put = "0 :invoke :enqueue 1\n0 :ok :enqueue 1\n";
    for (text, model, words) in [
        (put, "register", "found :enqueue, which is for --model queue"),
        (add, "queue", "found :add, which is for --model set or --model counter"),
        ("0 :invoke :read nil\n0 :info :read nil\n", "register", "no operation that returned"),
    ] {
        let ran = judge(text, &["--model", model]);
        assert!(ran.code == Ok(2) && ran.errors.contains(words), "{}", ran.errors);
    }
    let ran = judge(put, &[]);
    assert!(ran.out.contains("queue, 1 operation, read"), "{}", ran.out);
    // Events that are left out have lines, too.
    let skipped = ":nemesis :info :start nil\n:nemesis :info :stop nil\n";
    let write = "0 :invoke :write 1\n0 :ok :write 1\n";
    let ran = judge(&format!("{write}{skipped}{}", read("nil")), &[]);
    assert!(ran.code == Ok(1) && ran.out.contains("called at line 5"), "{}", ran.out);
}

#[test]
fn a_single_object_without_a_verdict_has_no_name() {
    let each = |line: &dyn Fn(u32) -> String| (0..30).map(line).collect::<String>();
    let text = each(&|client| format!("{client} :invoke :enqueue {}\n", client % 2))
        + &each(&|client| format!("{client} :ok :enqueue {}\n", client % 2))
        + &each(&|client| format!("{client} :invoke :dequeue nil\n"))
        + &each(&|client| format!("{client} :ok :dequeue {}\n", client % 2));
    let ran = judge(&text, &["--configurations", "1"]);
    assert!(ran.code == Ok(6) && ran.out.contains("(--configurations); spent: "), "{}", ran.out);
    assert!(ran.out.contains(" of the 60 operations\n"), "{}", ran.out);
}

#[test]
fn a_sum_in_between_may_not_fit() {
    let add = |amount: &str| format!("0 :invoke :add {amount}\n0 :ok :add {amount}\n");
    let sum = add("9223372036854775807") + &add("1") + &add("-5") + "0 :invoke :read nil\n";
    for (read, code) in [("9223372036854775803", 0), ("9223372036854775802", 1)] {
        assert_eq!(judge(&format!("{sum}0 :ok :read {read}\n"), &[]).code, Ok(code), "{read}");
    }
    refused("0 :invoke :decrement -9223372036854775808\n", "line 1: expected a whole number to add");
}

#[test]
fn a_field_that_stands_twice_is_an_error_with_its_line() {
    for text in [
        r#"{"p":1,"call":1,"ret":2,"put":"k","value":"1","value":"2"}"#,
        r#"{"p":1,"p":2,"call":1,"ret":2,"get":"k","value":null}"#,
        r#"{"client":"a","call":1.5,"ret":2,"ret":4,"get":"k","value":null}"#,
        r#"{"process":1,"type":"invoke","f":"write","value":1,"value":2}"#,
    ] {
        refused(&format!("\n{text}\n"), "line 2: column ");
        refused(&format!("\n{text}\n"), "stands twice");
    }
    let twice = "{:process 0, :type :invoke, :f :write, :value 1}\n{:process 0, :type :ok, :f :write, :value 1, :value 2}";
    refused(twice, "line 2: expected one :value, found two");
}

#[test]
fn an_update_ends_with_the_value_of_its_call() {
    let ended = |f: &str, called: &str, told: &str| format!("0 :invoke :{f} {called}\n0 :ok :{f} {told}\n");
    for (f, called, told) in [
        ("write", "3", "5"),
        ("write", "[1 2]", "[1 3]"),
        ("cas", "[nil 1]", "[nil 2]"),
        ("append", "\"a\"", "\"b\""),
        ("txn", "[[:append 1 2]]", "[[:append 1 3]]"),
        ("txn", "[[:w 1 2]]", "[[:w 1 3]]"),
        ("write", "[\"k\" 1]", "[\"k\" 2]"),
        ("enqueue", "1", "2"),
        ("add", "1", "2"),
        ("increment", "1", "2"),
    ] {
        refused(&ended(f, called, told), "line 2: expected the value of the call, or none, found ");
    }
    for (f, called, told) in [
        ("write", "3", "3"),
        ("write", "3", "nil"),
        ("write", "3", "{:value 3, :revision 17}"),
        ("write", "3", "[17 3]"),
        ("write", "[\"k\" 1]", "[\"k\" 1]"),
        ("cas", "[nil 1]", ":done"),
        ("append", "\"a\"", "\"a\""),
        ("append", "3", "3"),
        ("txn", "[[:append 1 2]]", "[[:append 1 2]]"),
        ("enqueue", "1", "nil"),
        ("enqueue", "1", "[1 :sent]"),
        ("decrement", "5", "5"),
    ] {
        let ran = judge(&ended(f, called, told), &[]);
        assert_eq!(ran.code, Ok(0), "{f} {called} {told}: {}{}", ran.out, ran.errors);
    }
    // Of what did not end well, the value may be the reason.
    let failed = "0 :invoke :write 3\n0 :info :write :timed-out\n1 :invoke :write 4\n1 :fail :write 5\n";
    assert_eq!(judge(&format!("{failed}2 :invoke :read nil\n2 :ok :read 3\n"), &[]).code, Ok(0));
}

/// A stale read, at times of several kinds.
fn stale(times: [&str; 6]) -> String {
    let [a, b, c, d, e, f] = times;
    format!(
        "{{\"p\":1,\"call\":{a},\"ret\":{b},\"put\":\"k\",\"value\":\"old\"}}\n\
         {{\"p\":1,\"call\":{c},\"ret\":{d},\"put\":\"k\",\"value\":\"new\"}}\n\
         {{\"p\":2,\"call\":{e},\"ret\":{f},\"get\":\"k\",\"value\":\"old\"}}\n"
    )
}

#[test]
fn times_are_told_as_they_were_written() {
    let fractions = stale(["0.5", "1", "1.25", "2", "3.125", "4"]);
    let whole = stale(["0", "1", "2", "3", "4", "5"]);
    let days =
        ["01", "02", "03", "04", "05", "06"].map(|day| format!("\"2024-05-{day}T10:00:00.250+02:00\""));
    let dates = stale([0, 1, 2, 3, 4, 5].map(|day: usize| &*days[day]));
    for (text, arguments, words) in [
        (&fractions, &["--unit", "s"][..], "called at 3.125 s, but"),
        (&fractions, &["--unit", "ms"], "called at 0.003125 s, but"),
        (&fractions, &["--unit", "none"], "called at 3.125, but"),
        (&fractions, &[], "called at 0.000000003125 s, but"),
        (&whole, &["--unit", "s"], "called at 4 s, but"),
        (&whole, &["--unit", "s", "--initial", "0"], "called at 4 s, but"),
        (&whole, &["--unit", "none", "--initial", "0"], "called at 4, but"),
        (&dates, &["--unit", "ms"], "called at 2024-05-05T08:00:00.25Z, but"),
    ] {
        let ran = judge(text, arguments);
        assert!(ran.code == Ok(1) && ran.out.contains(words), "no {words:?} in\n{}", ran.out);
    }
    for (text, call) in [
        (&fractions, Value::from("3.125")),
        (&whole, Value::from(4)),
        (&dates, Value::from("2024-05-05T08:00:00.25Z")),
    ] {
        let ran = judge(text, &["--json", "--initial", "0"]);
        let line: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(line["contradiction"][2]["call"], call, "{line}");
    }
    let events = "0 :invoke :write 1\n0 :ok :write 1\n1 :invoke :read nil\n1 :ok :read nil\n";
    for arguments in [&[][..], &["--initial", "7"]] {
        let ran = judge(events, arguments);
        assert!(ran.out.contains("called at line 3, but"), "{}", ran.out);
    }
}

#[test]
fn a_hint_can_be_given_to_a_shell_as_it_stands() {
    for (value, argument) in
        [("-1", "-1"), ("\"two words\"", "'two words'"), ("\"it's\"", "'it'\\''s'"), ("\"é\"", "'é'")]
    {
        let text = format!("0 :invoke :read nil\n0 :ok :read {value}\n");
        let ran = judge(&text, &[]);
        assert!(ran.code == Ok(1) && ran.out.contains(&format!("(--initial {argument})")), "{}", ran.out);
        let value = value.trim_matches('"');
        assert_eq!(judge(&text, &["--initial", value]).code, Ok(0), "{value}");
    }
}

#[test]
fn an_empty_list_is_not_a_nil_that_says_nothing() {
    let events = |read: &str, f: &str| {
        format!(
            "0 :invoke :txn [[:append 1 5]]\n0 :ok :txn [[:append 1 5]]\n1 :invoke :txn [[:{f} 1 nil]]\n1 :ok :txn [[:{f} 1 {read}]]\n"
        )
    };
    for (read, f) in [("[]", "r"), ("nil", "r"), ("[]", "read")] {
        for arguments in [&[][..], &["--nil", "unknown"]] {
            let ran = judge(&events(read, f), arguments);
            assert!(ran.code == Ok(1) && !ran.out.contains("--nil"), "{read}: {}", ran.out);
        }
    }
    let register = "0 :invoke :write 1\n0 :ok :write 1\n1 :invoke :read nil\n1 :ok :read nil\n";
    assert!(judge(register, &[]).out.contains("the history would be linearizable (--nil unknown)"));
    // Not if something else is wrong as well.
    let worse = format!("{register}2 :invoke :read nil\n2 :ok :read 7\n");
    assert!(!judge(&worse, &[]).out.contains("--nil"));
}

#[test]
fn a_delete_does_not_change_what_the_empty_string_is() {
    let event = |kind: &str, f: &str, value: &str| {
        format!("{{:process 0, :type :{kind}, :f :{f}, :key \"x\", :value {value}}}\n")
    };
    let read = event("invoke", "get", "nil") + &event("ok", "get", "\"\"");
    let delete = event("invoke", "delete", "nil") + &event("ok", "delete", "nil");
    for text in [read.clone(), format!("{read}{delete}"), format!("{read}{delete}{read}")] {
        let ran = judge(&text, &[]);
        assert!(ran.code == Ok(0) && ran.out.contains("porcupine key-value text"), "{text}{}", ran.out);
    }
}
