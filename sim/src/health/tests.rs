use pbkv::protocol::{
    identity::{Boot, Generation, ViewNumber},
    replica,
    view_service::{self, OUT_OF_REACH},
};

mod liars;

use super::{silence::Distress, *};
use crate::{generate::generate, scenario::Scenario};

const S1: NodeIndex = 1;
const S2: NodeIndex = 2;
const S3: NodeIndex = 3;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Three servers, two copies, nothing ever went wrong.
struct Stage {
    nodes: Nodes,
    health: Health,
    around: Surroundings,
}

impl Stage {
    fn new() -> Self {
        let mut scenario: Scenario = generate(0);
        scenario.cluster = crate::scenario::Cluster::default();
        scenario.clients.truncate(1);
        scenario.clients[0].script.clear();
        let nodes = Nodes::new(&scenario);
        let mut health = Health::new(&nodes, Limits::of(&scenario));
        let around = Surroundings { runs: vec![true; 4], answers: true, ..Surroundings::default() };
        health.surrounded(Duration::ZERO, around.clone(), Some(START));
        for server in nodes.servers() {
            health.holds(Duration::ZERO, server, Some(data(server)));
        }
        Self { nodes, health, around }
    }

    fn view(&self, number: u64, insync: &[NodeIndex]) -> View {
        View {
            generation: Generation::FIRST,
            number: ViewNumber(number),
            primary: self.nodes.id(insync[0]).clone(),
            primary_boot: Boot(1),
            insync: insync.iter().map(|server| (self.nodes.id(*server).clone(), data(*server))).collect(),
            joining: Members::new(),
            activated: true,
        }
    }

    /// A view is activated.
    fn recorded(&mut self, at: u64, number: u64, insync: &[NodeIndex]) {
        let view = self.view(number, insync);
        let stable = view.insync.clone();
        let (number, view) = (view.number, Some(view));
        let record = Record { number, view, stable: stable.clone(), ..Record::default() };
        self.health.recorded(seconds(at), &record, &stable);
    }

    fn proposed(&mut self, at: u64, number: u64, insync: &[NodeIndex]) {
        let view = View { activated: false, ..self.view(number, insync) };
        self.health.proposed(seconds(at), &view, "because", &[]);
    }

    fn runs(&mut self, at: u64, server: NodeIndex, runs: bool) {
        self.around.runs[server] = runs;
        self.health.struck(seconds(at), &[server], Duration::ZERO);
        self.health.surrounded(seconds(at), self.around.clone(), Some("crash"));
    }

    fn cut(&mut self, at: u64, one: NodeIndex, other: NodeIndex) {
        self.around.apart.insert((one, other));
        self.health.struck(seconds(at), &[one, other], Duration::ZERO);
        self.health.surrounded(seconds(at), self.around.clone(), Some("partition"));
    }

    fn broken(&mut self, at: u64) -> Option<(Promise, String)> {
        self.health.pass(seconds(at));
        self.health.broken().map(|unhealthy| (unhealthy.promise, unhealthy.seen.clone()))
    }
}

fn data(server: NodeIndex) -> DataId {
    DataId { boot: Boot(1), nonce: server as u64 }
}

#[test]
fn what_is_missing_is_measured_with_its_cause_and_overdue_in_the_end() {
    let mut stage = Stage::new();
    stage.recorded(3, 1, &[S1, S2]);
    stage.runs(20, S2, false);
    assert_eq!(stage.broken(20), None);
    stage.recorded(23, 2, &[S1]);
    stage.health.view_service_said(seconds(24), &copies_in_sync(1));
    assert_eq!(stage.broken(30), None, "it takes a while");
    let copies = stage.health.copies().clone();
    let expected = BTreeMap::from([(START, seconds(3)), ("crash", seconds(10))]);
    assert_eq!((copies.fewer, copies.causes), (seconds(13), expected));
    let (promise, seen) = stage.broken(200).expect("s3 could have stepped in");
    assert_eq!(promise, Promise::Redundancy);
    assert!(seen.starts_with("1 of 2 copies"), "{seen}");
    assert!(stage.health.copies().causes.contains_key(NOTHING));
}

