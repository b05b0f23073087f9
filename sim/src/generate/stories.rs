//! Stories: whole plans around one rare misfortune, told again and again within a run.
//!
//! A misfortune that needs several things at their times (a slow answer, then silence, then a writer
//! elsewhere) does not happen by single faults, however many. One seed of six tells a story instead: cluster,
//! clocks and faults are what it needs; times, lengths, network and load are drawn.

mod drives;
mod gone;
mod loads;
mod operators;
mod transfers;

use testbed::data::{
    fault::{Cut, Memory, Mistreatment, Node},
    plan::{Client, Clock},
};

use super::{
    Dice, Targets,
    faults::{REJOIN_MS, cut},
    patterns,
    workload::{LOADED_KEYS_MAX, POLL_MS, answer_ms, load},
};
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{fault::Trigger, script::Step, settings::Settings, setup::Reads},
};

/// The share of seeds that tell a story, in percent.
const STORIES_PERCENT: u64 = 18;
/// When the first misfortune of a story begins, in milliseconds: the replicas are in sync by then.
const BEGIN_MS: u64 = 5_000;
/// From one misfortune of a story to the next, in milliseconds: the cluster has recovered by then.
const ROUND_MS: u64 = 9_000;
/// Virtual time under faults of a story, in milliseconds.
pub(super) const LENGTH_MS: u64 = 40_000;

/// The share of transfers under fire that are begun again and again, in percent.
const BEGUN_AGAIN_PERCENT: u64 = 75;

/// How often one client reads on, at most: what it could not do in time it does later, within the time for
/// that.
const READS_MAX: u64 = 60;

/// One misfortune.
#[derive(Clone, Copy)]
pub(super) struct Story {
    weight: u64,
    about: &'static str,
    plan: fn(&mut Dice, &mut Plan),
}

const fn story(weight: u64, about: &'static str, plan: fn(&mut Dice, &mut Plan)) -> Story {
    Story { weight, about, plan }
}

const ALL: [Story; 25] = [
    story(2, "an acknowledgement is overtaken by the next view", overtaken_acknowledgement),
    story(2, "a lease comes late", late_lease),
    story(2, "the holder of a lease sleeps", sleeping_holder),
    story(2, "a former life speaks", former_life),
    story(2, "everything is lost", everything_lost),
    story(2, "the promoted server's clock is ahead", promoted_with_a_clock_ahead),
    story(2, "a primary is replaced unawares", replaced_unawares),
    story(2, "answers outlive their view", late_answers),
    story(2, "updates outlive their sessions", updates_outlive_sessions),
    story(4, "a state is transferred under fire", transfer_under_fire),
    story(4, "a primary is chosen twice", chosen_twice),
    story(2, "the cluster is split in two", split_in_two),
    story(3, "a joiner is chased by the load", loads::chased_joiner),
    story(2, "nobody hears the primary", unheard_primary),
    story(3, "a liar is among them", liar),
    story(2, "a full primary is left alone", left_alone),
    story(2, "the load does not end", loads::endless_load),
    story(4, "an operator errs", operators::mistakes),
    story(4, "a joiner holds more than is known", loads::underrated_joiner),
    story(2, "a thousand clients come and go", loads::thousand_clients),
    story(2, "more is asked than there is room for", loads::flood),
    story(3, "nobody watches over the primary", gone::unwatched),
    story(3, "who speaks is not reached", gone::unreached),
    story(3, "a disk only waits", drives::waiting),
    story(3, "a disk fails", drives::failing),
];

/// What each story is about.
pub const STORIES: [&str; ALL.len()] = {
    let mut about = [""; ALL.len()];
    let mut place = 0;
    while place < ALL.len() {
        about[place] = ALL[place].about;
        place += 1;
    }
    about
};

/// The story that a generated plan tells.
pub fn story_of(plan: &Plan) -> Option<&'static str> {
    let about = plan.about.strip_prefix("Story: ")?.strip_suffix('.')?;
    STORIES.into_iter().find(|story| *story == about)
}

