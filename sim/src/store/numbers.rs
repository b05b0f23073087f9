//! What is counted in a run of the store.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use testbed::{data::node::NodeName, report::screen::counted, system};

use crate::judges::health::Copies;

/// Numbers of a run. Explorations keep sums of all but the pings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Views proposed after the first.
    pub view_changes: u64,
    /// Servers that became primary.
    pub promotions: u64,
    /// State transfers completed.
    pub transfers: u64,
    /// Pings that reached the view service, by server.
    #[serde(skip)]
    pub pings: BTreeMap<NodeName, u64>,
    /// The time with fewer copies in sync than replicas and surroundings allow.
    #[serde(flatten)]
    pub copies: Copies,
}

impl system::Numbers for Numbers {
    fn add(&mut self, other: &Self) {
        self.view_changes += other.view_changes;
        self.promotions += other.promotions;
        self.transfers += other.transfers;
        for (server, count) in &other.pings {
            *self.pings.entry(server.clone()).or_default() += count;
        }
        self.copies.add(&other.copies);
    }

    fn lines(&self, of: Duration) -> Vec<String> {
        vec![self.copies.line(of)]
    }

    fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        vec![("view change", "view changes", self.view_changes), ("transfer", "transfers", self.transfers)]
    }

    fn facts(&self, of: Duration) -> Vec<(&'static str, String)> {
        vec![
            ("view changes", self.view_changes.to_string()),
            ("state transfers", self.transfers.to_string()),
            ("copies", self.copies.line(of)),
        ]
    }

    fn fields(&self) -> Vec<(&'static str, u64)> {
        let fewer_ms = u64::try_from(self.copies.fewer.as_millis()).unwrap_or(u64::MAX);
        vec![
            ("view_changes", self.view_changes),
            ("promotions", self.promotions),
            ("transfers", self.transfers),
            ("fewer_copies_ms", fewer_ms),
        ]
    }

    fn summary(&self, of: Duration) -> Vec<String> {
        let changes = counted(self.view_changes, "view change", "view changes");
        vec![changes, self.copies.share(of)]
    }
}

#[cfg(test)]
mod tests {
    use system::Numbers as _;

    use super::*;

    #[test]
    fn an_exploration_keeps_all_but_the_pings() {
        let copies = Copies {
            fewer: Duration::from_millis(1_500),
            causes: [("crash".into(), Duration::from_millis(1_500))].into(),
        };
        let one = Numbers {
            view_changes: 3,
            promotions: 2,
            transfers: 1,
            pings: [("s1".into(), 9)].into(),
            copies,
        };
        let mut sums = Numbers::default();
        sums.add(&one);
        sums.add(&one);
        let text = serde_json::to_string(&sums).expect("data");
        let counts = r#""view_changes":6,"promotions":4,"transfers":2"#;
        let time = r#"{"secs":3,"nanos":0}"#;
        assert_eq!(
            text,
            format!(r#"{{{counts},"fewer_copies":{time},"fewer_copies_by_cause":{{"crash":{time}}}}}"#)
        );
        let read: Numbers = serde_json::from_str(&text).expect("what was kept can be read");
        let minute = Duration::from_secs(60);
        assert_eq!(read.summary(minute), ["6 view changes", "fewer copies 5.0 % of the time (crash 5.0 %)"]);
        assert_eq!(read.summary(minute), sums.summary(minute));
    }
}
