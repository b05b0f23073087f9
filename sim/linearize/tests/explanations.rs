//! Why a history is not linearizable, in words: one test for each kind of sentence, on its smallest history.
//!
//! Histories are written as a table: process, call, return (`-` for none), operation and answer.

use bytes::Bytes;
use linearizability::kv::sentence::{Words, tell};
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{
    History, Model, Operation, Options, Outcome, Reason, Recorder, Verdict, Violation, check, formats,
};

fn history(table: &[&str]) -> KvHistory {
    let operation = |(index, line): (usize, &&str)| -> KvOperation {
        let words: Vec<&str> = line.split_whitespace().collect();
        let time = |word: &str| word.parse::<u64>().expect("a time");
        let value = |word: &str| (word != "nil").then(|| Bytes::from(word.to_owned()));
        let some = |word: &str| value(word).expect("a value");
        let key = Bytes::from_static(b"k");
        let (input, output) = match words[2..] {
            ["get", seen] => (Input::Get { key }, Output::Value(value(seen))),
            ["put", new] => (Input::Put { key, value: some(new) }, Output::Done),
            ["append", new] => (Input::Append { key, value: some(new) }, Output::Done),
            ["delete", existed] => {
                (Input::Delete { key }, Output::Deleted { existed: Some(existed == "existed") })
            }
            ["cas", expected, new, found] => {
                let (expected, found) = (value(expected), value(found));
                let output = Output::Swapped { swapped: expected == found, previous: Some(found) };
                (Input::CompareAndSwap { key, expected, new: some(new) }, output)
            }
            _ => panic!("{line}"),
        };
        let outcome = match words[1] {
            "-" => Outcome::Unknown,
            at => Outcome::Returned { at: time(at), output },
        };
        Operation { process: index as u64, call: time(words[0]), input, outcome }
    };
    History::new(table.iter().enumerate().map(operation).collect()).expect("each has its own process")
}