impl Story {
    /// The story that a seed tells, if it tells one.
    pub(super) fn of(seed: u64) -> Option<Self> {
        let dice = &mut Dice::new(seed, "story");
        dice.percent(STORIES_PERCENT).then(|| dice.weighted(&ALL.map(|story| (story.weight, story))))
    }

    /// Puts it into a plan that has no faults yet.
    pub(super) fn tell(self, plan: &mut Plan) {
        plan.about = format!("Story: {}.", self.about);
        plan.cluster.starts_ms.clear();
        (self.plan)(&mut Dice::new(plan.seed, "story/plan"), plan);
    }
}

fn at(at_ms: u64, kind: FaultKind) -> Fault {
    Fault { at_ms, on: None, after_ms: 0, kind }
}

fn on(trigger: Trigger, after_ms: u64, later_ms: u64, kind: FaultKind) -> Fault {
    Fault { at_ms: later_ms, on: Some(trigger), after_ms, kind }
}

fn nodes(names: &[&str]) -> Vec<Node> {
    names.iter().map(|name| (*name).to_string()).collect()
}

fn apart(from: Vec<Node>, to: Vec<Node>, how: Cut, lasts_ms: u64) -> FaultKind {
    FaultKind::Partition { from, to, both_ways: true, how, lasts_ms: Some(lasts_ms) }
}

fn one_way(from: Vec<Node>, to: Vec<Node>, how: Cut, lasts_ms: u64) -> FaultKind {
    FaultKind::Partition { from, to, both_ways: false, how, lasts_ms: Some(lasts_ms) }
}

fn crash(node: &str, down_ms: u64, memory: Memory) -> FaultKind {
    FaultKind::Crash { node: node.into(), down_ms: Some(down_ms), memory }
}

/// At least so many servers and copies.
fn at_least(plan: &mut Plan, servers: u32, replicas: u32) {
    let cluster = &mut plan.cluster;
    cluster.servers = cluster.servers.max(servers);
    cluster.replicas = cluster.replicas.max(replicas);
    plan.cluster.clocks.clear();
}

/// Sessions that live so long, and clients that go on trying for as long as they may.
fn sessions(plan: &mut Plan, ttl_ms: u64) {
    plan.cluster.session_ttl_ms = ttl_ms;
    plan.clients.iter_mut().for_each(|client| client.deadline_ms = ttl_ms / 2);
}

/// Servers that are as slow, and a view service that is as fast, as leases allow for.
fn leases(plan: &mut Plan) {
    plan.cluster.reads = Reads::Lease;
    let drift = super::DRIFT_PPM_MAX as i64;
    let slow =
        Targets::of(plan).servers().into_iter().map(|node| Clock { node, skew_ms: 0, drift_ppm: -drift });
    plan.cluster.clocks = slow.chain([Clock { node: "vs".into(), skew_ms: 0, drift_ppm: drift }]).collect();
}

/// The others read on at the primary while one client has to go elsewhere.
fn one_goes_elsewhere(dice: &mut Dice, plan: &Plan, lasts_ms: u64) -> FaultKind {
    let writer = format!("c{}", dice.between(1, plan.clients.len() as u64 - 1));
    apart(vec![writer], nodes(&["primary"]), Cut::Refuse, lasts_ms)
}

/// The last client, which does nothing but read, reads a hot key for so long, as often as answers can come.
fn one_reads_on(dice: &mut Dice, plan: &mut Plan, begin_ms: u64, lasts_ms: u64) {
    let answer_ms = answer_ms(&plan.network);
    let interval_ms = (answer_ms + dice.between(10, 50)).max(lasts_ms / READS_MAX);
    let Some(reader) = plan.clients.last_mut() else { return };
    let reads = (begin_ms..begin_ms + lasts_ms).step_by(interval_ms as usize);
    reader.script.retain(|line| line.contains(" get "));
    reader.script.extend(reads.map(|ms| format!("{}.{:03} get hot0", ms / 1_000, ms % 1_000)));
    reader.script.sort_by_key(|line| Step::parse(line).map(|step| step.at).ok());
    reader.deadline_ms = POLL_MS;
}

