//! What is wrong as the view service sees it: told to whoever asks for the view, so that clients, monitors and people at
//! a prompt read the same.

use std::fmt;

use super::{ViewService, adoption::Adoption};
use crate::protocol::identity::{DataId, ServerId};

/// Why no view begins, or why nobody would replace a primary that fails. One thing at a time: the worst.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Distress {
    /// The record is an old copy: no view is proposed any more.
    OldRecord,
    /// All of these, which held all the data, said that they hold it no longer: only an operator can go on.
    DataLost(Vec<ServerId>),
    /// Nobody can be promoted until one of these is back with its data.
    Waiting(Vec<ServerId>),
    /// Nobody can be promoted: these hold all the data and obey a view that was never told.
    LedAstray(Vec<ServerId>),
    /// The service started a moment ago and has not heard all of these, which hold all the data, yet.
    Listening(Vec<ServerId>),
    /// No view begins, because no server is there.
    NoServer,
    /// No view begins, because these come from a history that the record knows nothing of: it was lost or exchanged.
    UnknownHistory(Vec<ServerId>),
    /// The service listens before it decides whether this server's data goes on.
    Adopting(ServerId),
    /// The primary serves reads and refuses all updates.
    UpdatesRefused {
        /// The primary.
        primary: ServerId,
        /// The copies without which it refuses them.
        copies_min: usize,
    },
    /// Copies are missing, or there is no view yet; these are there and not taken, because they hold data of another history.
    OtherHistory(Vec<ServerId>),
    /// The same; they hold more than the data that was adopted.
    HoldsMore(Vec<ServerId>),
    /// The same; they are not reached at the addresses that they advertise.
    Unreached(Vec<ServerId>),
    /// Something that this program does not know: the view service runs a later one.
    Unknown,
}

impl Distress {
    /// Whether there is no service by it, not even for updates alone, or nobody would replace a primary that fails. If not,
    /// it only says why copies are missing.
    pub fn is_grave(&self) -> bool {
        !matches!(self, Self::OtherHistory(_) | Self::HoldsMore(_) | Self::Unreached(_))
    }
}

impl fmt::Display for Distress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldRecord => f.write_str(
                "OLD RECORD: the view service runs with an old copy of its record and replaces nobody; see its log",
            ),
            Self::DataLost(servers) => write!(
                f,
                "DATA LOST: none of the servers that held all the data has it any more ({}). An operator has to decide: another \
                 server may hold what was there before, see viewservice --help, --adopt; to begin empty, --accept-data-loss",
                list(servers)
            ),
            Self::Waiting(servers) => {
                write!(f, "NO SERVICE: waiting for one of these with its data: {}", list(servers))
            }
            Self::LedAstray(servers) => write!(
                f,
                "NO SERVICE: {} could be primary and obeys a view that the view service never told, and no other server that \
                 holds all the data is there; see the view service's log",
                list(servers)
            ),
            Self::Listening(servers) => write!(
                f,
                "LISTENING: the view service has just started and has not heard all of {} yet",
                list(servers)
            ),
            Self::NoServer => f.write_str("NO SERVICE: no server is there"),
            Self::UnknownHistory(servers) => write!(
                f,
                "NO SERVICE: these servers come from a history that the view service's record knows nothing of: {}. The record was \
                 lost or exchanged: restore it, or see viewservice --help, --adopt; if they hold nothing or belong to another \
                 cluster, start them again empty or stop them",
                list(servers)
            ),
            Self::UpdatesRefused { primary, copies_min } => write!(
                f,
                "NO UPDATES: {primary} refuses them while fewer than {copies_min} copies are in sync (its --copies-min, which \
                 must not exceed the view service's --replicas); start another server"
            ),
            Self::OtherHistory(servers) => write!(
                f,
                "NOT TAKEN: {}: their data is of another history, or was given up; to take them in, start them again empty, and \
                 see the view service's log before",
                list(servers)
            ),
            Self::HoldsMore(servers) => write!(
                f,
                "NOT TAKEN: {}: they hold more than the data that was adopted; see the view service's log",
                list(servers)
            ),
            Self::Unreached(servers) => write!(
                f,
                "NOT TAKEN: {}: they ping and are not reached at the addresses that they advertise (--advertise)",
                list(servers)
            ),
            Self::Unknown => f.write_str(
                "IN DISTRESS: the view service says that something is wrong which this program does not know; update it",
            ),
            Self::Adopting(server) => write!(
                f,
                "NO SERVICE: the view service listens, and then decides whether it goes on with the data of {server}"
            ),
        }
    }
}

