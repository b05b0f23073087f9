//! What the view service has heard of the servers. Soft: lost at a restart, never needed for safety.
//!
//! A server is *alive* if the view service hears it and it hears the view service: each ping carries back
//! a time of the view service that reached the server. With one direction alone a server that can be
//! heard but hears nothing would stay primary for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::protocol::{
    identity::{Boot, DataId, Position, ServerId, ViewNumber},
    message::Ping,
    options::ViewServiceOptions,
    view::Record,
};

/// What is known of one server.
#[derive(Clone, Debug, Hash)]
pub struct Server {
    /// Its latest life.
    pub boot: Boot,
    /// What it holds.
    pub data: Option<DataId>,
    /// The end of its log.
    pub log_end: Position,
    /// Whether it has been heard in this life of the view service.
    pub heard: bool,
    /// Whether it has heard this life of the view service.
    pub has_echoed: bool,
    parts_received: u64,
    ping_number: u64,
    last_ping: Duration,
    last_echo: Duration,
    /// When its log or its state transfer last moved on, or it was last made a joiner.
    progressed_at: Duration,
}

/// A primary's word that it could not reach a replica, remembered so that the replica is not taken
/// back at once and dropped again, for ever.
#[derive(Clone, Debug, Hash)]
struct Suspicion {
    until: Duration,
    length: Duration,
    view: ViewNumber,
}

/// What is known of all servers.
#[derive(Clone, Debug, Default, Hash)]
pub struct Servers {
    servers: BTreeMap<ServerId, Server>,
    /// By the one that suspects and the one that is suspected.
    suspicions: BTreeMap<(ServerId, ServerId), Suspicion>,
    /// What the current primary suspects in the current view, by its latest ping.
    reported: BTreeSet<ServerId>,
}

/// What a ping was.
pub struct Heard {
    /// The first of a life or of a store, or the first that this view service hears.
    pub is_new: bool,
    /// Not overtaken by a later ping of the same life.
    pub in_order: bool,
}

impl Servers {
    /// VS-START: everybody in the record counts as heard just now.
    pub fn after_restart(record: &Record, now: Duration) -> Self {
        let mut servers = BTreeMap::new();
        if let Some(view) = &record.view {
            for (server, data) in record.stable.iter().chain(&view.insync).chain(&view.joining) {
                let boot = if *server == view.primary { view.primary_boot } else { data.boot };
                let known = Server {
                    boot,
                    data: Some(*data),
                    log_end: Position::default(),
                    heard: false,
                    has_echoed: false,
                    parts_received: 0,
                    ping_number: 0,
                    last_ping: now,
                    last_echo: now,
                    progressed_at: now,
                };
                servers.insert(server.clone(), known);
            }
        }
        Self { servers, ..Self::default() }
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&ServerId, &Server)> {
        self.servers.iter()
    }

    /// Whether `server` is known.
    pub fn knows(&self, server: &ServerId) -> bool {
        self.servers.contains_key(server)
    }

    /// The latest life of `server`.
    pub fn boot(&self, server: &ServerId) -> Option<Boot> {
        self.servers.get(server).map(|known| known.boot)
    }

    /// What is known of `server`.
    pub fn get(&self, server: &ServerId) -> Option<&Server> {
        self.servers.get(server)
    }

    /// Takes note of a ping of the latest life of its server.
    pub fn hear(&mut self, now: Duration, epoch: u64, ping: &Ping) -> Heard {
        let previous = self.servers.get(&ping.server).filter(|known| known.heard && known.boot == ping.boot);
        if let Some(known) = previous
            && ping.number <= known.ping_number
        {
            return Heard { is_new: false, in_order: false };
        }
        let is_new = previous.is_none_or(|known| known.data != ping.data);
        let moved = previous.is_none_or(|known| {
            known.log_end != ping.log_end || known.parts_received != ping.parts_received || is_new
        });
        let echoed = ping.echo.filter(|echo| echo.epoch == epoch).map(|echo| echo.at);
        let last_echo = previous.map_or(now, |known| known.last_echo.max(echoed.unwrap_or_default()));
        let progressed_at = match previous {
            Some(known) if !moved => known.progressed_at,
            _ => now,
        };
        let known = Server {
            boot: ping.boot,
            data: ping.data,
            log_end: ping.log_end,
            heard: true,
            has_echoed: echoed.is_some() || previous.is_some_and(|known| known.has_echoed),
            parts_received: ping.parts_received,
            ping_number: ping.number,
            last_ping: now,
            last_echo,
            progressed_at,
        };
        self.servers.insert(ping.server.clone(), known);
        Heard { is_new, in_order: true }
    }