/// Keeps of a client's script what is to be done at these times, and the first line if nothing is.
fn keep(client: &mut Client, times: impl Fn(u64) -> bool) {
    let at_ms = |line: &str| Step::parse(line).map_or(0, |step| step.at.as_millis() as u64);
    let first = client.script.first().cloned();
    client.script.retain(|line| times(at_ms(line)));
    if client.script.is_empty() {
        client.script.extend(first);
    }
}

/// The times at which a misfortune begins.
fn rounds() -> impl Iterator<Item = u64> {
    (BEGIN_MS..LENGTH_MS - ROUND_MS / 2).step_by(ROUND_MS as usize)
}

/// The primary's acknowledgements of a view are still on their way to the view service when the next view
/// begins. Meanwhile a backup is silent for just so long that it is given up, and back before they arrive.
fn overtaken_acknowledgement(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    for begin_ms in rounds() {
        let (from, to) = (nodes(&["primary"]), nodes(&["vs"]));
        let (latency_ms, jitter_ms) = (dice.between(270, 450), dice.magnitude(1, 60));
        let slow =
            FaultKind::Slow { from, to, one_way: false, latency_ms, jitter_ms, lasts_ms: ROUND_MS - 1_000 };
        let silent_ms = dice.between(1_500, 2_800);
        let silence = apart(nodes(&["backup"]), nodes(&["vs"]), cut(dice), silent_ms);
        let death = crash("primary", dice.magnitude(100, 3_000), Memory::Kept);
        plan.faults.push(at(begin_ms, slow));
        plan.faults.push(at(begin_ms + 1_000, silence));
        plan.faults.push(at(begin_ms + 1_000 + silent_ms + dice.between(1_200, 2_500), death));
    }
}

/// The grant of a lease is long on its way to a primary that only its clients reach then.
fn late_lease(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    leases(plan);
    let servers = Targets::of(plan).servers();
    for begin_ms in rounds() {
        let (from, to, how) = (nodes(&["primary"]), nodes(&["vs"]), Mistreatment::Delay);
        let late = FaultKind::Rpc { from, to, how, percent: 100, lasts_ms: 2_000 };
        let cut_ms = begin_ms + dice.between(1_000, 2_000);
        let unheard = one_way(nodes(&["primary"]), nodes(&["vs"]), Cut::BlackHole, 4_000);
        let alone = apart(nodes(&["primary"]), servers.clone(), Cut::BlackHole, 4_000);
        let elsewhere = one_goes_elsewhere(dice, plan, 4_000);
        one_reads_on(dice, plan, cut_ms + 1_000, 1_500);
        plan.faults.extend([
            at(begin_ms, late),
            at(cut_ms, unheard),
            at(cut_ms, alone),
            at(cut_ms, elsewhere),
        ]);
    }
}

/// The holder of a lease sleeps through its replacement, and most clients wait for it.
fn sleeping_holder(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    leases(plan);
    for begin_ms in rounds() {
        let lasts_ms = dice.between(2_000, 5_000);
        let pause = FaultKind::Pause { node: "primary".into(), lasts_ms: Some(lasts_ms) };
        one_reads_on(dice, plan, begin_ms + lasts_ms - 1_000, 1_200);
        let mut loyal = Targets::of(plan).clients();
        loyal.remove(dice.below(loyal.len() as u64 - 1) as usize);
        let loyal = apart(loyal, nodes(&["vs"]), Cut::Refuse, lasts_ms + 1_000);
        plan.faults.extend([at(begin_ms, pause), at(begin_ms, loyal)]);
    }
}

/// The first server's first life says one thing, which arrives when a later life, with a smaller number
/// because its clock was set back, has long been primary.
fn former_life(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    leases(plan);
    plan.cluster.clocks[0].skew_ms = 60_000;
    let others = Targets::of(plan).servers();
    let slow = FaultKind::Slow {
        from: nodes(&["s1"]),
        to: nodes(&["vs"]),
        one_way: false,
        latency_ms: dice.between(6_000, 9_000),
        jitter_ms: dice.magnitude(1, 4_000),
        lasts_ms: 400,
    };
    let forget = crash("s1", dice.magnitude(10, 300), Memory::Lost);
    let lasts_ms = dice.between(1_500, 3_000);
    let alone = [others, nodes(&["vs"])].concat();
    one_reads_on(dice, plan, 6_500, 6_000);
    plan.faults.extend([
        at(0, slow),
        at(dice.between(380, 480), forget),
        on(Trigger::ViewProposed, 5_500, 0, apart(nodes(&["s1"]), alone, Cut::BlackHole, lasts_ms)),
        on(Trigger::Promoted, 5_500, 0, one_goes_elsewhere(dice, plan, lasts_ms)),
    ]);
}

