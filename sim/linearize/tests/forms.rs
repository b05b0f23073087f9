//! What Jepsen and its relatives write, each form on its smallest history.
//!
//! Each text is given in a version that is linearizable and, where an answer is changed, in one that is not:
//! a reader that drops what it does not understand would let both pass.

use std::io::Write;

use linearizability::formats::{AnyHistory, Choices, Format, ModelName, parse, read};
use linearizability::kv::Kv;
use linearizability::{Options, check};

/// The format, the object, the number of operations, and whether they are linearizable.
fn judged(text: impl AsRef<[u8]>) -> (Format, ModelName, usize, bool) {
    let text = text.as_ref();
    let file = read(text, &Choices::default())
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)));
    let options = Options::default();
    let verdict = match &file.history {
        AnyHistory::Kv(history) => check(&Kv, history, &options),
        AnyHistory::Object(object, history) => check(object, history, &options),
    };
    (file.format, file.model, file.origin.lines.len(), verdict.is_linearizable())
}

fn problem(text: &str) -> String {
    read(text.as_bytes(), &Choices::default()).expect_err("this text is refused").to_string()
}

/// A form, an answer in it and a wrong one.
struct Form {
    text: &'static str,
    wrong: (&'static str, &'static str),
    format: Format,
    model: ModelName,
    operations: usize,
}

const EDN: Format = Format::JepsenEdn;

