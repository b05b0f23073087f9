//! What the view service knows of each server, for an operator who asks: the spares, how far joiners are,
//! and why a server that runs is no copy. Clients do not need it, so it is no part of what they are told
//! with the view. Servers that are refused are: see [`NotTaken`](super::NotTaken).

use std::time::Duration;

use super::{ViewService, WhyDropped, servers::Server};
use crate::protocol::identity::{Position, ServerId};

/// What a server is in the current view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Orders operations.
    Primary,
    /// In sync.
    Backup,
    /// Is brought up to date.
    Joiner,
    /// No member.
    Idle,
}

/// One server, as the view service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerStatus {
    /// Which.
    pub server: ServerId,
    /// What it is.
    pub standing: Standing,
    /// Why it is of no use now, as the end of a sentence that begins with its name; nothing if it is, or
    /// could be, a copy.
    pub trouble: Option<String>,
    /// The end of its log.
    pub log_end: Position,
    /// Counts what it received of a state transfer, and how often its log was found to agree further with the
    /// primary's.
    pub progress: u64,
    /// How long ago its log or its state transfer last moved on.
    pub still_for: Duration,
    /// How long ago it was heard.
    pub silent_for: Duration,
}

impl ViewService {
    /// Every server that is known, those of the view first.
    pub fn status(&self) -> Vec<ServerStatus> {
        let now = self.presence.now();
        let of = |(server, known): (&ServerId, &Server)| ServerStatus {
            server: server.clone(),
            standing: self.standing(server),
            trouble: self.trouble(now, server, known),
            log_end: known.log_end,
            progress: known.progress(),
            still_for: known.still_for(now),
            silent_for: known.silent_for(now),
        };
        let mut all: Vec<_> = self.servers.iter().map(of).collect();
        all.sort_by_key(|status| status.standing); // stable: by their names otherwise
        all
    }

    fn standing(&self, server: &ServerId) -> Standing {
        match &self.record.view {
            Some(view) if view.primary == *server => Standing::Primary,
            Some(view) if view.insync.contains_key(server) => Standing::Backup,
            Some(view) if view.joining.contains_key(server) => Standing::Joiner,
            _ => Standing::Idle,
        }
    }

    fn trouble(&self, now: Duration, server: &ServerId, known: &Server) -> Option<String> {
        let dead_after = self.options.dead_after;
        let view = self.record.view.as_ref();
        let lost = view
            .and_then(|view| view.data_of(server))
            .is_some_and(|data| self.servers.has_lost(server, data));
        let suspected = |primary| self.servers.is_suspected(now, primary, primary, server);
        let why = match () {
            () if !known.heard => return Some("was not heard since the view service started".to_owned()),
            () if self.servers.is_out_of_reach(server, now, dead_after) => WhyDropped::OutOfReach,
            () if !self.servers.is_alive(server, now, dead_after) => WhyDropped::Silent,
            () if lost => WhyDropped::LostItsData,
            () if self.servers.is_reported(server) => WhyDropped::Reported,
            () if self.obeys_another(server) => WhyDropped::Astray,
            () if view.is_some_and(|view| suspected(&view.primary)) => WhyDropped::Suspected,
            () if self.holds_more(known.log_end) => {
                return Some("holds more than the data that was adopted".to_owned());
            }
            () => return None,
        };
        Some(why.to_string())
    }
}
