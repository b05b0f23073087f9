//! Smaller and plainer set-ups, which are tried when a plan is made small.

use super::setup::{Calls, Cluster, Reads};

/// With fewer servers, or with fewer copies.
pub fn smaller(cluster: &Cluster) -> Vec<Cluster> {
    let servers = (1..cluster.servers).map(|servers| {
        let mut smaller = cluster.clone();
        smaller.servers = servers;
        smaller.replicas = cluster.replicas.min(servers);
        smaller.starts_ms.truncate(servers as usize);
        smaller
    });
    let copies = (1..cluster.replicas).map(|replicas| Cluster { replicas, ..cluster.clone() });
    servers.chain(copies).collect()
}

/// Options that need no explanation.
const PLAIN: [fn(&mut Cluster); 16] = [
    |cluster| cluster.settings.clear(),
    |cluster| cluster.encoded = false,
    |cluster| cluster.callers_leave = false,
    |cluster| cluster.calls = Calls::Stream,
    |cluster| cluster.together_bytes = None,
    |cluster| cluster.volatile = false,
    |cluster| cluster.log_entries_max = None,
    |cluster| cluster.clocks.clear(),
    |cluster| cluster.starts_ms.clear(),
    |cluster| cluster.reads = Reads::Confirm,
    |cluster| cluster.disk_ms_max = 0,
    |cluster| cluster.checkpoint_interval = 100,
    |cluster| cluster.join_lag_max_ms = 500,
    |cluster| cluster.chunk_bytes_max = 4_096,
    |cluster| cluster.append_window = 1_024,
    |cluster| cluster.session_ttl_ms = 60_000,
];

/// With plain options, first all of them, then one by one.
pub fn plainer(cluster: &Cluster) -> Vec<Cluster> {
    let with = |change: &dyn Fn(&mut Cluster)| {
        let mut plain = cluster.clone();
        change(&mut plain);
        plain
    };
    let mut plainer = vec![with(&|plain| PLAIN.iter().for_each(|set| set(plain)))];
    plainer.extend(PLAIN.iter().map(|set| with(set)));
    plainer.extend((0..cluster.settings.len()).map(|place| {
        with(&|plain| {
            plain.settings.remove(place);
        })
    }));
    plainer.extend((0..cluster.clocks.len()).map(|place| {
        with(&|plain| {
            plain.clocks.remove(place);
        })
    }));
    plainer
}

/// What must outgrow something takes fewer operations if that is small.
pub const FORMS: &[fn(&mut Cluster)] = &[
    // A checkpoint after every other operation: halving the interval would take a round for each half.
    |cluster| cluster.checkpoint_interval = cluster.checkpoint_interval.min(2),
    |cluster| cluster.checkpoint_interval = cluster.checkpoint_interval.div_ceil(2),
    // A state is transferred in the smallest parts.
    |cluster| cluster.chunk_bytes_max = 1,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{
        bound::{Outcome, Plan},
        generate::generate,
    };
    use testbed::{
        data::outcome::Violation,
        minimise::{Aim, Options, Signature, Size, minimise},
    };

    /// Fails if more than `enough` operations are planned.
    fn fails_beyond(plan: &Plan, enough: u64) -> Outcome {
        let mut outcome = Outcome::default();
        if Size::of(plan).operations as u64 > enough {
            let at = Duration::from_secs(10_000);
            let (node, invariant, message) = ("s1".into(), "I5".into(), "diverged".into());
            outcome.violations.push(Violation { at, node, invariant, message });
        }
        outcome
    }

    #[test]
    fn what_must_outgrow_a_checkpoint_or_a_message_is_given_a_smaller_one() {
        type Enough = fn(&Plan) -> u64;
        let forms: [(&str, Enough); 3] = [
            ("a checkpoint after few operations will do", |plan| plan.cluster.checkpoint_interval),
            // After fewer than three it does not fail, so that only halving it helps.
            ("the interval must not be too short", |plan| match plan.cluster.checkpoint_interval {
                0..3 => u64::MAX,
                more => more,
            }),
            ("small parts will do", |plan| plan.cluster.chunk_bytes_max as u64 / 40),
        ];
        let mut plans = (0..).map(generate);
        let mut plan =
            plans.find(|plan| Size::of(plan).operations > 100).expect("some seed has many operations");
        plan.cluster.checkpoint_interval = 64;
        plan.cluster.chunk_bytes_max = 2_000;
        for (name, enough) in forms {
            let aim = Aim::Failure(Signature::Invariant("I5".into()));
            let options = Options { time_max: Duration::from_secs(600), runs_max: 50_000, jobs: 1 };
            let run = |plan: &Plan| fails_beyond(plan, enough(plan));
            let small = minimise(&plan, aim, &options, run, |_| {}).expect("it fails");
            assert!(small.after.operations <= 5, "{name}: {}", small.after);
        }
    }
}