fn forms() -> Vec<Form> {
    let form = |format, model, operations, text, wrong| Form { text, wrong, format, model, operations };
    vec![
        form(
            EDN,
            ModelName::Register,
            2,
            "; written by hand\n\
             #jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0, :f :write, :value 1}\n\
             #jepsen.history.Op{:index 1, :time 2, :type :ok, :process 0, :f :write, :value 1, :node \"n1\"}\n\
             #_ #jepsen.history.Op{:index 1, :type :ok, :process 9, :f :frobnicate, :value 1}\n\
             #jepsen.history.Op{:type :info, :process :nemesis, :f :kill, :value #{:primaries [\"n1\" #{}]}}\n\
             #jepsen.history.Op{:type :info, :process :nemesis, :f :kill, :exception {:via [{:type \\a, :at #'x/y}]\n\
               :trace #object[java.lang.Thread 0x1f \"main\"], :since #inst \"2020-01-01\", :p #\"a.*\", :n ##NaN, :r 1/2}}\n\
             {:type :invoke, :process 1, :f :read, :value nil} {:type :ok, :process 1, :f :read, :value 1}\n",
            (":f :read, :value 1", ":f :read, :value 2"),
        ),
        form(
            EDN,
            ModelName::Kv,
            2,
            "[{:process 0 :type :invoke :f :txn :value [[:write :x 1]]}\n\
              {:process 0 :type :ok :f :txn :value [[:write :x 1]]}\n\
              {:process 1 :type :invoke :f :txn :value [[:read :x nil]]}\n\
              {:process 1 :type :ok :f :txn :value [[:read :x 1]]}]",
            ("[[:read :x 1]]", "[[:read :x 3]]"),
        ),
        form(
            EDN,
            ModelName::Kv,
            2,
            "{:process 0 :type :invoke :f :write :value [[:write \"k\" 1]]} {:process 0 :type :ok :f :write :value [[:write \"k\" 1]]}\n\
             {:process 1 :type :invoke :f :read :value [[:read \"k\" nil]]} {:process 1 :type :ok :f :read :value [[:read \"k\" 1]]}",
            ("[:read \"k\" 1]", "[:read \"k\" 3]"),
        ),
        form(
            EDN,
            ModelName::Kv,
            3,
            "{:process 1 :type :invoke :f :cas :value [\"a\" nil 1]} {:process 1 :type :ok :f :cas :value [\"a\" nil 1]}\n\
             {:process 1 :type :invoke :f :cas :value [\"a\" 1 2]} {:process 1 :type :ok :f :cas :value [\"a\" 1 2]}\n\
             {:process 1 :type :invoke :f :read :value [\"a\" nil]} {:process 1 :type :ok :f :read :value [\"a\" 2]}",
            (":f :read :value [\"a\" 2]", ":f :read :value [\"a\" 1]"),
        ),
        form(
            EDN,
            ModelName::Kv,
            3,
            "{:process 1 :type :invoke :f :write :key 5 :value 1} {:process 1 :type :ok :f :write :key 5 :value 1}\n\
             {:process 1 :type :invoke :f :cas :key 5 :value [1 2]} {:process 1 :type :info :f :cas :key 5 :error :timeout}\n\
             {:process 2 :type :invoke :f :read :key 5} {:process 2 :type :ok :f :read :key 5 :value 2}",
            (":key 5 :value 2}", ":key 5 :value 3}"),
        ),
        form(
            Format::Porcupine,
            ModelName::Kv,
            2,
            "{:process 0, :type :invoke, :f :put, :key \"x\", :value \"1\"}\n{:process 0, :type :ok, :f :put, :key \"x\", :value \"1\"}\n\
             {:process 0, :type :invoke, :f :append, :key \"x\", :value \"2\"}\n{:process 0, :type :fail, :f :append, :key \"x\", :value \"2\"}\n\
             {:process 0, :type :invoke, :f :get, :key \"x\", :value nil}\n{:process 0, :type :ok, :f :get, :key \"x\", :value \"1\"}\n",
            (":ok, :f :get, :key \"x\", :value \"1\"", ":ok, :f :get, :key \"x\", :value \"12\""),
        ),
        form(
            Format::JsonEvents,
            ModelName::Kv,
            2,
            "[\n  {\"type\": \"invoke\", \"f\": \"write\", \"process\": \"c1\", \"key\": \"k/1\", \"value\": 7, \"op_id\": 1},\n\
             {\"type\": \"ok\", \"f\": \"write\", \"process\": \"c1\", \"key\": \"k/1\"},\n\
             {\"type\": \"info\", \"f\": \"start\", \"process\": \"nemesis\", \"value\": {\"n1\": [\"n2\"]}},\n\
             {\"type\": \"invoke\", \"f\": \"read\", \"process\": 2, \"key\": \"k/1\", \"value\": null},\n\
             {\"type\": \"ok\", \"f\": \"read\", \"process\": 2, \"key\": \"k/1\", \"value\": 7}\n]\n",
            (
                "\"process\": 2, \"key\": \"k/1\", \"value\": 7",
                "\"process\": 2, \"key\": \"k/1\", \"value\": 8",
            ),
        ),
        form(
            Format::JsonEvents,
            ModelName::Kv,
            2,
            "{\"t_ns\":1,\"type\":\"info\",\"event\":\"phase\",\"phase\":\"DRIVE\"}\n\
             {\"t_ns\":2,\"process\":0,\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"append\",1,1]]}\n\
             {\"t_ns\":3,\"process\":0,\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"append\",1,1]]}\n\
             {\"t_ns\":4,\"process\":0,\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"r\",1,null]]}\n\
             {\"t_ns\":5,\"process\":0,\"type\":\"ok\",\"f\":\"txn\",\"value\":[[\"r\",1,[1]]]}\n",
            ("[1]]]", "[]]]"),
        ),
        form(
            Format::Lines,
            ModelName::Kv,
            2,
            "\u{feff}{\"p\":\"client-1\",\"call\":1.25,\"ret\":1.5,\"put\":7,\"value\":1,\"latency\":0.25}\n\
             {\"p\":\"client-2\",\"call\":1.75,\"ret\":2,\"get\":\"7\",\"value\":1.0,\"node\":{\"id\":3}}\n",
            ("\"value\":1.0", "\"value\":null"),
        ),
        form(
            Format::Lines,
            ModelName::Kv,
            2,
            "{\"process\":4,\"call\":\"2024-01-01T00:00:00.9Z\",\"ret\":\"2024-01-01T00:00:01Z\",\"put\":\"k\",\"value\":\"1\"}\n\
             {\"process\":\"b\",\"call\":\"2024-01-01T02:00:01.000001+02:00\",\"ret\":\"2024-01-01T00:00:02Z\",\"get\":\"k\",\"value\":\"1\"}\n",
            ("\"get\":\"k\",\"value\":\"1\"", "\"get\":\"k\",\"value\":null"),
        ),
        form(
            Format::Lines,
            ModelName::Kv,
            2,
            "[{\"p\":1,\"call\":1,\"ret\":2,\"put\":\"k\",\"value\":true},\n {\"p\":1,\"call\":3,\"ret\":4,\n  \"get\":\"k\",\"value\":true}]",
            ("\"get\":\"k\",\"value\":true", "\"get\":\"k\",\"value\":false"),
        ),
        form(
            Format::Lines,
            ModelName::Kv,
            3,
            "{\"client\":\"a\",\"call\":1.5,\"ret\":2.5,\"get\":null,\"put\":\"k\",\"cas\":null,\"value\":5,\"expected\":null,\"swapped\":null,\"previous\":null}\n\
             {\"client\":\"a\",\"call\":3.5,\"ret\":null,\"get\":null,\"put\":null,\"cas\":\"k\",\"new\":6,\"value\":null,\"expected\":5,\"swapped\":null,\"previous\":null}\n\
             {\"client\":\"a\",\"call\":4.5,\"ret\":5,\"get\":\"k\",\"put\":null,\"cas\":null,\"value\":6,\"expected\":null,\"swapped\":null,\"previous\":null}\n",
            ("\"value\":6", "\"value\":7"),
        ),
        form(
            EDN,
            ModelName::Kv,
            2,
            "{:process 1 :type :invoke :f :cas :value [\"a\" nil 1]} {:process 1 :type :ok :f :cas :value [\"a\" nil 1]}\n\
             {:process 1 :type :invoke :f :read :value \"a\"} {:process 1 :type :ok :f :read :value [\"a\" 1]}",
            (":f :read :value [\"a\" 1]", ":f :read :value [\"a\" nil]"),
        ),
        form(
            EDN,
            ModelName::Register,
            2,
            "{:process 1 :type :invoke :f :write :value 5} {:process 1 :type :ok :f :write :value 5}\n\
             {:process 1 :type :invoke :f :read :value 0} {:process 1 :type :ok :f :read :value 5}",
            (":ok :f :read :value 5", ":ok :f :read :value 0"),
        ),
        form(
            EDN,
            ModelName::Mutex,
            3,
            "[{:type :invoke, :f :release, :process 1} {:type :fail, :f :release, :process 1, :error :not-held}\n\
             {:type :invoke, :f :acquire, :process 3} {:type :ok, :f :acquire, :process 3}\n\
             {:type :invoke, :f :release, :process 3} {:type :info, :f :release, :process 3}\n\
             {:type :invoke, :f :acquire, :process 4} {:type :ok, :f :acquire, :process 4}]",
            (":f :release, :process 3} {:type :info", ":f :release, :process 3} {:type :fail"),
        ),
        form(
            Format::JepsenLog,
            ModelName::Queue,
            6,
            "INFO  jepsen.util - 0   :invoke :enqueue    1461\nINFO  jepsen.util - 0   :ok :enqueue    1461\n\
             INFO  jepsen.util - 0   :invoke :enqueue    1462\nINFO  jepsen.util - 0   :info :enqueue    1462\n\
             INFO  jepsen.util - 1   :invoke :dequeue    nil\nINFO  jepsen.util - 1   :ok :dequeue    1461\n\
             INFO  jepsen.util - 1   :invoke :dequeue    nil\nINFO  jepsen.util - 1   :fail :dequeue    :exhausted\n\
             INFO  jepsen.util - 1   :invoke :drain    nil\nINFO  jepsen.util - 1   :ok :drain    [1462]\n\
             INFO  jepsen.util - 1   :invoke :dequeue    nil\nINFO  jepsen.util - 1   :ok :dequeue    nil\n",
            (":ok :dequeue    1461", ":ok :dequeue    1462"),
        ),
        form(
            Format::JepsenText,
            ModelName::Set,
            4,
            "0\t:invoke\t:add\t1\n0\t:ok\t:add\t1\n1\t:invoke\t:add\t2\n1\t:info\t:add\t2\t:timeout\n\
             2\t:invoke\t:read\tnil\n2\t:ok\t:read\t[1]\n2\t:invoke\t:read\tnil\n2\t:ok\t:read\t#{2 1}\n",
            (":read\t[1]", ":read\t[]"),
        ),
        form(
            EDN,
            ModelName::Counter,
            4,
            "{:type :invoke, :f :add, :value 2, :process 0} {:type :ok, :f :add, :value 2, :process 0}\n\
             {:type :invoke, :f :add, :value -1, :process 1} {:type :info, :f :add, :value -1, :process 1}\n\
             {:type :invoke, :f :read, :process 2} {:type :ok, :f :read, :value 2, :process 2}\n\
             {:type :invoke, :f :read, :process 2} {:type :ok, :f :read, :value 1, :process 2}",
            (":value 1, :process 2", ":value 3, :process 2"),
        ),
        form(
            EDN,
            ModelName::Counter,
            2,
            "{:type :invoke, :f :add, :value [\"k\" 2], :process 0} {:type :ok, :f :add, :value [\"k\" 2], :process 0}\n\
             {:type :invoke, :f :read, :value [\"k\" nil], :process 2} {:type :ok, :f :read, :value [\"k\" 2], :process 2}",
            ("[\"k\" 2], :process 2", "[\"k\" 0], :process 2"),
        ),
    ]
}

