//! The options of the processes: most often as they come, else faster, slower, at odds with each other, or so
//! small that clients run into them.

use std::time::Duration;

use testbed::{data::plan::Network, draw::dice::Dice};

use crate::{
    bound::Plan,
    store::{script::Step, settings::Settings, setup::Cluster},
};

/// The longest latency and the longest write to disk with which a fast cluster is not taken for a dead one.
const FAST: (u64, u64) = (10_000, 20);

/// The share of seeds with other limits in bytes, in percent.
const BYTES_PERCENT: u64 = 20;

/// The longest key of any plan that is to be taken.
const KEY_BYTES_MIN: u64 = 16;

/// The share of seeds whose view service is told to wait little for joiners, in percent.
const IMPATIENCE_PERCENT: u64 = 6;

/// The share of seeds whose view service has room for the servers of the cluster and for no other one, in
/// percent.
const NO_ROOM_PERCENT: u64 = 10;

/// The share of seeds whose servers refuse updates that too few copies would hold, in percent.
const COPIES_PERCENT: u64 = 8;

/// The share of seeds with scans whose servers read little of them in one go, in percent.
const LITTLE_SCANNING_PERCENT: u64 = 40;

/// The share of seeds whose servers write their journals anew when they have grown a little, in percent,
const SHORT_JOURNALS_PERCENT: u64 = 50;
/// and by how many bytes at most.
const SHORT_JOURNAL_BYTES: u64 = 40_000;

/// The share of seeds whose servers write little of a state in one go, in percent,
const SHORT_WRITES_PERCENT: u64 = 40;
/// and how many bytes at most.
const SHORT_WRITE_BYTES: u64 = 1_500;

/// The share of seeds whose servers write more or fewer zeros ahead than usual, in percent,
const OTHER_AHEAD_PERCENT: u64 = 40;
/// and how many bytes at most.
const AHEAD_BYTES: u64 = 20_000;

/// How often all clients of such a seed scan at the same moment.
const BURSTS: usize = 6;

/// Lets the servers of some seeds ask for a least number of copies. Updates then wait until redundancy is
/// restored, and that may take as long again as the faults lasted (a suspicion doubles): there is more time
/// to settle.
pub(super) fn ask_for_copies(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "settings/copies");
    let replicas = plan.cluster.replicas as usize;
    if replicas < 2 || !dice.percent(COPIES_PERCENT) {
        return;
    }
    let copies_min = Some(dice.between(2, replicas as u64) as usize);
    plan.cluster.settings.push(Settings { copies_min, ..Settings::default() });
    plan.settle_ms += 2 * plan.faults_ms;
}

/// Lets the servers of some seeds with scans read little of them in one go, and let few of them wait. Their
/// clients scan all at the same moments, too, or hardly two would ever wait at once.
pub(super) fn limit_scans(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "settings/scans");
    let scans = |line: &String| line.split_whitespace().nth(1) == Some("scan");
    let is_scanning = plan.clients.iter().any(|client| client.script.iter().any(scans));
    if !is_scanning || !dice.percent(LITTLE_SCANNING_PERCENT) {
        return;
    }
    let scan_bytes_max = Some(dice.magnitude(1, 500) as usize);
    let scans_max = dice.percent(40).then(|| dice.between(1, 3) as usize);
    plan.cluster.settings.push(Settings { scans_max, scan_bytes_max, ..Settings::default() });
    for _ in 0..BURSTS {
        let at_ms = dice.below(plan.faults_ms);
        let line = format!("{}.{:03} scan hot 3", at_ms / 1_000, at_ms % 1_000);
        for script in plan.clients.iter_mut().map(|client| &mut client.script) {
            let is_earlier =
                |line: &String| Step::parse(line).is_ok_and(|step| step.at <= Duration::from_millis(at_ms));
            let place = script.partition_point(is_earlier);
            script.insert(place, line.clone());
        }
    }
}

/// Gives those plans more time to settle in which sessions may remember little. An answer that nobody asks
/// for any more makes room when its session is over: in the worst case one client after the other waits for
/// that.
pub(super) fn wait_for_sessions(plan: &mut Plan) {
    if plan.cluster.settings.iter().any(|settings| settings.session_bytes_max.is_some()) {
        plan.settle_ms += 2 * plan.clients.len() as u64 * plan.cluster.session_ttl_ms;
    }
}

