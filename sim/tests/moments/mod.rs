//! A run looked at where it is ended, and step by step from there.

use std::{fs, process::Output};

use testbed::data::exit;

use super::{BAD, GOOD, ends, file, fresh, moment, simulate, stdout};

/// Up to that moment the run is the same.
#[test]
fn a_run_that_is_ended_at_a_moment_says_how_everything_stands_then() {
    let parts = [
        "stands  vs: View",
        "stands  s1: stands still, Primary in v2",
        "under way  ",
        "all well: 3.050 s virtual",
    ];
    let good = file("until.toml", &GOOD.replace("4 append", "3.01 append"));
    let until = |more: &[&'static str]| [&["replay", &good, "--trace"], more].concat();
    let ended = stdout(&ends(&until(&["--until", "3.05s"]), 0, &parts));
    let whole = stdout(&simulate(&until(&["--to", "3.05s"])));
    let moments = |text: &str| {
        let lines = text.lines().filter(|line| moment(line).is_some() && !line.contains("virtual"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(moments(&ended), moments(&whole));
    let (page, path) = fresh("until.html");
    ends(&["replay", &good, "--until", "3.05s", "--report", &path], 0, &parts);
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.contains("3.050 s") && !page.contains("all healed"), "the page ends where the run does");
    ends(&until(&["--until", "20"]), exit::USAGE, &["before the heal, at 10000 ms"]);
}

/// The view service's drive stalls when it writes its record for the first time, and later one backup's
/// drive fails at the next write; the network is slow, a partition swallows what two servers say.
const LOOKED_AT: &str = "seed = 1\n[cluster]\ncalls = 'unary'\n[network]\nlatency_us_min = 40000\nlatency_us_max = 60000\n\
    [[client]]\nscript = ['1 put fruit', '4 append fruit', '6 get fruit']\n\
    [[client]]\nscript = ['1 get fruit']\n\
    [[fault]]\nat_ms = 1400\nfault = 'disk_stall'\nnode = 'vs'\nlasts_ms = 2000\n\
    [[fault]]\nat_ms = 1700\nfault = 'slow'\nfrom = ['s2']\nto = ['vs']\nlatency_ms = 500\nlasts_ms = 1000\n\
    [[fault]]\nat_ms = 5000\nfault = 'partition'\nfrom = ['s1']\nto = ['s2']\nhow = 'black_hole'\nlasts_ms = 1000\n\
    [[fault]]\nat_ms = 5000\nfault = 'disk_failure'\nnode = 's2'\nlasts_ms = 2000\ndown_ms = 500\n";

/// The lines of a state or of steps, without the timeline before them.
fn state(output: &Output) -> Vec<String> {
    let labels = ["stands  ", "disk  ", "link  ", "in flight  ", "under way  "];
    let is_state = |line: &&str| labels.iter().any(|label| line.trim_start().starts_with(label));
    stdout(output).lines().filter(is_state).map(str::to_owned).collect()
}

#[test]
fn disks_links_and_messages_are_looked_at_where_a_run_is_ended() {
    let plan = file("looked_at.toml", LOOKED_AT);
    let parts = [
        "disk  vs: file view.new: 101 bytes, not synced: a loss of power can take",
        "; its name is not synced",
        "disk  vs: its drive stalls",
        "link  s2 <-> vs: 500 to 500 ms slower, by fault 1",
        "in flight  s2 -> vs: PingRequest",
        ", held until 2.3",
    ];
    ends(&["replay", &plan, "--until", "2s"], 0, &parts);
    let parts = [
        "disk  s2: durable: b",
        "4 entries after it with 276 bytes, up to v2/op4",
        "disk  s2: its drive fails ",
        "link  s1 <-/-> s2 (black_hole), by fault 2",
        "in flight  s1 -> s2: heartbeat ",
        "waits for a partition to end",
    ];
    ends(&["replay", &plan, "--until", "5.5"], 0, &parts);
    let parts = ["in flight  c1 -> s1: a call; sent at 4.003000, arrives between 4.043000 and 4.063000"];
    ends(&["replay", &plan, "--until", "4.02"], 0, &parts);
}

#[test]
fn a_state_is_narrowed_to_the_machines_that_are_named() {
    let plan = file("narrowed.toml", LOOKED_AT);
    let all = state(&ends(&["replay", &plan, "--until", "4.02"], 0, &["s3"]));
    let some = ends(&["replay", &plan, "--until", "4.02", "--state", "s1,c1"], 0, &["stands  s1: up"]);
    let some = state(&some);
    let is_of = |line: &&String| {
        let whose = line.split(": ").next().unwrap_or_default();
        whose.contains("s1") || whose.contains("c1")
    };
    assert_eq!(some, all.iter().filter(is_of).cloned().collect::<Vec<_>>());
    assert!(some.len() < all.len() && some.iter().any(|line| line.contains("under way")), "{some:?}");
    let parts = ["s9 is no machine of this run: there are vs, s1, s2, s3, c1, c2, reader"];
    ends(&["replay", &plan, "--until", "4", "--state", "s1,s9"], exit::USAGE, &parts);
    ends(&["replay", &plan, "--state", "s1"], exit::USAGE, &["--until <TIME>"]);
}

/// They are the steps of the run that is not looked at, to its very end.
#[test]
fn steps_after_a_moment_are_those_of_the_trace_each_with_what_it_changed() {
    let plan = file("stepped.toml", LOOKED_AT);
    let parts = [
        "    step 1\n   4.000000050 c1   calls Append",
        " under way  + ",
        "    step 4\n",
        " in flight  + c1 -> s1: a call; sent at 4.003000",
        " in flight  - vs -> s1: pong 12",
    ];
    let arguments = ["replay", &plan, "--until", "4", "--steps", "6", "--state", "s1,c1"];
    let few = stdout(&ends(&arguments, 0, &parts));
    assert!(!few.contains("step 7") && !few.contains("the run ends"), "{few}");
    let is_step = |line: &&str| {
        let time = line.split_whitespace().next().unwrap_or_default();
        time.split_once('.').is_some_and(|(_, nanos)| nanos.len() == 9)
    };
    let lines = |text: &str| text.lines().filter(is_step).map(str::to_owned).collect::<Vec<_>>();
    let all = lines(&stdout(&simulate(&["replay", &plan, "--trace"])));
    // Over the heal.
    let parts = ["Healed", "- s1 <-/-> s2", "the run ends after ", "of the 10000 that were asked for"];
    let rest = ends(&["replay", &plan, "--until", "5.9999s", "--steps", "10000"], 0, &parts);
    let rest = lines(&stdout(&rest));
    assert!(rest.len() > 500 && all.ends_with(&rest), "{} of {} lines", rest.len(), all.len());
    ends(&["replay", &plan, "--steps", "3"], exit::USAGE, &["--until <TIME>"]);
    ends(&["replay", &plan, "--until", "4", "--steps", "0"], exit::USAGE, &["'--steps <N>'"]);
}

#[test]
fn a_call_that_is_open_says_what_its_attempts_were_told_last() {
    let parts = ["put \"fruit\" \"c1.1,\" by c1, since 1.000000; last told by vs at ", ": no view yet\n"];
    ends(&["replay", &file("stalls.toml", BAD)], exit::LIVENESS, &parts);
    let cut = |how: &str| {
        let fault = "[[fault]]\nat_ms = 1500\nfault = 'partition'\nfrom = ['c1']\nlasts_ms = 3000\n";
        file(&format!("cut-{how}.toml"), &format!("{}{fault}how = '{how}'\n", GOOD.replace("1 put", "2 put")))
    };
    let call = "under way  put \"fruit\" \"c1.1,\" by c1, since 2.000000; ";
    let refused = format!("{call}last told on the way to vs at 2.");
    let why = "Unavailable: connection refused\n";
    ends(&["replay", &cut("refuse"), "--until", "2.5"], 0, &[&refused, why]);
    let silent = format!("{call}no answer from vs since 2.0");
    ends(&["replay", &cut("black_hole"), "--until", "2.5"], 0, &[&silent]);
}
