//! The conversation with the view service: when a replica pings, and what it says (R18, R21).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Core, Effect, Notice, Role};
use crate::protocol::{
    identity::{Boot, ViewNumber},
    message::{Echo, Ping, Probe, Token},
    options::{ClusterOptions, ReadMode},
    view::Members,
};

/// Pings whose time of sending is remembered, for leases. An answer that is later than so many pings
/// gives no lease.
const PINGS_REMEMBERED: usize = 16;

/// As long as the view service was not heard, or does not answer any more, it is pinged at least this often:
/// another one may come in its place, and has to hear who is there.
const PING_INTERVAL_UNHEARD: Duration = Duration::from_millis(500);

/// A view service that left so many pings in a row unanswered is not heard any more.
const UNANSWERED_MIN: u64 = 2;

/// The operator is told of a view service that answered nothing for a dead interval; before that is known,
/// for this time,
const SILENT_UNHEARD: Duration = Duration::from_millis(1500);
/// and nothing to so many pings in a row: one that stood still itself has asked for none of the answers it
/// missed.
const SILENT_PINGS: u32 = 3;

/// After so many pings in a row that the view service did not believe, the operator is told. The first ones
/// of each life are not believed yet.
const UNCONFIRMED_MIN: u32 = 3;

/// The conversation with the view service.
#[derive(Clone, Hash)]
pub(super) struct Pinger {
    pub(super) number: u64,
    pub(super) due: Duration,
    /// Something the view service should know at once.
    pub(super) wanted: bool,
    pub(super) accepted: bool,
    /// The latest view of this generation that the view service told.
    pub(super) view_told: ViewNumber,
    pub(super) echo: Option<Echo>,
    /// The token that came last (VS-PROBE).
    pub(super) token: Option<Token>,
    /// It came after the latest ping.
    pub(super) token_is_fresh: bool,
    /// Pings in a row that were not believed.
    pub(super) unconfirmed: u32,
    pub(super) answered: u64,
    pub(super) sent_at: BTreeMap<u64, Duration>,
    /// Why this server refused a primary, if it obeyed none since.
    pub(super) cannot_follow: Option<String>,
    /// When the view service answered last, or this life began.
    heard_at: Duration,
    /// Pings since, as far as they count.
    unanswered: u32,
    /// It has been silent for too long since, and the operator was told.
    is_unheard: bool,
}

impl Pinger {
    /// The first ping leaves at once.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            number: 0,
            due: now,
            wanted: true,
            accepted: false,
            view_told: ViewNumber(0),
            echo: None,
            token: None,
            token_is_fresh: false,
            unconfirmed: 0,
            answered: 0,
            sent_at: BTreeMap::new(),
            cannot_follow: None,
            heard_at: now,
            unanswered: 0,
            is_unheard: false,
        }
    }
}

impl Core {
    /// R18: a token came. The view service waits for it if it has not believed this life yet, or not any
    /// more; and if it has proposed a view since it answered last.
    pub(super) fn on_probe(&mut self, Probe { token, view }: Probe) {
        let pinger = &mut self.pinger;
        pinger.token = Some(token);
        pinger.token_is_fresh = true;
        pinger.wanted |= !pinger.accepted || pinger.unconfirmed > 0 || view > pinger.view_told;
    }

    /// R18: a ping was not believed. If a token came meanwhile, the next one is.
    pub(super) fn on_unconfirmed(&mut self, number: u64, holder: Option<Boot>, effects: &mut Vec<Effect>) {
        let pinger = &mut self.pinger;
        if number < pinger.answered {
            return;
        }
        pinger.answered = number;
        pinger.unconfirmed = pinger.unconfirmed.saturating_add(1);
        pinger.wanted |= pinger.token_is_fresh;
        if pinger.unconfirmed == UNCONFIRMED_MIN {
            let (advertised, own) = (self.server.clone(), self.boot);
            effects.push(Effect::Notice(Notice::Unconfirmed { advertised, own, holder }));
        }
    }

