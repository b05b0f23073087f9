//! Exploration as a service, as its user sees it: real processes that are interrupted, killed, resumed and
//! split, and the doctor, with a source of chance to find and without.

mod simulator;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use sim::bound::{Fault, FaultKind};
use testbed::{data::fault::Memory, harness::traces, observer::chain::DIGEST_INTERVAL};

use self::simulator::PBKV;

/// Longer than anything here takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn fresh(name: &str) -> (PathBuf, String) {
    let path = PBKV.scratch(&format!("service-{name}"));
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    let text = path.to_str().expect("the path of the target directory is UTF-8").to_owned();
    (path, text)
}

fn simulate(arguments: &[&str]) -> Output {
    PBKV.simulator(arguments).expect("it builds").output().expect("it starts")
}

fn start(arguments: &[&str]) -> Child {
    let mut command = PBKV.simulator(arguments).expect("it builds");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, stdout(output), String::from_utf8_lossy(&output.stderr))
}

fn state(folder: &Path) -> Option<serde_json::Value> {
    let text = fs::read(folder.join("exploration.json")).ok()?;
    Some(serde_json::from_slice(&text).expect("a state is whole at every moment"))
}

fn seeds(folder: &Path) -> u64 {
    state(folder).and_then(|state| state["progress"]["tally"]["sums"]["seeds"].as_u64()).unwrap_or(0)
}

/// Waits until the state in the folder counts more seeds than this.
fn wait_for_seeds(folder: &Path, more_than: u64) {
    let began = Instant::now();
    while seeds(folder) <= more_than {
        assert!(began.elapsed() < PATIENCE, "no progress in {}", folder.display());
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill starts");
    assert!(sent.success(), "kill {name}: {sent}");
}

#[test]
fn an_exploration_goes_on_where_it_was_killed_and_ends_well_when_it_is_interrupted() {
    let (folder, path) = fresh("resumed");
    let (json, json_path) = fresh("resumed.json");
    let endless = ["explore", "--hours", "1", "--state", &path, "--json", &json_path];

    let mut killed = start(&endless);
    wait_for_seeds(&folder, 0);
    let refused = simulate(&["explore", "--seeds", "1", "--state", &path]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("another exploration"), "{}", told(&refused));
    killed.kill().expect("it runs");
    killed.wait().expect("it was started");
    let before = seeds(&folder);

    let interrupted = start(&endless);
    wait_for_seeds(&folder, before);
    signal(&interrupted, "-INT");
    let output = interrupted.wait_with_output().expect("it was started");
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let first = stdout(&output).lines().next().map(str::to_owned);
    assert!(first.is_some_and(|line| line.contains("(interrupted)")), "{}", told(&output));
    assert!(!stdout(&output).contains("all well"), "it is not known: {}", told(&output));
    let after = seeds(&folder);
    assert!(after > before, "{after} seeds after the interruption, {before} before");

    // Up to a seed that neither process had reached, each seed is counted once.
    let next = state(&folder).expect("it was saved")["progress"]["position"]["next"].as_u64();
    let all = next.expect("a seed") + 10;
    let rest = simulate(&["explore", "--seeds", &all.to_string(), "--state", &path, "--json", &json_path]);
    assert!(rest.status.success(), "{}", told(&rest));
    assert!(stdout(&rest).starts_with(&format!("{all} seeds and ")), "{}", told(&rest));
    let seen: Vec<u64> = traces(&json).expect("whole lines").into_keys().collect();
    assert_eq!(seen, (0..all).collect::<Vec<_>>());
}

/// Which seeds a steering chooses depends on what it learned. That must survive, or the same command explores
/// others.
#[test]
fn a_steered_exploration_that_was_killed_chooses_the_seeds_of_one_that_was_not() {
    const SEEDS: &str = "1000";
    let (folder, path) = fresh("steered");
    let (json, json_path) = fresh("steered.json");
    let explore = ["explore", "--steer", "--no-regressions", "--seeds", SEEDS];
    let stored = [explore.as_slice(), &["--state", &path, "--json", &json_path]].concat();
    // Nothing is chosen before a mark is rare among the runs that are learned from.
    let mut killed = start(&stored);
    wait_for_seeds(&folder, 160);
    killed.kill().expect("it runs");
    killed.wait().expect("it was started");
    let rest = simulate(&stored);
    assert!(rest.status.success(), "{}", told(&rest));

    let (whole_json, whole_path) = fresh("steered-whole.json");
    let whole = simulate(&[explore.as_slice(), &["--json", &whole_path]].concat());
    assert!(whole.status.success(), "{}", told(&whole));
    let (seen, whole) = (traces(&json).expect("whole lines"), traces(&whole_json).expect("whole lines"));
    assert!(whole.len() > 170 && whole.len() < 500, "{} seeds chosen", whole.len());
    assert_eq!(seen, whole);
}

#[test]
fn a_state_of_another_build_is_refused_until_told_to_begin_again() {
    let (folder, path) = fresh("build");
    let explore = ["explore", "--seeds", "2", "--state", &path];
    let first = simulate(&explore);
    assert!(first.status.success(), "{}", told(&first));
    let file = folder.join("exploration.json");
    let mut other = state(&folder).expect("it was saved");
    other["build"] = "0123456789abcdef".into();
    fs::write(&file, other.to_string()).expect("writable");
    let refused = simulate(&explore);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    for part in ["another build", "0123456789abcdef", "--restart"] {
        assert!(told(&refused).contains(part), "no {part:?} in {}", told(&refused));
    }
    let other_seeds = simulate(&["explore", "--seeds", "2", "--start", "5", "--restart", "--state", &path]);
    assert!(other_seeds.status.success(), "{}", told(&other_seeds));
    let refused = simulate(&explore);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("from seed 5"), "{}", told(&refused));
}

