//! The nodes of the store: `vs`, the servers `s1`, `s2`, ..., the clients. And which they are when a fault
//! names them by the role they have.
//!
//! A plan with a twin has one more node, `twin`: the second process of whichever server has one at the
//! moment.

use std::{
    ops::{Deref, RangeInclusive},
    sync::Arc,
};

use pbkv::protocol::{identity::ServerId, view::Record};
use testbed::data::{self, node::NodeIndex};

use super::setup::{SERVER_PORT, VIEW_SERVICE_PORT};
use crate::bound::Plan;

/// The name of the second process of a server.
pub const TWIN: &str = "twin";

/// The roles by which faults name servers.
pub const ROLES: &[&str] = &["primary", "backup", "joiner", "idle"];

/// Names, addresses and identities of all nodes.
#[derive(Clone, Debug)]
pub struct Nodes {
    all: Arc<data::nodes::Nodes>,
    /// Of the servers, and of the twin.
    ids: Vec<ServerId>,
    servers: usize,
}

impl Deref for Nodes {
    type Target = data::nodes::Nodes;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Nodes {
    /// The nodes of a plan.
    pub fn new(plan: &Plan) -> Self {
        let all = Arc::new(data::nodes::Nodes::new(plan));
        let servers = plan.cluster.servers as usize;
        let own = (1..=servers).map(|i| ServerId::new(format!("s{i}:{SERVER_PORT}")));
        let twin = all.spares().map(|_| ServerId::new(format!("{TWIN}:{SERVER_PORT}")));
        let ids = own.chain(twin).collect();
        Self { all, ids, servers }
    }

    /// The same as the testbed knows them.
    pub fn all(&self) -> Arc<data::nodes::Nodes> {
        self.all.clone()
    }

    /// The node of the view service.
    pub const VIEW_SERVICE: NodeIndex = 0;

    /// The nodes of the servers.
    pub fn servers(&self) -> RangeInclusive<NodeIndex> {
        1..=self.servers
    }

    /// The second process of a server, if the plan makes one.
    pub fn twin(&self) -> Option<NodeIndex> {
        self.all.spares().next()
    }

    /// Whether it is a server or a server's second process.
    pub fn serves(&self, node: NodeIndex) -> bool {
        self.servers().contains(&node) || self.twin() == Some(node)
    }

    /// The identity of a server, which is also its address. That of the twin is for whoever has to tell it
    /// from the server whose address it has.
    pub fn id(&self, server: NodeIndex) -> &ServerId {
        if self.twin() == Some(server) { &self.ids[self.servers] } else { &self.ids[server - 1] }
    }

    /// The node of a server.
    pub fn server(&self, id: &ServerId) -> Option<NodeIndex> {
        self.ids[..self.servers].iter().position(|own| own == id).map(|index| index + 1)
    }

    /// The address of the view service.
    pub fn view_service(&self) -> String {
        format!("vs:{VIEW_SERVICE_PORT}")
    }

    /// The node that a fault names: by its own name, or by the role it has according to the view
    /// service's record. `up` says which nodes are running, since a role is had by the living:
    ///
    /// - `primary`: the primary of the current view;
    /// - `backup`: the first in-sync replica that is not;
    /// - `joiner`: the first replica to which state is being transferred;
    /// - `idle`: the first running server without a role.
    ///
    /// The error says why there is none.
    pub fn resolve(&self, name: &str, record: &Record, up: &[bool]) -> Result<NodeIndex, String> {
        let view = || record.view.as_ref().ok_or_else(|| format!("no {name}: there is no view yet"));
        let first = |mut candidates: Box<dyn Iterator<Item = &ServerId> + '_>| {
            candidates
                .find_map(|id| self.server(id).filter(|node| up[*node]))
                .ok_or_else(|| format!("no {name} is running"))
        };
        match name {
            "primary" => {
                let view = view()?;
                first(Box::new(std::iter::once(&view.primary)))
            }
            "backup" => {
                let view = view()?;
                first(Box::new(view.backups()))
            }
            "joiner" => {
                let view = view()?;
                first(Box::new(view.joining.keys()))
            }
            "idle" => {
                let member =
                    |id: &&ServerId| record.view.as_ref().is_some_and(|view| view.data_of(id).is_some());
                first(Box::new(self.ids[..self.servers].iter().filter(move |id| !member(id))))
            }
            _ => self.find(name).ok_or_else(|| format!("there is no node {name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::{
        identity::{Boot, DataId, Generation, ViewNumber},
        view::View,
    };

    use super::*;
    use crate::store::setup::Cluster;
    use testbed::data::plan::{Client, Network};

    fn nodes() -> Nodes {
        let client = Client { deadline_ms: 1000, script: Vec::new() };
        Nodes::new(&Plan {
            about: String::new(),
            seed: 1,
            faults_ms: 0,
            settle_ms: 0,
            watch_ms: 0,
            cluster: Cluster { servers: 4, replicas: 3, ..Cluster::small() },
            network: Network { latency_us_min: 100, latency_us_max: 200, bytes_per_ms: None },
            reaches: Vec::new(),
            data_loss: false,
            clients: vec![client.clone(), client],
            faults: Vec::new(),
        })
    }

    fn record(nodes: &Nodes) -> Record {
        let member = |node| (nodes.id(node).clone(), DataId { boot: Boot(1), nonce: node as u64 });
        let view = View {
            generation: Generation::FIRST,
            number: ViewNumber(4),
            primary: nodes.id(2).clone(),
            primary_boot: Boot(1),
            insync: [member(1), member(2)].into(),
            joining: [member(4)].into(),
            activated: true,
        };
        Record { generation: Generation::FIRST, number: ViewNumber(4), view: Some(view), ..Record::default() }
    }

    #[test]
    fn every_node_has_a_name_and_an_address_of_its_own() {
        let nodes = nodes();
        assert_eq!(nodes.len(), 9);
        for node in 0..nodes.len() {
            assert_eq!(nodes.at(data::nodes::ip(node)), Some(node));
            assert_eq!(nodes.find(nodes.name(node)), Some(node));
        }
        assert_eq!(nodes.at(data::nodes::ip(9)), None);
        assert_eq!(
            nodes.servers().map(|s| nodes.server(nodes.id(s)).unwrap()).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert_eq!(nodes.clients(), 5..7);
        assert_eq!(&**nodes.name(nodes.reader()), "reader");
    }

    #[test]
    fn roles_are_those_of_the_view_service_record() {
        let nodes = nodes();
        let record = record(&nodes);
        let up = [true; 9];
        let resolve = |part| nodes.resolve(part, &record, &up);
        assert_eq!(resolve("primary"), Ok(2));
        assert_eq!(resolve("backup"), Ok(1));
        assert_eq!(resolve("joiner"), Ok(4));
        assert_eq!(resolve("idle"), Ok(3));
        assert_eq!(resolve("c2"), Ok(6));
        assert_eq!(resolve("s9"), Err("there is no node s9".into()));
    }

    #[test]
    fn a_role_that_nobody_has_is_refused() {
        let nodes = nodes();
        let record = record(&nodes);
        let mut up = [true; 9];
        up[2] = false;
        assert_eq!(nodes.resolve("primary", &record, &up), Err("no primary is running".into()));
        assert_eq!(nodes.resolve("s2", &record, &up), Ok(2), "a name always names");
        let none = nodes.resolve("primary", &Record::default(), &up);
        assert_eq!(none, Err("no primary: there is no view yet".into()));
        assert_eq!(nodes.resolve("idle", &Record::default(), &up), Ok(1), "without a view all are idle");
    }
}
