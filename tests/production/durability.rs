//! What was acknowledged by servers with `--data-dir` survives the end of all processes.
//!
//! `PBKV_KILLS` says how often everything is killed under load (once if it does not), `PBKV_FAULTS_SEED`
//! makes the choices those of an earlier run.

use std::{fs, path::Path, time::Duration};

use pbkv::protocol::identity::ViewNumber;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rustix::process::Signal;

use crate::cluster::{Cluster, Process, failed, kvserver, run, succeeded};

/// The journal is written anew often.
const GROWTH: [&str; 2] = ["--journal-growth-min", "20000"];
/// The log is cut often, so that a journal is not only a log.
const SHORT_LOG: [&str; 2] = ["--checkpoint-interval", "50"];

/// Servers that keep what they hold, each at the address that it had first.
struct Durable {
    servers: Vec<Process>,
    /// After the servers, which print their logs when a test failed: it has the folder that these are in.
    cluster: Cluster,
}

impl Durable {
    /// A primary, and so many others.
    async fn start(servers: usize) -> Self {
        let mut all = Self { servers: Vec::new(), cluster: Cluster::start(&[]) };
        for number in 0..servers {
            let server = all.start_server(number, "localhost:0");
            all.servers.push(server);
            if number == 0 {
                all.cluster.settled(&all.servers[0], 0).await;
            }
        }
        all.cluster.pair(ViewNumber(1)).await;
        all
    }

    fn start_server(&mut self, number: usize, address: &str) -> Process {
        let dir = self.cluster.dir().join(format!("s{number}"));
        let dir = ["--data-dir", dir.to_str().expect("UTF-8")];
        self.cluster.server_at(address, &[&dir, &GROWTH[..], &SHORT_LOG].concat())
    }

    fn restart(&mut self, number: usize) {
        let address = self.servers[number].address.clone();
        self.servers[number] = self.start_server(number, &address);
    }
}

#[test]
fn what_was_acknowledged_survives_an_orderly_stop_of_everything() {
    run(async {
        let mut all = Durable::start(2).await;
        let mut client = all.cluster.client();
        for number in 0..300 {
            client.put(format!("key {number}"), format!("value {number}")).await.expect("put");
        }
        // In any order.
        for order in [[0, 1], [1, 0]] {
            for number in order {
                assert_eq!(all.servers[number].end(Signal::TERM).await, Some(0));
            }
            all.cluster.restart_view_service(Signal::TERM, &[]).await;
            for number in order {
                all.restart(number);
            }
            let mut client = all.cluster.client();
            for number in 0..300 {
                let value = client.get(format!("key {number}")).await.expect("get");
                assert_eq!(value.as_deref(), Some(format!("value {number}").as_bytes()), "key {number}");
            }
            let view = all.cluster.pair(ViewNumber(1)).await;
            let backup = all.servers.iter().find(|server| server.address != view.primary.as_str());
            let backup = backup.expect("one of two");
            assert!(!backup.log().contains("the state is installed"), "what it lacked was in the log");
            client.append("key 0", "!").await.expect("append");
            client.put("key 0", "value 0").await.expect("put");
        }
    });
}

#[test]
fn what_was_acknowledged_survives_that_everything_is_killed_under_load() {
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let (kills, seed) = (number("PBKV_KILLS").unwrap_or(1), number("PBKV_FAULTS_SEED"));
    let seed = seed.unwrap_or_else(rand::random);
    println!("PBKV_FAULTS_SEED={seed} PBKV_KILLS={kills}");
    run(async {
        let mut all = Durable::start(3).await;
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0..kills {
            let load = ["check", "--time", "3s", "--clients", "6", "--keys", "3", "--pause", "5ms"];
            let address = all.cluster.view_service.address.clone();
            let check = all.cluster.spawn_testclient(&address, &load);
            tokio::time::sleep(Duration::from_millis(rng.random_range(500..1500))).await;
            // None of them is the view service's, the others are servers.
            let mut order: Vec<Option<usize>> = (0..3).map(Some).chain([None]).collect();
            order.shuffle(&mut rng);
            for process in &order {
                match process {
                    Some(server) => all.servers[*server].die(),
                    None => all.cluster.view_service.die(),
                }
            }
            order.shuffle(&mut rng);
            for process in &order {
                match process {
                    Some(server) => all.restart(*server),
                    None => all.cluster.start_view_service(&[]),
                }
            }
            let output = check.output();
            let said = succeeded(&output);
            println!("round {round}: {said}");
            all.cluster.pair(ViewNumber(1)).await;
            for server in &all.servers {
                assert!(!server.log().contains("is damaged"), "{}", server.log());
            }
        }
    });
}

