use std::time::Duration;

use bytes::Bytes;
use linearizability::kv::{Input, Output};

use super::*;
use crate::{
    data::{
        fault::{Fault, FaultKind, Memory},
        outcome::{Contradiction, Down, End, Happening, Moment, Verdict, Violation},
        plan::Client,
    },
    observer::messages::{Message, MessageKind},
    system::toy::{self, Told, Toy},
};

type Plan = crate::data::plan::Plan<Toy>;
type Outcome = crate::data::outcome::Outcome<Toy>;
type Operation = crate::data::outcome::Operation<Toy>;

const HOSTILE: &str = "</script><!--<script>alert(1)</script>&\u{2028}\"'";

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn plan() -> Plan {
    let client = Client { deadline_ms: 1_000, script: Vec::new() };
    let mut plan = Plan { about: HOSTILE.into(), clients: vec![client.clone(), client], ..toy::plan() };
    let kind = FaultKind::Crash { node: "p1".into(), down_ms: Some(500), memory: Memory::Kept };
    plan.faults = vec![Fault { at_ms: 1_000, on: None, after_ms: 0, kind }];
    plan
}

fn operation(client: &str, from: f64, to: f64, input: Input, output: Output) -> Operation {
    let end = End::Returned { at: seconds(to), output };
    Operation { end, ..Operation::called(client.into(), seconds(from), input) }
}

fn key() -> Bytes {
    Bytes::from_static(b"k1")
}

fn put(client: &str, from: f64, to: f64, value: &'static str) -> Operation {
    operation(client, from, to, Input::Put { key: key(), value: value.into() }, Output::Done)
}

fn get(client: &str, from: f64, to: f64, value: &'static str) -> Operation {
    let output = Output::Value(Some(value.into()));
    operation(client, from, to, Input::Get { key: key() }, output)
}

/// A stale read, 0.8 s after the write it does not see.
fn stale() -> Outcome {
    let moment = |at, node: &str, event| Moment { at: seconds(at), node: node.into(), event };
    let operations = vec![
        put("c1", 0.5, 0.6, "old"),
        put("c1", 2.0, 2.2, HOSTILE),
        get("c2", 3.0, 3.1, "old"),
        get("c1", 4.0, 4.1, HOSTILE),
    ];
    let contradiction = Contradiction {
        key: key(),
        operations: vec![1, 2],
        support: vec![0],
        sentence: "the get returned a value that had been replaced".into(),
    };
    let answer = Message {
        from: 0,
        to: 4,
        kind: MessageKind::CLIENT,
        text: "answer to Get".into(),
        sent: seconds(3.09),
        received: None,
        lost: false,
    };
    Outcome {
        timeline: vec![
            moment(0.0, "p1", Happening::Up { life: 1, memory: Memory::Lost }),
            moment(
                1.0,
                "sim",
                Happening::FaultBegan { fault: 0, nodes: vec![0], what: "p1 crashes for 500 ms".into() },
            ),
            moment(1.0, "p1", Happening::Down(Down::Crash)),
            moment(1.5, "p1", Happening::Up { life: 2, memory: Memory::Kept }),
            moment(1.5, "sim", Happening::FaultEnded { fault: 0 }),
            moment(5.0, "sim", Happening::Healed),
        ],
        operations,
        messages: vec![answer],
        verdict: Verdict::Violation(contradiction),
        ..Outcome::default()
    }
}