#[test]
fn every_form_is_read_and_judged() {
    for Form { text, wrong: (answer, other), format, model, operations } in forms() {
        assert_eq!(judged(text), (format, model, operations, true), "{text}");
        assert!(text.contains(answer), "{answer}");
        assert!(!judged(text.replacen(answer, other, 1)).3, "{text}");
    }
}

#[test]
fn compressed_files_are_read_and_damaged_ones_refused() {
    let Form { text, format, model, operations, .. } = forms().remove(0);
    let packed = |part: &str| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(part.as_bytes()).expect("a vector takes everything");
        [
            gzip.finish().expect("a vector takes everything"),
            zstd::encode_all(part.as_bytes(), 3).expect("packed"),
        ]
    };
    let (one, other) = text.split_at(text.find("\n{").expect("a line") + 1);
    for (whole, (one, other)) in packed(text).iter().zip(packed(one).iter().zip(&packed(other))) {
        assert_eq!(judged(whole), (format, model, operations, true));
        assert_eq!(
            judged([&one[..], other].concat()),
            (format, model, operations, true),
            "two parts after another"
        );
        let cut = parse(&whole[..whole.len() - 9]).expect_err("damaged").to_string();
        assert!(cut.contains("cannot be unpacked"), "{cut}");
    }
}