#[test]
fn what_the_surroundings_do_not_allow_is_not_demanded() {
    let mut stage = Stage::new();
    stage.recorded(3, 1, &[S1, S2]);
    stage.runs(20, S2, false);
    stage.cut(20, S1, S3);
    stage.recorded(23, 2, &[S1]);
    stage.health.view_service_said(seconds(24), &copies_in_sync(1));
    assert_eq!(stage.broken(1_000), None, "the primary reaches nobody");
    assert!(stage.health.is_settled());

    let mut stage = Stage::new();
    stage.recorded(3, 1, &[S1, S2]);
    stage.health.holds(seconds(5), S1, None);
    stage.health.holds(seconds(5), S2, None);
    stage.health.view_service_said(seconds(6), &waiting(&stage.nodes));
    let lost = view_service::Distress::DataLost(vec![stage.nodes.id(S1).clone()]);
    stage.health.answers(seconds(6), Some(&lost));
    assert_eq!(stage.broken(1_000), None, "all data is lost");
    stage.runs(1_000, VS, false);
    assert_eq!(stage.broken(2_000), None, "there is no view service");
    assert!(stage.health.is_settled());
}

#[test]
fn a_record_that_forgets_a_copy_is_no_excuse() {
    let overdue = |acknowledged: &[NodeIndex]| {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        let view = View { activated: false, ..stage.view(2, &[S1]) };
        let record = Record { stable: view.insync.clone(), view: Some(view), ..Record::default() };
        let acknowledged = stage.view(1, acknowledged).insync;
        stage.health.recorded(seconds(20), &record, &acknowledged);
        stage.runs(20, S1, false);
        stage.health.view_service_said(seconds(21), &waiting(&stage.nodes));
        let answer = view_service::Distress::Waiting(vec![stage.nodes.id(S1).clone()]);
        stage.health.answers(seconds(21), Some(&answer));
        stage.broken(1_000).map(|(promise, _)| promise)
    };
    assert_eq!(overdue(&[S1]), None, "the only complete copy is down");
    assert_ne!(overdue(&[S1, S2]), None, "s2 has one, too");
}

#[test]
fn a_server_that_came_back_with_other_contents_is_no_copy() {
    let mut stage = Stage::new();
    stage.recorded(3, 1, &[S1, S2]);
    stage.health.holds(seconds(5), S2, Some(DataId { boot: Boot(2), nonce: 9 }));
    assert!(!stage.health.is_settled());
    assert_eq!(stage.broken(100).map(|(promise, _)| promise), Some(Promise::Redundancy));
}

#[test]
fn a_replica_that_no_fault_touched_is_neither_suspected_nor_dropped() {
    let stage = || {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.runs(20, S1, false);
        stage
    };
    let mut dropped = stage();
    dropped.proposed(22, 2, &[S1]);
    let (promise, seen) = dropped.broken(22).expect("s2 was there");
    assert_eq!(promise, Promise::Stability);
    assert!(seen.contains("leaves out s2"), "{seen}");

    let mut suspected = stage();
    let s2 = suspected.nodes.id(S2).clone();
    suspected.health.suspected(seconds(22), S1, &s2);
    assert_eq!(suspected.broken(22).map(|(promise, _)| promise), Some(Promise::Stability));

    let mut replaced = stage();
    let s1 = replaced.nodes.id(S1).clone();
    replaced.proposed(22, 2, &[S2]);
    replaced.health.suspected(seconds(22), S2, &s1);
    assert_eq!(replaced.broken(22), None, "s1 stood still");
}

#[test]
fn who_comes_and_goes_is_not_taken_back_at_once() {
    let taken_back_at = |at, insync: &[NodeIndex], restarted: bool| {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.cut(20, VS, S2);
        let (alone, dropped) = (stage.view(2, &[S1]), [(stage.nodes.id(S2).clone(), OUT_OF_REACH)]);
        stage.health.proposed(seconds(24), &alone, "a backup failed", &dropped);
        stage.recorded(24, 2, &[S1]);
        if restarted {
            stage.health.began(seconds(24), VS);
        }
        stage.proposed(at, 3, insync);
        stage.broken(at).map(|(promise, _)| promise)
    };
    assert_eq!(taken_back_at(26, &[S1, S2], false), Some(Promise::Stability));
    assert_eq!(taken_back_at(27, &[S1, S2], false), None, "the suspicion is over");
    assert_eq!(taken_back_at(26, &[S1, S3], false), None);
    assert_eq!(taken_back_at(26, &[S2, S1], false), None, "nobody else may be left to be primary");
    assert_eq!(taken_back_at(26, &[S1, S2], true), None, "it does not know of it any more");
}

