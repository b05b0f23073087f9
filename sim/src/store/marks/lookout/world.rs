//! Processes, disks, the network, the clients.

use testbed::{
    data::{
        fault::DriveAccess,
        node::NodeIndex,
        outcome::{CLIENT_ENDED, DATA_LOST, INVALID},
    },
    hardware::{disk::Torn, network::Network},
    marks::{Overlap, Strike},
};

use super::{
    super::{Role, Situation},
    Lookout, Server,
};
use crate::{
    bound::End,
    store::{Pbkv, nodes::Nodes},
};

impl Lookout {
    /// A fault strikes these nodes.
    pub fn struck(&mut self, strike: Strike, nodes: &[NodeIndex]) {
        for node in nodes.iter().filter(|node| self.nodes.twin() != Some(**node)).copied().collect::<Vec<_>>()
        {
            if let Some(role) = self.roles.get(node) {
                self.reach_overlap(Overlap { strike, role: *role });
            }
        }
    }

    /// A fault struck a node that has this role.
    pub fn reach_overlap(&mut self, overlap: Overlap) {
        debug_assert!(
            overlap.impossible::<Pbkv>().is_none(),
            "{} was thought impossible",
            overlap.name::<Pbkv>()
        );
        self.reach(overlap);
    }

    /// A process begins a life.
    pub(super) fn started(&mut self, node: NodeIndex) {
        if node == Nodes::VIEW_SERVICE {
            self.view_service_started();
        }
        self.servers[node] = Server { is_up: true, ..Server::default() };
    }

    /// A process ends.
    pub(super) fn ended(&mut self, node: NodeIndex, crash: bool) {
        self.struck(if crash { Strike::Crash } else { Strike::PowerLoss }, &[node]);
        let server = std::mem::take(&mut self.servers[node]);
        if node == Nodes::VIEW_SERVICE {
            return self.view_service_ended();
        }
        self.reach_if(server.following.is_receiving(), Situation::ReceiverCrashes);
        self.reach_if(server.following.installing, Situation::ReceiverCrashesBeforeDurable);
        self.reach_if(server.leading.is_sending(), Situation::SenderCrashes);
        let stable = &self.record.stable;
        let down = |id| self.nodes.server(id).is_some_and(|node| !self.servers[node].is_up);
        let all_down = !stable.is_empty() && stable.keys().all(down);
        self.reach_if(all_down, Situation::AllCopiesDown);
    }

    /// A server's disk was wiped.
    pub fn disk_lost(&mut self, node: NodeIndex) {
        self.struck(Strike::MemoryLoss, &[node]);
    }

    /// A process ended while its disk was writing.
    pub fn write_torn(&mut self, node: NodeIndex, torn: Torn) {
        let Torn { kept, lost } = torn;
        if kept + lost == 0 {
            return;
        }
        self.reach(match (kept, lost) {
            (_, 1..) if node == Nodes::VIEW_SERVICE => Situation::RecordLost,
            (0, _) => Situation::WriteLost,
            (_, 0) => Situation::WriteKept,
            _ => Situation::WriteTorn,
        });
    }

    /// The drives of these nodes stall from now on.
    pub fn drives_stall(&mut self, nodes: Vec<NodeIndex>) {
        self.stalled = nodes;
    }

    /// The drive of a server failed, and may have left a part of a batch.
    pub fn write_failed(&mut self, is_torn: bool) {
        self.reach_if(is_torn, Situation::WriteFails);
    }

    /// The drive of a process failed at this.
    pub fn drive_failed(&mut self, node: NodeIndex, access: DriveAccess) {
        if node == Nodes::VIEW_SERVICE {
            return;
        }
        match access {
            DriveAccess::Read => self.reach(Situation::ReadFails),
            DriveAccess::Rename | DriveAccess::Remove | DriveAccess::Truncate => {
                self.reach(Situation::ChangeFails);
            }
            DriveAccess::Write | DriveAccess::Sync | DriveAccess::WriteAndSync => {}
        }
    }

    /// A server read its journal and cut so many bytes off, or found that it is rotten.
    pub fn journal_read(&mut self, cut: u64, is_rotten: bool) {
        self.reach_if(cut > 0, Situation::JournalCut);
        self.reach_if(is_rotten, Situation::JournalRotten);
    }

    /// A server has written its journal anew, or went down before it had.
    pub fn journal_written_anew(&mut self, is_whole: bool) {
        self.reach(if is_whole { Situation::JournalAnew } else { Situation::JournalLeft });
    }

    /// A fault of the network, which names these nodes, began. (What it does to single messages is known only
    /// when it strikes one.)
    pub fn disturbed(&mut self, strike: Strike, nodes: &[NodeIndex], network: &Network) {
        if !matches!(strike, Strike::Message(_)) {
            self.struck(strike, nodes);
        }
        let passes = |from, to| !network.apart(from, to);
        let having = |role: Role| self.roles.iter().position(|own| *own == role.into());
        let (Some(primary), Some(backup)) = (having(Role::Primary), having(Role::Backup)) else { return };
        let told = [primary, backup].map(|node| passes(node, Nodes::VIEW_SERVICE));
        let together = passes(primary, backup);
        self.reach_if(!together && told == [true, true], Situation::PairApart);
        self.reach_if(together && told == [false, false], Situation::PairAlone);
    }

    /// A message arrived although the process that sent it had ended.
    pub fn message_outlived_its_sender(&mut self) {
        self.reach(Situation::OutlivesSender);
    }

    /// A stream lets nothing pass any more after a black hole.
    pub fn stream_went_mute(&mut self) {
        self.reach(Situation::MuteStream);
    }

    /// A stream broke on which a client made calls.
    pub fn client_stream_broke(&mut self) {
        self.reach(Situation::ClientStreamBreaks);
    }

    /// A client's call ended.
    pub fn returned(&mut self, end: &End) {
        match end {
            End::Unknown { why, .. } if why == CLIENT_ENDED => self.reach(Situation::ClientEnded),
            End::Unknown { why, .. } if why.starts_with(DATA_LOST) => self.reach(Situation::ToldOfLoss),
            End::Unknown { .. } => self.reach(Situation::Unknown),
            End::NotExecuted { why, .. } => {
                self.reach(Situation::NotExecuted);
                self.reach_if(why.starts_with(INVALID), Situation::TooLong);
            }
            End::Open | End::Returned { .. } => {}
        }
    }
}