/// A plan that an earlier exploration left is run first, and named as what it is.
#[test]
fn a_finding_of_an_earlier_exploration_is_run_before_any_seed() {
    let (folder, path) = fresh("regression");
    let (json, json_path) = fresh("regression.json");
    fs::create_dir_all(folder.join("findings")).expect("writable");
    let plan = simulate(&["plan", "5"]);
    fs::write(folder.join("findings/seed-5.toml"), &plan.stdout).expect("writable");
    let explored =
        simulate(&["explore", "--seeds", "1", "--jobs", "1", "--state", &path, "--json", &json_path]);
    assert!(explored.status.success(), "{}", told(&explored));
    let text = fs::read_to_string(json).expect("it was written");
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.iter().position(|line| line.contains("findings/seed-5.toml"));
    assert!(found.is_some_and(|place| place < lines.len() - 1), "{text}");
    assert!(lines.last().is_some_and(|line| line.contains("\"seed\":0")), "{text}");
}

#[test]
fn shards_together_make_every_seed_once() {
    let mut all = BTreeMap::new();
    for shard in ["0/3", "1/3", "2/3"] {
        let (json, path) = fresh(&format!("shard-{}.json", &shard[..1]));
        let arguments = ["explore", "--no-regressions", "--start", "4", "--seeds", "14", "--shard", shard];
        let output = simulate(&[arguments.as_slice(), &["--json", &path]].concat());
        assert!(output.status.success(), "{}", told(&output));
        for (seed, trace) in traces(&json).expect("whole lines") {
            assert_eq!(all.insert(seed, trace), None, "seed {seed} belongs to two shards");
        }
    }
    let (json, path) = fresh("whole.json");
    let whole = ["explore", "--no-regressions", "--start", "4", "--seeds", "14", "--json", &path];
    assert!(simulate(&whole).status.success());
    assert_eq!(all, traces(&json).expect("whole lines"));
    assert_eq!(all.into_keys().collect::<Vec<_>>(), (4..18).collect::<Vec<_>>());
}

/// The lines about each run, beginning with the verdict.
fn diagnoses(output: &Output) -> Vec<Vec<String>> {
    let mut diagnoses: Vec<Vec<String>> = Vec::new();
    for line in stdout(output).lines() {
        match diagnoses.last_mut() {
            Some(diagnosis) if line.starts_with(' ') => diagnosis.push(line.to_owned()),
            _ => diagnoses.push(vec![line.to_owned()]),
        }
    }
    diagnoses
}

