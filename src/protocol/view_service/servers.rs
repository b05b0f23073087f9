//! What the view service has heard of the servers. Soft: lost at a restart, never needed for safety.
//!
//! A server is *alive* if the view service hears it, if it hears the view service, and if it can be reached
//! at its address: each ping carries back a time of the view service that came as an answer, and a token that
//! came to the address (VS-PROBE). Without these a server that can be heard but hears nothing, or that nobody
//! can reach, would stay primary for ever.
//!
//! All times in here are by the view service's presence (R16): while it stood still it heard nobody.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Effect, Notice, probe::TOKEN_DEAD_INTERVALS};
use crate::protocol::{
    identity::{Boot, DataId, Generation, Position, ServerId, ViewNumber},
    message::Ping,
    options::ViewServiceOptions,
    view::Record,
};

/// After so many pings that another process sent under the name of a living server, the operator is told. One
/// alone may be the first of the server's next life.
const CONTESTS_MIN: u32 = 3;

/// A suspicion of a pair that never was in sync is remembered up to so many times longer than others: what
/// never worked is rarely about to.
const UNTRIED_FACTOR: u32 = 10;

/// What is known of one server.
#[derive(Clone, Debug, Hash)]
pub struct Server {
    /// Its latest life.
    pub boot: Boot,
    /// What it holds.
    pub data: Option<DataId>,
    /// The end of its log.
    pub log_end: Position,
    /// Up to where that is durable.
    pub log_durable: Position,
    /// The generation of its contents.
    pub generation: Generation,
    /// The latest view that it adopted.
    pub view_known: ViewNumber,
    /// Whether it has been heard in this life of the view service.
    pub heard: bool,
    /// Whether it has heard this life of the view service.
    pub has_echoed: bool,
    progress: u64,
    /// As primary it refuses updates with fewer copies.
    pub copies_min: usize,
    /// Why it refuses the primary, as it says.
    pub cannot_follow: Option<String>,
    ping_number: u64,
    /// Its process.
    nonce: u64,
    last_ping: Duration,
    last_echo: Duration,
    /// When the latest token was made that it sent back.
    reached_at: Duration,
    /// When it was last probed.
    pub(super) probed_at: Duration,
    /// When a connection to it was refused, if no token reached it since (VS-GONE).
    gone_at: Option<Duration>,
    /// Pings of other processes under its name, since it was last seen in a new life.
    contests: u32,
    /// When the latest of these came.
    contested_at: Duration,
    /// When its log or its state transfer last moved on, or it was last made a joiner.
    progressed_at: Duration,
}

impl Server {
    /// Counts what it received of a state transfer, and how often its log was found to agree further.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// How long ago its latest ping came; for one that was not heard yet, since this life began.
    pub fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_ping)
    }

    /// How long ago its log or its state transfer last moved on.
    pub fn still_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.progressed_at)
    }
}

/// A primary's word that it could not reach a replica, remembered so that the replica is not taken
/// back at once and dropped again, for ever.
#[derive(Clone, Debug, Hash)]
struct Suspicion {
    until: Duration,
    length: Duration,
    view: ViewNumber,
}

impl Suspicion {
    /// How long after its end it is remembered, so that the next one is longer: whoever comes and goes more
    /// slowly than it lasts must not begin anew each time.
    fn memory(&self, suspicion_max: Duration) -> Duration {
        suspicion_max.max(2 * self.length)
    }
}

/// What is known of all servers.
#[derive(Clone, Debug, Default, Hash)]
pub struct Servers {
    servers: BTreeMap<ServerId, Server>,
    /// By the one that suspects and the one that is suspected; by the server itself if the view service did
    /// not reach it.
    suspicions: BTreeMap<(ServerId, ServerId), Suspicion>,
    /// Primaries, and who was in sync with them.
    in_sync_once: BTreeSet<(ServerId, ServerId)>,
    /// What the current primary suspects in the current view, by its latest ping.
    reported: BTreeSet<ServerId>,
    /// When it began to suspect all of its living backups; it has taken back the word of some since, but not
    /// of all.
    all_reported_at: Option<Duration>,
    /// The backups that do not hear the current primary, by their latest pings.
    unheard_by: BTreeSet<ServerId>,
}

