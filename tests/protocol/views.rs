//! How often the view changes in the long run, and what the operator is told of it.

use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, DataId, Generation, ServerId, Ticket, ViewNumber},
    machine::Machine,
    message::{Echo, Ping, PingReplyBody, Token},
    options::{ReplicaOptions, ViewServiceOptions},
    view::{Members, Record, View},
    view_service::{Answer, Distress, Effect, Event, Notice, SealKey, ViewService},
};

use crate::{
    cluster::{Cluster, Setup},
    command::{Command, VIEW_SERVICE, WallClock},
    network::Pick,
    pings,
};

fn server(name: &str) -> ServerId {
    ServerId::new(name)
}

fn cluster(replicas: usize) -> Cluster {
    Cluster::new(Setup {
        servers: ["A", "B", "C"].map(server).into(),
        view: ViewServiceOptions { replicas, ..ViewServiceOptions::default() },
        replica: ReplicaOptions::default(),
        gains_permille: Vec::new(),
        shows_revisions: false,
    })
}

fn run(cluster: &mut Cluster, time: Duration) {
    cluster.apply(&Command::Run(time)).expect("nothing breaks");
}

fn views(cluster: &Cluster) -> u64 {
    cluster.viewer.disk.number.0
}

const S: Duration = Duration::from_secs(1);

/// Each attempt costs two views. They come after 3 s, 6 s and so on up to five minutes, not every half minute
/// for ever.
#[test]
fn a_spare_that_never_worked_is_tried_ever_more_rarely() {
    let mut cluster = cluster(3);
    cluster.apply(&Command::Cut(server("A"), server("C"))).expect("nothing breaks");
    run(&mut cluster, 300 * S);
    let first = views(&cluster);
    run(&mut cluster, 300 * S);
    assert!(views(&cluster) > 4, "it is tried again");
    assert!(views(&cluster) - first <= 4, "{} views, then {}", first, views(&cluster));
}

/// A backup that is reached and not reached in turns: three seconds each would be two views every six
/// seconds.
#[test]
fn a_server_that_comes_and_goes_does_not_change_the_view_at_every_edge() {
    let mut cluster = cluster(2);
    run(&mut cluster, 3 * S);
    let mut before = 0;
    let probes =
        |name| Pick::Link { from: server(VIEW_SERVICE), to: server(name), kind: Some("probe".into()) };
    for round in 0..45 {
        if round == 15 {
            before = views(&cluster);
        }
        for name in ["B", "C"] {
            cluster.apply(&Command::Hold(probes(name))).expect("nothing breaks");
        }
        run(&mut cluster, 4 * S);
        cluster.apply(&Command::Release).expect("nothing breaks");
        run(&mut cluster, 4 * S);
    }
    // Of 30 rounds, 240 s: each of the two is tried once in 30 s, and each attempt costs two views.
    let changes = views(&cluster) - before;
    assert!((4..=32).contains(&changes), "{changes} views in 30 rounds");
    run(&mut cluster, 70 * S);
    let insync = cluster.viewer.disk.view.as_ref().expect("there is one").insync.len();
    assert_eq!(insync, 2, "one that stays is taken back");
}

#[test]
fn missing_copies_are_told_when_they_begin_and_when_they_end() {
    let mut cluster = cluster(2);
    run(&mut cluster, 3 * S);
    let told = |cluster: &Cluster| cluster.coverage.counts.get("copies told").copied().unwrap_or(0);
    assert_eq!(told(&cluster), 2, "one copy at first, then two");
    for name in ["B", "C"] {
        cluster.apply(&Command::Crash(server(name), 0)).expect("nothing breaks");
    }
    run(&mut cluster, 5 * S);
    assert_eq!(told(&cluster), 3);
    cluster.apply(&Command::Restart(server("C"), WallClock::GoesOn)).expect("nothing breaks");
    run(&mut cluster, 5 * S);
    assert_eq!(told(&cluster), 4);
}

/// A server that is reached and hears the view service, and says what it is asked to say.
struct Pings {
    name: &'static str,
    number: u64,
    token: Option<Token>,
    echo: Option<Echo>,
    copies_min: usize,
    notices: Vec<Notice>,
}

impl Pings {
    fn of(name: &'static str) -> Self {
        Self { name, number: 0, token: None, echo: None, copies_min: 0, notices: Vec::new() }
    }

    fn data(&self) -> DataId {
        DataId { boot: Boot(1), nonce: u64::from(self.name.as_bytes()[0]) }
    }

