//! Faults at random, one after the other, under clients whose history is judged: servers and the view service
//! are killed, ended and stopped, links are cut, swallow what they carry, lose answers, are slow or break
//! again and again.
//!
//! `PBKV_FAULTS_SECONDS` says for how long (a minute if it does not), `PBKV_FAULTS_SEED` makes the choices
//! those of an earlier run. The choices are the same then, but not what comes of them: these are real
//! processes.

use std::{
    env, fmt,
    time::{Duration, Instant},
};

use pbkv::protocol::{identity::ViewNumber, view::View};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use rustix::process::Signal;

use crate::{
    cluster::{Cluster, Wired, run},
    proxy::{Damage, Proxy},
};

const SECONDS_DEFAULT: u64 = 60;
/// A view that holds for so long after the last fault was not about to be changed by it: longer than any
/// server is silent between two pings, and than the view service takes to look.
const CALM_TIME: Duration = Duration::from_millis(1200);
/// How long faults last: unnoticed, noticed by some, noticed by all.
const LASTING: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(1200), Duration::from_millis(2500)];
/// A link that is slow delays each message by this.
const SLOW: Duration = Duration::from_millis(100);
/// Under faults the clients still do far more than this in a second.
const OPERATIONS_A_SECOND: u64 = 5;
/// So many faults take place in a minute at least.
const FAULTS_A_MINUTE: u64 = 5;

/// Something that happens to a process.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9`, and it is started again.
    Kill,
    /// It is asked to end, and started again.
    Term,
    /// It stands still.
    Stop,
    /// To the link on which it is asked: a server by all, the view service by the clients.
    Inward(Damage),
    /// To the link on which a server asks the view service.
    Outward(Damage),
    /// To all its links.
    Isolate(Damage),
}

/// What is struck.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Primary,
    Backup,
    /// A server without a role.
    Spare,
    ViewService,
}

/// What happens next.
struct Choice {
    victim: Victim,
    fault: Fault,
    lasts: Duration,
}

impl Choice {
    fn draw(rng: &mut StdRng) -> Self {
        let damages = [
            Damage::Cut,
            Damage::BlackHole,
            Damage::RepliesLost,
            Damage::Slow(SLOW),
            Damage::Flaky(rng.random()),
        ];
        let damage = *damages.choose(rng).expect("some");
        let faults = [
            Fault::Kill,
            Fault::Term,
            Fault::Stop,
            Fault::Inward(damage),
            Fault::Outward(damage),
            Fault::Isolate(damage),
        ];
        let victims = [
            Victim::Primary,
            Victim::Primary,
            Victim::Backup,
            Victim::Backup,
            Victim::Spare,
            Victim::ViewService,
        ];
        Self {
            victim: *victims.choose(rng).expect("some"),
            fault: *faults.choose(rng).expect("some"),
            lasts: *LASTING.choose(rng).expect("some"),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}, {:?}", self.victim, self.fault, self.lasts)
    }
}

/// A cluster to which things happen.
struct Trial {
    servers: Vec<Wired>,
    /// After the servers, which print their logs when a test failed: it has the folder that these are in.
    cluster: Cluster,
    /// From the clients to the view service.
    clients: Proxy,
}

impl Trial {
    /// Waits until every single server may fail: a primary has a backup, in a view that is not about to
    /// change.
    async fn calm(&self) -> View {
        loop {
            let view = self.cluster.pair(ViewNumber(1)).await;
            tokio::time::sleep(CALM_TIME).await;
            if self.cluster.pair(ViewNumber(1)).await.number == view.number {
                return view;
            }
        }
    }