/// What a ping was.
pub struct Heard {
    /// The first of a life or of a store, or the first that this view service hears.
    pub is_new: bool,
    /// Not overtaken by a later ping of the same life.
    pub in_order: bool,
    /// It had seemed to be gone, and is reached again in the same life.
    pub is_back: bool,
}

impl Servers {
    /// VS-START: everybody in the record counts as heard just now; for `longer` than a dead interval, because
    /// an earlier life told servers a longer one, by which they may still ping.
    pub fn after_restart(record: &Record, now: Duration, longer: Duration) -> Self {
        let heard_at = now + longer;
        let mut servers = BTreeMap::new();
        if let Some(view) = &record.view {
            for (server, data) in record.stable.iter().chain(&view.insync).chain(&view.joining) {
                let boot = if *server == view.primary { view.primary_boot } else { data.boot };
                let known = Server {
                    boot,
                    data: Some(*data),
                    log_end: Position::default(),
                    log_durable: Position::default(),
                    generation: record.generation,
                    view_known: ViewNumber(0),
                    heard: false,
                    has_echoed: false,
                    progress: 0,
                    copies_min: 0,
                    cannot_follow: None,
                    ping_number: 0,
                    nonce: 0,
                    last_ping: heard_at,
                    last_echo: heard_at,
                    reached_at: heard_at,
                    probed_at: Duration::ZERO,
                    gone_at: None,
                    contests: 0,
                    contested_at: Duration::ZERO,
                    progressed_at: now,
                };
                servers.insert(server.clone(), known);
            }
        }
        let mut known = Self { servers, ..Self::default() };
        if let Some(view) = &record.view {
            known.note_in_sync(&view.primary, record.stable.keys());
        }
        known
    }

