//! What is wrong as the view service sees it: told to whoever asks for the view, so that clients, monitors
//! and people at a prompt read the same.

use std::fmt;

use super::{ViewService, adoption::Adoption};
use crate::protocol::{
    identity::{DataId, ServerId},
    view::View,
};

/// Servers that are named in one sentence.
const NAMES_MAX: usize = 8;

/// Why no view begins, why updates are refused, or why nobody would replace a primary that fails. One thing
/// at a time: the worst.
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
    /// The service started a while ago, does not hear these, which hold all the data, and replaces nobody
    /// yet.
    Listening(Vec<ServerId>),
    /// No view begins, because no server is there.
    NoServer,
    /// No view begins, because these come from a history that the record knows nothing of: it was lost or
    /// exchanged.
    UnknownHistory(Vec<ServerId>),
    /// The service listens before it decides whether this server's data goes on.
    Adopting(ServerId),
    /// The primary serves reads and refuses all updates.
    UpdatesRefused {
        /// The primary.
        primary: ServerId,
        /// The copies without which it refuses them.
        copies_min: usize,
        /// The copies to strive for.
        replicas: usize,
    },
    /// The primary is not there, or in another life than the one that the view names, and no other view is
    /// proposed yet.
    Replacing {
        /// The primary.
        primary: ServerId,
        /// What has to be over before.
        after: Awaited,
    },
    /// Something that this program does not know: the view service runs a later one.
    Unknown,
}

/// What has to be over before a primary is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// Nothing that lasts.
    #[default]
    Nothing,
    /// The lease that the primary may hold.
    Lease,
    /// The time for which the service listens after its start.
    Listening,
}

/// Servers that run and are not taken, while copies are missing, the data is lost or there is no view yet.
/// One thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NotTaken {
    /// They hold data of another history.
    OtherHistory(Vec<ServerId>),
    /// They hold more than the data that was adopted.
    HoldsMore(Vec<ServerId>),
    /// They are not reached at the addresses that they advertise.
    Unreached(Vec<ServerId>),
    /// Something that this program does not know: the view service runs a later one.
    Unknown(Vec<ServerId>),
}

impl fmt::Display for Distress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldRecord => f.write_str(
                "OLD RECORD: the view service runs with an old copy of its record and replaces no server; see its log",
            ),
            Self::DataLost(servers) => write!(
                f,
                "DATA LOST: none of the servers that held all the data has it any more ({}). An operator has to decide; 'testclient \
                 view' shows whether a server that runs holds something older, and the command line",
                list(servers)
            ),
            Self::Waiting(servers) => {
                write!(f, "NO SERVICE: waiting for one of these with its data: {}", list(servers))
            }
            Self::LedAstray(servers) => write!(
                f,
                "NO SERVICE: {} could be primary, but obeys a view that the view service never announced, and no other server that \
                 holds all the data is there; see the view service's log",
                list(servers)
            ),
            Self::Listening(servers) => write!(
                f,
                "LISTENING: the view service has just started and will not replace any server yet; it has not heard from these, or they came \
                 back without their data: {}",
                list(servers)
            ),
            Self::NoServer => f.write_str("NO SERVICE: no server is there"),
            Self::UnknownHistory(servers) => write!(
                f,
                "NO SERVICE: these servers come from a history that the view service's record knows nothing of: {}. The record was \
                 lost or exchanged, or the service was started with another --dir: restore it, or see viewservice --help, --adopt; if they hold nothing or belong to another \
                 cluster, start them again empty or stop them",
                list(servers)
            ),
            Self::UpdatesRefused { primary, copies_min, replicas } => {
                write!(f, "NO UPDATES: {primary} refuses them while fewer than {copies_min} copies are in sync (its --copies-min); ")?;
                match copies_min > replicas {
                    true => write!(f, "lower that, or raise the view service's --replicas, which is {replicas}"),
                    false => f.write_str("start another server, or mend one that runs and is not used"),
                }
            }
            Self::Replacing { primary, after } => {
                let when = match after {
                    Awaited::Nothing => "is being replaced",
                    Awaited::Lease => "will be replaced when the lease that it may hold is over",
                    Awaited::Listening => {
                        "will be replaced when the view service, which has just started, has listened for long enough"
                    }
                };
                write!(
                    f,
                    "NO SERVICE: the primary {primary} is not heard, cannot be reached, or gave up its role (see its log) or restarted; \
                     it {when}"
                )
            }
            Self::Unknown => f.write_str(
                "IN DISTRESS: the view service reports a problem that this program does not know; update this program",
            ),
            Self::Adopting(server) => write!(
                f,
                "NO SERVICE: the view service is listening before it decides whether to go on with the data of {server}"
            ),
        }
    }
}