/// All copies are lost, one soon after the other. In most seeds an operator accepts that.
fn everything_lost(dice: &mut Dice, plan: &mut Plan) {
    plan.data_loss = true;
    let begin_ms = BEGIN_MS + dice.between(0, 20_000);
    for server in Targets::of(plan).servers() {
        let kind = crash(&server, dice.magnitude(10, 4_000), Memory::Lost);
        plan.faults.push(at(begin_ms + dice.magnitude(1, 2_000), kind));
    }
    let mut own = Dice::new(plan.seed, "story/accepted loss");
    if own.percent(75) {
        let accepted_ms = begin_ms + own.between(1_000, 9_000);
        operators::accept_loss(&mut own, plan, accepted_ms);
    }
}

/// Clients do not hear what was done, and ask again a server whose clock is further ahead than a session
/// lives.
fn promoted_with_a_clock_ahead(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    sessions(plan, 10_000);
    let servers = Targets::of(plan).servers();
    let ahead = |(place, node): (i64, _)| Clock { node, skew_ms: 30_000 * place, drift_ppm: 0 };
    plan.cluster.clocks = (0..).zip(servers).map(ahead).collect();
    for begin_ms in rounds() {
        let (from, to, how) = (Targets::of(plan).clients(), nodes(&["primary"]), Mistreatment::DropReply);
        let lasts_ms = dice.between(200, 1_500);
        let silence = FaultKind::Rpc { from, to, how, percent: 100, lasts_ms };
        let death = crash("primary", dice.between(1_000, 3_000), Memory::Kept);
        plan.faults.extend([at(begin_ms, silence), at(begin_ms + lasts_ms, death)]);
    }
}

/// A primary that is cut off from the view service only is asked for one key again and again, and by nobody
/// else for anything: nothing tells it that it was replaced but its own messages to its backup.
fn replaced_unawares(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    plan.cluster.reads = Reads::Confirm;
    for begin_ms in rounds() {
        let unheard = apart(nodes(&["primary"]), nodes(&["vs"]), cut(dice), 4_000);
        plan.faults.extend([at(begin_ms, unheard), at(begin_ms, one_goes_elsewhere(dice, plan, 4_000))]);
        for client in &mut plan.clients {
            keep(client, |at_ms| !(begin_ms..begin_ms + 2_500).contains(&at_ms));
        }
        one_reads_on(dice, plan, begin_ms + 500, 2_500);
        if dice.percent(60) {
            let (from, to) = (nodes(&["primary"]), nodes(&["backup"]));
            let (latency_ms, jitter_ms) = (dice.between(50, 450), dice.magnitude(1, 200));
            let slow = FaultKind::Slow { from, to, one_way: false, latency_ms, jitter_ms, lasts_ms: 4_000 };
            plan.faults.push(at(begin_ms, slow));
        }
    }
}

/// A backup's answers are late while the view changes around it and its primary. Then the primary is left
/// alone with its clients.
fn late_answers(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 3, 3);
    plan.cluster.reads = Reads::Confirm;
    let others = [Targets::of(plan).servers(), nodes(&["vs"])].concat();
    for begin_ms in rounds() {
        // The next backup takes its place while the first one is down.
        let other_dies = crash("backup", 3_000, Memory::Kept);
        let (from, to) = (nodes(&["primary"]), nodes(&["backup"]));
        let (latency_ms, jitter_ms) = (dice.between(50, 400), dice.magnitude(1, 400));
        let late = FaultKind::Slow { from, to, one_way: false, latency_ms, jitter_ms, lasts_ms: 2_500 };
        let alone = apart(nodes(&["primary"]), others.clone(), cut(dice), 4_500);
        let elsewhere = one_goes_elsewhere(dice, plan, 4_500);
        one_reads_on(dice, plan, begin_ms + 4_500, 2_500);
        plan.faults.extend([
            at(begin_ms, other_dies),
            at(begin_ms + 100, late),
            at(begin_ms + 3_000, alone),
            at(begin_ms + 3_000, elsewhere),
        ]);
    }
}