    /// These were in sync with that primary.
    pub fn note_in_sync<'a>(&mut self, primary: &ServerId, replicas: impl Iterator<Item = &'a ServerId>) {
        self.in_sync_once.extend(replicas.map(|replica| (primary.clone(), replica.clone())));
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

    /// Whether a ping has the number of the latest life that is known and comes from another process.
    pub(super) fn is_of_another_process(&self, ping: &Ping) -> bool {
        let known = self.servers.get(&ping.server).filter(|known| known.heard && known.boot == ping.boot);
        known.is_some_and(|known| known.nonce != ping.nonce)
    }

    /// R22: the contents of which the sender has an older copy, if that shows: they were heard in a later
    /// life, or in another one of that number; or as they became after what an earlier life said of them. A
    /// server goes back behind no view that it adopted, and behind no operation of the view that it is in.
    /// (A late ping of an earlier life is answered so, too, and that life is over.)
    pub(super) fn holds_an_older_copy(&self, ping: &Ping) -> Option<DataId> {
        let known = self.servers.get(&ping.server).filter(|known| known.heard)?;
        let data = ping.data.filter(|data| known.data == Some(*data))?;
        let is_behind = || {
            let in_one_view =
                ping.view_known == known.view_known && known.log_durable.view == known.view_known;
            ping.view_known < known.view_known || (in_one_view && ping.log_end < known.log_durable)
        };
        let is_older = match ping.boot.cmp(&known.boot) {
            Ordering::Less => true,
            Ordering::Equal => known.nonce != ping.nonce,
            Ordering::Greater => is_behind(),
        };
        is_older.then_some(data)
    }

    /// Takes note of a ping of the latest life of its server, which brought back a token made at
    /// `reached_at`.
    pub fn hear(&mut self, now: Duration, epoch: u64, ping: &Ping, reached_at: Duration) -> Heard {
        let previous = self.servers.get(&ping.server).filter(|known| known.heard && known.boot == ping.boot);
        if let Some(known) = previous
            && ping.number <= known.ping_number
        {
            return Heard { is_new: false, in_order: false, is_back: false };
        }
        // One that counts as reached since the start, although it was not heard yet, does not lose that by a
        // ping.
        let same_life = self.servers.get(&ping.server).filter(|known| known.boot == ping.boot);
        let reached_at = same_life.map_or(reached_at, |known| known.reached_at.max(reached_at));
        let is_new = previous.is_none_or(|known| known.data != ping.data);
        let moved = previous
            .is_none_or(|known| known.log_end != ping.log_end || known.progress != ping.progress || is_new);
        let echoed = ping.echo.filter(|echo| echo.epoch == epoch).map(|echo| echo.at);
        let last_echo = previous.map_or(now, |known| known.last_echo.max(echoed.unwrap_or_default()));
        let progressed_at = match previous {
            Some(known) if !moved => known.progressed_at,
            _ => now,
        };
        let gone_at = previous.and_then(|known| known.gone_at);
        let is_back = gone_at.is_some_and(|gone_at| gone_at <= reached_at);
        let known = Server {
            boot: ping.boot,
            data: ping.data,
            log_end: ping.log_end,
            log_durable: ping.log_durable,
            generation: ping.generation,
            view_known: ping.view_known,
            heard: true,
            has_echoed: echoed.is_some() || previous.is_some_and(|known| known.has_echoed),
            progress: ping.progress,
            copies_min: ping.copies_min,
            cannot_follow: ping.cannot_follow.clone(),
            ping_number: ping.number,
            nonce: ping.nonce,
            last_ping: now,
            last_echo,
            reached_at,
            probed_at: self.servers.get(&ping.server).map_or(reached_at, |known| known.probed_at),
            gone_at: gone_at.filter(|_| !is_back),
            contests: previous.map_or(0, |known| known.contests),
            contested_at: previous.map_or(Duration::ZERO, |known| known.contested_at),
            progressed_at,
        };
        self.servers.insert(ping.server.clone(), known);
        Heard { is_new, in_order: true, is_back }
    }

    /// Takes note of a ping that is not believed. Returns the life that does answer at the address it names,
    /// if another one does.
    pub(super) fn refuse(
        &mut self,
        now: Duration,
        options: &ViewServiceOptions,
        ping: &Ping,
        effects: &mut Vec<Effect>,
    ) -> Option<Boot> {
        if !self.is_alive(&ping.server, now, options.dead_after) {
            return None;
        }
        let known =
            self.servers.get_mut(&ping.server).filter(|known| known.heard && known.boot != ping.boot)?;
        known.contests = known.contests.saturating_add(1);
        known.contested_at = now;
        if known.contests == CONTESTS_MIN {
            let (server, holder, other) = (ping.server.clone(), known.boot, ping.boot);
            effects.push(Effect::Notice(Notice::Contested { server, holder, other }));
        }
        Some(known.boot)
    }

    /// Servers under whose names other processes ping, if the operator was told, and when one did last.
    pub(super) fn contested(
        &self,
        now: Duration,
        dead_after: Duration,
    ) -> impl Iterator<Item = (&ServerId, Duration)> {
        let told = self.servers.iter().filter(|(_, known)| known.contests >= CONTESTS_MIN);
        told.map(|(server, known)| (server, known.contested_at)).filter(move |(_, at)| now < *at + dead_after)
    }

    /// A probe is sent to `server`. Returns whether it is known.
    pub(super) fn note_probe(&mut self, now: Duration, server: &ServerId) -> bool {
        let known = self.servers.get_mut(server);
        known.map(|known| known.probed_at = now).is_some()
    }

    /// VS-GONE: no process listens at the address of `server`. Returns whether that is news.
    pub(super) fn note_gone(&mut self, now: Duration, server: &ServerId) -> bool {
        let Some(known) = self.servers.get_mut(server).filter(|known| known.heard) else { return false };
        let is_news = known.gone_at.is_none();
        known.gone_at.get_or_insert(now);
        is_news
    }

    /// Whether a connection to `server` was refused, and no token reached it since.
    pub fn is_gone(&self, server: &ServerId) -> bool {
        self.servers.get(server).is_some_and(|known| known.gone_at.is_some())
    }

    /// Heard within the dead interval, and hearing us and reached within two; and not gone.
    pub fn is_alive(&self, server: &ServerId, now: Duration, dead_after: Duration) -> bool {
        self.servers.get(server).is_some_and(|known| {
            known.gone_at.is_none()
                && now < known.last_ping + dead_after
                && now < known.last_echo + 2 * dead_after
                && now < known.reached_at + TOKEN_DEAD_INTERVALS * dead_after
        })
    }

    /// Whether `server` is heard, but not reached at its address or hearing nothing.
    pub fn is_out_of_reach(&self, server: &ServerId, now: Duration, dead_after: Duration) -> bool {
        !self.is_alive(server, now, dead_after)
            && self.servers.get(server).is_some_and(|known| {
                let is_heard = known.gone_at.is_none_or(|gone_at| gone_at < known.last_ping);
                is_heard && now < known.last_ping + dead_after
            })
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
        self.all_reported_at = None;
        self.unheard_by.clear();
    }

    /// A backup of the current view says whether it hears the primary.
    pub(super) fn note_unheard(&mut self, backup: &ServerId, unheard: bool) {
        if unheard {
            self.unheard_by.insert(backup.clone());
        } else {
            self.unheard_by.remove(backup);
        }
    }

    /// Whether the current primary does not hear `backup`, by its latest ping.
    pub(super) fn is_reported(&self, backup: &ServerId) -> bool {
        self.reported.contains(backup)
    }

    /// Whether neither of them hears the other, by the latest pings of both.
    pub(super) fn are_apart(&self, backup: &ServerId) -> bool {
        self.is_reported(backup) && self.unheard_by.contains(backup)
    }

    /// When the current primary began to suspect all of its living backups, unless it has taken that back.
    pub(super) fn all_reported_at(&self) -> Option<Duration> {
        self.all_reported_at
    }

    /// The current primary suspects all of its living backups.
    pub(super) fn note_all_reported(&mut self, now: Duration) {
        self.all_reported_at.get_or_insert(now);
    }

    /// Replaces what the current primary suspects. It is remembered when it has an effect: until then the
    /// primary may take it back.
    pub fn report(&mut self, suspects: &BTreeSet<ServerId>) {
        self.reported.clone_from(suspects);
        self.all_reported_at.take_if(|_| suspects.is_empty());
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
        let tried = by == suspect || self.in_sync_once.contains(&pair);
        let length_max = options.suspicion_max * if tried { 1 } else { UNTRIED_FACTOR };
        let length = match self.suspicions.get(&pair) {
            Some(past) if past.view == view => past.length,
            Some(past) if now < past.until + past.memory(options.suspicion_max) => {
                (2 * past.length).min(length_max)
            }
            _ => options.suspicion_min,
        };
        self.suspicions.insert(pair, Suspicion { until: now + length, length, view });
    }

    /// Whether `by` is believed not to reach `suspect`.
    pub fn is_suspected(&self, now: Duration, by: &ServerId, primary: &ServerId, suspect: &ServerId) -> bool {
        let remembered = |by: &ServerId| {
            self.suspicions.get(&(by.clone(), suspect.clone())).is_some_and(|past| now < past.until)
        };
        (by == primary && self.reported.contains(suspect)) || remembered(by) || remembered(suspect)
    }

    /// Forgets servers outside the record that have been silent for long, and suspicions that no longer
    /// matter.
    pub fn forget(&mut self, now: Duration, record: &Record, silent_for: Duration, suspicion_max: Duration) {
        let view = record.view.as_ref();
        self.servers.retain(|server, known| {
            now < known.last_ping + silent_for
                || record.stable.contains_key(server)
                || view.is_some_and(|view| view.data_of(server).is_some())
        });
        self.suspicions.retain(|_, past| now < past.until + past.memory(suspicion_max));
        self.in_sync_once.retain(|(by, of)| self.servers.contains_key(by) && self.servers.contains_key(of));
    }
}