impl NotTaken {
    /// Which servers.
    pub fn servers(&self) -> &[ServerId] {
        let (Self::OtherHistory(servers)
        | Self::HoldsMore(servers)
        | Self::Unreached(servers)
        | Self::Unknown(servers)) = self;
        servers
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::OtherHistory(_) => {
                "their data is of another history, or was given up. They may hold the only copy of something: see the view \
                 service's log before you start them again empty"
            }
            Self::HoldsMore(_) => "they hold more than the data that was adopted; see the view service's log",
            Self::Unreached(_) => {
                "they ping, but cannot be reached at their advertised addresses (--advertise)"
            }
            Self::Unknown(_) => "for a reason that this program does not know; update this program",
        };
        write!(f, "NOT TAKEN: {}: {why}", list(self.servers()))
    }
}

/// A few names, and how many more there are: anybody can make up any number of them.
fn list(servers: &[ServerId]) -> String {
    let mut text = servers.iter().take(NAMES_MAX).map(ServerId::as_str).collect::<Vec<_>>().join(" ");
    if servers.len() > NAMES_MAX {
        text.push_str(&format!(" and {} more", servers.len() - NAMES_MAX));
    }
    text
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
        self.unserved()
    }

    /// What clients of the current view miss.
    fn unserved(&self) -> Option<Distress> {
        let view = self.record.view.as_ref()?;
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        if !self.servers.is_alive(&view.primary, now, dead_after) {
            return Some(match self.record.stable.is_empty() {
                true => Distress::NoServer,
                false => self.replacing(view),
            });
        }
        match self.servers.get(&view.primary) {
            Some(known) if known.boot != view.primary_boot && !self.record.stable.is_empty() => {
                Some(self.replacing(view))
            }
            Some(known) if known.boot == view.primary_boot && view.insync.len() < known.copies_min => {
                let (primary, copies_min) = (view.primary.clone(), known.copies_min);
                Some(Distress::UpdatesRefused { primary, copies_min, replicas: self.options.replicas })
            }
            _ => None,
        }
    }

    /// When that is over which an earlier life granted, the service listens no longer: what is left was
    /// granted in this one.
    fn replacing(&self, view: &View) -> Distress {
        let after = match () {
            () if self.is_listening() => Awaited::Listening,
            () if self.presence.stepped_at() < self.granted_until => Awaited::Lease,
            () => Awaited::Nothing,
        };
        Distress::Replacing { primary: view.primary.clone(), after }
    }

    /// Which servers are there and could be copies, were they not refused.
    pub fn not_taken(&self) -> Option<NotTaken> {
        if self.adoption.is_some() {
            return None; // nobody is, until it is decided whose data goes on
        }
        let has_enough = |view: &View| view.insync.len() >= self.options.replicas;
        if self.record.view.as_ref().is_some_and(has_enough) && !self.data_lost {
            return None;
        }
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let strangers: Vec<_> = self.strangers.all().map(|(server, _)| server.clone()).collect();
        if !strangers.is_empty() {
            return Some(NotTaken::OtherHistory(strangers));
        }
        let lives = self.servers.iter().filter(|(server, _)| self.servers.is_alive(server, now, dead_after));
        let more = lives.filter(|(_, known)| self.holds_more(known.log_end));
        let more: Vec<_> = more.map(|(server, _)| server.clone()).collect();
        if !more.is_empty() {
            return Some(NotTaken::HoldsMore(more));
        }
        let unreached: Vec<_> = self.unreached.told().map(|(server, _)| server.clone()).collect();
        (!unreached.is_empty()).then_some(NotTaken::Unreached(unreached))
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
        let is_missing = |server: &ServerId, data| is_unheard(server, data) || !is_ok(server, data);
        let listens = self.is_listening() && !those(&is_missing).is_empty();
        listens.then(|| Distress::Listening(those(&is_missing)))
    }
}