#[test]
fn what_works_is_left_alone_when_all_that_a_fault_set_off_is_over() {
    let crashed = || {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.runs(20, S2, false);
        stage.runs(21, S2, true);
        stage
    };
    let mut soon = crashed();
    soon.proposed(24, 2, &[S1]);
    assert_eq!(soon.broken(24), None);
    let mut late = crashed();
    late.proposed(60, 2, &[S1, S2]);
    let (promise, seen) = late.broken(60).expect("nothing happened for long");
    assert_eq!(promise, Promise::Stability);
    assert!(seen.starts_with("v2 is proposed (because), although all had been well"), "{seen}");
    let mut apart = crashed();
    apart.cut(30, S1, S3);
    apart.proposed(90, 2, &[S1, S2]);
    assert_eq!(apart.broken(90), None, "a cut lasts");
    let mut incomplete = crashed();
    incomplete.recorded(24, 2, &[S1]);
    incomplete.proposed(60, 3, &[S1]);
    assert_eq!(incomplete.broken(60).map(|(promise, _)| promise), Some(Promise::Redundancy));
}

/// Two copies of two, and then one is gone.
fn short() -> Stage {
    let mut stage = Stage::new();
    stage.recorded(3, 1, &[S1, S2]);
    stage.runs(20, S2, false);
    stage.runs(20, S3, false);
    stage.recorded(23, 2, &[S1]);
    stage
}

fn copies_in_sync(insync: usize) -> view_service::Notice {
    view_service::Notice::Copies { view: ViewNumber(2), insync, wanted: 2 }
}

fn waiting(nodes: &Nodes) -> view_service::Notice {
    let servers = vec![nodes.id(S1).clone(), nodes.id(S2).clone()];
    view_service::Notice::Waiting { view: ViewNumber(1), servers }
}

#[test]
fn missing_copies_are_told_in_time_and_taken_back_in_time() {
    let mut silent = short();
    assert_eq!(silent.broken(28), None, "it takes a while");
    let (promise, seen) = silent.broken(40).expect("the view service said nothing");
    assert_eq!(promise, Promise::Silence);
    assert!(seen.starts_with("vs said nothing for 9."), "{seen}");

    let mut told = short();
    told.health.view_service_said(seconds(24), &copies_in_sync(1));
    assert_eq!(told.broken(100), None);
    told.runs(100, S2, true);
    told.recorded(102, 3, &[S1, S2]);
    let mut taken_back = short();
    taken_back.health.view_service_said(seconds(24), &copies_in_sync(1));
    taken_back.runs(100, S2, true);
    taken_back.recorded(102, 3, &[S1, S2]);
    taken_back.health.view_service_said(seconds(103), &copies_in_sync(2));
    assert_eq!(taken_back.broken(200), None);
    let (promise, seen) = told.broken(200).expect("it never said that it is over");
    assert_eq!(promise, Promise::Silence);
    assert!(seen.contains("vs did not take back"), "{seen}");
}

#[test]
fn what_a_life_said_counts_for_nothing_in_the_next() {
    let mut stage = short();
    stage.health.view_service_said(seconds(24), &copies_in_sync(1));
    stage.health.began(seconds(50), VS);
    assert_eq!(stage.broken(70).map(|(promise, _)| promise), Some(Promise::Silence));
}

#[test]
fn when_nobody_can_be_promoted_that_is_told() {
    let lost = || {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.runs(20, S1, false);
        stage.runs(20, S2, false);
        stage
    };
    let mut silent = lost();
    assert_eq!(silent.broken(40).map(|(promise, _)| promise), Some(Promise::Silence));
    let mut told = lost();
    told.health.view_service_said(seconds(23), &waiting(&told.nodes));
    assert_eq!(told.broken(40).map(|(promise, _)| promise), Some(Promise::Silence), "in the log alone");
    let mut told = lost();
    told.health.view_service_said(seconds(23), &waiting(&told.nodes));
    let answer = view_service::Distress::Waiting(vec![told.nodes.id(S1).clone()]);
    told.health.answers(seconds(23), Some(&answer));
    assert_eq!(told.broken(1_000), None);
}

