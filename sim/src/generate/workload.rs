//! What clients do: a few operations a second each, on a few hot keys and many cold ones.

use std::collections::BTreeSet;

use pbkv::options::Limits;
use testbed::{
    data::plan::{Client, Network},
    draw::dice::Dice,
};

use super::CLIENTS_MAX;
use crate::store::{
    script::{Action, Step},
    setup::Cluster,
};

/// How long clients go on after the heal, in milliseconds: what they do then must end well.
const AFTER_HEAL_MS: u64 = 5_000;
/// Clients with a shorter deadline than this give up during every takeover, in milliseconds.
const IMPATIENT_MS: u64 = 2_000;
/// The deadline of a client that polls, in milliseconds.
pub(super) const POLL_MS: u64 = 300;
/// The share of seeds whose clients close their sessions, in percent.
const CLOSING_PERCENT: u64 = 25;
/// The share of seeds whose clients swap by revision, in percent.
const REVISIONS_PERCENT: u64 = 40;
/// The share of seeds whose clients list keys, in percent.
const SCANNING_PERCENT: u64 = 25;
/// The share of seeds whose clients end without a word and come back, in percent.
const RESTARTING_PERCENT: u64 = 20;
/// The share of seeds with values of many lengths, besides those that limit them, in percent.
const LENGTHS_PERCENT: u64 = 8;
/// The longest value of a cluster without a limit, in bytes.
const LONG_BYTES: usize = 2_000;
/// Cold keys at most.
const COLD_KEYS_MAX: u64 = 200;

/// Keys that a client puts before anything else, at most: then there is a state worth transferring.
pub(super) const LOADED_KEYS_MAX: u64 = 200;

/// The longest that a Get takes if nothing goes wrong, in milliseconds: to the primary and back, and from
/// there to a backup and back. Who asks more often falls behind.
pub(super) fn answer_ms(network: &Network) -> u64 {
    4 * network.latency_us_max / 1_000
}

/// Lets some clients close their sessions now and then, as programs do that end.
pub(super) fn close_sessions(seed: u64, clients: &mut [Client]) {
    let mut dice = Dice::new(seed, "workload/close");
    if !dice.percent(CLOSING_PERCENT) {
        return;
    }
    for client in clients {
        let every = dice.between(3, 40);
        let script = std::mem::take(&mut client.script);
        for line in script {
            let at = line.split_whitespace().next().unwrap_or_default().to_owned();
            client.script.push(line);
            if dice.below(every) == 0 {
                client.script.push(format!("{at} close -"));
            }
        }
    }
}

/// Makes some updates swap by revision instead. There are no more operations than before, at the same times.
pub(super) fn swap_by_revision(seed: u64, clients: &mut [Client]) {
    let mut dice = Dice::new(seed, "workload/revisions");
    if !dice.percent(REVISIONS_PERCENT) {
        return;
    }
    for client in clients {
        let every = dice.between(2, 8);
        for line in &mut client.script {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [time, "put" | "append" | "delete" | "cas", key] = words[..] else { continue };
            if dice.below(every) == 0 {
                *line = format!("{time} cas-revision {key}");
            }
        }
    }
}

/// Has some reads list keys instead: the hot ones, in pages of a few; those that begin with one of them;
/// the cold ones, in larger pages; or all. There are no more operations than before, at the same times.
pub(super) fn scan(seed: u64, clients: &mut [Client]) {
    let mut dice = Dice::new(seed, "workload/scans");
    if !dice.percent(SCANNING_PERCENT) {
        return;
    }
    for client in clients {
        let every = dice.between(3, 30);
        for line in &mut client.script {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [time, "get", key] = words[..] else { continue };
            if dice.below(every) == 0 {
                *line = match dice.below(8) {
                    0 => format!("{time} scan -"),
                    1 => format!("{time} scan cold {}", dice.between(20, 100)),
                    2 => format!("{time} scan {key}"),
                    _ => format!("{time} scan hot {}", dice.between(1, 4)),
                };
            }
        }
    }
}

/// Lets some clients end without a word now and then, in the middle of an operation or between two, and come
/// back.
pub(super) fn restart_clients(seed: u64, clients: &mut [Client]) {
    let mut dice = Dice::new(seed, "workload/restart");
    if !dice.percent(RESTARTING_PERCENT) {
        return;
    }
    for client in clients {
        let every = dice.between(4, 40);
        let script = std::mem::take(&mut client.script);
        for line in script {
            let at_ms = Step::parse(&line).map_or(0, |step| step.at.as_millis() as u64);
            client.script.push(line);
            if at_ms > 0 && dice.below(every) == 0 {
                let ms = at_ms + dice.magnitude(1, 500);
                client.script.push(format!("{}.{:03} restart -", ms / 1_000, ms % 1_000));
            }
        }
    }
}