fn list(servers: &[ServerId]) -> String {
    servers.iter().map(ServerId::as_str).collect::<Vec<_>>().join(" ")
}

impl ViewService {
    /// What is wrong now, if anything.
    pub fn distress(&self) -> Option<Distress> {
        if let Some(wanted) = self.adoption.as_ref().and_then(Adoption::awaited) {
            return Some(Distress::Adopting(wanted.clone()));
        }
        if self.is_outdated {
            return Some(Distress::OldRecord);
        }
        if let Some(distress) = self.unpromotable() {
            return Some(distress);
        }
        let unknown = self.holders_of_unknown_data();
        if !unknown.is_empty() {
            return Some(Distress::UnknownHistory(unknown));
        }
        self.unserved().or_else(|| self.not_taken())
    }

    /// What clients of the current view miss.
    fn unserved(&self) -> Option<Distress> {
        let view = self.record.view.as_ref()?;
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let primary = self.servers.get(&view.primary);
        match primary.filter(|_| self.servers.is_alive(&view.primary, now, dead_after)) {
            None => self.record.stable.is_empty().then_some(Distress::NoServer),
            Some(known) if known.boot == view.primary_boot && view.insync.len() < known.copies_min => {
                let (primary, copies_min) = (view.primary.clone(), known.copies_min);
                Some(Distress::UpdatesRefused { primary, copies_min })
            }
            Some(_) => None,
        }
    }

    /// Which servers are there and could be copies, were they not refused.
    fn not_taken(&self) -> Option<Distress> {
        if self.record.view.as_ref().is_some_and(|view| view.insync.len() >= self.options.replicas) {
            return None;
        }
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let strangers: Vec<_> = self.strangers.all().cloned().collect();
        if !strangers.is_empty() {
            return Some(Distress::OtherHistory(strangers));
        }
        let lives = self.servers.iter().filter(|(server, _)| self.servers.is_alive(server, now, dead_after));
        let more = lives.filter(|(_, known)| self.holds_more(known.log_end));
        let more: Vec<_> = more.map(|(server, _)| server.clone()).collect();
        if !more.is_empty() {
            return Some(Distress::HoldsMore(more));
        }
        let unreached: Vec<_> = self.unreached.told().cloned().collect();
        (!unreached.is_empty()).then_some(Distress::Unreached(unreached))
    }

    /// Why nobody of those who hold all the data can be promoted.
    fn unpromotable(&self) -> Option<Distress> {
        let those = |fit: &dyn Fn(&ServerId, DataId) -> bool| -> Vec<ServerId> {
            let fitting = self.record.stable.iter().filter(|(server, data)| fit(server, **data));
            fitting.map(|(server, _)| server.clone()).collect()
        };
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let is_ok = |server: &ServerId, data| self.servers.is_ok(server, data, now, dead_after);
        if self.data_lost {
            return Some(Distress::DataLost(those(&|_, _| true)));
        }
        if self.only_astray {
            return Some(Distress::LedAstray(those(&|server, data| {
                is_ok(server, data) && self.obeys_another(server)
            })));
        }
        if self.waiting {
            return Some(Distress::Waiting(those(&|server, data| !self.servers.has_lost(server, data))));
        }
        let is_unheard = |server: &ServerId, _| !self.servers.get(server).is_some_and(|known| known.heard);
        let listens = self.is_listening() && !those(&is_unheard).is_empty();
        listens.then(|| Distress::Listening(those(&|_, _| true)))
    }
}
