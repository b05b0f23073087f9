use pbkv::protocol::{
    identity::{Boot, Generation, ViewNumber},
    replica,
    view_service::{self, Why, WhyDropped},
};

mod liars;

use super::{silence::Distress, *};
use crate::{bound::Plan, generate::generate};

const S1: NodeIndex = 1;
const S2: NodeIndex = 2;
const S3: NodeIndex = 3;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Three servers, two copies, nothing ever went wrong.
struct Fixture {
    nodes: Nodes,
    health: Health,
    around: Surroundings,
}

impl Fixture {
    fn new() -> Self {
        let mut plan: Plan = generate(0);
        plan.cluster = crate::store::setup::Cluster::small();
        plan.clients.truncate(1);
        plan.clients[0].script.clear();
        let nodes = Nodes::new(&plan);
        let mut health = Health::new(&nodes, Limits::of(&plan));
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
        self.health.proposed(seconds(at), &view, Why::CopyMissing, &[]);
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
    let mut fixture = Fixture::new();
    fixture.recorded(3, 1, &[S1, S2]);
    fixture.runs(20, S2, false);
    assert_eq!(fixture.broken(20), None);
    fixture.recorded(23, 2, &[S1]);
    fixture.health.view_service_said(seconds(24), &copies_in_sync(1));
    assert_eq!(fixture.broken(30), None, "it takes a while");
    let copies = fixture.health.copies().clone();
    let expected = BTreeMap::from([(START.into(), seconds(3)), ("crash".into(), seconds(10))]);
    assert_eq!((copies.fewer, copies.causes), (seconds(13), expected));
    let (promise, seen) = fixture.broken(200).expect("s3 could have stepped in");
    assert_eq!(promise, Promise::Redundancy);
    assert!(seen.starts_with("1 of 2 copies"), "{seen}");
    assert!(fixture.health.copies().causes.contains_key(NOTHING));
}

#[test]
fn what_the_surroundings_do_not_allow_is_not_demanded() {
    let mut fixture = Fixture::new();
    fixture.recorded(3, 1, &[S1, S2]);
    fixture.runs(20, S2, false);
    fixture.cut(20, S1, S3);
    fixture.recorded(23, 2, &[S1]);
    fixture.health.view_service_said(seconds(24), &copies_in_sync(1));
    assert_eq!(fixture.broken(1_000), None, "the primary reaches nobody");
    assert!(fixture.health.is_settled());

    let mut fixture = Fixture::new();
    fixture.recorded(3, 1, &[S1, S2]);
    fixture.health.holds(seconds(5), S1, None);
    fixture.health.holds(seconds(5), S2, None);
    fixture.health.view_service_said(seconds(6), &waiting(&fixture.nodes));
    let lost = view_service::Distress::DataLost(vec![fixture.nodes.id(S1).clone()]);
    fixture.health.answers(seconds(6), Some(&lost));
    assert_eq!(fixture.broken(1_000), None, "all data is lost");
    fixture.runs(1_000, VS, false);
    assert_eq!(fixture.broken(2_000), None, "there is no view service");
    assert!(fixture.health.is_settled());
}

#[test]
fn a_record_that_forgets_a_copy_is_no_excuse() {
    let overdue = |acknowledged: &[NodeIndex]| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        let view = View { activated: false, ..fixture.view(2, &[S1]) };
        let record = Record { stable: view.insync.clone(), view: Some(view), ..Record::default() };
        let acknowledged = fixture.view(1, acknowledged).insync;
        fixture.health.recorded(seconds(20), &record, &acknowledged);
        fixture.runs(20, S1, false);
        fixture.health.view_service_said(seconds(21), &waiting(&fixture.nodes));
        let answer = view_service::Distress::Waiting(vec![fixture.nodes.id(S1).clone()]);
        fixture.health.answers(seconds(21), Some(&answer));
        fixture.broken(1_000).map(|(promise, _)| promise)
    };
    assert_eq!(overdue(&[S1]), None, "the only complete copy is down");
    assert_ne!(overdue(&[S1, S2]), None, "s2 has one, too");
}

#[test]
fn a_server_that_came_back_with_other_contents_is_no_copy() {
    let mut fixture = Fixture::new();
    fixture.recorded(3, 1, &[S1, S2]);
    fixture.health.holds(seconds(5), S2, Some(DataId { boot: Boot(2), nonce: 9 }));
    assert!(!fixture.health.is_settled());
    assert_eq!(fixture.broken(100).map(|(promise, _)| promise), Some(Promise::Redundancy));
}