/// A server's memory of sessions lasts a little longer or shorter in its second life. That is a difference of
/// its state from the first step of that life on, and nothing but its state shows it for long.
#[test]
fn the_doctor_finds_a_state_that_differs_before_any_event_shows_it() {
    let runs: Vec<String> = (0..16).map(|seed| seed.to_string()).collect();
    let arguments: Vec<&str> =
        ["doctor", "--plant-chance", "state"].into_iter().chain(runs.iter().map(String::as_str)).collect();
    let output = simulate(&arguments);
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    let mut found = None;
    for (seed, diagnosis) in diagnoses(&output).iter().enumerate() {
        let timeline = stdout(&simulate(&["replay", &seed.to_string()]));
        let restart = timeline.lines().find(|line| line.contains(" s1 ") && line.contains("up, life 2"));
        let Some(restart) = restart else {
            assert!(
                diagnosis[0].contains("three times the same"),
                "s1 of seed {seed} lives once:\n{diagnosis:#?}"
            );
            continue;
        };
        // Its first step comes when it has read its journal.
        let seconds = |text: &str| text.split_whitespace().next().and_then(|time| time.parse::<f64>().ok());
        let at = seconds(restart).expect("a time");
        let differs = diagnosis[0].split_once(" at ").and_then(|(_, rest)| seconds(rest)).expect("a time");
        assert!((at..at + 0.3).contains(&differs), "not at {at}: {diagnosis:#?}");
        assert!(diagnosis[0].contains(" of s1 ") && diagnosis[0].ends_with(": state"), "{diagnosis:#?}");
        let before: Vec<&String> = diagnosis.iter().filter(|line| line.contains("both  ")).collect();
        // Where little happens in between, what came before the step that differs begins with that life.
        if before.iter().any(|line| line.contains("Up { life: 2")) {
            found.get_or_insert(seed.to_string());
        }
    }
    let seed = found.expect("in sixteen runs s1 is restarted at least once");

    // An exploration makes its first run twice, and has the same step to tell.
    let output = simulate(&[
        "explore",
        "--no-regressions",
        "--start",
        &seed,
        "--seeds",
        "1",
        "--plant-chance",
        "state",
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    // As wide as a terminal, so that a row may be several lines.
    let text = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["NOT DETERMINISTIC", "1 run repeated", "Up { life: 2", &format!("cargo sim replay {seed}")] {
        assert!(text.contains(part), "no {part:?} in {}", told(&output));
    }
}

/// `s1` restarts so late that no step of its second life is one of those with which explorations look at a
/// whole state. Only the last look of a run does, and two processes come to different hashes.
#[test]
fn a_state_that_differs_in_the_last_steps_only_is_seen_by_an_exploration() {
    let (file, path) = fresh("late.toml");
    let claim = sim::claims::all().into_iter().next().expect("there are claims");
    let mut plan = (claim.plan)(0);
    let late = FaultKind::Crash { node: "s1".into(), down_ms: Some(10), memory: Memory::Kept };
    plan.faults = vec![Fault { at_ms: plan.faults_ms - 20, on: None, after_ms: 0, kind: late }];
    testbed::data::saved::write(&file, &plan).expect("writable");
    let verdict = |planted: &[&str]| {
        let asked = ["asked", &path, "--digest-interval", &DIGEST_INTERVAL.to_string()];
        let mut asked = PBKV.simulator(&[asked.as_slice(), planted].concat()).expect("it builds");
        let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        asked.stdin.take().expect("it is piped").write_all(b"\"End\"\n").expect("it listens");
        let output = asked.wait_with_output().expect("it was started");
        assert!(output.status.success() && stdout(&output).contains("trace"), "{}", told(&output));
        stdout(&output)
    };
    assert_eq!(verdict(&[]), verdict(&[]));
    let planted = ["--plant-chance", "state"];
    assert_ne!(verdict(&planted), verdict(&planted));
}

/// The disk of one server takes another time for each write.
#[test]
fn the_doctor_finds_a_step_that_comes_at_another_time() {
    let output = simulate(&["doctor", "--plant-chance", "time", "1", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    let seen = diagnoses(&output);
    let differ = seen.iter().filter(|diagnosis| diagnosis[0].contains("NOT DETERMINISTIC"));
    for diagnosis in differ {
        // One of the two had completed a write, or read its journal, and the other had not or later.
        let first = &diagnosis[0];
        let is_of_a_disk = first.contains("a completed write") || first.contains("taking a tick");
        assert!(first.contains(": time") && is_of_a_disk, "{diagnosis:#?}");
    }
}

/// What one run leaves in its process shows itself in a run after it, and in none that is made alone.
#[test]
fn the_doctor_finds_what_an_earlier_run_left_behind() {
    let output = simulate(&["doctor", "--plant-chance", "leftover", "1", "4", "5", "6", "7"]);
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    let seen = diagnoses(&output);
    assert_eq!(seen.len(), 5, "{}", told(&output));
    for diagnosis in seen.iter().filter(|diagnosis| diagnosis[0].contains("NOT DETERMINISTIC")) {
        assert!(diagnosis[0].contains("by what a run before it left in its process"), "{diagnosis:#?}");
        assert!(diagnosis.last().is_some_and(|line| line.contains("statics")), "{diagnosis:#?}");
    }
}

/// With a process for each run nothing is left behind, and every run is what it is alone.
#[test]
fn runs_in_processes_of_their_own_are_what_they_are_alone() {
    let lines = |name: &str, more: &[&str]| {
        let (file, path) = fresh(name);
        let explore =
            ["explore", "--no-regressions", "--start", "4", "--seeds", "5", "--jobs", "1", "--json"];
        let output = simulate(&[&explore, [path.as_str()].as_slice(), more].concat());
        assert!(output.status.success(), "{}", told(&output));
        fs::read_to_string(file).expect("it was written")
    };
    let alone = lines("alone.json", &["--isolate", "--plant-chance", "leftover"]);
    assert_eq!(alone.lines().count(), 5, "{alone}");
    assert_eq!(alone, lines("together.json", &[]));
}

#[test]
fn the_doctor_finds_nothing_where_there_is_nothing() {
    let (file, path) = fresh("plan.toml");
    fs::write(&file, simulate(&["plan", "3"]).stdout).expect("writable");
    let output = simulate(&["doctor", "3", &path]);
    assert!(output.status.success(), "{}", told(&output));
    let lines = stdout(&output);
    assert_eq!(lines.lines().filter(|line| line.contains("three times the same")).count(), 2, "{lines}");
    let refused = simulate(&["doctor", "no-such-plan.toml"]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("neither a seed nor a plan"), "{}", told(&refused));
}
