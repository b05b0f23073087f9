//! A walk as a script in the machines' own language, which `cargo test` plays without any simulator
//! (`tests/scripts`).
//!
//! The script does what the walk did, up to where nothing goes wrong any more: that end is the walk's alone.
//! A promise that was broken on the way is broken in the script, too. What was owed at the end, the script
//! shows and does not judge.

use std::fmt::Write as _;

use testbed::data::node::NodeIndex;

use super::{Action, Cluster, Key, Kind, VS, WallClock, flight::Body};
use crate::{
    store::{operation::Input, setup::Reads},
    walk::{World, replay_to},
};

/// How scripts call the view service.
const VIEW_SERVICE: &str = "VS";

/// A script, and what it comes to.
#[derive(Clone, Debug)]
pub struct Script {
    /// The commands, each with what it is about as a comment, if it is about a message.
    pub text: String,
    /// What each machine is after the last one.
    pub states: Vec<String>,
}

/// The script that does what these actions do.
pub fn script(start: &Cluster, actions: &[Action]) -> Script {
    let mut world = start.clone();
    world.script = Some(Vec::new());
    let _ = replay_to(&mut world, actions); // wherever it ends
    let mut text = format!("{}\n---\n\n", start.header());
    // Where disks take no time, the first lives are on them already.
    let first = start.nodes.servers().filter(|_| start.writes_at_once());
    let first: Vec<String> = first.map(|server| start.persist_command(server)).collect();
    for line in first.iter().chain(world.script.iter().flatten()) {
        let _ = writeln!(text, "{line}\n---\n");
    }
    Script { text, states: world.states() }
}

impl Cluster {
    /// The command with which the script begins.
    fn header(&self) -> String {
        let cluster = &self.plan.cluster;
        let servers: Vec<&str> = self.nodes.servers().map(|node| self.name(node)).collect();
        let reads = if cluster.reads == Reads::Lease { "lease" } else { "confirm" };
        let gains: Vec<String> =
            (1..=servers.len()).chain([VS]).map(|node| (self.drifts[node] / 1_000).to_string()).collect();
        let options = cluster.replica_options("s1", 1);
        let granted = cluster.view_service_options(1);
        let ms = |time: std::time::Duration| time.as_millis();
        format!(
            "cluster {} replicas={} reads={reads} clocks=\"{}\" copies-min={} dead-after={} suspicion={} ping-interval={} \
             suspect-after={} join-lag={} checkpoint-interval={} checkpoint-bytes={} log-entries={} append-window={} \
             append-bytes={} part-bytes={} session-ttl={} sessions={} session-bytes={} waiting={} waiting-bytes={}",
            servers.join(" "),
            cluster.replicas,
            gains.join("/"),
            options.copies_min,
            ms(granted.dead_after),
            ms(granted.suspicion_min),
            ms(options.ping_interval),
            ms(options.suspect_after),
            ms(options.join_lag_max),
            options.checkpoint_interval,
            options.checkpoint_bytes,
            options.log_entries_max,
            options.append_window,
            options.append_bytes_max,
            options.chunk_bytes_max,
            ms(options.session_ttl),
            options.sessions_max,
            options.session_bytes_max,
            options.waiting_max,
            options.waiting_bytes_max,
        )
    }

    fn script_name(&self, node: impl Into<NodeIndex>) -> &str {
        let node = node.into();
        if node == VS { VIEW_SERVICE } else { self.name(node) }
    }

    fn pick(&self, verb: &str, key: Key) -> String {
        let (from, to) = (self.script_name(key.from), self.script_name(key.to));
        let what = self.tell(Action::Deliver(key));
        let what = what.split_once(": ").map_or("", |(_, what)| what);
        format!("# {what}\n{verb} {from} {to} {} nth={}", key.kind.word(), key.number)
    }

    /// An action as a command, before it is taken.
    pub(super) fn command(&self, action: Action) -> String {
        match action {
            // Scripts bring an answer to whichever life there is. Here the call is gone that it answers.
            Action::Deliver(key) if self.is_for_another_life(key) => self.pick("drop", key),
            Action::Copy(key) if self.is_for_another_life(key) => "stall 0".to_owned(),
            // Scripts have no such messages on their way.
            Action::Deliver(key) | Action::Copy(key) if key.kind == Kind::Gone => {
                format!("gone {}", self.script_name(key.from))
            }
            Action::Lose(key) if key.kind == Kind::Gone => "stall 0".to_owned(),
            Action::Deliver(key) => self.pick("deliver", key),
            Action::Copy(key) => self.pick("duplicate", key),
            Action::Lose(key) => self.pick("drop", key),
            Action::Tick(node) => format!("tick {}", self.script_name(node)),
            Action::Advance(time) => format!("stall {time}"),
            Action::Jump(node, time) => format!("jump {} {time}", self.script_name(node)),
            Action::Persist(node) => self.persist_command(node.into()),
            Action::Gather(node) => format!("gather {}", self.script_name(node)),
            Action::Flush(node) => format!("flush {}", self.script_name(node)),
            Action::Crash(node, kept) => format!("crash {} keep={kept}", self.script_name(node)),
            Action::Wipe(node) => format!("wipe {}", self.script_name(node)),
            Action::Start(node, clock) => {
                let clock = match clock {
                    WallClock::GoesOn => "",
                    WallClock::SetBack => " clock=back",
                    WallClock::Repeats => " clock=same",
                };
                format!("restart {}{clock}", self.script_name(node))
            }
            Action::Call(client, wish, server) => {
                let (name, via) = (self.name(client), self.name(server));
                let word = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
                let what = match self.asked(client.into(), wish) {
                    None => "close".to_owned(),
                    Some(asked) => match &asked.input {
                        Input::Get { key } => format!("get {}", word(key)),
                        Input::Put { key, value } => format!("put {} {}", word(key), word(value)),
                        Input::Append { key, value } => format!("append {} {}", word(key), word(value)),
                        Input::Delete { key } => format!("delete {}", word(key)),
                        Input::CompareAndSwap { key, expected, new } => {
                            let expected = match (asked.expected_revision, expected) {
                                (Some(revision), _) => revision.to_string(),
                                (None, None) => "nothing".into(),
                                (None, Some(expected)) => word(expected),
                            };
                            format!("swap {} {expected} {}", word(key), word(new))
                        }
                    },
                };
                format!("{name}: {what} via={via}")
            }
            Action::Retry(client, server) => {
                format!("{}: retry via={}", self.name(client), self.name(server))
            }
            Action::GiveUp(client) => format!("{}: give-up", self.name(client)),
        }
    }

    fn is_for_another_life(&self, key: Key) -> bool {
        let body = self.flight.get(key);
        matches!(body, Some(Body::Answer { life, .. }) if self.servers[usize::from(key.to) - 1].life != *life)
    }

    pub(super) fn persist_command(&self, node: NodeIndex) -> String {
        format!("persist {}", self.script_name(node))
    }
}