    /// R18: a ping was believed.
    pub(super) fn is_believed(&mut self, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.pinger.unconfirmed) >= UNCONFIRMED_MIN {
            effects.push(Effect::Notice(Notice::Believed));
        }
    }

    /// The view service answered, whatever it says.
    pub(super) fn view_service_answers(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.pinger.heard_at = now;
        self.pinger.unanswered = 0;
        if std::mem::take(&mut self.pinger.is_unheard) {
            effects.push(Effect::Notice(Notice::ViewServiceAnswers));
        }
    }

    /// A view service that does not answer is reported once.
    fn watch_view_service(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let limit = self.cluster.map_or(SILENT_UNHEARD, |cluster| cluster.dead_after);
        let pinger = &mut self.pinger;
        let silent = now >= pinger.heard_at + limit && pinger.unanswered >= SILENT_PINGS;
        if silent && !pinger.is_unheard {
            pinger.is_unheard = true;
            effects.push(Effect::Notice(Notice::ViewServiceSilent));
        }
    }

    /// R21: what the view service decides for all servers holds at once.
    pub(super) fn heed_cluster(&mut self, now: Duration, cluster: ClusterOptions, effects: &mut Vec<Effect>) {
        if self.cluster.replace(cluster) == Some(cluster) {
            return;
        }
        let (told, interval) = (self.options.ping_interval, self.ping_interval());
        self.pinger.due = self.pinger.due.min(now + interval);
        if interval < told {
            let dead_after = cluster.dead_after;
            effects.push(Effect::Notice(Notice::PingsMoreOften { told, interval, dead_after }));
        }
        let (copies_min, wanted) = (self.options.copies_min, cluster.replicas);
        if copies_min > wanted {
            effects.push(Effect::Notice(Notice::CopiesOutOfReach { copies_min, wanted }));
        }
    }

    /// As often as it was told to, unless the view service demands more, or is not heard and may demand more.
    fn ping_interval(&self) -> Duration {
        let answers = self.pinger.number < self.pinger.answered + UNANSWERED_MIN;
        let demanded = self.cluster.map_or(PING_INTERVAL_UNHEARD, |cluster| cluster.ping_interval_max());
        let unheard = if answers { demanded } else { PING_INTERVAL_UNHEARD };
        self.options.ping_interval.min(demanded).min(unheard)
    }

    pub(super) fn ping(&mut self, now: Duration, role: &Role, effects: &mut Vec<Effect>) {
        let interval = self.ping_interval();
        self.watch_view_service(now, effects);
        let pinger = &mut self.pinger;
        pinger.unanswered = SILENT_PINGS.min(pinger.unanswered + 1);
        pinger.number += 1;
        pinger.due = now + interval;
        pinger.wanted = false;
        pinger.token_is_fresh = false;
        pinger.sent_at.insert(pinger.number, now);
        while pinger.sent_at.len() > PINGS_REMEMBERED {
            pinger.sent_at.pop_first();
        }
        let (confirmed, suspects) = match (role, self.data) {
            (Role::Primary(primary), Some(data)) => {
                (primary.confirmed_members(&self.server, data), primary.suspects.clone())
            }
            (Role::Backup(backup), _) => (Members::new(), backup.silent.iter().cloned().collect()),
            _ => (Members::new(), BTreeSet::new()),
        };
        let ping = Ping {
            server: self.server.clone(),
            boot: self.boot,
            data: self.data,
            generation: self.generation,
            view_known: self.view_seen,
            view_told: self.pinger.view_told,
            confirmed,
            suspects,
            log_end: self.log.end(),
            log_durable: self.log.position(self.outbox.durable()).unwrap_or_default(),
            progress: self.progress,
            echo: self.pinger.echo,
            token: self.pinger.token,
            number: self.pinger.number,
            nonce: self.nonce,
            wants_lease: self.options.reads == ReadMode::Lease,
            copies_min: self.options.copies_min,
            cannot_follow: self.pinger.cannot_follow.clone(),
        };
        effects.push(Effect::Ping(ping));
    }
}
