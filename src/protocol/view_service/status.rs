//! What the view service knows of each server, for an operator who asks: the spares, how far joiners are,
//! and why a server that runs is no copy, also if no copy is missing. Clients do not need it, so it is no
//! part of what they are told with the view. While copies are missing, servers that are refused are: see
//! [`NotTaken`](super::NotTaken).

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

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
    /// It pings, and nothing that it says is believed, or it holds data of another history.
    NotTaken,
}

/// What the view service knows of all servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Survey {
    /// Every server that is known, those of the view first, those that are not taken last. One that shares
    /// its address with another one is there beside it.
    pub servers: Vec<ServerStatus>,
    /// Nothing else runs, as far as can be known: the service does not listen any more, and takes every ping
    /// that comes. Until then a server that is not listed, or not as it is now, may hold what no other does.
    pub is_complete: bool,
}

const UNREACHED: &str = "pings, but cannot be reached at its advertised address: is its --advertise right, and does a firewall let \
                         connections from the view service in?";
const OTHER_HISTORY: &str = "holds data of another history, or data that was given up. It may hold the only copy of something: see the view \
                             service's log before you start it again empty";
const CONTESTED: &str =
    "is also the --advertise of another server, which is not used: give each an address of its own";

/// When a ping came last that was not taken, by the presence: from a server of another history, one that was
/// not reached, or a process whose address or number is another one's.
///
/// It decides nothing and is told to operators alone. So it is no part of the state by which two machines
/// differ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Untaken(pub(super) Option<Duration>);

impl Hash for Untaken {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// One server, as the view service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerStatus {
    /// Which.
    pub server: ServerId,
    /// What it is.
    pub standing: Standing,
    /// It was heard within the dead interval, and since the view service started; or its pings come and are
    /// not taken.
    pub runs: bool,
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
    /// What an operator is told.
    pub fn survey(&self) -> Survey {
        let recent = |at| self.presence.now() < at + self.options.dead_after;
        let is_open = self.adoption.is_some() || self.is_listening() || self.untaken.0.is_some_and(recent);
        Survey { servers: self.statuses(), is_complete: !is_open }
    }

    fn statuses(&self) -> Vec<ServerStatus> {
        let now = self.presence.now();
        let of = |(server, known): (&ServerId, &Server)| ServerStatus {
            server: server.clone(),
            standing: self.standing(server),
            runs: self.why_refused(server).is_some()
                || known.heard && known.silent_for(now) < self.options.dead_after,
            trouble: self.trouble(now, server, known),
            log_end: known.log_end,
            progress: known.progress(),
            still_for: known.still_for(now),
            silent_for: known.silent_for(now),
        };
        let mut all: Vec<_> = self.servers.iter().map(of).chain(self.refused(now)).collect();
        all.sort_by_key(|status| status.standing); // stable: by their names otherwise
        all
    }

    /// Those that ping and are not taken, if they are not known otherwise, and the second servers of an
    /// address.
    fn refused(&self, now: Duration) -> Vec<ServerStatus> {
        let unreached = self.unreached.told().filter_map(|it| Some((it, self.why_refused(it.0)?)));
        let strangers = self.strangers.all().filter_map(|it| Some((it, self.why_refused(it.0)?)));
        let unknown = unreached.chain(strangers).filter(|((server, _), _)| !self.servers.knows(server));
        let contested = self.servers.contested(now, self.options.dead_after).map(|it| (it, CONTESTED));
        let of = |((server, last_ping), why): ((&ServerId, Duration), &str)| ServerStatus {
            server: server.clone(),
            standing: Standing::NotTaken,
            runs: true,
            trouble: Some(why.to_owned()),
            log_end: Position::default(),
            progress: 0,
            still_for: Duration::ZERO,
            silent_for: now.saturating_sub(last_ping),
        };
        unknown.chain(contested).map(of).collect()
    }

    /// Why a server that pings is not taken. As long as it is not decided whose data goes on, every server
    /// that holds data is of another history.
    fn why_refused(&self, server: &ServerId) -> Option<&'static str> {
        if self.unreached.is_told(server) {
            return Some(UNREACHED);
        }
        (self.adoption.is_none() && self.strangers.knows(server)).then_some(OTHER_HISTORY)
    }

    fn standing(&self, server: &ServerId) -> Standing {
        match &self.record.view {
            Some(view) if view.primary == *server => Standing::Primary,
            Some(view) if view.insync.contains_key(server) => Standing::Backup,
            Some(view) if view.joining.contains_key(server) => Standing::Joiner,
            _ if self.why_refused(server).is_some() => Standing::NotTaken,
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
        if let Some(why) = self.why_refused(server) {
            return Some(why.to_owned());
        }
        let refuses = known.cannot_follow.as_ref();
        let why = match () {
            () if !known.heard => {
                return Some("has not been heard since the view service started".to_owned());
            }
            () if self.servers.is_out_of_reach(server, now, dead_after) => WhyDropped::OutOfReach,
            () if self.servers.is_gone(server) => WhyDropped::Gone,
            () if !self.servers.is_alive(server, now, dead_after) => WhyDropped::Silent,
            () if lost => WhyDropped::LostItsData,
            () if refuses.is_some() => return refuses.map(|why| format!("refuses the primary: {why}")),
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