#[test]
fn a_replica_that_no_fault_touched_is_neither_suspected_nor_dropped() {
    let fixture = || {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.runs(20, S1, false);
        fixture
    };
    let mut dropped = fixture();
    dropped.proposed(22, 2, &[S1]);
    let (promise, seen) = dropped.broken(22).expect("s2 was there");
    assert_eq!(promise, Promise::Stability);
    assert!(seen.contains("leaves out s2"), "{seen}");

    let mut suspected = fixture();
    let s2 = suspected.nodes.id(S2).clone();
    suspected.health.suspected(seconds(22), S1, &s2);
    assert_eq!(suspected.broken(22).map(|(promise, _)| promise), Some(Promise::Stability));

    let mut replaced = fixture();
    let s1 = replaced.nodes.id(S1).clone();
    replaced.proposed(22, 2, &[S2]);
    replaced.health.suspected(seconds(22), S2, &s1);
    assert_eq!(replaced.broken(22), None, "s1 stood still");
}

#[test]
fn who_comes_and_goes_is_not_taken_back_at_once() {
    let taken_back_at = |at, insync: &[NodeIndex], restarted: bool| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.cut(20, VS, S2);
        let (alone, dropped) =
            (fixture.view(2, &[S1]), [(fixture.nodes.id(S2).clone(), WhyDropped::OutOfReach)]);
        fixture.health.proposed(seconds(24), &alone, Why::BackupFailed, &dropped);
        fixture.recorded(24, 2, &[S1]);
        if restarted {
            fixture.health.began(seconds(24), VS);
        }
        fixture.proposed(at, 3, insync);
        fixture.broken(at).map(|(promise, _)| promise)
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
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.runs(20, S2, false);
        fixture.runs(21, S2, true);
        fixture
    };
    let mut soon = crashed();
    soon.proposed(24, 2, &[S1]);
    assert_eq!(soon.broken(24), None);
    let mut late = crashed();
    late.proposed(60, 2, &[S1, S2]);
    let (promise, seen) = late.broken(60).expect("nothing happened for long");
    assert_eq!(promise, Promise::Stability);
    assert!(seen.starts_with("v2 is proposed (a server can step in), although all had been well"), "{seen}");
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
fn short() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.recorded(3, 1, &[S1, S2]);
    fixture.runs(20, S2, false);
    fixture.runs(20, S3, false);
    fixture.recorded(23, 2, &[S1]);
    fixture
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
    assert!(seen.contains("vs still said"), "{seen}");
}

#[test]
fn what_a_life_said_counts_for_nothing_in_the_next() {
    let mut fixture = short();
    fixture.health.view_service_said(seconds(24), &copies_in_sync(1));
    fixture.health.began(seconds(50), VS);
    assert_eq!(fixture.broken(70).map(|(promise, _)| promise), Some(Promise::Silence));
}

#[test]
fn when_nobody_can_be_promoted_that_is_told() {
    let lost = || {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.runs(20, S1, false);
        fixture.runs(20, S2, false);
        fixture
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
        let mut fixture = short();
        fixture.health.view_service_said(seconds(24), &copies_in_sync(1));
        fixture.health.limits.copies_min = copies_min;
        fixture.health.stepped(seconds(24), S1, (RoleName::Primary, ViewNumber(2)), false);
        fixture
    };
    assert_eq!(short(Some(1)).broken(100), None, "none are refused");
    assert_eq!(short(None).broken(100), None, "that depends on the server");
    let seen =
        |fixture: &mut Fixture| fixture.broken(100).map(|(_, seen)| seen).expect("something is not told");
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
        let mut fixture = short();
        fixture.health.view_service_said(seconds(24), &copies_in_sync(1));
        fixture.health.limits.copies_min = Some(2);
        fixture.health.stepped(seconds(24), S1, (RoleName::Primary, ViewNumber(2)), false);
        let refused = replica::Notice::UpdatesRefused { copies: 1, copies_min: 2 };
        fixture.health.replica_said(seconds(25), S1, &refused);
        let primary = fixture.nodes.id(S1).clone();
        let answer = view_service::Distress::UpdatesRefused { primary, copies_min: 2, replicas: 2 };
        fixture.health.answers(seconds(25), Some(&answer));
        for insync in insync {
            let view = ViewNumber(2);
            let notice = view_service::Notice::Updates { view, insync: *insync, copies_min: 2 };
            fixture.health.view_service_said(seconds(25), &notice);
        }
        fixture.broken(100).map(|(_, seen)| seen)
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
    let fixture = |is_full: bool, notices: &[Notice]| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.health.stepped(seconds(4), S1, (RoleName::Primary, ViewNumber(1)), false);
        fixture.health.silence.is(seconds(20), S1, Distress::Full(limit), Some(is_full));
        notices.iter().for_each(|notice| fixture.health.replica_said(seconds(21), S1, notice));
        fixture.broken(100).map(|(promise, _)| promise)
    };
    let (full, room) =
        (Notice::SessionsFull { limit, held, max: 2 }, Notice::SessionsHaveRoom { limit, held });
    assert_eq!(fixture(true, &[]), Some(Promise::Silence));
    assert_eq!(fixture(true, std::slice::from_ref(&full)), None);
    assert_eq!(fixture(false, std::slice::from_ref(&full)), Some(Promise::Silence));
    assert_eq!(fixture(false, &[full, room]), None);
}

