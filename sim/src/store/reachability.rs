//! What the cluster owes to each client after the heal, given what stays broken.
//!
//! Some faults have no end: a server that is down for good, a cable that nobody repairs. Whether the protocol
//! must make progress around them, or cannot, follows from who holds all the data and who reaches whom:
//!
//! - A client **will be served** if the view service reaches a server that holds all the data, and the client
//!   reaches the view service and every such server: whichever is primary, the others are replaced if it
//!   misses them. A stall is a failure.
//! - It **cannot be served** if it reaches no running server that holds all the data. An answer is a failure,
//!   because nobody can have given it.
//! - If fewer servers are left around a possible primary than its operator wants copies of an update, it may
//!   be served: its reads are, and its updates are refused.
//! - If the view service is gone, it will be served by the primary that it knows, if that one leads an
//!   activated view and all that it waits for, or may come to wait for, are there: nothing that it needs is
//!   missing. Reads under leases that expire are confirmed.
//! - Otherwise it **may be served**, depending on who is primary and what the client knew before; the
//!   protocol promises nothing, and nothing is demanded. Its limits are here: one view service, and a primary
//!   stays primary if the view service and one of its backups hear and reach it, whoever else does not; or if
//!   it has less than two.
//!
//! Two nodes *reach* each other if messages pass in both directions, because every message has an answer,
//! whichever of them calls the other.

use std::collections::{BTreeMap, BTreeSet};

use pbkv::protocol::view::Record;
use testbed::{
    data::node::NodeIndex,
    hardware::network::Network,
    judges::liveness::{Condition, Prospect},
};

use super::nodes::Nodes;

/// What stays after the heal.
#[derive(Debug)]
pub struct Reachability<'a> {
    /// The nodes.
    pub nodes: &'a Nodes,
    /// The view service's durable record.
    pub record: &'a Record,
    /// The faults of the network that stay.
    pub network: &'a Network,
    /// What each node is doing.
    pub conditions: &'a [Condition],
    /// The servers that hold all the data on their disks, whatever the record says; none as long as there are
    /// no data.
    pub holders: Option<&'a [NodeIndex]>,
    /// Nothing goes wrong in the whole run but what stays: who did not hear whom before is no secret.
    pub is_calm: bool,
    /// Some primary may refuse updates that fewer copies than these would hold.
    pub copies_min: usize,
    /// Who goes on while the view service is gone.
    pub reign: Option<&'a Reign>,
}

/// A primary that leads the recorded view, knows that it is activated, and is contradicted by no later one.
#[derive(Clone, Debug)]
pub struct Reign {
    /// The primary.
    pub primary: NodeIndex,
    /// The replicas that it waits for, or may come to wait for. They have their memory.
    pub others: Vec<NodeIndex>,
    /// The copies of an update, at least.
    pub copies: usize,
    /// The clients that it has answered in that view, which therefore know it.
    pub known_to: BTreeSet<NodeIndex>,
}

