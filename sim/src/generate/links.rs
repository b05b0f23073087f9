//! Links that carry so much in a millisecond and no more: what is said waits behind what was said before, and
//! a state that is sent is in the way of heartbeats.

use testbed::{data::fault::Memory, draw::dice::Dice};

use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{settings::Settings, setup::Reads},
};

/// The share of seeds whose links are narrow, in percent: that is felt, and nothing breaks by it.
const NARROW_PERCENT: u64 = 4;
/// The longest that one message is on its way for its length, in milliseconds: a third of the shortest
/// silence that is suspicious, but for a value that is longer by itself.
const MESSAGE_MS: u64 = 30;

/// The share of seeds in which a state takes its time, in percent.
const LONG_PERCENT: u64 = 2;
/// How long one value takes, in milliseconds: longer than the time after which a part that was lost is sent
/// again.
const VALUE_MS: (u64, u64) = (300, 800);
/// From one value to the next, in milliseconds.
const NEXT_MS: u64 = 1_500;

/// Makes the links of a few seeds narrow.
pub(super) fn narrow(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "bandwidth");
    if !dice.percent(NARROW_PERCENT) {
        return;
    }
    let bytes_per_ms = dice.magnitude(64, 1_000);
    let longest = usize::try_from(bytes_per_ms * MESSAGE_MS).expect("far less than memory");
    plan.network.bytes_per_ms = Some(bytes_per_ms);
    let cluster = &mut plan.cluster;
    cluster.chunk_bytes_max = cluster.chunk_bytes_max.min(longest);
    cluster.append_window = cluster.append_window.min(bytes_per_ms);
    if cluster.settings.iter().all(|settings| settings.append_bytes_max.is_none()) {
        let append_bytes_max = Some(longest);
        cluster.settings.push(Settings { append_bytes_max, ..Settings::default() });
    }
}

/// In a few seeds a pair shares a link that one value fills for longer than a heartbeat, and one of them
/// forgets what it held. It has to get it all again. In half of them it becomes primary then.
pub(super) fn lengthen_transfers(plan: &mut Plan) {
    let mut dice = Dice::new(plan.seed, "slow link");
    if !dice.percent(LONG_PERCENT) {
        return;
    }
    let bytes_per_ms = dice.between(3, 8);
    plan.network.bytes_per_ms = Some(bytes_per_ms);
    let cluster = &mut plan.cluster;
    (cluster.servers, cluster.replicas, cluster.reads) = (2, 2, Reads::Confirm);
    (cluster.volatile, cluster.encoded, cluster.disk_ms_max) = (false, false, 0);
    (cluster.checkpoint_interval, cluster.chunk_bytes_max) = (1, 64);
    (cluster.append_window, cluster.log_entries_max) = (1_024, None);
    cluster.session_ttl_ms = 60_000;
    cluster.starts_ms.clear();
    cluster.settings.clear();
    cluster.clocks.clear();
    let values = dice.between(6, 12);
    plan.clients.truncate(1);
    let client = &mut plan.clients[0];
    client.deadline_ms = 10_000;
    let mut line = |value: u64| {
        let bytes = bytes_per_ms * dice.between(VALUE_MS.0, VALUE_MS.1);
        let ms = 3_000 + NEXT_MS * value;
        format!("{}.{:03} put hot{value} {bytes}", ms / 1_000, ms % 1_000)
    };
    client.script = (0..values).map(&mut line).collect();
    let forget_ms = 3_000 + NEXT_MS * values + 1_500;
    let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
    let crash =
        |node: &str, down_ms, memory| FaultKind::Crash { node: node.into(), down_ms: Some(down_ms), memory };
    plan.faults = vec![at(forget_ms, crash("backup", dice.magnitude(50, 500), Memory::Lost))];
    plan.faults_ms = forget_ms + 4_000;
    if dice.percent(50) {
        // All of it has arrived.
        let joined_ms = forget_ms + 2 * values * VALUE_MS.1 + 10_000;
        plan.faults.push(at(joined_ms, crash("primary", 4_000, Memory::Kept)));
        plan.faults_ms = joined_ms + 6_000;
    }
}
