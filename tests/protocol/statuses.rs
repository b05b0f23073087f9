//! What an operator who asks is told of each server.

use std::time::Duration;

use pbkv::protocol::{
    identity::{ServerId, Ticket},
    machine::Machine,
    options::ReplicaOptions,
    view::Record,
    view_service::{Answer, Effect, Event, SealKey, ServerStatus, Standing, ViewService},
};

use crate::{
    cluster::{Cluster, Setup},
    command::{Command, WallClock},
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
        machine.status().into_iter().map(told).collect()
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
    let mut effects = Vec::new();
    viewer.step(Duration::ZERO, Event::GetStatus { ticket: Ticket(7) }, &mut effects);
    assert_eq!(effects, [Effect::Answer { ticket: Ticket(7), answer: Answer::Status(Vec::new()) }]);
}
