//! What clients were told last: of each client and each server that it asked, the latest attempt, as it is
//! seen at the server's end of their connection.
//!
//! Not seen: an attempt that finds nothing listening at the server's address.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    data::{node::NodeIndex, nodes::Nodes},
    report::timeline::time,
};

/// The attempts of one client at one server.
#[derive(Default)]
struct Latest {
    /// The time of the latest one,
    asked: Duration,
    /// and of the first one since the last answer.
    unanswered: Option<Duration>,
    told: Option<Told>,
}

/// What ended an attempt.
struct Told {
    at: Duration,
    /// The server said it; else something on the way did.
    by_server: bool,
    what: String,
}

/// The latest attempts, by client and server.
#[derive(Default)]
pub struct Attempts(Mutex<BTreeMap<(NodeIndex, NodeIndex), Latest>>);

impl Attempts {
    fn latest(&self) -> MutexGuard<'_, BTreeMap<(NodeIndex, NodeIndex), Latest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client's request is at a server's door.
    pub fn asked(&self, client: NodeIndex, server: NodeIndex, at: Duration) {
        let mut all = self.latest();
        let latest = all.entry((client, server)).or_default();
        latest.asked = at;
        latest.unanswered.get_or_insert(at);
    }

    /// A client is told something by a server, or on the way to it.
    pub fn told(&self, client: NodeIndex, server: NodeIndex, at: Duration, by_server: bool, what: String) {
        let mut all = self.latest();
        let latest = all.entry((client, server)).or_default();
        latest.unanswered = None;
        latest.told = Some(Told { at, by_server, what });
    }

    /// What a client was told last since a time, and which servers owe it an answer that it asked since then.
    pub fn of(&self, nodes: &Nodes, client: NodeIndex, since: Duration) -> String {
        let all = self.latest();
        let own = all.range((client, NodeIndex::MIN)..=(client, NodeIndex::MAX));
        let own = own.map(|((_, server), latest)| (nodes.name(*server), latest));
        let at = |at| time(at).trim_start().to_owned();
        let told = own.clone().filter_map(|(server, latest)| Some((server, latest.told.as_ref()?)));
        let told = told.filter(|(_, told)| told.at >= since).max_by_key(|(_, told)| told.at);
        let told = told.map(|(server, Told { at: when, by_server, what })| {
            let by = if *by_server { "by" } else { "on the way to" };
            format!("last told {by} {server} at {}: {what}", at(*when))
        });
        let silent = own.filter_map(|(server, Latest { asked, unanswered, .. })| {
            let first = (*unanswered)?;
            (*asked >= since).then(|| {
                let first = if first >= since { first } else { *asked };
                format!("no answer from {server} since {}", at(first))
            })
        });
        let all: Vec<String> = told.into_iter().chain(silent).collect();
        if all.is_empty() { "no attempt of it reached a server".into() } else { all.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy;

    #[test]
    fn the_latest_answer_and_the_servers_that_are_silent_are_named() {
        let (nodes, attempts) = (Nodes::new(&toy::plan()), Attempts::default());
        let (client, ms) = (nodes.reader(), Duration::from_millis);
        let of = |since| attempts.of(&nodes, client, ms(since));
        assert_eq!(of(0), "no attempt of it reached a server");
        attempts.asked(client, 0, ms(10));
        attempts.asked(client, 0, ms(20));
        assert_eq!(of(0), "no answer from p1 since 0.010000");
        assert_eq!(of(15), "no answer from p1 since 0.020000", "the first one was of another call");
        attempts.told(client, 1, ms(30), true, "not primary".into());
        assert_eq!(of(0), "last told by p2 at 0.030000: not primary; no answer from p1 since 0.010000");
        attempts.told(client, 0, ms(40), false, "the reply was lost".into());
        assert_eq!(of(0), "last told on the way to p1 at 0.040000: the reply was lost");
        assert_eq!(of(50), "no attempt of it reached a server", "all of that was said to other calls");
        attempts.asked(client, 0, ms(60));
        assert_eq!(of(50), "no answer from p1 since 0.060000");
    }
}