#[test]
fn refused_updates_are_told_by_the_primary_and_to_whoever_asks() {
    let short = |copies_min: Option<usize>| {
        let mut stage = short();
        stage.health.view_service_said(seconds(24), &copies_in_sync(1));
        stage.health.limits.copies_min = copies_min;
        stage.health.stepped(seconds(24), S1, (RoleName::Primary, ViewNumber(2)), false);
        stage
    };
    assert_eq!(short(Some(1)).broken(100), None, "none are refused");
    assert_eq!(short(None).broken(100), None, "that depends on the server");
    let seen = |stage: &mut Stage| stage.broken(100).map(|(_, seen)| seen).expect("something is not told");
    let refused = replica::Notice::UpdatesRefused { copies: 1, copies_min: 2 };
    let mut in_the_log_alone = short(Some(2));
    in_the_log_alone.health.replica_said(seconds(25), S1, &refused);
    assert!(seen(&mut in_the_log_alone).starts_with("vs said nothing"));
    let mut told = short(Some(2));
    let primary = told.nodes.id(S1).clone();
    let answer = view_service::Distress::UpdatesRefused { primary, copies_min: 2, replicas: 2 };
    told.health.answers(seconds(25), Some(&answer));
    assert!(seen(&mut short(Some(2))).contains("said nothing"));
    told.health.replica_said(seconds(25), S1, &refused);
    let counted = view_service::Notice::Updates { view: ViewNumber(2), insync: 1, copies_min: 2 };
    told.health.view_service_said(seconds(25), &counted);
    assert_eq!(told.broken(100), None);
}

#[test]
fn the_view_service_tells_in_its_log_that_updates_are_refused() {
    let told = |insync: &[usize]| {
        let mut stage = short();
        stage.health.view_service_said(seconds(24), &copies_in_sync(1));
        stage.health.limits.copies_min = Some(2);
        stage.health.stepped(seconds(24), S1, (RoleName::Primary, ViewNumber(2)), false);
        let refused = replica::Notice::UpdatesRefused { copies: 1, copies_min: 2 };
        stage.health.replica_said(seconds(25), S1, &refused);
        let primary = stage.nodes.id(S1).clone();
        let answer = view_service::Distress::UpdatesRefused { primary, copies_min: 2, replicas: 2 };
        stage.health.answers(seconds(25), Some(&answer));
        for insync in insync {
            let view = ViewNumber(2);
            let notice = view_service::Notice::Updates { view, insync: *insync, copies_min: 2 };
            stage.health.view_service_said(seconds(25), &notice);
        }
        stage.broken(100).map(|(_, seen)| seen)
    };
    assert_eq!(told(&[1]), None);
    let silent = "vs said nothing for 9.3 s, although the primary refuses updates for want of copies";
    for insync in [&[][..], &[1, 2]] {
        assert_eq!(told(insync).as_deref(), Some(silent));
    }
}

#[test]
fn full_sessions_are_told_and_taken_back() {
    use replica::{Notice, SessionLimit};
    let (limit, held) = (SessionLimit::Count, 2);
    let stage = |is_full: bool, notices: &[Notice]| {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.health.stepped(seconds(4), S1, (RoleName::Primary, ViewNumber(1)), false);
        stage.health.silence.is(seconds(20), S1, Distress::Full(limit), Some(is_full));
        notices.iter().for_each(|notice| stage.health.replica_said(seconds(21), S1, notice));
        stage.broken(100).map(|(promise, _)| promise)
    };
    let (full, room) =
        (Notice::SessionsFull { limit, held, max: 2 }, Notice::SessionsHaveRoom { limit, held });
    assert_eq!(stage(true, &[]), Some(Promise::Silence));
    assert_eq!(stage(true, std::slice::from_ref(&full)), None);
    assert_eq!(stage(false, std::slice::from_ref(&full)), Some(Promise::Silence));
    assert_eq!(stage(false, &[full, room]), None);
}

#[test]
fn a_server_that_is_not_reached_is_told_by_both_and_taken_back_by_both() {
    let stage = |ends: bool, by_vs: &[view_service::Notice], by_server: &[replica::Notice]| {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        stage.around.unreached.insert(S3);
        stage.around.closed.insert((VS, S3));
        stage.cut(20, VS, S3);
        if ends {
            stage.around.unreached.clear();
            stage.around.closed.clear();
            stage.around.apart.clear();
            stage.cut(22, S1, S3);
        }
        by_vs.iter().for_each(|notice| stage.health.view_service_said(seconds(23), notice));
        by_server.iter().for_each(|notice| stage.health.replica_said(seconds(23), S3, notice));
        stage.broken(60).map(|(_, seen)| seen)
    };
    let stranger = Stage::new().nodes.id(S3).clone();
    let told = view_service::Notice::Unreached(stranger.clone());
    let taken_back = view_service::Notice::UnreachedEnds(stranger.clone());
    let complains = replica::Notice::Unconfirmed { advertised: stranger, own: Boot(1), holder: None };
    assert_eq!(stage(false, std::slice::from_ref(&told), std::slice::from_ref(&complains)), None);
    let silent = |seen: Option<String>| seen.expect("something is not told");
    assert!(silent(stage(false, &[], std::slice::from_ref(&complains))).starts_with("vs said nothing"));
    assert!(silent(stage(false, std::slice::from_ref(&told), &[])).starts_with("s3 said nothing"));
    let believed = [complains.clone(), replica::Notice::Believed];
    assert_eq!(stage(true, &[told.clone(), taken_back.clone()], &believed), None);
    assert!(silent(stage(true, std::slice::from_ref(&told), &believed)).starts_with("vs did not take back"));
    assert!(silent(stage(true, &[told, taken_back], &[complains])).starts_with("s3 did not take back"));
}