/// What is set in the cluster of a seed.
pub(super) fn settings(seed: u64, cluster: &Cluster, network: &Network) -> Vec<Settings> {
    let mut dice = Dice::new(seed, "settings");
    let mut settings = Vec::new();
    let how = dice.weighted(&[(11, "default"), (3, "fast"), (2, "slow"), (4, "wild")]);
    let quick = network.latency_us_max <= FAST.0 && cluster.disk_ms_max <= FAST.1;
    match how {
        "fast" => settings.push(pace(if quick { 20 } else { 50 })),
        "slow" => settings.push(pace(200)),
        "wild" => settings.push(wild(&mut dice, quick)),
        _ => {}
    }
    if dice.percent(15) {
        settings.push(Settings {
            append_bytes_max: Some(dice.magnitude(16, 4_096) as usize),
            ..Settings::default()
        });
    }
    if dice.percent(12) {
        settings.push(Settings { waiting_max: Some(dice.between(2, 6) as usize), ..Settings::default() });
    }
    // Sessions that nobody uses any more make room only when they expire.
    if dice.percent(30) && cluster.session_ttl_ms <= 10_000 {
        let sessions_max = Some(dice.between(12, 24) as usize);
        settings.push(Settings { sessions_max, ..Settings::default() });
    }
    if dice.percent(25) {
        let ping_ms = settings.iter().filter_map(|settings| settings.ping_ms).max().unwrap_or(500);
        settings.extend(differences(&mut dice, cluster, ping_ms));
    }
    settings.extend(contradictions(seed, cluster));
    settings.extend(impatience(seed));
    settings.extend(bytes(seed, cluster));
    settings.extend(no_room(seed, cluster));
    settings
}

/// Lets the servers of some seeds write their journals anew often.
pub(super) fn shorten_journals(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "settings/journals");
    if dice.percent(SHORT_JOURNALS_PERCENT) {
        let journal_growth_min = Some(dice.magnitude(1, SHORT_JOURNAL_BYTES));
        // Most often one batch is not enough for the next file.
        let journal_rewrite_min = dice.percent(70).then(|| dice.magnitude(1, 4_000));
        plan.cluster.settings.push(Settings {
            journal_growth_min,
            journal_rewrite_min,
            ..Settings::default()
        });
    }
}

/// In some seeds, a state that was transferred takes many writes.
pub(super) fn shorten_writes(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "settings/pieces");
    if dice.percent(SHORT_WRITES_PERCENT) {
        let journal_piece = Some(dice.magnitude(1, SHORT_WRITE_BYTES) as usize);
        plan.cluster.settings.push(Settings { journal_piece, ..Settings::default() });
    }
}

/// In some seeds, other batches than usual find room in the file, or none does.
pub(super) fn write_ahead(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "settings/ahead");
    if dice.percent(OTHER_AHEAD_PERCENT) {
        let journal_ahead = Some(if dice.percent(30) { 0 } else { dice.magnitude(1, AHEAD_BYTES) as usize });
        plan.cluster.settings.push(Settings { journal_ahead, ..Settings::default() });
    }
}

/// Limits in bytes that clients run into, and checkpoints that are taken for their sake.
fn bytes(seed: u64, cluster: &Cluster) -> Option<Settings> {
    let mut dice = Dice::new(seed, "settings/bytes");
    if !dice.percent(BYTES_PERCENT) {
        return None;
    }
    let bytes = |dice: &mut Dice, percent, min, max| dice.percent(percent).then(|| dice.magnitude(min, max));
    let key_bytes_max = bytes(&mut dice, 50, KEY_BYTES_MIN, 100).map(|bytes| bytes as usize);
    let value_bytes_max = bytes(&mut dice, 60, 48, 2_000).map(|bytes| bytes as usize);
    let checkpoint_bytes = bytes(&mut dice, 60, 200, 8_000);
    let waiting_bytes_max = bytes(&mut dice, 30, 80, 800);
    // What sessions remember that nobody uses any more makes room only when they expire.
    let is_short = cluster.session_ttl_ms <= 10_000;
    let session_bytes_max = bytes(&mut dice, 50, 10, 400).filter(|_| is_short);
    Some(Settings {
        key_bytes_max,
        value_bytes_max,
        checkpoint_bytes,
        waiting_bytes_max,
        session_bytes_max,
        ..Settings::default()
    })
}

