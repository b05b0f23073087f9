//! What an operator who asks is told of each server.

use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, DataId, OpNumber, Position, ServerId, Ticket, ViewNumber},
    machine::Machine,
    message::{Echo, Ping, Token},
    options::{ReplicaOptions, ViewServiceOptions},
    view::{Members, Record, View},
    view_service::{
        Answer, Distress, Effect, Event, NotTaken, SealKey, ServerStatus, Standing, Survey, ViewService,
    },
};

use crate::{
    cluster::{Cluster, Setup},
    command::{Command, WallClock},
    pair::GENERATION,
    pings,
};

#[test]
fn an_operator_is_told_of_spares_joiners_and_what_is_wrong_with_a_server() {
    let server = |name: &str| ServerId::new(name);
    let mut cluster = Cluster::new(Setup {
        servers: ["A", "B", "C"].map(server).into(),
        view: Default::default(),
        replica: ReplicaOptions::default(),
        gains_permille: Vec::new(),
        shows_revisions: false,
    });
    let run = |cluster: &mut Cluster, ms| {
        cluster.apply(&Command::Run(Duration::from_millis(ms))).expect("nothing breaks");
    };
    let status = |cluster: &Cluster| -> Vec<(String, Standing, Option<String>)> {
        let machine: &ViewService = cluster.viewer.machine.as_ref().expect("it runs");
        let told = |it: ServerStatus| (it.server.as_str().to_owned(), it.standing, it.trouble);
        machine.survey().servers.into_iter().map(told).collect()
    };
    let fine = |name: &str, standing| (name.to_owned(), standing, None);
    run(&mut cluster, 3_000);
    let well = [fine("A", Standing::Primary), fine("B", Standing::Backup), fine("C", Standing::Idle)];
    assert_eq!(status(&cluster), well);

    cluster.apply(&Command::Wipe(server("B"))).expect("nothing breaks");
    run(&mut cluster, 3_000);
    let told = status(&cluster);
    assert_eq!(told[..2], [fine("A", Standing::Primary), fine("C", Standing::Backup)]);
    assert_eq!(told[2].2.as_deref(), Some("is not heard"));
    cluster.apply(&Command::Restart(server("B"), WallClock::GoesOn)).expect("nothing breaks");
    run(&mut cluster, 3_000);
    assert_eq!(status(&cluster)[2], fine("B", Standing::Idle));
}

/// As every answer of the view service, it is given when the record is durable.
#[test]
fn a_status_answers_the_one_who_asks() {
    let mut viewer =
        ViewService::new(Default::default(), Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let (mut effects, listens) = (Vec::new(), Survey::default());
    viewer.step(Duration::ZERO, Event::GetStatus { ticket: Ticket(7) }, &mut effects);
    assert_eq!(effects, [Effect::Answer { ticket: Ticket(7), answer: Answer::Status(listens) }]);
}

const fn data(boot: u64) -> DataId {
    DataId { boot: Boot(boot), nonce: boot }
}

/// The life of the view service.
const EPOCH: u64 = 9;

/// A view service whose record says that A alone held all the data.
struct Viewer {
    machine: ViewService,
    now: Duration,
    numbers: u64,
}

impl Viewer {
    fn new(options: ViewServiceOptions) -> Self {
        let stable = Members::from([(ServerId::new("A"), data(7))]);
        let view = View {
            generation: GENERATION,
            number: ViewNumber(3),
            primary: ServerId::new("A"),
            primary_boot: Boot(7),
            insync: stable.clone(),
            joining: Members::new(),
            activated: true,
        };
        let record = Record {
            generation: GENERATION,
            number: view.number,
            view: Some(view),
            stable,
            promised: options.dead_after,
            adopted: None,
        };
        let machine = ViewService::new(options, record, EPOCH, SealKey(1, 2), Duration::ZERO);
        Self { machine, now: Duration::ZERO, numbers: 0 }
    }

    fn step(&mut self, ping: Ping) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.step(self.now, Event::Ping { ticket: Ticket(1), ping }, &mut effects);
        effects
    }

    /// A ping of a server that holds so many operations.
    fn ping(&mut self, name: &str, boot: u64, operations: u64, token: Option<Token>) -> Ping {
        self.numbers += 1;
        let log_end = Position { view: ViewNumber(2.min(operations)), op: OpNumber(operations) };
        let (boot, data) = (Boot(boot), Some(data(boot)));
        Ping {
            boot,
            data,
            log_end,
            generation: GENERATION,
            echo: Some(Echo { epoch: EPOCH, at: self.now }),
            ..pings::of_a_newcomer(name, self.numbers, token)
        }
    }

    /// It pings and is not reached.
    fn hear_unreached(&mut self, name: &str, boot: u64, operations: u64) -> Option<Token> {
        let ping = self.ping(name, boot, operations, None);
        pings::token(&self.step(ping))
    }

    /// It pings, and is reached.
    fn hear(&mut self, name: &str, boot: u64, operations: u64) {
        let token = self.key_of(name);
        let ping = self.ping(name, boot, operations, token);
        self.step(ping);
    }

    /// What a probe brought to it just now: another service of the same key makes the same tokens.
    fn key_of(&self, name: &str) -> Option<Token> {
        let mut effects = Vec::new();
        let mut same = self.machine.clone();
        let ping = pings::of_a_newcomer(name, 1, None);
        same.step(self.now, Event::Ping { ticket: Ticket(1), ping }, &mut effects);
        pings::token(&effects)
    }

    /// Time passes in steps in which A, which came back empty, pings, and what else happens.
    fn pass(&mut self, time: Duration, each: Duration, mut otherwise: impl FnMut(&mut Self)) {
        let end = self.now + time;
        while self.now < end {
            self.now += each;
            self.machine.step(self.now, Event::Tick, &mut Vec::new());
            self.hear("A", 8, 0);
            otherwise(self);
        }
    }

    /// The servers that are shown as not taken, and why.
    fn not_taken(&self) -> Vec<(ServerId, String)> {
        let refused =
            self.machine.survey().servers.into_iter().filter(|it| it.standing == Standing::NotTaken);
        refused.map(|it| (it.server, it.trouble.expect("there is a reason"))).collect()
    }

    /// This one alone is shown as not taken, for this reason.
    fn shows_not_taken(&self, name: &str, why: &str) {
        let all = self.not_taken();
        let [(server, trouble)] = &all[..] else { panic!("{all:?}") };
        assert!(*server == ServerId::new(name) && trouble.starts_with(why), "{all:?}");
    }

    /// Whether it says that nothing is left: no server that runs holds anything, and no other one can be
    /// there.
    fn gives_up(&self) -> bool {
        let Survey { servers, is_complete } = self.machine.survey();
        assert!(matches!(self.machine.distress(), Some(Distress::DataLost(_))), "{servers:?}");
        is_complete && !servers.iter().any(|it| it.runs && it.log_end.op > OpNumber(0))
    }
}

