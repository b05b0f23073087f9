//! Which overlaps a run reaches, for a system that has no lookout of its own.

use super::{Mark, Marks, Overlap, Role, Strike};
use crate::{
    data::{
        fault::Memory,
        node::NodeIndex,
        nodes::Nodes,
        outcome::{Down, Happening},
        plan::Plan,
    },
    system::System,
};

/// The role of each node where all processes have the same one: the first of the system's table.
pub fn roles(nodes: &Nodes) -> Vec<Role> {
    let role = |node| if nodes.is_process(node) { Role::new(0) } else { Role::CLIENT };
    (0..nodes.len()).map(role).collect()
}

/// What faults struck so far.
#[derive(Clone, Debug)]
pub struct Struck<S: System> {
    roles: Vec<Role>,
    reached: Marks<S>,
}

impl<S: System> Struck<S> {
    /// Nothing yet.
    pub fn new(plan: &Plan<S>) -> Self {
        Self { roles: roles(&Nodes::new(plan)), reached: Marks::default() }
    }

    /// A fault strikes these nodes.
    pub fn nodes(&mut self, strike: Strike, nodes: &[NodeIndex]) {
        nodes.iter().for_each(|node| self.role(strike, self.roles[*node]));
    }

    /// A fault strikes a node that has this role.
    pub fn role(&mut self, strike: Strike, role: Role) {
        self.reached.insert(Overlap { strike, role });
    }

    /// A process ends, or comes back without what it had.
    pub fn happened(&mut self, node: NodeIndex, event: &Happening<S>) {
        match event {
            Happening::Down(Down::Crash) => self.nodes(Strike::Crash, &[node]),
            Happening::Down(Down::PowerLoss) => self.nodes(Strike::PowerLoss, &[node]),
            Happening::Up { life: 2.., memory: Memory::Lost } => self.nodes(Strike::MemoryLoss, &[node]),
            _ => {}
        }
    }

    /// The marks that were reached.
    pub fn reached(&self) -> impl Iterator<Item = Mark<S>> {
        self.reached.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::fault::Mistreatment,
        system::toy::{self, Toy},
    };

    #[test]
    fn a_fault_that_strikes_a_process_or_a_client_reaches_a_mark() {
        let (plan, mut struck) = (toy::plan(), Struck::<Toy>::new(&toy::plan()));
        let (process, client) = (0, Nodes::new(&plan).reader());
        struck.nodes(Strike::Partition, &[process, client]);
        struck.role(Strike::Message(Mistreatment::Hang), Role::CLIENT);
        struck.happened(process, &Happening::Up { life: 1, memory: Memory::Lost });
        struck.happened(process, &Happening::Down(Down::PowerLoss));
        struck.happened(process, &Happening::Up { life: 2, memory: Memory::Lost });
        let seen: Vec<String> = struck.reached().map(Mark::name).collect();
        let expected = [
            "power_loss_strikes_process",
            "memory_loss_strikes_process",
            "partition_strikes_process",
            "partition_strikes_client",
            "hang_strikes_client",
        ];
        assert_eq!(seen, expected);
    }
}
