//! Within which time the cluster is well again after the last change of its surroundings: from the limits of
//! the protocol and from what the plan lets the servers hold.

use std::time::Duration;

use pbkv::protocol::options::ReplicaOptions;

use crate::{
    bound::Plan,
    store::script::{self, Action, Step},
};

/// A suspicion of a pair that never was in sync lasts up to so many times longer than others.
const UNTRIED_FACTOR: u32 = 10;
/// Joins that may fail before one succeeds, besides those with servers that the primary cannot reach.
const TRIES: u32 = 2;
/// Within this time a client gives up an attempt that hangs, and asks the view service and another server.
const CLIENT: Duration = Duration::from_secs(5);
/// About what a message takes besides the value that it carries.
const MESSAGE_BYTES: u64 = 200;
/// In what one round trip takes, a client asks for no more than so many updates: it waits for each.
const UPDATES_PER_ROUND: u64 = 4;

/// The times that the protocol may take, in true time: the slowest clock of any plan is included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Copies to strive for.
    pub replicas: usize,
    /// From a change until all that follows from it was noticed: two dead intervals until a server is dead
    /// that was heard of just before, one more until the last lease is over or a restarted view service
    /// believes it, the silence after which a primary suspects, and two pings.
    pub detect: Duration,
    /// After so long without progress a join has failed.
    join_stall: Duration,
    /// The first suspicion of a pair,
    suspicion_min: Duration,
    /// and the longest.
    suspicion_max: Duration,
    /// No suspicion is shorter.
    pub suspected_at_least: Duration,
    /// A join that goes well: each key travels in a part of its own, then every operation of the plan by as
    /// many at a time as are sent unacknowledged.
    join: Duration,
    /// Whether a joiner is sure to keep up with the load: a round of catching up is short enough, and as many
    /// operations are on their way at once as clients can ask for. Otherwise it joins when the load ends.
    pub keeps_up: bool,
    /// Copies without which each server refuses updates, if all say the same in all lives.
    pub copies_min: Option<usize>,
    /// Sessions of a server, if all say the same in all lives,
    pub sessions_max: Option<u64>,
    /// and the bytes that they remember.
    pub session_bytes_max: Option<u64>,
}

/// How long all that clients may write takes to leave, a state and once more as operations.
fn on_the_way(plan: &Plan) -> Duration {
    let Some(bytes_per_ms) = plan.network.bytes_per_ms else { return Duration::ZERO };
    let steps = plan.clients.iter().flat_map(|client| &client.script);
    let lengths =
        steps.filter_map(|line| Step::parse(line).ok()).map(|step| step.bytes.unwrap_or_default() as u64);
    let bytes: u64 = lengths.map(|bytes| bytes + MESSAGE_BYTES).sum();
    Duration::from_millis(2 * bytes / bytes_per_ms.max(1))
}

impl Limits {
    /// Those of a plan: of the slowest life of the slowest process.
    pub fn of(plan: &Plan) -> Self {
        let cluster = &plan.cluster;
        let lives = [1, u64::MAX];
        let grantors = lives.map(|life| cluster.view_service_options(life));
        let servers: Vec<_> = (1..=cluster.servers)
            .flat_map(|n| lives.map(|life| cluster.replica_options(&format!("s{n}"), life)))
            .collect();
        let longest = |times: &mut dyn Iterator<Item = Duration>| times.max().unwrap_or_default();
        let dead_after = longest(&mut grantors.iter().map(|options| options.dead_after));
        let suspect = longest(&mut servers.iter().map(|options| options.suspect_after));
        let ping = cluster.longest_ping_interval();
        let round = 2 * Duration::from_micros(plan.network.latency_us_max)
            + Duration::from_millis(cluster.disk_ms_max);
        let steps = || plan.clients.iter().flat_map(|client| &client.script);
        let operations = steps().count() as u64;
        let ends = |step: Step| matches!(step.action, Action::Close | Action::Restart);
        let closes = steps().filter(|line| Step::parse(line).is_ok_and(ends)).count();
        let parts = script::keys(plan).len() + plan.clients.len() + closes + 1;
        let window = servers.iter().map(|options| options.append_window).min().unwrap_or(1);
        let rounds = parts as u64 + operations / window + 1;
        let lag = servers.iter().map(|options| options.join_lag_max).min().unwrap_or_default();
        let keeps_up = round <= lag && window >= UPDATES_PER_ROUND * plan.clients.len() as u64;
        Self {
            replicas: cluster.replicas as usize,
            detect: in_true_time(3 * dead_after + suspect + 2 * ping),
            join_stall: in_true_time(longest(&mut grantors.iter().map(|options| options.join_stall()))),
            suspicion_min: in_true_time(longest(&mut grantors.iter().map(|options| options.suspicion_min))),
            suspicion_max: in_true_time(longest(&mut grantors.iter().map(|options| options.suspicion_max))),
            suspected_at_least: at_least_in_true_time(
                grantors.iter().map(|options| options.suspicion_min).min().unwrap_or_default(),
            ),
            join: round * u32::try_from(rounds).unwrap_or(u32::MAX) + on_the_way(plan),
            keeps_up,
            copies_min: Some(*cluster.copies_min().start())
                .filter(|least| least == cluster.copies_min().end()),
            sessions_max: agreed(&servers, |options| options.sessions_max as u64),
            session_bytes_max: agreed(&servers, |options| options.session_bytes_max),
        }
    }

    /// Within which time after the last fault clients are served: a fail-over, and what a client needs to
    /// find that out.
    pub fn serves(&self) -> Duration {
        self.detect + CLIENT
    }

    /// Within which time redundancy is complete. `troubled` is the time from the first fault to the last
    /// change, if there was a fault; `useless` servers live, and the primary does not reach them.
    ///
    /// A suspicion doubles when it is over and the pair fails again, so it is no longer than all before it
    /// together and the first: whoever was in trouble for a while is suspected for no longer than that while.
    pub fn patience(&self, troubled: Option<Duration>, useless: usize) -> Duration {
        let suspicion = troubled.map_or(Duration::ZERO, |troubled| {
            (troubled + self.detect + self.suspicion_min).min(self.suspicion_max * UNTRIED_FACTOR)
        });
        let tries = TRIES + u32::try_from(useless).unwrap_or(u32::MAX);
        self.detect + suspicion + self.join_stall * tries + self.join
    }
}

/// What all say, if they agree.
fn agreed(servers: &[ReplicaOptions], of: impl Fn(&ReplicaOptions) -> u64) -> Option<u64> {
    let first = servers.first().map(&of);
    first.filter(|first| servers.iter().all(|options| of(options) == *first))
}

/// Clocks are slower than true time by less than an eighth.
pub(super) fn in_true_time(node_time: Duration) -> Duration {
    node_time * 9 / 8
}

/// And they are faster by less than an eighth.
fn at_least_in_true_time(node_time: Duration) -> Duration {
    node_time * 7 / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims;

    #[test]
    fn the_bound_is_a_quarter_of_a_minute_without_faults_and_grows_with_the_time_of_trouble() {
        let claim = claims::all().into_iter().next().expect("there are claims");
        let limits = Limits { join: Duration::ZERO, ..Limits::of(&(claim.plan)(0)) };
        assert_eq!(limits.patience(None, 0).as_secs(), 14);
        let after = |seconds| limits.patience(Some(Duration::from_secs(seconds)), 0).as_secs();
        assert_eq!((after(0), after(40)), (24, 64));
        assert_eq!(after(1_000), after(2_000), "no suspicion is longer than ten times the longest");
    }
}