/// Some servers and clients hear only each other, and so do all the others, with the view service among them.
fn split_in_two(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 3, 2);
    let others = Targets::of(plan);
    for begin_ms in rounds() {
        let mut side = nodes(if dice.percent(50) { &["primary", "backup"] } else { &["primary"] });
        side.extend(others.clients().into_iter().filter(|_| dice.percent(50)));
        let lasts_ms = dice.between(1_500, ROUND_MS - 1_000);
        plan.faults.push(at(begin_ms, apart(side, vec![], cut(dice), lasts_ms)));
    }
}

/// Updates arrive again when their clients have been silent for longer than a session lives.
fn updates_outlive_sessions(dice: &mut Dice, plan: &mut Plan) {
    sessions(plan, 4_000);
    for client in &mut plan.clients {
        if dice.percent(60) {
            let busy_ms = dice.between(1_000, 3_000);
            keep(client, |at_ms| at_ms % (LENGTH_MS / 2) < busy_ms);
        }
    }
    let (from, how) = (Targets::of(plan).clients(), Mistreatment::Duplicate);
    let percent = dice.between(20, 90) as u32;
    plan.faults.push(at(0, FaultKind::Rpc { from, to: vec![], how, percent, lasts_ms: LENGTH_MS }));
}

/// A backup forgets everything, its state travels in many parts, parts are late or come twice, and something
/// happens to the sender, the receiver or between them while they are on their way.
fn transfer_under_fire(dice: &mut Dice, plan: &mut Plan) {
    let mut own = Dice::new(plan.seed, "story/begun again");
    if own.percent(BEGUN_AGAIN_PERCENT) {
        return transfers::begun_again(&mut own, plan);
    }
    at_least(plan, 2, 2);
    plan.cluster.chunk_bytes_max = dice.magnitude(32, 256) as usize;
    plan.cluster.checkpoint_interval = dice.magnitude(2, 64);
    plan.cluster.log_entries_max = None;
    let keys = dice.between(40, LOADED_KEYS_MAX);
    plan.clients[0].script.splice(0..0, load(keys));
    for begin_ms in rounds() {
        let begin_ms = begin_ms + REJOIN_MS / 2;
        let forget = crash("backup", dice.magnitude(10, 500), Memory::Lost);
        let (from, to) = (nodes(&["primary"]), vec![]);
        let how = *dice.pick(&[Mistreatment::Delay, Mistreatment::Duplicate, Mistreatment::DropRequest]);
        let percent = dice.magnitude(5, 80) as u32;
        let late = FaultKind::Rpc { from, to, how, percent, lasts_ms: 4_000 };
        plan.faults.extend([at(begin_ms, forget), at(begin_ms, late)]);
        let between = (nodes(&["primary"]), nodes(&["joiner"]));
        let blow = match dice.below(8) {
            0..=3 => crash("joiner", dice.magnitude(1, 300), Memory::Kept),
            4 => crash("primary", dice.magnitude(1, 300), Memory::Kept),
            5 => FaultKind::Pause { node: "joiner".into(), lasts_ms: Some(dice.between(100, 2_500)) },
            6 => one_way(between.1, between.0, cut(dice), dice.between(100, 1_500)),
            _ => apart(between.0, between.1, cut(dice), dice.between(100, 1_500)),
        };
        plan.faults.push(on(Trigger::TransferBegan, begin_ms, dice.magnitude(1, 200), blow));
    }
    // A state that has arrived is not yet on disk.
    if dice.percent(50) {
        plan.cluster.disk_ms_max = 100;
    }
    promoted_at_last(dice, plan);
}