    async fn strike(&mut self, choice: &Choice, view: &View) {
        let Choice { victim, fault, lasts } = choice;
        if let Victim::ViewService = victim {
            return self.strike_view_service(*fault, *lasts).await;
        }
        let backup = view.backups().next().expect("one");
        let plays = |server: &Wired| {
            let address = server.process.address.as_str();
            match victim {
                Victim::Primary => address == view.primary.as_str(),
                Victim::Backup => address == backup.as_str(),
                _ => address != view.primary.as_str() && address != backup.as_str(),
            }
        };
        let place = self.servers.iter().position(plays).expect("a primary, a backup and a spare");
        let server = &mut self.servers[place];
        match fault {
            Fault::Kill => server.process.die(),
            Fault::Term => assert_eq!(server.process.end(Signal::TERM).await, Some(0)),
            Fault::Stop => server.process.signal(Signal::STOP),
            Fault::Inward(damage) => server.inward.damage(*damage),
            Fault::Outward(damage) => server.outward.damage(*damage),
            Fault::Isolate(damage) => {
                server.inward.damage(*damage);
                server.outward.damage(*damage);
            }
        }
        tokio::time::sleep(*lasts).await;
        let server = &mut self.servers[place];
        match fault {
            Fault::Kill | Fault::Term => self.cluster.restart(server, &[]),
            Fault::Stop => server.process.signal(Signal::CONT),
            Fault::Inward(_) | Fault::Outward(_) | Fault::Isolate(_) => server.heal(),
        }
    }

    async fn strike_view_service(&mut self, fault: Fault, lasts: Duration) {
        match fault {
            Fault::Kill | Fault::Term => {
                let signal = if let Fault::Kill = fault { Signal::KILL } else { Signal::TERM };
                self.cluster.view_service.end(signal).await;
                tokio::time::sleep(lasts).await;
                self.cluster.start_view_service(&[]);
            }
            Fault::Stop => {
                self.cluster.view_service.signal(Signal::STOP);
                tokio::time::sleep(lasts).await;
                self.cluster.view_service.signal(Signal::CONT);
            }
            Fault::Inward(damage) | Fault::Outward(damage) | Fault::Isolate(damage) => {
                self.clients.damage(damage);
                if let Fault::Isolate(_) = fault {
                    self.servers.iter().for_each(|server| server.outward.damage(damage));
                }
                tokio::time::sleep(lasts).await;
                self.clients.heal();
                self.servers.iter().for_each(Wired::heal);
            }
        }
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

#[test]
fn clients_see_one_copy_under_random_faults() {
    let seed = number("PBKV_FAULTS_SEED").unwrap_or_else(rand::random);
    let seconds = number("PBKV_FAULTS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    println!("PBKV_FAULTS_SEED={seed} PBKV_FAULTS_SECONDS={seconds}");
    run(async {
        let mut cluster = Cluster::start(&[]);
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(cluster.wired(&[]).await);
        }
        let clients = Proxy::to(&cluster.view_service.address).await;
        let mut trial = Trial { cluster, servers, clients };
        trial.calm().await;
        let time = format!("{seconds}s");
        let load = ["check", "--time", &time, "--clients", "6", "--keys", "3", "--pause", "5ms"];
        let mut check = trial.cluster.spawn_testclient(&trial.clients.address, &load);

        let mut rng = StdRng::seed_from_u64(seed);
        let begun = Instant::now();
        let mut faults = 0;
        while begun.elapsed() < Duration::from_secs(seconds) && !check.is_done() {
            let view = trial.calm().await;
            let choice = Choice::draw(&mut rng);
            println!("{:6.1} s: {choice}", begun.elapsed().as_secs_f64());
            trial.strike(&choice, &view).await;
            faults += 1;
        }
        let output = check.output();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let (_, counted) = said.split_once("s: ").expect("a summary");
        let answered: u64 = counted.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
        assert!(answered >= OPERATIONS_A_SECOND * seconds, "only {said}");
        assert!(faults >= FAULTS_A_MINUTE * seconds / 60, "only {faults} faults in {seconds} s");
        // And it goes on.
        trial.calm().await;
        let mut client = trial.cluster.client();
        client.put("k", "v").await.expect("put");
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
    });
}
