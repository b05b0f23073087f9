//! The formula in the README says how much memory a server needs: it is compared with what real ones occupy.

use std::{collections::BTreeMap, fs, time::Duration};

use pbkv::{client::Client, clock::SystemClock, protocol::identity::OpNumber};

use crate::cluster::{Cluster, Process, run};

/// What the README's formulas speak of, in bytes or in number.
type Quantities = BTreeMap<&'static str, f64>;

const REPLICAS: usize = 2;
const CLIENTS: usize = 16;

const KEYS: usize = 4_000;
const SMALL_VALUE_BYTES: usize = 100;
const LARGE_VALUE_BYTES: usize = 64 << 10;

const CHECKPOINT_BYTES: usize = 16 << 20;
const CHECKPOINT_INTERVAL: usize = 4_000;
const WAITING_BYTES_MAX: usize = 2 << 20;
const SESSION_BYTES_MAX: usize = 16 << 20;

/// So much is written to one key: more than a server may occupy.
const OVERWRITTEN_BYTES: usize = 10 * CHECKPOINT_BYTES;

/// A server that was full occupied more than this share of what the README says.
const SHARE_MIN: f64 = 2.0 / 5.0;

/// The formula of this name in the README, evaluated: a sum of products of numbers, of MiB, and of
/// quantities.
fn formula(name: &'static str, quantities: &Quantities) -> f64 {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let line = readme.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix("= "));
    let line = line.unwrap_or_else(|| panic!("the README has no line '{name} = ...'"));
    let factor = |factor: &str| {
        let factor = factor.trim();
        if let Some(value) = quantities.get(factor) {
            return *value;
        }
        let (number, unit) = factor.strip_suffix(" MiB").map_or((factor, 1.0), |it| (it, f64::from(1 << 20)));
        let number: f64 = number.parse().unwrap_or_else(|_| panic!("'{factor}' in '{name} = {line}'"));
        number * unit
    };
    line.split('+').map(|term| term.split('×').map(factor).product::<f64>()).sum()
}

/// A line of the process's status that counts in kB.
pub fn status_bytes(server: &Process, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a number of kB");
    kib.parse::<f64>().expect("a number") * 1024.0
}

/// Values that do not share memory.
fn value(bytes: usize, number: usize) -> Vec<u8> {
    let mut value = number.to_string().into_bytes();
    value.resize(bytes, b'.');
    value
}

/// All clients put at the same time, each its share of so many values.
async fn put_all(
    clients: Vec<Client<SystemClock>>,
    puts: usize,
    bytes: usize,
    key: fn(usize) -> String,
) -> Vec<Client<SystemClock>> {
    let tasks = clients.into_iter().enumerate().map(|(first, mut client)| {
        tokio::spawn(async move {
            for number in (first..puts).step_by(CLIENTS) {
                client.put(key(number), value(bytes, number)).await.expect("put");
            }
            client
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.expect("no client panics"));
    }
    clients
}

#[test]
fn a_server_occupies_what_the_readme_says() {
    if !cfg!(target_os = "linux") {
        eprintln!("not tested: only Linux tells in /proc how much memory a process occupies");
        return;
    }
    run(async {
        let options = [
            ("--checkpoint-bytes", CHECKPOINT_BYTES),
            ("--checkpoint-interval", CHECKPOINT_INTERVAL),
            ("--log-entries-max", 4 * CHECKPOINT_INTERVAL),
            ("--log-bytes-max", 4 * CHECKPOINT_BYTES),
            ("--waiting-bytes-max", WAITING_BYTES_MAX),
            ("--session-bytes-max", SESSION_BYTES_MAX),
        ];
        let args: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut cluster = Cluster::start(&[]);
        let (primary, backup) = cluster.pair_of(&args).await;

        // Many small values.
        let clients = (0..CLIENTS).map(|_| cluster.client()).collect();
        let clients = put_all(clients, KEYS, SMALL_VALUE_BYTES, |number| format!("key {number}")).await;

        // Sessions that remember what a key held before.
        let mut last = OpNumber(0);
        let sessions = SESSION_BYTES_MAX / LARGE_VALUE_BYTES + 1;
        for number in 0..sessions {
            let mut client = cluster.client();
            let new = value(LARGE_VALUE_BYTES, number);
            let swap = client.compare_and_swap_revision("large", last, new).await.expect("a swap");
            assert!(swap.swapped);
            last = swap.revision;
        }
        let mut client = cluster.client();
        client.set_deadline(Duration::from_secs(3));
        let refused = client.compare_and_swap_revision("large", last, "").await;
        let refused = refused.expect_err("the sessions remember as much as they may").to_string();
        assert!(refused.contains("session"), "{refused}");

        // One key, again and again.
        let puts = OVERWRITTEN_BYTES / LARGE_VALUE_BYTES;
        put_all(clients, puts, LARGE_VALUE_BYTES, |_| "large".to_owned()).await;

        let data_bytes = (KEYS * (SMALL_VALUE_BYTES + "key nnnn".len()) + LARGE_VALUE_BYTES) as f64;
        let mut quantities = Quantities::from([
            ("replicas", REPLICAS as f64),
            ("number of keys", KEYS as f64),
            ("bytes of all keys and values", data_bytes),
            ("number of sessions", (sessions + CLIENTS) as f64),
            ("requests", (CLIENTS * LARGE_VALUE_BYTES) as f64),
        ]);
        quantities.extend(options.map(|(name, value)| (name, value as f64)));
        for part in ["keys", "log", "sessions"] {
            let bytes = formula(part, &quantities);
            quantities.insert(part, bytes);
        }
        let stated = formula("memory", &quantities);
        assert!(stated < OVERWRITTEN_BYTES as f64, "a log without a limit would not be noticed");
        for (role, server) in [("primary", &primary), ("backup", &backup)] {
            let most = status_bytes(server, "VmHWM");
            let mib = |bytes: f64| bytes / f64::from(1 << 20);
            let both =
                format!("the {role} occupied {:.1} MiB; the README says {:.1}", mib(most), mib(stated));
            println!("{both}");
            assert!(most < stated, "{both}");
            assert!(most > SHARE_MIN * stated, "{both}");
        }
    });
}