#[test]
fn what_cannot_be_judged_is_refused_with_a_sentence_and_a_line() {
    let event = |kind: &str, f: &str, value: &str| {
        format!("{{:process 0, :type :{kind}, :f :{f}, :value {value}}}\n")
    };
    let both = |f: &str, value: &str| event("invoke", f, value) + &event("ok", f, value);
    for (text, words) in [
        (both("txn", "[[:r 1 nil] [:append 2 3]]"), "line 1: expected a transaction of one operation"),
        (both("generate", "nil"), "line 1: expected :f and :read"),
        (both("write", "1") + &both("enqueue", "1"), "line 3: expected operations of one object, as :write of line 1"),
        (event("invoke", "drain", "nil") + &event("info", "drain", "nil"), "line 2: a drain of unknown outcome"),
        (event("invoke", "drain", "nil") + &both("enqueue", "1").replace("process 0", "process 1"), "line 1: a drain of unknown outcome"),
        ("{\"p\":1,\"call\":1,\"return\":4,\"get\":\"k\",\"value\":\"v\"}".into(), "line 1: expected"),
        ("{\"p\":1,\"call\":1,\"return\":4,\"delete\":\"k\",\"existed\":true}".into(), "line 1: expected"),
        (both("read", "nil").replace(":read", ":f"), "line 1: expected :f and :read"),
        ("{\"p\":1,\"call\":\"noon\",\"ret\":4,\"get\":\"k\",\"value\":null}".into(), "line 1: expected \"call\" and a number or a date"),
        ("{\"p\":1.5,\"call\":1,\"ret\":4,\"get\":\"k\",\"value\":null}".into(), "line 1: expected \"p\" and the number"),
        (
            "{\"p\":1,\"call\":1,\"ret\":4,\"get\":\"k\",\"value\":null}\n{\"p\":2,\"call\":\"2024-01-01T00:00:00Z\",\"get\":\"k\"}".into(),
            "line 1: expected all times to be dates",
        ),
        (
            "{\"p\":1,\"call\":1,\"ret\":4,\"get\":\"k\",\"value\":null}\n{\"process\":2,\"type\":\"invoke\",\"f\":\"read\"}".into(),
            "line 2: expected a whole operation, as elsewhere, found an event",
        ),
        ("[{\"p\":1,\"call\":1,\"ret\":4,\n\"get\":\"k\",\"value\":null}".into(), "line 2: expected another event, or ]"),
        ("{\"process\":2,\"type\":\"invoke\",\"value\":3}".into(), "line 1: expected :f and a keyword"),
        (
            "{\"ClientId\":0,\"Input\":{\"Type\":\"range\"},\"Call\":1,\"Output\":{\"Revision\":1},\"Return\":2}".into(),
            "line 1: an operation of a Go program",
        ),
    ] {
        assert!(problem(&text).starts_with(words), "{text}: {}", problem(&text));
    }
    let set = both("add", "1");
    assert!(parse(set.as_bytes()).expect_err("no store").to_string().contains("found a set"));
}

