//! Concurrent clients while servers are killed, paused and restarted; what the clients saw is judged.

use std::time::{Duration, Instant};

use pbkv::protocol::identity::ViewNumber;
use rustix::process::Signal;

use crate::cluster::{Cluster, Process, run, succeeded};

/// How long a backup is paused before its primary is killed: shorter than what makes it look dead.
const DEAF_TIME: Duration = Duration::from_millis(300);

/// How long the clients are left alone between two faults.
const WORK_TIME: Duration = Duration::from_millis(500);

/// Without faults the clients do far more than this in one [`WORK_TIME`].
const OPERATIONS_MIN: u64 = 300;

/// The servers of a test, found by their role.
struct Servers(Vec<Process>);

impl Servers {
    fn take(&mut self, address: &str) -> Process {
        let index = self.0.iter().position(|server| server.address == address);
        self.0.swap_remove(index.unwrap_or_else(|| panic!("{address} is a server of this test")))
    }

    fn get(&self, address: &str) -> &Process {
        self.0.iter().find(|server| server.address == address).expect("a server of this test")
    }
}

async fn judged_under_faults(reads: &str, time: Duration) {
    let mut cluster = Cluster::start(&[]);
    let args = ["--reads", reads, "--checkpoint-interval", "200", "--log-entries-max", "10000"];
    let mut servers = Servers((0..3).map(|_| cluster.server(&args)).collect());
    let mut from = cluster.pair(ViewNumber(1)).await.number;

    let time_ms = format!("{}ms", time.as_millis());
    let clients = ["--clients", "6", "--keys", "3", "--pause", "2ms", "--seed", "1"];
    let check = cluster.spawn_testclient(
        &cluster.view_service.address,
        &[&["check", "--time", &time_ms], &clients[..]].concat(),
    );
    let until = Instant::now() + time;
    let mut faults = 0;
    while Instant::now() < until {
        cluster.pair(from).await;
        tokio::time::sleep(WORK_TIME).await;
        let view = cluster.pair(from).await;
        let primary = view.primary.to_string();
        let backup = view.backups().next().expect("one").to_string();
        from = view.number.next();
        match faults % 5 {
            0 => {
                // The backup hears nothing of what the primary does meanwhile, and then is all there is:
                // whatever the primary answered without it is lost.
                servers.get(&backup).signal(Signal::STOP);
                tokio::time::sleep(DEAF_TIME).await;
                servers.take(&primary).kill();
                servers.get(&backup).signal(Signal::CONT);
                servers.0.push(cluster.server(&args));
            }
            1 | 2 => {
                // Until the others have gone on without it.
                let paused = servers.get(if faults % 5 == 1 { &backup } else { &primary });
                paused.signal(Signal::STOP);
                cluster.view("a view without the paused server", |view| view.number >= from).await;
                paused.signal(Signal::CONT);
            }
            3 => {
                servers.take(&backup).kill();
                servers.0.push(cluster.server(&args));
            }
            _ => {
                cluster.restart_view_service(Signal::KILL, &[]).await;
                from = view.number;
            }
        }
        faults += 1;
    }
    let output = check.output();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("linearizable"), "{said}");
    let (_, counted) = said.split_once("s: ").expect("a summary");
    let answered: u64 = counted.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert!(answered >= OPERATIONS_MIN, "only {said}");
    assert!(faults >= 2, "only {faults} faults in {time:?}");
    println!("{faults} faults; {said}");
}

#[test]
fn confirmed_reads_are_linearizable_under_faults() {
    run(judged_under_faults("confirm", Duration::from_secs(18)));
}

#[test]
fn leased_reads_are_linearizable_under_faults() {
    run(judged_under_faults("lease", Duration::from_secs(14)));
}

#[test]
fn a_check_that_is_ended_early_judges_what_it_saw() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        // Neither the time nor a pause is waited for.
        let load = ["check", "--time", "60m", "--clients", "2", "--pause", "30m"];
        let check = cluster.spawn_testclient(&cluster.view_service.address, &load);
        tokio::time::sleep(4 * WORK_TIME).await;
        check.signal(Signal::TERM);
        let output = check.output();
        assert!(succeeded(&output).contains("linearizable"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("SIGTERM"), "{output:?}");
    });
}
