//! The command line as its user sees it: what is refused and how, exit codes, plans written by hand, and a
//! run that is read.

mod moments;
mod simulator;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use testbed::data::exit;

use self::simulator::PBKV;

/// A plan in which the one fault strikes and all is well.
const GOOD: &str = "seed = 1\n[[client]]\nscript = ['1 put fruit', '4 append fruit', '6 get fruit']\n\
                    [[fault]]\nat_ms = 3000\nfault = 'pause'\nnode = 'primary'\nlasts_ms = 100\n";
/// A network in which no ping is answered in time.
const BAD: &str = "seed = 1\nfaults_ms = 1\nsettle_ms = 10000\n[network]\nlatency_us_min = 2000000\n\
                   latency_us_max = 3000000\n[[client]]\nscript = ['1 put fruit']\n";

fn fresh(name: &str) -> (PathBuf, String) {
    let path = PBKV.scratch(&format!("command-{name}"));
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    let text = path.to_str().expect("the path of the target directory is UTF-8").to_owned();
    (path, text)
}

/// A file with this text.
fn file(name: &str, text: &str) -> String {
    let (file, path) = fresh(name);
    fs::write(file, text).expect("writable");
    path
}

fn simulate(arguments: &[&str]) -> Output {
    PBKV.simulator(arguments).expect("it builds").output().expect("it starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, stdout(output), stderr(output))
}

/// The simulator ends with this code, and says all of this on standard output or error.
#[track_caller]
fn ends(arguments: &[&str], code: u8, parts: &[&str]) -> Output {
    let output = simulate(arguments);
    assert_eq!(output.status.code(), Some(code.into()), "{arguments:?}: {}", told(&output));
    for part in parts {
        assert!(told(&output).contains(part), "{arguments:?}: no {part:?} in {}", told(&output));
    }
    output
}

#[test]
fn a_seed_or_a_plan_alone_is_replayed() {
    let good = file("alone.toml", GOOD);
    for run in ["42", &good] {
        assert_eq!(stdout(&ends(&[run], 0, &["all well"])), stdout(&simulate(&["replay", run])));
    }
}

#[test]
fn no_tip_names_a_hidden_command() {
    let output = ends(&["seeds", "10"], exit::USAGE, &["'saved'"]);
    assert!(!told(&output).contains("'seek'") && !told(&output).contains("'asked'"), "{}", told(&output));
}

#[test]
fn each_help_has_the_exit_codes() {
    for command in ["explore", "replay", "minimise", "save", "saved", "find", "doctor", "claim", "walk"] {
        ends(&[command, "--help"], 0, &[exit::TABLE]);
    }
    ends(&["--help"], 0, &[exit::TABLE]);
}

/// Before anything is run: nothing is said of any run.
#[test]
fn what_cannot_be_written_is_refused_at_once() {
    for arguments in [
        &["explore", "--seeds", "1", "--failures", "/proc/no"] as &[&str],
        &["walk", "--walks", "1", "--failures", "/proc/no"],
        &["exhaust", "--failures", "/proc/no"],
        &["replay", "1", "--report", "/proc/no/page.html"],
        &["minimise", "1", "--report", "/proc/no/page.html"],
        &["minimise", "1", "--out", "/proc/no/plan.toml"],
    ] {
        let output = ends(arguments, exit::USAGE, &["/proc/no"]);
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn an_option_that_would_be_ignored_is_refused() {
    ends(&["claim", "--seed", "3"], exit::USAGE, &["NAME"]);
    ends(&["claim", "--seeds", "3"], exit::USAGE, &["NAME"]);
    ends(&["explore", "--time", "8"], exit::USAGE, &["--time <TIME>", "with its unit"]);
    ends(&["explore", "--time", "8h", "--hours", "8"], exit::USAGE, &["cannot be used with"]);
    ends(&["explore", "--no-regressions", "--time", "1ms"], 0, &["all well"]);
}

#[test]
fn minimise_succeeds_if_it_made_something_small_and_fails_if_there_was_nothing_to_do() {
    let (out, path) = fresh("small.toml");
    let good = file("good.toml", GOOD);
    ends(&["minimise", &good, "--out", &path], exit::USAGE, &["ends well", "no failure to make small"]);
    let nowhere = ["minimise", &good, "--reaching", "crash_tears_write", "--out", &path];
    ends(&nowhere, exit::USAGE, &["ends well, but does not reach crash_tears_write", "cargo sim find"]);
    assert!(!out.exists(), "nothing was made");
    let bad = file("bad.toml", BAD);
    let reaching = ["minimise", &bad, "--reaching", "crash_tears_write", "--out", &path];
    ends(&reaching, exit::USAGE, &["fails (stall"]);
    ends(&["minimise", &bad, "--out", &path, "--runs", "30"], 0, &["LIVENESS", &path]);
    ends(&["replay", &path], exit::LIVENESS, &["LIVENESS"]);
}

#[test]
fn save_writes_no_plan_that_it_would_refuse_and_reaches_only_what_was_asked() {
    let (folder, path) = fresh("saved");
    let good = file("to_save.toml", GOOD);
    let save = |more: &[&'static str]| {
        [&["save", &good, "--as", "kept", "--whole", "--plans", &path], more].concat()
    };
    ends(&save(&[]), exit::USAGE, &["--about"]);
    ends(&save(&["--about", ""]), exit::USAGE, &["`about` must say"]);
    ends(&save(&["--about", "It is.", "--reaches", "crash_tears_write"]), exit::USAGE, &["does not reach"]);
    let idle = file("idle_to_save.toml", &GOOD.replace("'primary'", "'joiner'"));
    let arguments = ["save", &idle, "--as", "kept", "--whole", "--about", "It is.", "--plans", &path];
    ends(&arguments, exit::USAGE, &["fault 0 of the plan never struck"]);
    let calm = file("calm_to_save.toml", GOOD.split("[[fault]]").next().expect("all before"));
    let arguments = ["save", &calm, "--as", "kept", "--whole", "--about", "It is.", "--plans", &path];
    ends(&arguments, exit::USAGE, &["the plan has no fault and ends well", "--reaches"]);
    assert_eq!(fs::read_dir(&folder).expect("it was made").count(), 0, "nothing was written");
    let output = ends(&save(&["--about", "It is."]), 0, &["saved ", "`cargo test kept`"]);
    assert!(!stdout(&output).contains("once the cause is gone"), "{}", told(&output));
    let kept = fs::read_to_string(folder.join("kept.toml")).expect("it was written");
    assert!(kept.contains("It is.") && !kept.contains("reaches"), "{kept}");
    ends(&["saved", "--plans", &path], 0, &["kept", "It is."]);
    ends(&save(&["--about", "It is."]), exit::USAGE, &["--replace"]);
    let marked = save(&["--about", "It is.", "--reaches", "pause_strikes_primary", "--replace"]);
    ends(&marked, 0, &["saved "]);
    let kept = fs::read_to_string(folder.join("kept.toml")).expect("it was written");
    assert!(kept.contains("reaches = [\"pause_strikes_primary\"]"), "{kept}");
}

#[test]
fn a_bad_file_among_the_regressions_is_named_and_stops_nothing() {
    let (folder, path) = fresh("regressions");
    fs::create_dir_all(&folder).expect("writable");
    fs::write(folder.join("broken.toml"), "seed = 1\nabout = ''\n").expect("writable");
    fs::write(folder.join("good.toml"), format!("about = 'It is well.'\n{GOOD}")).expect("writable");
    let explore = ["explore", "--seeds", "2", "--plans", &path];
    let output =
        ends(&explore, exit::USAGE, &["2 seeds and 1 regression, all well", "broken.toml", "LEFT OUT"]);
    assert!(stderr(&output).contains("broken.toml"), "said at the beginning: {}", told(&output));
    let output = ends(&["saved", "--plans", &path], exit::USAGE, &["broken.toml"]);
    assert!(stdout(&output).contains("It is well."), "the others are listed: {}", told(&output));
}

#[test]
fn the_example_plans_are_short_say_what_they_show_and_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples = 0;
    for entry in fs::read_dir(folder).expect("there are examples") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("UTF-8");
        assert!(text.starts_with("about = ") && text.lines().count() <= 24, "{}", path.display());
        ends(&["replay", path.to_str().expect("UTF-8")], 0, &["all well"]);
        examples += 1;
    }
    assert!(examples >= 10, "{examples}");
}

#[test]
fn a_plan_needs_a_seed_and_nothing_else() {
    ends(&[&file("seed.toml", "seed = 7\n")], 0, &["all well"]);
    ends(&[&file("none.toml", "")], exit::USAGE, &["missing field `seed`"]);
}

#[test]
fn all_that_is_wrong_with_a_plan_is_told_at_once() {
    let wrong = "seed = 1\n[cluster]\nservers = 2\nreplicas = 5\n[[client]]\nscript = ['soon put a', '2 set b']\n\
                 [[fault]]\nat_ms = 99999\nfault = 'crash'\nnode = 's9'\n[[fault]]\nfault = 'crash'\nnode = 's9'\n";
    let output = ends(
        &["replay", &file("wrong.toml", wrong)],
        exit::USAGE,
        &[
            "5 things are wrong",
            "replicas is 5",
            "'soon put a'",
            "'2 set b'",
            "fault 0 would begin",
            "fault 1 is about s9",
            "vs, s1, s2",
        ],
    );
    assert_eq!(stdout(&output), "");
    let misspelt = "sead = 1\n[cluster]\nserver = 2\n[[fault]]\nfault = 'crush'\n";
    let parts = ["3 things are wrong", "[cluster]: ", "fault 0: ", "sead"];
    ends(&["replay", &file("misspelt.toml", misspelt)], exit::USAGE, &parts);
}

#[test]
fn a_plan_whose_fault_never_struck_is_no_success() {
    let idle = file("idle.toml", &GOOD.replace("'primary'", "'joiner'"));
    ends(&["replay", &idle], exit::NOT_STRUCK, &["IDLE", "1 of 1 fault", "fault 0 (pause)"]);
    let late = GOOD.replace("at_ms = 3000", "at_ms = 999999\non = 'promoted'");
    ends(&["replay", &file("late.toml", &late)], exit::NOT_STRUCK, &["the time of faults is over"]);
    let unmet =
        "[[fault]]\nfault = 'rpc'\nhow = 'drop_reply'\nfrom = ['c1']\nto = ['reader']\nlasts_ms = 10\n";
    let parts = ["1 of 2 faults", "fault 1 (rpc)", "no message"];
    ends(&["replay", &file("unmet.toml", &format!("{GOOD}{unmet}"))], exit::NOT_STRUCK, &parts);
}

#[test]
fn a_run_tells_what_clients_did_and_which_marks_it_reached() {
    let good = file("told.toml", GOOD);
    let parts = [
        "calls put \"fruit\"",
        "get \"fruit\" -> \"c1.1,c1.2,\", after ",
        "reader  a fresh client",
        "fault 0: pause: ",
        " 0 not executed",
    ];
    ends(&["replay", &good], 0, &parts);
    ends(&["replay", &good, "--marks"], 0, &["reached  pause_strikes_primary "]);
    let quiet = stdout(&simulate(&["replay", "1"]));
    assert!(!quiet.contains("calls get"), "they are many");
    let asked = ["replay", "1", "--ops", "--client", "c1", "--from", "1s", "--to", "20"];
    let output = ends(&asked, 0, &["calls get"]);
    let lines = stdout(&output);
    let told: Vec<(f64, &str)> = lines.lines().filter_map(moment).collect();
    assert!(
        told.len() > 10 && told.iter().all(|(at, node)| (1.0..=20.0).contains(at) && *node == "c1"),
        "{lines}"
    );
}

/// The time and node with which a line begins, if it is one of a timeline or trace.
fn moment(line: &str) -> Option<(f64, &str)> {
    let mut words = line.split_whitespace();
    let time = words.next().filter(|word| word.len() >= 8 && word.contains('.'))?;
    Some((time.parse().ok()?, words.next()?))
}

#[test]
fn a_trace_is_filtered_and_explained() {
    let good = file("traced.toml", GOOD);
    let pings = ["replay", &good, "--trace", "--node", "s1", "--kind", "ping", "--to", "2s"];
    let output = ends(&pings, 0, &["> Ping(", "legend", "an event that a machine takes", "v4/op9"]);
    let lines = stdout(&output);
    let told: Vec<&str> =
        lines.lines().filter(|line| moment(line).is_some_and(|(_, node)| node == "s1")).collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("Ping")), "{lines}");
    assert!(
        !lines.lines().any(|line| moment(line).is_some_and(|(at, _)| at > 2.0 && !line.contains("virtual")))
    );
    let key = ends(&["replay", &good, "--trace", "--key", "fruit"], 0, &["calls Put"]);
    assert!(
        stdout(&key)
            .lines()
            .filter(|line| moment(line).is_some())
            .filter(|line| !line.contains("virtual"))
            .all(|line| line.contains("fruit"))
    );
    ends(&["replay", &good, "--client", "s1"], exit::USAGE, &["s1 is no client", "there are c1, reader"]);
    ends(&["replay", &good, "--from", "2s", "--to", "1s"], exit::USAGE, &["--from 2s is after --to 1s"]);
    for kind in ["ping", "ends"] {
        ends(&["replay", "1", "--kind", kind], 0, &["no line of this run", "--ops", "--trace"]);
    }
    ends(
        &["replay", &good, "--node", "s9"],
        exit::USAGE,
        &["s9 is no node", "vs, s1, s2, s3, c1, reader, sim"],
    );
}