#[test]
fn a_server_that_is_not_reached_is_told_by_both_and_taken_back_by_both() {
    let fixture = |ends: bool, by_vs: &[view_service::Notice], by_server: &[replica::Notice]| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        fixture.around.unreached.insert(S3);
        fixture.around.closed.insert((VS, S3));
        fixture.cut(20, VS, S3);
        if ends {
            fixture.around.unreached.clear();
            fixture.around.closed.clear();
            fixture.around.apart.clear();
            fixture.cut(22, S1, S3);
        }
        by_vs.iter().for_each(|notice| fixture.health.view_service_said(seconds(23), notice));
        by_server.iter().for_each(|notice| fixture.health.replica_said(seconds(23), S3, notice));
        fixture.broken(60).map(|(_, seen)| seen)
    };
    let stranger = Fixture::new().nodes.id(S3).clone();
    let told = view_service::Notice::Unreached(stranger.clone());
    let taken_back = view_service::Notice::Reached(stranger.clone());
    let complains = replica::Notice::Unconfirmed { advertised: stranger, own: Boot(1), holder: None };
    assert_eq!(fixture(false, std::slice::from_ref(&told), std::slice::from_ref(&complains)), None);
    let silent = |seen: Option<String>| seen.expect("something is not told");
    assert!(silent(fixture(false, &[], std::slice::from_ref(&complains))).starts_with("vs said nothing"));
    assert!(silent(fixture(false, std::slice::from_ref(&told), &[])).starts_with("s3 said nothing"));
    let believed = [complains.clone(), replica::Notice::Believed];
    assert_eq!(fixture(true, &[told.clone(), taken_back.clone()], &believed), None);
    assert!(silent(fixture(true, std::slice::from_ref(&told), &believed)).starts_with("vs still said"));
    assert!(silent(fixture(true, &[told, taken_back], &[complains])).starts_with("s3 still said"));
}

#[test]
fn a_server_tells_of_what_it_does_not_hear() {
    let gone = |node: NodeIndex| {
        let mut fixture = Fixture::new();
        fixture.recorded(3, 1, &[S1, S2]);
        let view = ViewNumber(1);
        fixture.health.stepped(seconds(4), S1, (RoleName::Primary, view), false);
        fixture.health.stepped(seconds(4), S2, (RoleName::Backup, view), false);
        fixture.around.answers = false;
        fixture.runs(20, VS, false);
        for server in [S1, S2, S3] {
            fixture.health.replica_said(seconds(23), server, &replica::Notice::ViewServiceSilent);
        }
        fixture.runs(24, node, false);
        fixture
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
    let stalled = |fixture: &mut Fixture, at: u64, server: NodeIndex| {
        fixture.around.stalled = [server].into();
        fixture.health.struck(seconds(at), &[server], Duration::ZERO);
        fixture.health.surrounded(seconds(at), fixture.around.clone(), Some("stalled disk"));
    };
    let well = || {
        let mut fixture = Fixture::new();
        fixture.recorded(1, 1, &[S1, S2]);
        fixture
    };
    let mut fixture = well();
    stalled(&mut fixture, 40, S1);
    fixture.recorded(50, 2, &[S1]);
    fixture.health.view_service_said(seconds(50), &copies_in_sync(1));
    assert_eq!(fixture.broken(90), None, "redundancy waits");
    fixture.around.stalled.clear();
    fixture.health.surrounded(seconds(90), fixture.around.clone(), Some("stalled disk"));
    assert_eq!(fixture.broken(600).map(|broken| broken.0), Some(Promise::Redundancy));

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
        let mut fixture = Fixture::new();
        fixture.recorded(1, 1, &[S1]);
        stalled(&mut fixture, 2, server);
        fixture.health.view_service_said(seconds(2), &copies_in_sync(1));
        fixture.broken(200).map(|broken| broken.0)
    };
    assert_eq!((overdue(VS), overdue(S1)), (None, None));
    assert_eq!(overdue(S2), Some(Promise::Redundancy), "s3 can write");

    let suspected = |suspect: NodeIndex| {
        let mut fixture = well();
        stalled(&mut fixture, 40, S1);
        let server = fixture.nodes.id(suspect).clone();
        fixture.health.suspected(seconds(42), S3, &server);
        fixture.broken(43).map(|broken| broken.0)
    };
    assert_eq!((suspected(S1), suspected(S2)), (None, Some(Promise::Stability)));
}