/// In half of the seeds the primary dies at last, so that one that joined becomes primary: what it was sent
/// is read.
fn promoted_at_last(dice: &mut Dice, plan: &mut Plan) {
    if dice.percent(50) {
        plan.faults.push(at(LENGTH_MS - dice.between(4_000, 6_000), crash("primary", 4_000, Memory::Kept)));
    }
}

/// For good, what the primary says reaches the view service and no server; some or all clients do not hear it
/// either.
fn unheard_primary(dice: &mut Dice, plan: &mut Plan) {
    let copies = dice.weighted(&[(3, 3), (1, 4)]);
    at_least(plan, copies, copies);
    let targets = Targets::of(plan);
    let share = dice.between(30, 100);
    let to =
        targets.servers().into_iter().chain(targets.clients().into_iter().filter(|_| dice.percent(share)));
    let (from, to) = (nodes(&["primary"]), to.collect());
    let dumb = FaultKind::Partition { from, to, both_ways: false, how: cut(dice), lasts_ms: None };
    plan.faults.push(at(BEGIN_MS + dice.between(3_000, 25_000), dumb));
}

/// Somebody who hears what servers say says it again, and lies. Later, when the service has returned, the
/// primary dies.
fn liar(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    patterns::lies(dice, plan);
}

/// For good, the primary hears nobody but clients, and has room for few of them.
fn left_alone(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    plan.cluster.settings = vec![Settings { waiting_max: Some(2), ..Settings::default() }];
    let others = [Targets::of(plan).servers(), nodes(&["vs"])].concat();
    let alone = FaultKind::Partition {
        from: nodes(&["primary"]),
        to: others,
        both_ways: true,
        how: Cut::BlackHole,
        lasts_ms: None,
    };
    plan.faults.push(at(BEGIN_MS + dice.between(0, 25_000), alone));
}

/// Three copies. The primary is replaced, does not hear of it, and is chosen again; in between its backup's
/// log was cut to that of the other one, who ruled, unacknowledged, for a moment.
fn chosen_twice(dice: &mut Dice, plan: &mut Plan) {
    plan.cluster.servers = 3;
    plan.cluster.replicas = 3;
    plan.cluster.clocks.clear();
    plan.cluster.disk_ms_max = plan.cluster.disk_ms_max.min(20);
    let begin_ms = BEGIN_MS + dice.between(0, 1_000);
    let (first, second, third, vs) = (nodes(&["s1"]), nodes(&["s2"]), nodes(&["s3"]), nodes(&["vs"]));
    let later = |dice: &mut Dice, min_ms, max_ms| begin_ms + dice.between(min_ms, max_ms);
    // Dumb for so long that it is replaced, deaf for so long that it does not hear of it.
    let dumb = at(begin_ms, one_way(first.clone(), vs.clone(), Cut::Refuse, dice.between(1_350, 1_650)));
    let deaf = at(begin_ms, one_way(vs.clone(), first.clone(), Cut::Refuse, dice.between(1_800, 2_200)));
    // What it orders last, the third has and the second has not, and the view service does not hear of it;
    // then nobody asks it any more.
    let shorter_ms = later(dice, 850, 1_000);
    let shorter = at(shorter_ms, apart(first.clone(), second.clone(), Cut::Refuse, 8_000));
    let unheard = at(shorter_ms, one_way(third.clone(), vs.clone(), Cut::Refuse, dice.between(1_000, 1_250)));
    let unasked =
        at(later(dice, 1_150, 1_350), apart(Targets::of(plan).clients(), first.clone(), Cut::Refuse, 3_000));
    let left_behind =
        at(later(dice, 1_600, 1_800), apart(first, third.clone(), cut(dice), dice.between(2_000, 4_000)));
    // The second rules without being acknowledged, and forgets everything.
    let proposed = begin_ms + 100;
    let unacknowledged =
        on(Trigger::Promoted, proposed, 0, one_way(second, vs, Cut::Refuse, dice.between(150, 300)));
    let forget = on(Trigger::ViewProposed, proposed, dice.between(450, 850), crash("s2", 10, Memory::Lost));
    plan.faults.extend([dumb, deaf, shorter, unheard, unasked, left_behind, unacknowledged, forget]);
}