/// Says how long some values are: as long as may be, and longer, and empty, once for each key. Now and then a
/// key is as long as may be, too, or longer.
pub(super) fn lengthen(seed: u64, cluster: &Cluster, clients: &mut [Client]) {
    let mut dice = Dice::new(seed, "workload/lengths");
    let (limits, plain) = (cluster.limits(), Limits::default());
    if limits == plain && !dice.percent(LENGTHS_PERCENT) {
        return;
    }
    let longest = limits.value_bytes_max.min(LONG_BYTES);
    let every = dice.between(2, 10);
    let mut emptied = BTreeSet::new();
    for line in clients.iter_mut().flat_map(|client| &mut client.script) {
        let Ok(step) = Step::parse(line) else { continue };
        if !step.action.writes() || dice.below(every) > 0 {
            continue;
        }
        if limits.key_bytes_max < plain.key_bytes_max && dice.percent(30) {
            let length = limits.key_bytes_max + dice.below(2) as usize;
            let (time, rest) = line.split_once(' ').expect("a line has a time");
            let (action, _) = rest.split_once(' ').expect("and a key");
            *line = format!("{time} {action} {:k<length$}", "k");
            continue;
        }
        let bytes = match dice.below(5) {
            0 | 1 => longest,
            2 if limits.value_bytes_max < plain.value_bytes_max => longest + 1,
            3 if step.action != Action::Append && emptied.insert(step.key.clone()) => 0,
            _ => dice.magnitude(1, longest as u64) as usize,
        };
        *line = format!("{line} {bytes}");
    }
}

/// The clients of a seed.
pub(super) fn clients(seed: u64, faults_ms: u64, network: &Network) -> Vec<Client> {
    let mut dice = Dice::new(seed, "workload");
    let count = dice.between(2, CLIENTS_MAX);
    let mix = Mix {
        hot_keys: dice.between(1, 4),
        hot_percent: dice.weighted(&[(1, 20), (3, 60), (2, 90)]),
        cold_keys: dice.magnitude(4, COLD_KEYS_MAX),
        weights: [
            (dice.between(1, 8), "get"),
            (dice.between(1, 4), "put"),
            (dice.between(1, 6), "append"),
            (dice.between(0, 1), "delete"),
            (dice.between(0, 4), "cas"),
        ],
    };
    // The last client does nothing but read hot keys, often, and waits for nobody: it sees what is stale.
    let polls = dice.percent(60);
    let loaded_keys = if dice.percent(30) { dice.magnitude(20, LOADED_KEYS_MAX) } else { 0 };
    (1..=count)
        .map(|number| {
            let dice = &mut Dice::new(seed, &format!("workload/c{number}"));
            if polls && number == count {
                let mix = Mix { hot_percent: 100, weights: [(1, "get"); 5], ..mix };
                let pause_ms = answer_ms(network).max(*dice.pick(&[50, 100, 200]));
                let script = script(dice, &mix, pause_ms, faults_ms + AFTER_HEAL_MS);
                return Client { deadline_ms: POLL_MS, script };
            }
            let deadline_ms = dice.weighted(&[(2, 400), (2, 1_500), (3, 5_000), (3, 30_000)]);
            // Who gives up soon leaves many operations of unknown fate; each may take effect at any later
            // time, and the effort of judging grows exponentially with those that are pending at once.
            let pauses_ms: &[u64] = if deadline_ms < IMPATIENT_MS {
                &[1_000, 1_500, 2_500]
            } else {
                &[100, 250, 250, 500, 500, 1_500]
            };
            let pause_ms = *dice.pick(pauses_ms);
            let mut script = script(dice, &mix, pause_ms, faults_ms + AFTER_HEAL_MS);
            if number == 1 {
                script.splice(0..0, load(loaded_keys));
            }
            Client { deadline_ms, script }
        })
        .collect()
}

/// Puts so many keys, before anything else.
pub(super) fn load(keys: u64) -> impl Iterator<Item = String> {
    (0..keys).map(|key| format!("0.000 put cold{key}"))
}

struct Mix {
    hot_keys: u64,
    hot_percent: u64,
    cold_keys: u64,
    weights: [(u64, &'static str); 5],
}

fn script(dice: &mut Dice, mix: &Mix, pause_ms: u64, end_ms: u64) -> Vec<String> {
    let mut at_ms = dice.between(0, 2_000);
    let mut script = Vec::new();
    while at_ms < end_ms {
        let operation = dice.weighted(&mix.weights);
        let key = if dice.percent(mix.hot_percent) {
            format!("hot{}", dice.below(mix.hot_keys))
        } else {
            format!("cold{}", dice.below(mix.cold_keys))
        };
        script.push(format!("{}.{:03} {operation} {key}", at_ms / 1000, at_ms % 1000));
        at_ms += dice.wait(pause_ms);
    }
    script
}