fn violation(history: &KvHistory) -> Violation {
    match check(&Kv, history, &Options::default()) {
        Verdict::Violation(violation) => violation,
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_swap_of_unknown_outcome_is_told_with_what_saw_it() {
    let (sentence, _) = told(&["0 - cas 1 2 1", "5 6 get 2"]);
    assert_eq!(sentence, "#1 saw what #0 wrote, and that needed \"1\", which nobody had written");
    // Through another one, with a value that says nothing in between.
    let table = ["0 - cas 1 2 1", "1 - cas 2 3 2", "2 3 put 7", "5 6 get 3"];
    let (sentence, _) = told(&table);
    assert_eq!(sentence, "#1 saw what #0 wrote, and that needed \"1\", which nobody had written");
    assert_eq!(violation(&history(&table)).operations, [0, 1, 3]);
}

/// The sentence with operations by number only, and those it names.
fn told(table: &[&str]) -> (String, Vec<usize>) {
    let history = history(table);
    let violation = violation(&history);
    let mut named = [&violation.operations[..], &violation.support[..]].concat();
    named.sort_unstable();
    let operation = |index: usize, _: &str| format!("#{index}");
    let words = Words { operation: &operation, time: &|time| time.to_string() };
    (tell(&history, &violation, &words), named)
}

#[test]
fn a_value_that_nobody_wrote() {
    assert_eq!(told(&["1 2 get a"]), ("#0 saw a value that nobody had written".to_owned(), vec![0]));
}

#[test]
fn a_value_that_a_failed_operation_wrote() {
    let mut recorder = Recorder::new();
    let key = Bytes::from_static(b"k");
    recorder.call(1, 1, Input::Put { key: key.clone(), value: "a".into() }).expect("a call");
    recorder.withdrawn(1, 2).expect("it failed");
    recorder.call(1, 3, Input::Get { key }).expect("a call");
    recorder.returned(1, 4, Output::Value(Some("a".into()))).expect("an answer");
    let history = recorder.finish();
    let operation = |index: usize, _: &str| format!("#{index}");
    let words = Words { operation: &operation, time: &|time| time.to_string() };
    assert_eq!(
        tell(&history, &violation(&history), &words),
        "#0 saw a value that nobody had written: put \"k\" \"a\", called at 1, failed, but its value was seen"
    );
}

#[test]
fn a_failed_write_of_jepsen_is_named() {
    let text = "{:process 0, :type :invoke, :f :write, :value 7}\n\
                {:process 0, :type :fail, :f :write, :value 7}\n\
                {:process 1, :type :invoke, :f :read, :value nil}\n\
                {:process 1, :type :ok, :f :read, :value 7}\n";
    let history = formats::parse(text.as_bytes()).expect("a history").history;
    assert_eq!(history.withdrawn().len(), 1);
}

#[test]
fn a_stale_read() {
    let table = ["1 2 put a", "3 4 put b", "5 6 get a"];
    let sentence = "#2 is stale: it was called at 5, but #1 had replaced \"a\" between 3 and 4, after #0 had returned at 2";
    assert_eq!(told(&table), (sentence.to_owned(), vec![0, 1, 2]));
}

#[test]
fn a_stale_read_of_a_repeated_value() {
    let table = ["1 2 put a", "3 4 put a", "5 6 put b", "7 8 get a"];
    let sentence = "#3 is stale: it was called at 7, but #2 had replaced \"a\" between 5 and 6, after #1 had returned at 4";
    assert_eq!(told(&table), (sentence.to_owned(), vec![1, 2, 3]));
}

#[test]
fn a_stale_read_of_absence() {
    let sentence = "#1 is stale: it was called at 3, but #0 had replaced absent between 1 and 2";
    assert_eq!(told(&["1 2 put a", "3 4 get nil"]), (sentence.to_owned(), vec![0, 1]));
    let deleted = ["0 1 put x", "2 3 delete existed", "4 5 put a", "6 7 get nil"];
    let sentence = "#3 is stale: it was called at 6, but #2 had replaced absent between 4 and 5, after #1 had returned at 3";
    assert_eq!(told(&deleted), (sentence.to_owned(), vec![1, 2, 3]));
}

#[test]
fn a_stale_read_of_a_deleted_value() {
    let table = ["1 2 put a", "3 4 delete existed", "5 6 get a"];
    let sentence = "#2 is stale: it was called at 5, but #1 had removed \"a\" between 3 and 4, after #0 had returned at 2";
    assert_eq!(told(&table), (sentence.to_owned(), vec![0, 1, 2]));
}

#[test]
fn a_read_older_than_another_read() {
    let table = ["1 2 put a", "3 20 put b", "4 5 get b", "6 7 get a"];
    let sentence = "#3 is stale: it was called at 6, but #2 had seen another value between 4 and 5, after #0 had returned at 2";
    assert_eq!(told(&table), (sentence.to_owned(), vec![0, 1, 2, 3]));
}

#[test]
fn a_missing_append() {
    let table = ["1 2 append a,", "3 4 append b,", "5 6 get a,"];
    let sentence = "#2 misses what #1 added, which had returned at 4, before the former was called at 5";
    assert_eq!(told(&table), (sentence.to_owned(), vec![0, 1, 2]));
}

#[test]
fn an_append_that_another_read_shows() {
    let table = ["1 2 put x,", "3 4 append a,", "5 6 get x,a,", "7 8 get x,"];
    let sentence = "#3 is stale: it was called at 7, but #2 had seen another value between 5 and 6, after #0 had returned at 2";
    let (told, named) = told(&table);
    assert!(told.starts_with("#3 ") && named.contains(&1), "{told}, {named:?}, not {sentence}");
}

#[test]
fn a_read_from_the_future() {
    let sentence = "#0 saw a value that nobody had written: #1 was only called at 3";
    assert_eq!(told(&["1 2 get a", "3 4 put a"]), (sentence.to_owned(), vec![0]));
    let repeated = ["1 2 get a", "3 4 put a", "5 6 put a"];
    assert_eq!(told(&repeated), (sentence.to_owned(), vec![0]));
}

#[test]
fn absence_while_a_value_was_in_place() {
    let table = ["1 2 put a", "0 9 delete existed", "3 4 get a", "5 6 get nil", "7 8 get a"];
    let (sentence, named) = told(&table);
    assert_eq!(
        sentence,
        "\"a\" was in place from the return of #0 at 2 to the call of #4 at 7, but #3 ran from 5 to 6, within that time \
         and with another value"
    );
    assert_eq!(named, [0, 3, 4]);
}

#[test]
fn a_value_continued_twice() {
    let table = ["1 2 put a", "3 9 cas a b a", "3 9 cas a c a"];
    assert_eq!(told(&table), ("#2 and #1 continue the same value in two ways".to_owned(), vec![0, 1, 2]));
}

#[test]
fn an_append_seen_twice() {
    let table = ["1 2 append a,", "3 4 get a,a,"];
    assert_eq!(told(&table), ("#0 took effect once but shows up twice, in #1".to_owned(), vec![0, 1]));
}

#[test]
fn swaps_in_a_circle() {
    let table = ["1 9 cas a b a", "1 9 cas b a b"];
    assert_eq!(told(&table).0, "each of #1, #0 found what the one before it wrote, in a circle");
}

#[test]
fn an_answer_that_no_state_allows() {
    let history = history(&["1 2 put a", "3 4 get a"]);
    let mut operations = history.into_operations();
    operations[1].outcome = Outcome::Returned { at: 4, output: Output::Done };
    let history = History::new(operations).expect("only an answer was changed");
    assert_eq!(violation(&history).reason, Reason::Impossible { operation: 1 });
}

#[test]
fn a_delete_that_found_nothing_to_delete() {
    let (sentence, named) = told(&["1 2 delete existed"]);
    assert_eq!(sentence, "no order explains every answer: after at most 0 operations, #0 is stuck");
    assert_eq!(named, [0]);
}

/// An account that may not be overdrawn, with words of its own.
struct Account;

#[derive(Clone, Copy, Debug)]
enum Ask {
    Deposit(u32),
    Withdraw(u32),
}

impl Model for Account {
    type Input = Ask;
    type Output = bool;
    type State = u32;
    type Key<'a> = ();

    fn init(&self) -> u32 {
        0
    }

    fn partition(&self, _: &Ask) {}

    fn step(&self, balance: &u32, ask: &Ask, done: Option<&bool>) -> Option<u32> {
        let next = match *ask {
            Ask::Deposit(amount) => Some(balance + amount),
            Ask::Withdraw(amount) => balance.checked_sub(amount),
        };
        done.is_none_or(|done| *done == next.is_some()).then(|| next.unwrap_or(*balance))
    }

    fn describe(&self, operation: &Operation<Ask, bool>) -> Option<String> {
        let asked = match operation.input {
            Ask::Deposit(amount) => format!("deposit {amount}"),
            Ask::Withdraw(amount) => format!("withdraw {amount}"),
        };
        Some(format!("{asked} -> {:?}", operation.output()))
    }
}

#[test]
fn a_model_of_ones_own_is_told_in_its_words() {
    let operation = |process, call, at, input| Operation {
        process,
        call,
        input,
        outcome: Outcome::Returned { at, output: true },
    };
    let operations = vec![operation(0, 1, 2, Ask::Deposit(5)), operation(1, 3, 4, Ask::Withdraw(7))];
    let history = History::new(operations).expect("a history");
    let verdict = check(&Account, &history, &Options::default());
    let violation = verdict.violation().expect("more was taken than was there");
    assert_eq!(
        violation.sentence,
        "no order of operations 0 (deposit 5 -> Some(true)), 1 (withdraw 7 -> Some(true)) gives each of them its output: \
         at most 1 of the 2 can be placed, and operation 1 (withdraw 7 -> Some(true)) returned before it fits"
    );
}

/// A fork is told by the two that continue one value and what wrote it, however long the way to it was.
#[test]
fn what_led_to_a_fork_is_not_told() {
    let mut chain: Vec<String> = vec!["1 2 put v0".to_owned()];
    for step in 0..50u64 {
        chain.push(format!("{} {} cas v{step} v{} v{step}", 10 * step + 3, 10 * step + 4, step + 1));
        chain.push(format!("{} {} get v{}", 10 * step + 5, 10 * step + 6, step + 1));
    }
    let told_of = |more: &[&str]| {
        let table: Vec<&str> = chain.iter().map(String::as_str).chain(more.iter().copied()).collect();
        told(&table)
    };
    let fork = |told: (String, Vec<usize>)| {
        assert!(told.0.ends_with("continue the same value in two ways"), "{}", told.0);
        told.1
    };
    let twice = ["900 910 cas v50 a v50", "900 910 cas v50 b v50"];
    assert_eq!(fork(told_of(&twice)), [99, 101, 102]);
    // Deletes change nothing.
    let deletes = ["0 1 delete missing", "905 906 delete existed"];
    assert_eq!(fork(told_of(&[twice, deletes].concat())), [99, 101, 102]);
    // That one of unknown outcome took place is shown by who saw it.
    let seen = ["900 - cas v50 a v50", "900 910 cas v50 b v50", "920 930 get a"];
    assert_eq!(fork(told_of(&seen)), [99, 101, 102, 103]);
    assert_eq!(fork(told_of(&[&seen[..], &deletes].concat())), [99, 101, 102, 103]);
}

#[test]
fn of_two_lists_that_part_only_the_first_difference_is_told() {
    let mut table: Vec<String> =
        (0..60).map(|n| format!("{} {} append {n},", 4 * n + 1, 4 * n + 2)).collect();
    let all: String = (0..60).map(|n| format!("{n},")).collect();
    table.extend(["500 510 append x,", "500 510 append y,"].map(str::to_owned));
    table.push(format!("505 508 get {all}x,"));
    table.push(format!("505 508 get {all}y,"));
    let told = told(&table.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(told.1, [60, 61, 62, 63], "{}", told.0);
}