    /// Heard within the dead interval, and hearing us within two.
    pub fn is_alive(&self, server: &ServerId, now: Duration, dead_after: Duration) -> bool {
        self.servers
            .get(server)
            .is_some_and(|known| now < known.last_ping + dead_after && now < known.last_echo + 2 * dead_after)
    }

    /// Alive and holding exactly these contents.
    pub fn is_ok(&self, server: &ServerId, data: DataId, now: Duration, dead_after: Duration) -> bool {
        self.is_alive(server, now, dead_after) && self.servers[server].data == Some(data)
    }

    /// Whether `server` said that it no longer holds `data`.
    pub fn has_lost(&self, server: &ServerId, data: DataId) -> bool {
        self.servers.get(server).is_some_and(|known| known.heard && known.data != Some(data))
    }

    /// Whether a joiner has made no progress for `stall_max`.
    pub fn is_stalled(&self, server: &ServerId, now: Duration, stall_max: Duration) -> bool {
        self.servers.get(server).is_none_or(|known| now >= known.progressed_at + stall_max)
    }

    /// The joiners of a new view start afresh, and what was reported in the old one is history.
    pub fn begin_view<'a>(&mut self, now: Duration, joiners: impl Iterator<Item = &'a ServerId>) {
        for joiner in joiners {
            if let Some(known) = self.servers.get_mut(joiner) {
                known.progressed_at = now;
            }
        }
        self.reported.clear();
    }

    /// Replaces what the current primary suspects in view `view`, and remembers it.
    pub fn report(
        &mut self,
        now: Duration,
        options: &ViewServiceOptions,
        view: ViewNumber,
        by: &ServerId,
        suspects: &BTreeSet<ServerId>,
    ) {
        for suspect in suspects {
            self.suspect(now, options, view, by, suspect);
        }
        self.reported.clone_from(suspects);
    }

    /// Remembers that `by` could not reach `suspect`: longer each time the pair fails again soon.
    pub fn suspect(
        &mut self,
        now: Duration,
        options: &ViewServiceOptions,
        view: ViewNumber,
        by: &ServerId,
        suspect: &ServerId,
    ) {
        let pair = (by.clone(), suspect.clone());
        let length = match self.suspicions.get(&pair) {
            Some(past) if past.view == view => past.length,
            Some(past) if now < past.until + 2 * past.length => (2 * past.length).min(options.suspicion_max),
            _ => options.suspicion_min,
        };
        self.suspicions.insert(pair, Suspicion { until: now + length, length, view });
    }

    /// Whether `by` is believed not to reach `suspect`.
    pub fn is_suspected(&self, now: Duration, by: &ServerId, primary: &ServerId, suspect: &ServerId) -> bool {
        (by == primary && self.reported.contains(suspect))
            || self.suspicions.get(&(by.clone(), suspect.clone())).is_some_and(|past| now < past.until)
    }

    /// Forgets servers outside the record that have been silent for long, and suspicions that no longer
    /// matter.
    pub fn forget(&mut self, now: Duration, record: &Record, silent_for: Duration, suspicion_max: Duration) {
        let view = record.view.as_ref();
        self.servers.retain(|server, known| {
            now < known.last_ping + silent_for
                || record.stable.contains_key(server)
                || view.is_some_and(|view| view.member(server).is_some())
        });
        self.suspicions.retain(|_, past| now < past.until + 2 * suspicion_max);
    }
}