    /// Confirms whatever view it is primary of, with its joiners if it asks for copies, and as a joiner has
    /// received a part more each time.
    fn ping(&mut self, now: Duration, viewer: &mut ViewService) {
        self.number += 1;
        let newcomer = pings::of_a_newcomer(self.name, self.number, self.token);
        let view = viewer.record().view.as_ref().filter(|view| view.primary == newcomer.server);
        let ping = Ping {
            data: Some(self.data()),
            generation: viewer.record().generation,
            view_known: viewer.record().number,
            view_told: viewer.record().number,
            confirmed: view.map_or_else(Members::new, |view| {
                let joined = view.joining.iter().filter(|_| self.copies_min > 0);
                view.insync.iter().chain(joined).map(|(server, data)| (server.clone(), *data)).collect()
            }),
            copies_min: self.copies_min,
            progress: self.number,
            echo: self.echo,
            ..newcomer
        };
        let mut effects = Vec::new();
        viewer.step(now, Event::Ping { ticket: Ticket(self.number), ping }, &mut effects);
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Persist { number, .. } => viewer.step(now, Event::Persisted(number), &mut effects),
                Effect::Probe { probe, .. } => self.token = Some(probe.token),
                Effect::Answer { answer: Answer::Ping(reply), .. } => {
                    if let PingReplyBody::Accepted { echo, .. } = reply.body {
                        self.echo = Some(echo);
                    }
                }
                Effect::Notice(notice) => self.notices.push(notice),
                _ => {}
            }
        }
    }
}