impl Reachability<'_> {
    /// What every client can expect, the reader among them.
    pub fn prospects(&self) -> BTreeMap<NodeIndex, Prospect> {
        let clients = self.nodes.clients().chain([self.nodes.reader()]);
        clients.map(|client| (client, self.prospect(client))).collect()
    }

    fn prospect(&self, client: NodeIndex) -> Prospect {
        let name = |node: NodeIndex| &**self.nodes.name(node);
        if let Some(how) = self.trouble(client) {
            return Prospect::Never(format!("{} {how}", name(client)));
        }
        let holders = self.holders();
        if !holders.iter().any(|holder| self.runs(*holder) && self.reach(client, *holder)) {
            return Prospect::Never(self.out_of_reach(&holders));
        }
        if let Some(how) = self.trouble(Nodes::VIEW_SERVICE) {
            let goes_on = self.reign.is_some_and(|reign| self.goes_on(reign, client));
            return match goes_on {
                true => Prospect::Served,
                false => Prospect::Perhaps(format!("the view service {how}")),
            };
        }
        if !self.reach(client, Nodes::VIEW_SERVICE) {
            return Prospect::Perhaps(format!("{} is cut off from the view service", name(client)));
        }
        let candidates: Vec<_> = holders
            .into_iter()
            .filter(|node| self.runs(*node) && self.reach(*node, Nodes::VIEW_SERVICE))
            .collect();
        if candidates.is_empty() {
            return Prospect::Perhaps("the view service reaches nobody who holds all the data".into());
        }
        let fewest =
            candidates.iter().map(|candidate| self.copies_around(*candidate)).min().unwrap_or_default();
        if fewest < self.copies_min {
            return Prospect::Perhaps(format!(
                "{} copies are asked for, and {fewest} can be made",
                self.copies_min
            ));
        }
        let stays = |candidate: &&NodeIndex| !self.is_unheard(**candidate, &candidates);
        match candidates.iter().filter(stays).copied().find(|candidate| !self.reach(client, *candidate)) {
            Some(candidate) => Prospect::Perhaps(format!(
                "{} may be primary, and {} is cut off from it",
                name(candidate),
                name(client)
            )),
            None => Prospect::Served,
        }
    }

    /// Whether a client needs nobody but the primary that it knows, and that one needs nobody who is missing.
    fn goes_on(&self, reign: &Reign, client: NodeIndex) -> bool {
        let has = |node: &NodeIndex| self.runs(*node) && self.reach(reign.primary, *node);
        reign.known_to.contains(&client)
            && reign.copies >= self.copies_min
            && self.runs(reign.primary)
            && self.reach(client, reign.primary)
            && reign.others.iter().all(has)
    }

    /// How many servers can hold a copy with this one as primary, itself included.
    fn copies_around(&self, primary: NodeIndex) -> usize {
        let joins = |server: &NodeIndex| {
            self.runs(*server) && self.reach(*server, Nodes::VIEW_SERVICE) && self.reach(primary, *server)
        };
        self.nodes.servers().filter(joins).count()
    }

    /// Whether this primary has to give way because none of its backups, of two at least, hears it. Only in a
    /// calm run is it known that none was dropped before, for another reason.
    fn is_unheard(&self, primary: NodeIndex, candidates: &[NodeIndex]) -> bool {
        let view = self.record.view.as_ref();
        let all_in_sync = view.is_some_and(|view| view.activated && view.insync.len() == candidates.len());
        let mut backups = candidates.iter().filter(|candidate| **candidate != primary);
        self.is_calm
            && all_in_sync
            && candidates.len() > 2
            && backups.all(|backup| self.network.cut(primary, *backup).is_some())
    }

    /// Who may become primary: those who hold all the data, or anybody as long as there is none.
    fn holders(&self) -> Vec<NodeIndex> {
        self.holders.map_or_else(|| self.nodes.servers().collect(), <[NodeIndex]>::to_vec)
    }

    fn out_of_reach(&self, holders: &[NodeIndex]) -> String {
        let how = |holder: NodeIndex| self.trouble(holder).unwrap_or("is out of reach");
        match holders {
            [] => "no server has its copy any more of those that held all the data".into(),
            [only] => format!("{} holds the only complete copy and {}", self.nodes.name(*only), how(*only)),
            several => {
                let each: Vec<_> = several
                    .iter()
                    .map(|holder| format!("{} {}", self.nodes.name(*holder), how(*holder)))
                    .collect();
                format!("of those who hold all the data, {}", each.join(", and "))
            }
        }
    }

    fn trouble(&self, node: NodeIndex) -> Option<&'static str> {
        match self.conditions[node] {
            Condition::Runs => None,
            Condition::StandsStill => Some("stands still"),
            Condition::IsDown => Some("is down"),
        }
    }

    fn runs(&self, node: NodeIndex) -> bool {
        self.trouble(node).is_none()
    }

    fn reach(&self, one: NodeIndex, other: NodeIndex) -> bool {
        !self.network.apart(one, other)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pbkv::protocol::{
        identity::{Boot, DataId, ViewNumber},
        view::View,
    };

    use super::*;
    use crate::{
        bound::{End, Operation, Plan},
        generate::generate,
        store::operation::{Input, Output},
    };
    use testbed::{
        data::fault::Cut,
        hardware::network::{Effect, Link},
        judges::liveness::broken_promises,
    };

    const VS: NodeIndex = Nodes::VIEW_SERVICE;

    /// Three servers, of which the first two hold all the data, and a client.
    struct Fixture {
        nodes: Nodes,
        record: Record,
        network: Network,
        conditions: Vec<Condition>,
        holders: Option<Vec<NodeIndex>>,
        client: NodeIndex,
        is_calm: bool,
        copies_min: usize,
        reign: Option<Reign>,
    }

    impl Fixture {
        fn new() -> Self {
            let mut plan: Plan = generate(0);
            plan.cluster.servers = 3;
            plan.clients.truncate(1);
            let nodes = Nodes::new(&plan);
            Self {
                record: Record::default(),
                network: Network::new(0, nodes.len()),
                conditions: vec![Condition::Runs; nodes.len()],
                holders: Some(vec![1, 2]),
                client: nodes.clients().start,
                is_calm: false,
                copies_min: 0,
                reign: None,
                nodes,
            }
        }

        fn cut(mut self, from: NodeIndex, to: NodeIndex) -> Self {
            let link = Link { from: vec![from], to: vec![to] };
            self.network.begin(0, 0, link, Effect::Cut { both_ways: false, how: Cut::BlackHole });
            self
        }

        fn with(mut self, node: NodeIndex, condition: Condition) -> Self {
            self.conditions[node] = condition;
            self
        }

        fn holders(mut self, holders: &[NodeIndex]) -> Self {
            self.holders = Some(holders.to_vec());
            self
        }

        fn prospect(&self) -> Prospect {
            let Self { nodes, record, network, conditions, holders, client, .. } = self;
            let (is_calm, copies_min) = (self.is_calm, self.copies_min);
            let (holders, reign) = (holders.as_deref(), self.reign.as_ref());
            let reachability =
                Reachability { nodes, record, network, conditions, holders, is_calm, copies_min, reign };
            reachability.prospects().remove(client).expect("every client has one")
        }

        fn never(&self) -> String {
            let Prospect::Never(why) = self.prospect() else { panic!("{:?}", self.prospect()) };
            why
        }

        fn perhaps(&self) -> String {
            let Prospect::Perhaps(why) = self.prospect() else { panic!("{:?}", self.prospect()) };
            why
        }
    }

    #[test]
    fn whatever_does_not_matter_is_no_excuse() {
        assert_eq!(Fixture::new().prospect(), Prospect::Served);
        assert_eq!(
            Fixture::new().with(2, Condition::IsDown).prospect(),
            Prospect::Served,
            "one copy suffices"
        );
        assert_eq!(Fixture::new().with(3, Condition::IsDown).prospect(), Prospect::Served);
        assert_eq!(Fixture::new().cut(1, 2).prospect(), Prospect::Served, "one of them has to give way");
        assert_eq!(Fixture::new().cut(VS, 2).prospect(), Prospect::Served, "half heard is not heard");
        assert_eq!(Fixture::new().cut(2, 3).cut(1, 3).prospect(), Prospect::Served);
    }

    #[test]
    fn updates_are_owed_only_with_as_many_copies_as_are_asked_for() {
        let asking = |copies_min| Fixture { copies_min, ..Fixture::new() };
        assert_eq!(asking(3).prospect(), Prospect::Served);
        assert_eq!(asking(2).with(3, Condition::IsDown).prospect(), Prospect::Served);
        let too_few = "3 copies are asked for, and 2 can be made";
        assert_eq!(asking(3).with(3, Condition::IsDown).perhaps(), too_few);
        assert_eq!(asking(3).cut(1, 3).perhaps(), too_few, "the first may be primary");
        assert_eq!(asking(3).cut(VS, 3).perhaps(), too_few);
    }

    #[test]
    fn without_a_complete_copy_nobody_can_be_served() {
        let one_left = Fixture::new().holders(&[1]);
        assert_eq!(one_left.prospect(), Prospect::Served);
        assert_eq!(
            Fixture::new().holders(&[1]).with(1, Condition::IsDown).never(),
            "s1 holds the only complete copy and is down"
        );
        assert_eq!(
            Fixture::new().with(1, Condition::StandsStill).cut(4, 2).never(),
            "of those who hold all the data, s1 stands still, and s2 is out of reach"
        );
        assert!(Fixture::new().holders(&[]).never().contains("no server has its copy any more"));
        assert_eq!(Fixture::new().with(4, Condition::StandsStill).never(), "c1 stands still");
    }

    #[test]
    fn before_there_are_data_anybody_may_serve() {
        let fixture = Fixture { holders: None, ..Fixture::new() };
        assert_eq!(fixture.prospect(), Prospect::Served);
        let fixture = (1..=3).fold(fixture, |fixture, server| fixture.with(server, Condition::IsDown));
        assert!(fixture.never().contains("s3 is down"));
    }

    #[test]
    fn where_it_depends_nothing_is_promised() {
        assert_eq!(Fixture::new().with(VS, Condition::IsDown).perhaps(), "the view service is down");
        assert_eq!(Fixture::new().cut(VS, 4).perhaps(), "c1 is cut off from the view service");
        assert_eq!(Fixture::new().cut(4, 2).perhaps(), "s2 may be primary, and c1 is cut off from it");
        assert!(Fixture::new().cut(1, VS).cut(VS, 2).perhaps().contains("reaches nobody"));
    }

    #[test]
    fn who_knows_a_primary_that_misses_nobody_needs_no_view_service() {
        let left_alone = || {
            let fixture = Fixture::new().with(VS, Condition::IsDown);
            let reign = Reign { primary: 1, others: vec![2], copies: 2, known_to: [fixture.client].into() };
            Fixture { reign: Some(reign), ..fixture }
        };
        assert_eq!(left_alone().prospect(), Prospect::Served);
        assert_eq!(left_alone().with(3, Condition::IsDown).prospect(), Prospect::Served);
        let perhaps = |fixture: Fixture| assert_eq!(fixture.perhaps(), "the view service is down");
        perhaps(left_alone().with(2, Condition::IsDown));
        perhaps(left_alone().cut(2, 1));
        perhaps(left_alone().cut(4, 1));
        perhaps(Fixture { copies_min: 3, ..left_alone() });
        let mut unknown = left_alone();
        unknown.reign.as_mut().expect("there is one").known_to.clear();
        perhaps(unknown);
    }

    #[test]
    fn a_primary_that_two_backups_do_not_hear_gives_way() {
        let mut fixture = Fixture::new().holders(&[1, 2, 3]).cut(1, 2).cut(1, 3).cut(1, 4);
        let data = DataId { boot: Boot(1), nonce: 1 };
        let view = View {
            generation: fixture.record.generation,
            number: ViewNumber(1),
            primary: fixture.nodes.id(1).clone(),
            primary_boot: Boot(1),
            insync: [1, 2, 3].map(|node| (fixture.nodes.id(node).clone(), data)).into(),
            joining: Default::default(),
            activated: true,
        };
        fixture.record.view = Some(view);
        assert_eq!(fixture.perhaps(), "s1 may be primary, and c1 is cut off from it");
        fixture.is_calm = true;
        assert_eq!(fixture.prospect(), Prospect::Served);
        let pair = fixture.holders(&[1, 2]);
        assert_eq!(pair.perhaps(), "s1 may be primary, and c1 is cut off from it");
    }

    #[test]
    fn promises_are_kept_in_both_directions() {
        let fixture = Fixture::new();
        let seconds = Duration::from_secs;
        let at = seconds(101);
        let answered = End::Returned { at, output: Output::Done };
        let unknown = End::Unknown { at, why: "gave up".into() };
        let refused = End::NotExecuted { at, why: "no session".into() };
        let broken = |prospect: Prospect, called: u64, end: &End| {
            let input = Input::Put { key: "k".into(), value: "v".into() };
            let operation =
                Operation { end: end.clone(), ..Operation::called("c1".into(), seconds(called), input) };
            let prospects = [(fixture.client, prospect)].into();
            broken_promises(&fixture.nodes, &[operation], &prospects, seconds(40), seconds(100))
        };
        let never = || Prospect::Never("s1 holds the only complete copy and is down".into());
        for failed in [&End::Open, &unknown, &refused] {
            assert_eq!(broken(Prospect::Served, 100, failed).len(), 1, "it is owed an answer");
            assert!(broken(Prospect::Served, 99, failed).is_empty(), "it may take time to recover");
            assert!(broken(never(), 100, failed).is_empty(), "it must stall");
            assert!(broken(Prospect::Perhaps(String::new()), 100, failed).is_empty());
        }
        assert!(broken(Prospect::Served, 100, &answered).is_empty());
        assert!(broken(never(), 39, &answered).is_empty(), "it was answered before");
        let impossible = broken(never(), 41, &answered);
        assert!(
            impossible[0].ends_with("although s1 holds the only complete copy and is down"),
            "{impossible:?}"
        );
    }

    #[test]
    fn what_changed_in_between_is_not_promised() {
        let never = || Prospect::Never("down".into());
        assert_eq!(Prospect::Served.throughout(Prospect::Served), Prospect::Served);
        assert_eq!(never().throughout(never()), never());
        assert_eq!(Prospect::Served.throughout(never()), Prospect::Perhaps("down".into()));
        assert_eq!(never().throughout(Prospect::Served), Prospect::Perhaps("down".into()));
    }
}
