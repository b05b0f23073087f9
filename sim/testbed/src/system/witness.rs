//! An observer who sees the whole system at once.

use std::time::Duration;

use super::System;
use crate::{
    data::{
        fault::{DriveAccess, Mistreatment},
        node::NodeIndex,
        outcome::{Happening, Operation, Outcome, RunOptions, Verdict, Violation},
        plan::Plan,
    },
    hardware::network::Network,
    judges::{broken::Check, linearizability},
    marks::{Role, Strike},
};

/// What an observer who sees the whole system keeps of a run. It decides nothing and draws nothing: a run is
/// the same, byte for byte, whatever it does.
pub trait Witness<S: System>: Sized + Send + 'static {
    /// Nothing seen yet.
    fn new(plan: &Plan<S>, options: &RunOptions) -> Self;

    /// A process began or ended, a fault began or ended, or everything was healed.
    fn happened(&mut self, _at: Duration, _node: NodeIndex, _event: &Happening<S>) {}

    /// A client calls.
    fn called(&mut self, _at: Duration) {}

    /// Whether what it saw of the processes explains an answer. If not, the checker is asked.
    fn explains(&self, _operation: &Operation<S>) -> bool {
        false
    }

    /// A client's call ended.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    fn returned(&mut self, _place: usize, _operation: &Operation<S>) -> Check {
        Ok(())
    }

    /// The run is over but for a last look at the state of every machine.
    fn close(&mut self) {}

    /// A fault strikes these nodes: with a pair of nodes, the link between them. It may hold messages back
    /// for this long.
    fn touched(&mut self, _at: Duration, _nodes: &[NodeIndex], _lateness: Duration) {}

    /// A fault strikes these nodes, in the roles that they have.
    fn struck(&mut self, _strike: Strike, _nodes: &[NodeIndex]) {}

    /// A fault of the network that names these nodes began. Which messages it mistreats is known only when it
    /// strikes one.
    fn disturbed(&mut self, strike: Strike, nodes: &[NodeIndex], _network: &Network) {
        if !matches!(strike, Strike::Message(_)) {
            self.struck(strike, nodes);
        }
    }

    /// A fault of the network struck a message in this way, from or to a node of this role.
    fn mistreated(&mut self, _how: Mistreatment, _role: Role) {}

    /// A message arrived whose sender had ended.
    fn message_outlived_its_sender(&mut self) {}

    /// Nothing passed any more on a stream whose ends both believed that it lives.
    fn stream_went_mute(&mut self) {}

    /// A stream broke that a client had opened.
    fn client_stream_broke(&mut self) {}

    /// The drives of these nodes stall from now on.
    fn drives_stall(&mut self, _nodes: Vec<NodeIndex>) {}

    /// The drive of a process failed at this, and the process ended for it.
    fn drive_failed(&mut self, _node: NodeIndex, _access: DriveAccess) {}

    /// Processes hear what no process says from now on.
    fn lies_begin(&mut self) {}

    /// How long after the last fault all calls of clients must succeed again, also between two faults;
    /// absent: only at the end of the run.
    fn serves_within(&self) -> Option<Duration> {
        None
    }

    /// Looks at the time that has passed.
    fn pass(&mut self, _at: Duration) {}

    /// Whether there is nothing to be waited for after the heal.
    fn is_settled(&self) -> bool {
        true
    }

    /// Adds what it knows to an outcome: numbers, marks, a promise that was broken.
    fn conclude(&self, _outcome: &mut Outcome<S>) {}

    /// Judges what the clients saw.
    fn judge(&self, operations: &[Operation<S>]) -> Verdict {
        linearizability::judge(operations)
    }

    /// An answer that the clients cannot prove to be wrong, but that is not what it saw of the processes.
    fn unexplained(&self, _operations: &[Operation<S>]) -> Option<Violation> {
        None
    }
}
