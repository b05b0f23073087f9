//! What is wrong as the view service sees it: told to whoever asks for the view, so that clients, monitors and people at
//! a prompt read the same.

use std::fmt;

use super::ViewService;
use crate::protocol::identity::ServerId;

/// Why no view begins, or why nobody would replace a primary that fails. One thing at a time: the worst.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Distress {
    /// The record is an old copy: no view is proposed any more.
    OldRecord,
    /// All of these, which held all the data, said that they hold it no longer: only an operator can go on.
    DataLost(Vec<ServerId>),
    /// Nobody can be promoted until one of these is back with its data.
    Waiting(Vec<ServerId>),
    /// No view begins, because these come from a history that the record knows nothing of: it was lost or exchanged.
    UnknownHistory(Vec<ServerId>),
    /// The service listens before it decides whether this server's data goes on.
    Adopting(ServerId),
}

impl fmt::Display for Distress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldRecord => f.write_str(
                "OLD RECORD: the view service runs with an old copy of its record and replaces nobody; see its log",
            ),
            Self::DataLost(servers) => write!(
                f,
                "DATA LOST: none of the servers that held all the data has it any more ({}); an operator has to decide, \
                 see viewservice --help, --accept-data-loss",
                list(servers)
            ),
            Self::Waiting(servers) => {
                write!(f, "NO SERVICE: waiting for one of these with its data: {}", list(servers))
            }
            Self::UnknownHistory(servers) => write!(
                f,
                "NO SERVICE: these servers come from a history that the view service's record knows nothing of: {}. The record was \
                 lost or exchanged; restore it, or see viewservice --help, --adopt",
                list(servers)
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
        if let Some(adoption) = &self.adoption {
            return Some(Distress::Adopting(adoption.wanted().clone()));
        }
        if self.is_outdated {
            return Some(Distress::OldRecord);
        }
        let stable = || self.record.stable.keys().cloned();
        if self.data_lost {
            return Some(Distress::DataLost(stable().collect()));
        }
        if self.waiting || self.only_astray {
            // Who obeys another view takes up no later one, even if it is there.
            let others: Vec<ServerId> = stable().filter(|server| !self.obeys_another(server)).collect();
            return Some(Distress::Waiting(if others.is_empty() { stable().collect() } else { others }));
        }
        let unknown = self.holders_of_unknown_data();
        (!unknown.is_empty()).then_some(Distress::UnknownHistory(unknown))
    }
}