#[test]
fn a_server_tells_of_what_it_does_not_hear() {
    let gone = |node: NodeIndex| {
        let mut stage = Stage::new();
        stage.recorded(3, 1, &[S1, S2]);
        let view = ViewNumber(1);
        stage.health.stepped(seconds(4), S1, (RoleName::Primary, view), false);
        stage.health.stepped(seconds(4), S2, (RoleName::Backup, view), false);
        stage.around.answers = false;
        stage.runs(20, VS, false);
        for server in [S1, S2, S3] {
            stage.health.replica_said(seconds(23), server, &replica::Notice::ViewServiceSilent);
        }
        stage.runs(24, node, false);
        stage
    };
    let server = |node: NodeIndex| gone(VS).nodes.id(node).clone();
    assert_eq!(gone(VS).broken(100), None, "all of them tell");
    let mut primary = gone(S1);
    let (_, seen) = primary.broken(100).expect("s2 does not tell");
    assert!(seen.ends_with("although its primary is gone"), "{seen}");
    let mut told = gone(S1);
    told.health.replica_said(seconds(25), S2, &replica::Notice::PrimarySilent { server: server(S1) });
    assert_eq!(told.broken(100), None);
    let mut backup = gone(S2);
    let (_, seen) = backup.broken(100).expect("s1 does not tell");
    assert!(seen.ends_with("although a replica that it waits for is gone (s2)"), "{seen}");
    let mut told = gone(S2);
    told.health.replica_said(seconds(25), S1, &replica::Notice::Suspected { server: server(S2) });
    assert_eq!(told.broken(100), None);
}

#[test]
fn a_drive_that_stalls_is_the_excuse_of_its_own_node_only() {
    let stalled = |stage: &mut Stage, at: u64, server: NodeIndex| {
        stage.around.stalled = [server].into();
        stage.health.struck(seconds(at), &[server], Duration::ZERO);
        stage.health.surrounded(seconds(at), stage.around.clone(), Some("stalled disk"));
    };
    let well = || {
        let mut stage = Stage::new();
        stage.recorded(1, 1, &[S1, S2]);
        stage
    };
    let mut stage = well();
    stalled(&mut stage, 40, S1);
    stage.recorded(50, 2, &[S1]);
    stage.health.view_service_said(seconds(50), &copies_in_sync(1));
    assert_eq!(stage.broken(90), None, "redundancy waits");
    stage.around.stalled.clear();
    stage.health.surrounded(seconds(90), stage.around.clone(), Some("stalled disk"));
    assert_eq!(stage.broken(600).map(|broken| broken.0), Some(Promise::Redundancy));

    let mut spare = well();
    stalled(&mut spare, 40, S3);
    spare.proposed(41, 2, &[S1]);
    assert_eq!(spare.broken(42).map(|broken| broken.0), Some(Promise::Stability), "s3 is a spare");
    for server in [VS, S2] {
        let mut depends = well();
        stalled(&mut depends, 40, server);
        depends.proposed(90, 2, &[S1, S2]);
        assert_eq!(depends.broken(90), None, "the view needs it");
    }

    // A copy is missing, and another server could step in.
    let overdue = |server: NodeIndex| {
        let mut stage = Stage::new();
        stage.recorded(1, 1, &[S1]);
        stalled(&mut stage, 2, server);
        stage.health.view_service_said(seconds(2), &copies_in_sync(1));
        stage.broken(200).map(|broken| broken.0)
    };
    assert_eq!((overdue(VS), overdue(S1)), (None, None));
    assert_eq!(overdue(S2), Some(Promise::Redundancy), "s3 can write");

    let suspected = |suspect: NodeIndex| {
        let mut stage = well();
        stalled(&mut stage, 40, S1);
        let server = stage.nodes.id(suspect).clone();
        stage.health.suspected(seconds(42), S3, &server);
        stage.broken(43).map(|broken| broken.0)
    };
    assert_eq!((suspected(S1), suspected(S2)), (None, Some(Promise::Stability)));
}