const EACH: Duration = Duration::from_millis(100);

#[test]
fn nothing_is_given_up_before_the_service_has_listened() {
    let mut viewer = Viewer::new(ViewServiceOptions::default());
    let listens = ViewServiceOptions::default().dead_after;
    viewer.pass(listens - EACH, EACH, |viewer| assert!(!viewer.gives_up(), "at {:?}", viewer.now));
    viewer.pass(EACH, EACH, |_| {});
    assert!(viewer.gives_up(), "none came");

    // One that is not in the record came meanwhile, and holds something.
    let mut viewer = Viewer::new(ViewServiceOptions::default());
    viewer.pass(Duration::from_secs(10), EACH, |viewer| {
        if viewer.now > listens / 2 {
            viewer.hear("B", 9, 5);
        }
        assert!(!viewer.gives_up(), "at {:?}", viewer.now);
    });
}

#[test]
fn a_server_runs_for_a_dead_interval_after_its_ping_however_long_that_is() {
    let dead_after = Duration::from_secs(20);
    let mut viewer = Viewer::new(ViewServiceOptions { dead_after, ..ViewServiceOptions::default() });
    let mut pings_at = Duration::ZERO;
    viewer.pass(Duration::from_secs(120), EACH, |viewer| {
        if viewer.now >= pings_at {
            viewer.hear("B", 9, 5);
            pings_at = viewer.now + Duration::from_secs(6);
        }
        assert!(!viewer.gives_up(), "at {:?}", viewer.now);
    });
    viewer.pass(dead_after, EACH, |_| {});
    assert!(viewer.gives_up(), "it runs no longer");
}

#[test]
fn nothing_is_given_up_while_a_server_pings_that_is_not_taken() {
    let mut viewer = Viewer::new(ViewServiceOptions { replicas: 1, ..ViewServiceOptions::default() });
    viewer.pass(Duration::from_secs(3), EACH, |_| {});
    assert!(viewer.gives_up());

    // It was heard, and holds something; from now on it is not reached.
    viewer.hear("B", 9, 5);
    viewer.pass(Duration::from_secs(60), EACH, |viewer| {
        viewer.hear_unreached("B", 9, 5);
        assert!(!viewer.gives_up(), "at {:?}", viewer.now);
    });
    viewer.shows_not_taken("B", "pings, but cannot be reached");
    let unreached = NotTaken::Unreached(vec![ServerId::new("B")]);
    assert_eq!(viewer.machine.not_taken(), Some(unreached), "that is told although no copy is missing");

    // A second process pings under an address at which another one answers.
    viewer.pass(Duration::from_secs(3), EACH, |_| {});
    assert!(viewer.gives_up(), "it pings no longer");
    assert_eq!(viewer.not_taken(), []);
    viewer.pass(Duration::from_secs(10), EACH, |viewer| {
        viewer.hear_unreached("A", 9, 5);
        assert!(!viewer.gives_up(), "at {:?}", viewer.now);
    });
    viewer.shows_not_taken("A", "is also the --advertise of another server");

    // One of another history.
    viewer.pass(Duration::from_secs(3), EACH, |_| {});
    assert!(viewer.gives_up());
    viewer.pass(Duration::from_secs(10), EACH, |viewer| {
        let token = viewer.key_of("C");
        let mut ping = viewer.ping("C", 9, 5, token);
        ping.generation.nonce += 1;
        viewer.step(ping);
        assert!(!viewer.gives_up(), "at {:?}", viewer.now);
    });
    viewer.shows_not_taken("C", "holds data of another history");
    let other = NotTaken::OtherHistory(vec![ServerId::new("C")]);
    assert_eq!(viewer.machine.not_taken(), Some(other));
}