#[test]
fn a_mark_leads_to_a_seed_that_reaches_it() {
    let found = ends(&["find", "crash_strikes_primary", "--seeds", "200"], 0, &["cargo sim replay"]);
    let text = stdout(&found);
    let seed = text.lines().find_map(|line| line.split_once("  cargo sim replay ")?.1.split_once(" --marks"));
    let (seed, _) = seed.unwrap_or_else(|| panic!("no seed in {text}"));
    ends(&["replay", seed, "--marks"], 0, &["crash_strikes_primary"]);
    ends(&["find", "no_such_mark"], exit::USAGE, &["there is no mark of this name"]);
    let last = (u64::MAX - 1).to_string();
    let at_the_end = ["find", "crash_tears_write", "--start", &last, "--seeds", "5", "--jobs", "2"];
    let output = simulate(&at_the_end);
    assert!(told(&output).contains("1 seed"), "{}", told(&output));
    let beyond = u64::MAX.to_string();
    for command in [&["find", "crash_tears_write"][..], &["explore"]] {
        ends(&[command, &["--start", &beyond]].concat(), exit::USAGE, &["--start"]);
    }
    let rare = ["find", "accepted_loss", "--seeds", "1"];
    assert_ne!(simulate(&rare).status.code(), Some(0));
}