/// What two nodes were told does not go together, and one of them has to decide: servers that would ping more
/// rarely than the view service bears, and a server whose sessions would live less long than those of others.
fn contradictions(seed: u64, cluster: &Cluster) -> Vec<Settings> {
    let mut dice = Dice::new(seed, "settings/contradictions");
    let mut settings = Vec::new();
    let one = |dice: &mut Dice| format!("s{}", dice.between(1, cluster.servers.into()));
    if dice.percent(12) {
        let node = dice.percent(50).then(|| one(&mut dice));
        let ping_ms = Some(*dice.pick(&[1_500, 4_000, 20_000, 3_600_000]));
        settings.push(Settings { node, ping_ms, ..Settings::default() });
    }
    if dice.percent(10) {
        let ttl_ms = *dice.pick(&[2_000, 4_000, 10_000]);
        let session_ttl_ms = Some(ttl_ms).filter(|ttl_ms| *ttl_ms < cluster.session_ttl_ms);
        settings.extend(session_ttl_ms.map(|_| Settings {
            node: Some(one(&mut dice)),
            session_ttl_ms,
            ..Settings::default()
        }));
    }
    settings
}

/// A view service that was told to wait for the progress of a joiner for less time than lies between two
/// pings.
fn impatience(seed: u64) -> Option<Settings> {
    let mut dice = Dice::new(seed, "settings/impatience");
    let join_stall_ms = dice.percent(IMPATIENCE_PERCENT).then(|| dice.between(200, 1_000));
    join_stall_ms.map(|_| Settings { join_stall_ms, ..Settings::default() })
}

/// A view service that knows no more servers than there are: whoever takes room under another name takes it
/// from them.
fn no_room(seed: u64, cluster: &Cluster) -> Option<Settings> {
    let mut dice = Dice::new(seed, "settings/servers");
    let servers_max = dice.percent(NO_ROOM_PERCENT).then_some(cluster.servers as usize);
    servers_max.map(|_| Settings { servers_max, ..Settings::default() })
}

/// All times, in percent of the defaults.
fn pace(percent: u64) -> Settings {
    let time = |default_ms: u64| Some(default_ms * percent / 100);
    Settings {
        ping_ms: time(500),
        heartbeat_ms: time(100),
        suspect_ms: time(1_000),
        dead_ms: time(1_500),
        join_stall_ms: time(3_000),
        suspicion_ms: time(3_000),
        ..Settings::default()
    }
}

/// Times that have little to do with each other, as far as they can work together.
fn wild(dice: &mut Dice, quick: bool) -> Settings {
    let least = if quick { 1 } else { 3 };
    let ping_ms = dice.magnitude(40 * least, 1_000);
    let heartbeat_ms = dice.magnitude(10 * least, 250);
    Settings {
        ping_ms: Some(ping_ms),
        heartbeat_ms: Some(heartbeat_ms),
        suspect_ms: Some((heartbeat_ms * dice.between(3, 20)).max(200 * least)),
        dead_ms: Some((ping_ms * dice.between(3, 6)).max(200 * least)),
        join_stall_ms: Some(dice.between(1_500, 6_000)),
        suspicion_ms: Some(dice.magnitude(500, 8_000)),
        ..Settings::default()
    }
}

/// One server has other options than the others, from the beginning or since it was restarted, and so may the
/// view service have.
fn differences(dice: &mut Dice, cluster: &Cluster, ping_ms: u64) -> Vec<Settings> {
    let server = format!("s{}", dice.between(1, cluster.servers.into()));
    let other = Settings {
        node: Some(server),
        from_life: dice.between(1, 2),
        // A limit of the log would have to follow.
        checkpoint_interval: Some(dice.magnitude(2, 2_000)).filter(|_| cluster.log_entries_max.is_none()),
        join_lag_max_ms: Some(*dice.pick(&[100, 200, 500, 1_000])),
        append_window: Some(dice.magnitude(1, 1_024)),
        ..Settings::default()
    };
    let restarted = Settings {
        node: Some("vs".into()),
        from_life: 2,
        dead_ms: Some((*dice.pick(&[800, 2_500, 4_000])).max(3 * ping_ms)),
        ..Settings::default()
    };
    vec![other, restarted]
}
