//! The nodes of a run: the processes of the system, the clients `c1`, `c2`, ..., processes that only some
//! plans need, at the end a `reader` that looks at everything, and `sim`, where faults come from.

use std::{net::Ipv4Addr, sync::Arc};

use crate::{
    data::{
        node::{NodeIndex, NodeName},
        plan::Plan,
    },
    system::{Setup, System},
};

/// With which the names of clients begin that have scripts.
const CLIENT: &str = "c";

/// The name of the client that looks at everything at the end.
pub const READER: &str = "reader";

/// The name of the simulator's own node.
pub const SIMULATOR: &str = "sim";

/// Names and addresses of all nodes.
#[derive(Clone, Debug)]
pub struct Nodes {
    names: Vec<NodeName>,
    /// The port on which each process listens; 0 for what is no process.
    ports: Vec<u16>,
    processes: usize,
    clients: usize,
    /// Processes behind the clients.
    spares: usize,
}

impl Nodes {
    /// The nodes of a plan.
    pub fn new<S: System>(plan: &Plan<S>) -> Self {
        let (processes, spares) = (plan.cluster.processes(), S::spares(plan));
        let clients = plan.clients.len();
        let mut names: Vec<NodeName> =
            processes.iter().map(|process| Arc::from(process.name.as_str())).collect();
        names.extend((1..=clients).map(|i| Arc::from(format!("{CLIENT}{i}"))));
        names.extend(spares.iter().map(|process| Arc::from(process.name.as_str())));
        names.extend([READER, SIMULATOR].map(Arc::from));
        let mut ports: Vec<u16> = processes.iter().map(|process| process.port).collect();
        ports.extend((0..clients).map(|_| 0));
        ports.extend(spares.iter().map(|process| process.port));
        ports.extend([0, 0]);
        Self { names, ports, processes: processes.len(), clients, spares: spares.len() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none; never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The nodes of the system's processes.
    pub fn processes(&self) -> std::ops::Range<NodeIndex> {
        0..self.processes
    }

    /// The nodes of the clients.
    pub fn clients(&self) -> std::ops::Range<NodeIndex> {
        self.processes..self.processes + self.clients
    }

    /// The nodes of processes that only some plans need.
    pub fn spares(&self) -> std::ops::Range<NodeIndex> {
        let first = self.processes + self.clients;
        first..first + self.spares
    }

    /// Whether it is a process of the system.
    pub fn is_process(&self, node: NodeIndex) -> bool {
        self.processes().contains(&node) || self.spares().contains(&node)
    }

    /// The node that reads everything at the end.
    pub fn reader(&self) -> NodeIndex {
        self.names.len() - 2
    }

    /// The simulator itself, which has no address.
    pub fn simulator(&self) -> NodeIndex {
        self.names.len() - 1
    }

    /// A node's name.
    pub fn name(&self, node: NodeIndex) -> &NodeName {
        &self.names[node]
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.names.iter().position(|own| &**own == name)
    }

    /// The port on which a process listens.
    pub fn port(&self, process: NodeIndex) -> u16 {
        self.ports[process]
    }

    /// The node with this address.
    pub fn at(&self, ip: Ipv4Addr) -> Option<NodeIndex> {
        let [10, 0, high, low] = ip.octets() else { return None };
        let node = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
        (node < self.len()).then_some(node)
    }
}

/// Whether this is the name of a client that has a script.
pub fn has_script(name: &str) -> bool {
    name.strip_prefix(CLIENT).is_some_and(|number| number.parse::<u32>().is_ok())
}

/// A node's own address.
pub fn ip(node: NodeIndex) -> Ipv4Addr {
    let low = u16::try_from(node + 1).expect("fewer than 65,535 nodes").to_be_bytes();
    Ipv4Addr::new(10, 0, low[0], low[1])
}
