//! A state transfer that is given up and begun again while parts of the former one are still on their way.

use testbed::data::{
    fault::{Memory, Mistreatment},
    plan::Client,
};

use super::{
    super::{faults::REJOIN_MS, workload::load},
    BEGIN_MS, Dice, LENGTH_MS, Targets, at, at_least, crash, keep, nodes, on, promoted_at_last,
};
use crate::{
    bound::{FaultKind, Plan},
    store::fault::Trigger,
};

/// Clients that write while a state is sent.
const WRITERS: usize = 5;

/// A backup forgets everything, again and again. While it is sent the state, clients overwrite the same few
/// keys so fast that the log outgrows its limit: the transfer is given up, and another one begins in the same
/// view, with other values. Parts of both are late or come twice; in some rounds the receiver ends in
/// between, or the view service. The writes end, one transfer completes, and what it installed is compared
/// with the log.
pub(super) fn begun_again(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    let cluster = &mut plan.cluster;
    cluster.replicas = 2;
    cluster.checkpoint_interval = dice.between(2, 6);
    cluster.log_entries_max = Some(4 * cluster.checkpoint_interval);
    cluster.chunk_bytes_max = dice.magnitude(32, 100) as usize;
    cluster.append_window = 1_024;
    cluster.disk_ms_max = dice.weighted(&[(2, 0), (1, 20)]);
    cluster.session_ttl_ms = 60_000;
    (plan.network.latency_us_min, plan.network.latency_us_max) = (1_000, 1_000 + dice.magnitude(1, 4_000));
    let keys = dice.between(4, 24);
    plan.clients.truncate(1);
    keep(&mut plan.clients[0], |at_ms| at_ms < BEGIN_MS / 2);
    plan.clients[0].script.splice(0..0, load(keys));
    let mut scripts = vec![Vec::new(); WRITERS];
    let round_ms = dice.between(REJOIN_MS + 400, REJOIN_MS + 2_000);
    for begin_ms in (BEGIN_MS..LENGTH_MS - 2 * round_ms).step_by(round_ms as usize) {
        let lasts_ms = dice.between(1_000, 2_500);
        let pause_ms = dice.between(10, 60);
        for script in &mut scripts {
            let first_ms = begin_ms + dice.below(pause_ms);
            let times = (first_ms..begin_ms + lasts_ms).step_by(pause_ms as usize);
            let line = |ms| format!("{}.{:03} put cold{}", ms / 1_000, ms % 1_000, dice.below(keys));
            script.extend(times.map(line));
        }
        let (from, to) = (nodes(&["primary"]), Targets::of(plan).servers());
        let how = *dice.pick(&[Mistreatment::Delay, Mistreatment::Delay, Mistreatment::Duplicate]);
        let percent = dice.magnitude(10, 60) as u32;
        let late = FaultKind::Rpc { from, to, how, percent, lasts_ms: lasts_ms + 1_000 };
        let forget = crash("backup", dice.magnitude(10, 300), Memory::Lost);
        plan.faults.extend([at(begin_ms, forget), at(begin_ms + 50, late)]);
        let ends = match dice.below(4) {
            0 => Some(crash("joiner", dice.magnitude(1, 100), Memory::Kept)),
            1 => Some(crash("vs", dice.magnitude(10, 1_000), Memory::Kept)),
            _ => None,
        };
        let begun_ms = begin_ms + lasts_ms / 2;
        plan.faults
            .extend(ends.map(|kind| on(Trigger::TransferBegan, begun_ms, dice.magnitude(1, 300), kind)));
    }
    plan.clients.extend(scripts.into_iter().map(|script| Client { deadline_ms: 5_000, script }));
    promoted_at_last(dice, plan);
}