fn journal(dir: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("a file").path());
    files.into_iter().find(|path| path.extension().is_some_and(|end| end == "journal")).expect("one")
}

#[test]
fn a_damaged_journal_is_not_believed() {
    run(async {
        let mut all = Durable::start(2).await;
        let mut client = all.cluster.client();
        for number in 0..20 {
            client.put(format!("key {number}"), "value").await.expect("put");
        }
        let view = all.cluster.pair(ViewNumber(1)).await;
        let is_backup = |server: &Process| server.address != view.primary.as_str();
        let backup = all.servers.iter().position(is_backup).expect("one of two");
        let dir = all.cluster.dir().join(format!("s{backup}"));
        let inspect = |more: &[&str]| kvserver(&[&["inspect", dir.to_str().expect("UTF-8")], more].concat());
        let in_use = succeeded(&inspect(&[]));
        assert!(in_use.ends_with("every checksum matches\n"), "{in_use}");
        let address = all.servers[backup].address.clone();
        all.servers[backup].die();
        let sound = succeeded(&inspect(&[]));
        assert!(sound.starts_with(&format!("server    {address}\n")), "{sound}");
        assert!(
            sound.contains("holds     20 keys and 1 sessions after v2/op21\n")
                && sound.ends_with("every checksum matches\n"),
            "{sound}"
        );
        let object = succeeded(&inspect(&["--json"]));
        let object: serde_json::Value = serde_json::from_str(&object).expect("an object");
        assert_eq!(object["after"]["operation"], 21, "{object}");
        assert_eq!(object["server"], address);
        let file = journal(&dir);
        let mut bytes = fs::read(&file).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&file, &bytes).expect("written");
        let damaged = failed(&inspect(&[]), 3);
        assert!(damaged.contains("is damaged: the checksum of sector"), "{damaged}");
        all.restart(backup);
        all.servers[backup].logs("is damaged: the checksum of sector").await;
        all.servers[backup].logs("begins empty and waits for another one to send it the state").await;
        assert_eq!(fs::read(file.with_extension("damaged")).expect("it is kept"), bytes);
        all.cluster.pair(ViewNumber(view.number.0 + 1)).await;
        let primary = 1 - backup;
        all.servers[primary].die();
        let value = all.cluster.client().get("key 19").await.expect("get");
        assert_eq!(value.as_deref(), Some(&b"value"[..]));
    });
}

#[test]
fn a_wrong_folder_is_refused() {
    run(async {
        let mut all = Durable::start(2).await;
        let vs = all.cluster.view_service.address.clone();
        let dir = |number: usize| all.cluster.dir().join(format!("s{number}"));
        let (first, second) = (dir(0), dir(1));
        let start = |address: &str, dir: &Path| {
            kvserver(&["--addr", address, "--vs", &vs, "--data-dir", dir.to_str().expect("UTF-8")])
        };
        let used = failed(&start("localhost:0", &first), 3);
        assert!(used.contains("another server is using the folder"), "{used}");
        all.servers[0].die();
        let address = all.servers[0].address.clone();
        let foreign = failed(&start("localhost:0", &first), 3);
        let named = format!("belongs to the server {address}, and this one is localhost:");
        assert!(foreign.contains(&named) && foreign.contains("use another folder"), "{foreign}");
        let file = second.join("lock");
        fs::write(&file, "").expect("written");
        let no_folder = failed(&start("localhost:0", &file), 3);
        assert!(no_folder.contains("cannot use the folder"), "{no_folder}");
        all.restart(0); // none of that changed anything
        all.cluster.pair(ViewNumber(1)).await;
    });
}

#[test]
fn a_server_whose_disk_is_full_steps_aside_and_says_why() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let dir = cluster.dir().join("full");
        let dir = dir.to_str().expect("UTF-8").to_owned();
        // No file grows beyond 200 blocks, and who tries is told so.
        let mut full = cluster.server_with_ulimit("-f 200", &["--data-dir", &dir]);
        cluster.settled(&full, 0).await;
        let backup = cluster.server(&[]);
        cluster.settled(&full, 1).await;
        let mut client = cluster.client();
        for number in 0..100 {
            client.put(format!("key {number}"), vec![b'v'; 4000]).await.expect("another server goes on");
        }
        full.logs("cannot write to").await;
        assert_eq!(full.end(Signal::CONT).await, Some(3), "it ended by itself");
        cluster.settled(&backup, 0).await;
        for number in 0..100 {
            assert!(client.get(format!("key {number}")).await.expect("get").is_some(), "key {number}");
        }
    });
}