fn data(page: &str) -> serde_json::Value {
    let (_, rest) =
        page.split_once(r#"<script id="data" type="application/json">"#).expect("the data is there");
    let (json, _) = rest.split_once("</script>").expect("it ends");
    serde_json::from_str(json).expect("and is JSON")
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().expect("a whole number")
}

/// One field of each element of a list.
fn each(list: &serde_json::Value, field: impl serde_json::value::Index + Copy) -> Vec<serde_json::Value> {
    list.as_array().expect("a list").iter().map(|element| element[field].clone()).collect()
}

#[test]
fn nothing_in_a_run_can_end_the_script_or_become_markup() {
    let page = render(&plan(), &stale(), HOSTILE);
    assert_eq!(page.matches("</script>").count(), 2, "the page's own two");
    assert!(!page.contains("<!--"));
    assert!(!page.contains("alert(1)</"));
    assert!(page.contains("<title>&lt;/script&gt;"));
    let data = data(&page);
    assert_eq!(data["title"], HOSTILE);
    assert_eq!(data["about"], HOSTILE);
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = render(&plan(), &stale(), "a run");
    for outside in ["http://", "https://", "src=", "@import", "url(//", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn braces_in_a_run_are_no_placeholders() {
    let page = render(&plan(), &stale(), "{{script}} {{data}}");
    assert_eq!(data(&page)["title"], "{{script}} {{data}}");
}

#[test]
fn a_stale_read_is_told_with_the_write_it_missed() {
    let data = data(&render(&plan(), &stale(), "a run"));
    let first = data["explanation"][0].as_str().expect("a sentence");
    assert!(first.starts_with("3.100 s: c2's get"), "{first}");
    assert!(first.contains("returned \"old\", although c1's put"), "{first}");
    assert!(first.contains("finished 800 ms earlier"), "{first}");
    assert_eq!(data["failed"], 3_100_000);
    let focus = (number(&data["focus"][0]), number(&data["focus"][1]));
    assert!(focus.0 < 2_000_000 && focus.1 > 3_100_000, "all of the contradiction is in view: {focus:?}");
    let parts = each(&data["operations"], "part");
    assert_eq!(parts, ["support".into(), "against".into(), "against".into(), serde_json::Value::Null]);
}

#[test]
fn of_a_contradiction_the_longest_order_is_shown() {
    let data = data(&render(&plan(), &stale(), "a run"));
    let key = &data["keys"][0];
    assert_eq!(key["until"], 2_200_000, "until the second write returned all is well");
    let order = each(&key["order"], 0);
    assert_eq!(order[..2], [0, 1]);
}

#[test]
fn a_good_run_is_explained_completely() {
    let mut outcome = stale();
    outcome.operations.remove(2);
    outcome.verdict = Verdict::Linearizable;
    let data = data(&render(&plan(), &outcome, "a run"));
    assert_eq!(data["class"], "ok");
    let key = &data["keys"][0];
    assert!(key["until"].is_null());
    let order = each(&key["order"], 0);
    assert_eq!(order, [0, 1, 2]);
    let states = each(&key["order"], 2);
    assert_eq!((&key["initially"], &states[0]), (&"nothing".into(), &"old".into()));
    assert_eq!(data["failed"], serde_json::Value::Null);
}

#[test]
fn what_goes_on_besides_ends_with_what_it_is_part_of() {
    let pause = |node: &str| Fault {
        at_ms: 1_000,
        on: None,
        after_ms: 0,
        kind: FaultKind::Pause { node: node.into(), lasts_ms: Some(500) },
    };
    let began =
        |fault, node| Happening::FaultBegan { fault, nodes: vec![node], what: "one stands still".into() };
    let moment = |at, node: &str, event| Moment { at: seconds(at), node: node.into(), event };
    let plan = Plan { faults: vec![pause("p1"), pause("p2")], ..plan() };
    let timeline = vec![
        moment(1.0, "sim", began(0, 0)),
        moment(1.1, "sim", began(1, 1)),
        moment(1.2, "p1", Happening::Notice(Told::Copies)),
        moment(1.5, "sim", Happening::FaultEnded { fault: 0 }),
        moment(1.6, "p1", Happening::Notice(Told::CopiedAll)),
        moment(1.7, "p1", Happening::Notice(Told::Copies)),
    ];
    let data = data(&render(&plan, &Outcome { timeline, ..stale() }, "a run"));
    let end = data["lanes"][1]["besides"][0]["to"].clone();
    assert_eq!(each(&data["lanes"][0]["besides"], "state"), ["paused", "copies", "copies"]);
    let ends = [serde_json::json!(1_500_000), serde_json::json!(1_600_000), end];
    assert_eq!(each(&data["lanes"][0]["besides"], "to"), ends, "the second copy is not over");
}

#[test]
fn of_what_a_process_took_itself_for_the_latest_is_told_and_what_was_in_force_instead() {
    let moment =
        |at, node: &str, told| Moment { at: seconds(at), node: node.into(), event: Happening::Notice(told) };
    let timeline = vec![
        moment(0.1, "p1", Told::Term(1, true)),
        moment(0.2, "p1", Told::Leads(1)),
        moment(1.0, "p2", Told::Term(2, false)),
        moment(1.8, "p2", Told::Term(2, true)),
    ];
    let violation =
        Violation { at: seconds(3.0), node: "p1".into(), invariant: "I1".into(), message: "two lead".into() };
    let broken = Outcome { timeline, violations: vec![violation], ..Outcome::default() };
    let data = data(&render(&plan(), &broken, "a run"));
    assert_eq!(
        data["explanation"][1],
        "At that moment p1 took itself for leader of t1, while t2 had been in force for 1.2 s."
    );
    assert_eq!(each(&data["eras"], "active"), [100_000, 1_800_000]);
    assert_eq!((&data["eras"][0]["to"], &data["eras"][1]["from"]), (&1_000_000.into(), &1_000_000.into()));
    let late = stale().operations.len();
    let served = Outcome {
        messages: stale().messages,
        operations: stale().operations,
        timeline: broken.timeline.clone(),
        ..Outcome::default()
    };
    let by = each(&self::data(&render(&plan(), &served, "a run"))["operations"], "by");
    assert_eq!(by.len(), late);
    assert_eq!(by[2], "served by p1, leader of t1, while t2 had been in force for 1.3 s");
}

#[test]
fn lanes_say_who_was_down_and_whom_a_fault_struck() {
    let data = data(&render(&plan(), &stale(), "a run"));
    let states = each(&data["lanes"][0]["states"], "state");
    assert_eq!(states, ["up", "down", "up"]);
    assert_eq!(data["lanes"][0]["states"][1]["from"], 1_000_000);
    assert_eq!(data["faults"][0]["nodes"], serde_json::json!([0]));
    assert_eq!(data["faults"][0]["to"], 1_500_000);
}

#[test]
fn a_run_in_chromes_format_has_a_span_for_each_call_state_and_fault() {
    let text = chrome::render(&plan(), &stale());
    let events: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let events = events["traceEvents"].as_array().expect("a list");
    let of = |sort: &str| events.iter().filter(|event| event["cat"] == sort).collect::<Vec<_>>();
    assert_eq!((of("operation").len(), of("fault").len(), of("message").len()), (4, 1, 0));
    let get = of("operation")[2];
    assert_eq!((number(&get["ts"]), number(&get["dur"])), (3_000_000, 100_000));
    assert_eq!(get["name"], "get \"k1\" -> \"old\"");
    let down = of("state").into_iter().find(|event| number(&event["ts"]) == 1_000_000);
    assert_eq!(number(&down.expect("p1 was down")["dur"]), 500_000);
    let names: Vec<_> = events.iter().filter(|event| event["ph"] == "M").collect();
    assert!(names.iter().any(|event| event["pid"] == get["pid"] && event["args"]["name"] == "c2"));
}

/// Each node counts its own events without a gap, and knows at a receipt all that the sender knew.
#[test]
fn a_run_in_shivizs_format_has_clocks_that_follow_its_messages() {
    let mut outcome = stale();
    let message = |from, to, sent, received, text: &str| Message {
        from,
        to,
        kind: MessageKind(1),
        text: text.into(),
        sent: Duration::from_millis(sent),
        received,
        lost: received.is_none(),
    };
    let at = |ms| Some(Duration::from_millis(ms));
    outcome.messages = vec![
        message(0, 1, 10, at(20), "one"),
        message(1, 2, 30, at(40), "two\nlines"),
        message(0, 2, 12, None, "lost"),
    ];
    let log = shiviz::render(&plan(), &outcome);
    let lines: Vec<&str> = log.lines().collect();
    let events: Vec<(&str, serde_json::Value, &str)> = lines
        .chunks(2)
        .map(|event| {
            let (host, clock) = event[0].split_once(' ').expect("a host and its clock");
            (host, serde_json::from_str(clock).expect("JSON"), event[1])
        })
        .collect();
    let clock = |text: &str| &events.iter().find(|event| event.2.ends_with(text)).expect(text).1;
    let (sent, received) = (clock("> one"), clock("< one"));
    assert_eq!((&received["p1"], &received["p2"]), (&sent["p1"], &serde_json::json!(1)));
    let third = clock("< two lines");
    assert_eq!(
        (&third["p1"], &third["p2"], &third["p3"]),
        (&sent["p1"], &serde_json::json!(2), &serde_json::json!(1))
    );
    assert!(log.contains("> lost") && !log.contains("< lost"), "{log}");
    let own: Vec<u64> =
        events.iter().filter(|event| event.0 == "p1").map(|event| number(&event.1["p1"])).collect();
    assert_eq!(own, (1..=own.len() as u64).collect::<Vec<_>>());
    assert!(events.iter().any(|event| event.0 == "sim" && event.2.contains("fault 0")), "{log}");
}

#[test]
fn marks_and_the_command_that_replays_are_among_the_facts() {
    let mut outcome = stale();
    let facts = |outcome: &Outcome| data(&render(&plan(), outcome, ""))["facts"].to_string();
    assert!(facts(&outcome).contains("\"marks reached\",\"none\""), "{}", facts(&outcome));
    assert!(facts(&outcome).contains("cargo sim replay run.toml"), "it was not drawn: {}", facts(&outcome));
    let mark = crate::marks::Mark::find("read_of_nothing").expect("a mark");
    outcome.stats.marks.insert(mark, 1);
    assert!(facts(&outcome).contains("\"marks reached\",\"read_of_nothing\""), "{}", facts(&outcome));
}