/// Values and keys that differ in the last of more digits than a machine word holds.
#[test]
fn long_integers_are_what_their_digits_are() {
    let (one, other) = ("12345678901234567890123", "12345678901234567890124");
    for read in [one, other] {
        let line = format!(
            "{{\"p\":1,\"call\":1,\"ret\":2,\"put\":7,\"value\":{one}}}\n\
             {{\"p\":1,\"call\":3,\"ret\":4,\"get\":7,\"value\":{read}}}\n"
        );
        let keys = format!(
            "{{\"p\":1,\"call\":1,\"ret\":2,\"put\":{one},\"value\":1}}\n\
             {{\"p\":1,\"call\":3,\"ret\":4,\"get\":{read},\"value\":1}}\n"
        );
        let event = |kind: &str, f: &str, value: &str| {
            format!("{{\"process\":0,\"type\":\"{kind}\",\"f\":\"{f}\",\"value\":{value}}}\n")
        };
        let events = event("invoke", "write", one)
            + &event("ok", "write", one)
            + &event("invoke", "read", "null")
            + &event("ok", "read", read);
        for text in [line, keys, events] {
            assert_eq!(judged(&text).3, read == one, "{text}");
        }
    }
}

/// Whatever is done to a file, it is read or refused.
#[test]
fn damaged_files_are_read_or_refused_and_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % bound.max(1)
    };
    let forms = forms();
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "(",
        "#",
        "#_",
        "#{",
        "\\",
        "\"",
        ":",
        "^",
        ",",
        "\n",
        "\t",
        "nil",
        "null",
        ":f",
        "-1",
        "1e999",
        "9223372036854775808",
        "\u{feff}",
        ";",
        "é",
        "2024-02-30T24:61:61+99:99",
        "[[:r",
        "'",
    ];
    let mut counts = [0, 0];
    for _ in 0..20_000 {
        let mut text = forms[below(forms.len())].text.as_bytes().to_vec();
        for _ in 0..1 + below(4) {
            let (at, to) = (below(text.len() + 1), below(text.len() + 1));
            match below(4) {
                0 => drop(text.drain(at.min(to)..(at.min(to) + below(9)).min(text.len()))),
                1 => drop(text.splice(at..at, pieces[below(pieces.len())].bytes())),
                2 if at < text.len() => text[at] = text[at].wrapping_add(below(255) as u8),
                _ => {
                    let piece = text[at.min(to)..at.max(to).min(at.min(to) + 60)].to_vec();
                    text.splice(at..at, piece);
                }
            }
        }
        let choices = Choices { initial: (below(9) == 0).then(|| "1".to_owned()), ..Choices::default() };
        let read = read(&text, &choices);
        counts[usize::from(read.is_ok())] += 1;
        if let Err(error) = read {
            let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
            assert!(error.line <= lines, "{error}: {}", String::from_utf8_lossy(&text));
        }
    }
    assert!(counts.iter().all(|&count| count > 500), "{counts:?}");
}