#[test]
fn seeds_are_narrowed_to_one_sort_of_plan_and_called_so() {
    let name = "3,clients=2,faults=crash+delay,ops=append+get,servers=3";
    let only = name.split_once(',').expect("it is narrowed").1;
    let explored = ["--seeds", "8", "--no-regressions", "--only", only, "--json"];
    let (json, path) = fresh("narrowed.jsonl");
    let output = ends(&[&explored[..], &[&path]].concat(), 0, &["8 seeds, all well", only]);
    assert!(!stdout(&output).contains("partition"), "{}", stdout(&output));
    let lines = fs::read_to_string(json).expect("it was written");
    let runs: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(runs.iter().all(|run| run["only"] == only), "{lines}");
    let trace = runs.iter().find(|run| run["seed"] == 3).map(|run| run["trace"].to_string());
    let trace = trace.expect("each seed has a line");
    ends(&["replay", name], 0, &[trace.trim_matches('"')]);
    ends(&[name], 0, &[trace.trim_matches('"')]);
    let plan = stdout(&ends(&["plan", name], 0, &["servers = 3", "fault = \"crash\""]));
    assert_eq!(plan.matches("[[client]]").count(), 2, "{plan}");
    assert!(!plan.contains(" put ") && plan.contains(" append "), "{plan}");
    ends(&["doctor", name], 0, &["three times the same"]);
    let found = ["find", "crash_strikes_primary", "--only", "servers=3,faults=crash"];
    ends(&found, 0, &[",faults=crash,servers=3 --marks"]);
    ends(&["explore", "--only", "servers=9"], exit::USAGE, &["servers=9 fits 0; it is 1, 2, 3, 4, 5"]);
    ends(&["replay", "1,sevrers=3"], exit::USAGE, &["there is no such name", "replicas, servers"]);
    ends(&["explore", "--only", "faults=crush"], exit::USAGE, &["faults=crush", "power_loss"]);
    ends(&["explore", "--only", "servers"], exit::USAGE, &["'--only <NAME=VALUE,...>'", "clients=2"]);
}