/// Its progress is told by its pings, of which there may be few in the time after which a joiner without any
/// is replaced.
#[test]
fn a_joiner_is_not_replaced_between_two_pings() {
    let options = ViewServiceOptions { dead_after: 12 * S, ..ViewServiceOptions::default() };
    assert!(options.join_stall_max < 4 * S, "or this shows nothing");
    let interval = options.policy_interval;
    let mut viewer = ViewService::new(options, Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let (mut a, mut b) = (Pings::of("A"), Pings::of("B"));
    let mut now = Duration::ZERO;
    let mut begun = None;
    while now < 120 * S {
        if now.as_millis().is_multiple_of(4_000) {
            a.ping(now, &mut viewer);
            b.ping(now, &mut viewer);
        }
        let mut effects = Vec::new();
        viewer.step(now, Event::Tick, &mut effects);
        while let Some(effect) = effects.pop() {
            if let Effect::Persist { number, .. } = effect {
                viewer.step(now, Event::Persisted(number), &mut effects);
            }
        }
        let joins = viewer.record().view.as_ref().is_some_and(|view| view.joining.contains_key(&server("B")));
        begun = begun.or(joins.then(|| viewer.record().number));
        now += interval;
    }
    assert_eq!(begun, Some(viewer.record().number), "it joins, and no view replaces that one");
}

#[test]
fn refused_updates_are_told_by_the_view_service_when_they_begin_and_when_they_end() {
    let options = ViewServiceOptions::default();
    let mut viewer = ViewService::new(options, Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let (mut a, mut b) = (Pings { copies_min: 2, ..Pings::of("A") }, Pings::of("B"));
    let mut now = Duration::ZERO;
    let mut until = |end: Duration, b_lives: bool| {
        while now < end {
            let pings = now.as_millis().is_multiple_of(500);
            if pings {
                a.ping(now, &mut viewer);
            }
            if pings && b_lives {
                b.ping(now, &mut viewer);
            }
            let mut effects = Vec::new();
            viewer.step(now, Event::Tick, &mut effects);
            while let Some(effect) = effects.pop() {
                match effect {
                    Effect::Persist { number, .. } => {
                        viewer.step(now, Event::Persisted(number), &mut effects)
                    }
                    Effect::Notice(notice) => a.notices.push(notice),
                    _ => {}
                }
            }
            now += S / 10;
        }
        let told = a.notices.iter().chain(&b.notices).filter_map(|notice| match notice {
            Notice::Updates { insync, copies_min, .. } => Some((*insync, *copies_min)),
            _ => None,
        });
        (told.collect::<Vec<_>>(), viewer.distress())
    };
    let refused = Distress::UpdatesRefused { primary: server("A"), copies_min: 2, replicas: 2 };
    assert_eq!(until(6 * S, false), (vec![(1, 2)], Some(refused)));
    assert_eq!(until(12 * S, true), (vec![(1, 2), (2, 2)], None));
}

/// A view service that was told a shorter dead interval at its restart waits for the longer one, and says so.
#[test]
fn whoever_asks_while_nobody_is_promoted_yet_is_told_why() {
    let (mut a, mut b) = (Pings::of("A"), Pings::of("B"));
    let members: Members = [&a, &b].map(|it| (server(it.name), it.data())).into();
    let view = View {
        generation: Generation::FIRST,
        number: ViewNumber(2),
        primary: server("A"),
        primary_boot: Boot(1),
        insync: members.clone(),
        joining: Members::new(),
        activated: true,
    };
    let record = Record {
        number: view.number,
        view: Some(view),
        stable: members,
        promised: 40 * S,
        ..Record::default()
    };
    let mut viewer =
        ViewService::new(ViewServiceOptions::default(), record, 1, SealKey(1, 2), Duration::ZERO);
    let mut now = Duration::ZERO;
    let mut until = |now: &mut Duration, end: Duration, a_lives: bool| {
        while *now < end {
            let pings = now.as_millis().is_multiple_of(500);
            if pings && a_lives {
                a.ping(*now, &mut viewer);
            }
            if pings {
                b.ping(*now, &mut viewer);
            }
            viewer.step(*now, Event::Tick, &mut Vec::new());
            *now += S / 10;
        }
        viewer.distress()
    };
    assert_eq!(until(&mut now, 5 * S, true), None, "both are there");
    assert_eq!(until(&mut now, 7 * S, false), Some(Distress::Listening(vec![server("A")])));
    assert_eq!(until(&mut now, 39 * S, false), Some(Distress::Listening(vec![server("A")])));
    // It may hold a lease of the earlier life until then; soon after there is another primary.
    assert_eq!(until(&mut now, 45 * S, false), None);
    assert!(viewer.record().view.as_ref().is_some_and(|view| view.primary == server("B")));
}

/// A process that really is reached at its address, and claims ever larger lives.
#[test]
fn no_server_uses_up_the_numbers_of_its_successors() {
    let mut viewer =
        ViewService::new(ViewServiceOptions::default(), Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let ping = |boot, number, token| Ping { boot, ..pings::of_a_newcomer("A", number, token) };
    let mut told = |boot, number, token| {
        let mut effects = Vec::new();
        let event = Event::Ping { ticket: Ticket(number), ping: ping(boot, number, token) };
        viewer.step(Duration::from_millis(number), event, &mut effects);
        (viewer.servers().boot(&server("A")), effects)
    };
    let (_, effects) = told(Boot(1), 1, None);
    let token = pings::token(&effects);
    let last = Boot(Boot::CLOCK_MAX.0 + Boot::STEP_MAX);
    for (number, boot, taken) in [
        (2, Boot(7), Some(Boot(7))),
        (3, Boot(u64::MAX / 4), Some(Boot(7))),
        (4, Boot::CLOCK_MAX.next(), Some(Boot(7))),
        (5, Boot::CLOCK_MAX, Some(Boot::CLOCK_MAX)),
        (6, last, Some(last)),
        (7, Boot(last.0 + Boot::STEP_MAX + 1), Some(last)),
    ] {
        let (known, effects) = told(boot, number, token);
        assert_eq!(known, taken, "{boot}");
        let refused =
            effects.iter().any(|effect| matches!(effect, Effect::Notice(Notice::ImplausibleLife { .. })));
        assert_eq!(refused, known != Some(boot), "{boot}");
    }
}

/// Two processes of one address, of which each took the number behind the one that it was told: the later one
/// is reached now.
#[test]
fn a_life_that_another_process_took_is_told_to_take_the_next_number() {
    let mut viewer =
        ViewService::new(ViewServiceOptions::default(), Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let mut told = |nonce, number, token| {
        let data = Some(DataId { boot: Boot(7), nonce });
        let ping = Ping { boot: Boot(7), data, nonce, ..pings::of_a_newcomer("A", number, token) };
        let mut effects = Vec::new();
        viewer.step(Duration::from_millis(1), Event::Ping { ticket: Ticket(number), ping }, &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::Persist { .. }));
        (viewer.servers().get(&server("A")).and_then(|known| known.data), effects)
    };
    let (_, effects) = told(1, 1, None);
    let token = pings::token(&effects);
    let first = Some(DataId { boot: Boot(7), nonce: 1 });
    assert_eq!(told(1, 30, token).0, first);
    let (known, effects) = told(2, 3, token);
    assert_eq!(known, first, "it is no later ping of the same process");
    let is_told = effects.iter().any(|effect| match effect {
        Effect::Answer { answer: Answer::Ping(reply), .. } => {
            reply.body == PingReplyBody::StaleBoot { max: Boot(7) }
        }
        _ => false,
    });
    assert!(is_told, "{effects:?}");
}