/// A state of other plans is not gone on with.
#[test]
fn a_state_knows_to_what_it_is_narrowed() {
    let (folder, path) = fresh("narrowed-state");
    let state = ["--no-regressions", "--seeds", "2", "--state", &path];
    ends(&[&state[..], &["--only", "clients=2"]].concat(), 0, &["2 seeds, all well"]);
    let parts = ["with --only clients=2, not from seed 0 in shard 0/1:"];
    ends(&state, exit::USAGE, &parts);
    ends(&[&state[..], &["--only", "clients=2"]].concat(), 0, &["2 seeds, all well"]);
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn a_summary_is_as_wide_as_a_terminal_and_has_no_list_that_nobody_asked_for() {
    let output = ends(
        &["--seeds", "1", "--no-regressions"],
        0,
        &["1 seed, all well: ", " % of unknown", "--marks lists"],
    );
    let lines = stdout(&output);
    assert!(lines.lines().all(|line| line.chars().count() <= 80), "{lines}");
    assert!(!lines.contains("never"), "{lines}");
    ends(&["--seeds", "1", "--no-regressions", "--require-marks"], exit::MARKS, &["never:"]);
}

#[test]
fn two_runs_are_told_apart_at_the_step_at_which_they_part() {
    let good = file("first.toml", GOOD);
    let later = file("second.toml", &GOOD.replace("lasts_ms = 100", "lasts_ms = 200"));
    ends(&["diff", &good, &good], 0, &["the same run: "]);
    let output =
        ends(&["diff", &good, &later, "--lines", "1"], 0, &["lines are the same", "first", "second"]);
    let parts = stdout(&output);
    let at = |label: &str| {
        let line = parts.lines().find(|line| line.trim_start().starts_with(label)).expect("it is there");
        line.split_whitespace().nth(1).and_then(|time| time.parse::<f64>().ok()).expect("a time")
    };
    assert!((2.9..3.0).contains(&at("both")) || at("both") == 3.0, "{parts}");
    assert!(at("first") >= 3.0 && at("second") >= 3.0, "the pause begins alike: {parts}");
}

#[test]
fn a_run_can_be_looked_at_with_tools_of_others() {
    let (json, path) = fresh("chrome.json");
    let (log, logged) = fresh("shiviz.log");
    let files = ["--chrome", &path, "--shiviz", &logged];
    ends(&[&["replay", &file("chrome.toml", GOOD)], &files[..]].concat(), 0, &["chrome  ", "shiviz  "]);
    let log = fs::read_to_string(log).expect("it was written");
    assert!(log.starts_with("vs {") && log.contains("\nc1 {") && log.contains("calls put"), "{log}");
    let text = fs::read_to_string(json).expect("it was written");
    let events: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let events = events["traceEvents"].as_array().expect("a list");
    let of = |sort: &str| events.iter().filter(|event| event["cat"] == sort).count();
    assert!(of("operation") >= 3 && of("fault") == 1 && of("message") > 100, "{}", of("message"));
}
