//! When the view service proposes another view, and which (VS-POLICY).
//!
//! The rule of thumb: touch nothing that works. A view is replaced when its primary, a backup or a joiner
//! fails, or when a copy is missing and a spare server could hold it. All that is wrong is put right in
//! one proposal, so an idle server steps in in the same view change that removes a dead one.

use std::{collections::BTreeSet, time::Duration};

use super::{
    DataId, Effect, Members, Notice, Ping, Record, ServerId, View, ViewNumber, ViewService, Why, WhyDropped,
};
use crate::protocol::{identity::Position, message::VIEW_LEAP_MAX};

/// Servers outside the view that were silent for so many dead intervals are forgotten.
const FORGET_AFTER_DEAD_INTERVALS: u32 = 100;

/// When the primary suspects all of several backups, this share of the dead interval passes before they are
/// dropped: perhaps it is the primary that none of them hears.
const HEARING_SHARE: u32 = 3;
/// And at most this time, however long a dead interval is: a backup that misses the primary says so at once.
const HEARING_MAX: Duration = Duration::from_millis(500);

/// Backups that must agree that it is the primary which is not heard. Of two that do not hear each other
/// nobody can tell which is cut off.
const WITNESSES_MIN: usize = 2;

/// Who is to go when the primary does not hear backups that live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// What the primary reports is believed.
    Backups,
    /// That is not clear yet.
    Open,
    /// It hears none of them, and none hears it.
    Primary,
}

impl ViewService {
    /// Suspicions count only if they speak of the current view.
    pub(super) fn note_suspects(&mut self, now: Duration, ping: &Ping) {
        let Some(view) = &self.record.view else { return };
        if ping.view_known != view.number {
            return;
        }
        if ping.server == view.primary && ping.boot == view.primary_boot {
            let living = self.living_backups(now, view);
            self.servers.report(&ping.suspects);
            if !living.is_empty() && living.iter().all(|server| ping.suspects.contains(server)) {
                self.servers.note_all_reported(now);
            }
        } else if ping.server != view.primary && view.insync.get(&ping.server).copied() == ping.data {
            self.servers.note_unheard(&ping.server, ping.suspects.contains(&view.primary));
        }
    }

    fn living_backups(&self, now: Duration, view: &View) -> Vec<ServerId> {
        let lives = |server: &ServerId, data| self.servers.is_ok(server, data, now, self.options.dead_after);
        let members =
            view.insync.iter().filter(|(server, data)| **server != view.primary && lives(server, **data));
        members.map(|(server, _)| server.clone()).collect()
    }

    /// Whether it is the primary or its backups that others do not hear. Only the primary's own word together
    /// with that of all living backups, and of two at least, speaks against it: one that slept reports nobody
    /// (R16).
    pub(super) fn blame(&self, now: Duration, view: &View) -> Blame {
        let Some(reported_at) = self.servers.all_reported_at() else { return Blame::Backups };
        let living = self.living_backups(now, view);
        if living.len() < WITNESSES_MIN {
            Blame::Backups
        } else if living.iter().all(|server| self.servers.are_apart(server)) {
            Blame::Primary
        } else if now < reported_at + (self.options.dead_after / HEARING_SHARE).min(HEARING_MAX) {
            Blame::Open
        } else {
            Blame::Backups
        }
    }

    pub(super) fn run_policy(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.policy_due = now + self.options.policy_interval;
        if self.adoption.is_some() {
            return self.run_adoption(effects);
        }
        let (clock, now) = (now, self.presence.now()); // leases are counted by the clock
        self.strangers.forget(now, self.options.dead_after);
        let silent = self.unreached.forget(now, self.options.dead_after).into_iter();
        effects.extend(silent.map(|server| Effect::Notice(Notice::UnreachedStopped(server))));
        if self.is_outdated {
            return;
        }
        if clock >= self.inherited_until {
            self.promised = self.options.dead_after;
        }
        let silent_for = self.options.dead_after * FORGET_AFTER_DEAD_INTERVALS;
        self.servers.forget(now, &self.record, silent_for, self.options.suspicion_max);
        let Some(view) = self.record.view.clone().filter(|_| !self.record.stable.is_empty()) else {
            return self.bootstrap(now, effects);
        };

        let dead_after = self.options.dead_after;
        let mut candidates: Members = self
            .record
            .stable
            .iter()
            .filter(|(server, data)| self.servers.is_ok(server, **data, now, dead_after))
            .map(|(server, data)| (server.clone(), *data))
            .collect();
        self.note_loss(candidates.is_empty(), &view, effects);
        if !candidates.is_empty() {
            self.note_copies(&view, effects);
        }
        self.leave_out_astray(&view, &mut candidates, effects);
        self.note_waiting(&candidates, &view, effects);
        if self.is_listening() || candidates.is_empty() {
            return;
        }
        self.give_up_stalled_joiners(now, &view);
        let reigns = candidates.contains_key(&view.primary)
            && self.servers.boot(&view.primary) == Some(view.primary_boot);
        let blame = if reigns { self.blame(now, &view) } else { Blame::Backups };
        let why = match blame {
            Blame::Open => return,
            Blame::Backups => self.why_change(now, &view, &candidates),
            Blame::Primary => {
                candidates.remove(&view.primary);
                Some(Why::PrimaryUnheard)
            }
        };
        let Some(why) = why else { return };
        let Some(primary) = self.choose_primary(clock, &view, &candidates) else { return };
        if blame == Blame::Primary {
            self.servers.suspect(now, &self.options, view.number, &view.primary, &view.primary);
        }
        self.propose(now, &view, &candidates, primary, why, effects);
    }

    /// The first view, or another one as long as none was ever activated: nothing can have been
    /// acknowledged yet, so any server will do, and one that dies before it acknowledged the first view
    /// takes nothing with it. A view service without a record waits for a dead interval first, so that
    /// servers that do hold data have been heard: then the record was lost, not the data, and starting empty
    /// would throw the data away.
    fn bootstrap(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let is_ok = |server: &ServerId, data| self.servers.is_ok(server, data, now, self.options.dead_after);
        if let Some(view) = &self.record.view {
            let works = is_ok(&view.primary, view.insync[&view.primary])
                && self.servers.boot(&view.primary) == Some(view.primary_boot);
            if works {
                return;
            }
        }
        if self.is_listening() || self.is_in_the_way() {
            return;
        }
        let first = self.servers.iter().find_map(|(server, known)| {
            let data = known.data.filter(|data| known.heard && is_ok(server, *data))?;
            Some((server.clone(), data, known.boot))
        });
        let Some((primary, data, primary_boot)) = first else { return };
        let view = View {
            generation: self.record.generation,
            number: self.least_number(),
            insync: Members::from([(primary.clone(), data)]),
            primary,
            primary_boot,
            joining: Members::new(),
            activated: false,
        };
        effects.push(Effect::Notice(Notice::Proposed {
            view: view.clone(),
            why: Why::FirstServer,
            dropped: Vec::new(),
        }));
        self.write(Record { number: view.number, view: Some(view), ..self.record.clone() }, effects);
    }

    /// Nothing begins as long as servers hold data that this record knows nothing of: a first view is neither
    /// proposed nor, if they came late, activated.
    pub(super) fn is_in_the_way(&self) -> bool {
        !self.holders_of_unknown_data().is_empty()
    }

    /// The servers that stand in the way of a first view.
    pub(super) fn holders_of_unknown_data(&self) -> Vec<ServerId> {
        if !self.record.stable.is_empty() {
            return Vec::new();
        }
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let known = self.servers.iter().filter(|(server, known)| {
            known.log_end.view > self.record.number && self.servers.is_alive(server, now, dead_after)
        });
        let strangers = self.strangers.in_the_way_of(self.record.generation);
        let all: BTreeSet<&ServerId> = known.map(|(server, _)| server).chain(strangers).collect();
        all.into_iter().cloned().collect()
    }

    /// VS-START: at first a view service listens. Its record may be an old copy, which the servers show.
    pub(super) fn is_listening(&self) -> bool {
        self.presence.now() < self.listens_until
    }

    /// Only a view service tells views, and only when its record holds them (V-c): one of this history that
    /// is beyond this record, or another one under the record's number, means that the record is an old copy.
    /// What its replicas hold may be old as well, so that any proposal could put old data in the place of
    /// new. For good: the server that said so may be the last to know.
    pub(super) fn note_old_record(&mut self, ping: &Ping, effects: &mut Vec<Effect>) {
        let recorded = self.record.number;
        let is_beyond = ping.view_told > recorded || self.left_out.contains(&ping.view_told);
        let acts_as_primary = ping.view_known == recorded && !ping.confirmed.is_empty();
        let is_primary = self.record.view.as_ref().is_some_and(|view| {
            (&view.primary, view.primary_boot, view.number) == (&ping.server, ping.boot, recorded)
        });
        let shows =
            ping.generation == self.record.generation && (is_beyond || (acts_as_primary && !is_primary));
        if shows && !self.is_outdated {
            self.is_outdated = true;
            let (server, told) = (ping.server.clone(), if is_beyond { ping.view_told } else { recorded });
            effects.push(Effect::Notice(Notice::OldRecord { server, told, recorded }));
        }
    }

    /// R19: whether this server obeys a later view, which nobody proposed: it takes up no other one.
    pub(super) fn obeys_another(&self, server: &ServerId) -> bool {
        self.servers.get(server).is_some_and(|known| known.view_known > self.record.number)
    }

    /// Who takes up no view to come is no candidate. If nobody else is left, nobody can be promoted: the
    /// operator is told.
    fn leave_out_astray(&mut self, view: &View, candidates: &mut Members, effects: &mut Vec<Effect>) {
        let (all, before) = (std::mem::take(candidates), self.only_astray);
        let (astray, obeying): (Members, Members) =
            all.into_iter().partition(|(server, _)| self.obeys_another(server));
        *candidates = obeying;
        self.only_astray = candidates.is_empty() && !astray.is_empty();
        if before && !self.waiting && !candidates.is_empty() {
            let servers = candidates.keys().cloned().collect();
            effects.push(Effect::Notice(Notice::DataIsBack { view: view.number, servers }));
            self.astray_in = None;
        }
        if self.only_astray && self.astray_in != Some(view.number) {
            self.astray_in = Some(view.number);
            effects.extend(astray.keys().map(|server| {
                let obeys = self.servers.get(server).map(|known| known.view_known).unwrap_or_default();
                Effect::Notice(Notice::LedAstray { server: server.clone(), obeys, current: view.number })
            }));
        }
    }

    /// Every stable replica said that it holds something else now: nobody has all the data. A soft
    /// verdict, and no reason to start empty; only an operator may do that.
    fn note_loss(&mut self, no_candidate: bool, view: &View, effects: &mut Vec<Effect>) {
        let lost = no_candidate
            && self.record.stable.iter().all(|(server, data)| self.servers.has_lost(server, *data));
        if lost && !self.data_lost {
            effects.push(Effect::Notice(Notice::DataLost(view.number)));
        }
        self.data_lost = lost;
    }

    /// No stable replica is there with its data: until one comes back, and obeys, nobody can be promoted.
    fn note_waiting(&mut self, candidates: &Members, view: &View, effects: &mut Vec<Effect>) {
        let (waits, view) = (candidates.is_empty() && (self.waiting || !self.only_astray), view.number);
        if waits && !self.waiting {
            let servers = self.record.stable.keys().cloned().collect();
            effects.push(Effect::Notice(Notice::Waiting { view, servers }));
        } else if !waits && self.waiting {
            let servers = candidates.keys().cloned().collect();
            effects.push(Effect::Notice(Notice::DataIsBack { view, servers }));
        }
        self.waiting = waits;
    }

    /// When the primary begins to acknowledge with fewer copies than wanted, and when it has enough again.
    fn note_copies(&mut self, view: &View, effects: &mut Vec<Effect>) {
        let (insync, wanted) = (view.insync.len(), self.options.replicas);
        let missing = insync < wanted;
        if view.activated && missing != self.copies_missing {
            self.copies_missing = missing;
            effects.push(Effect::Notice(Notice::Copies { view: view.number, insync, wanted }));
        }
        let primary = self.servers.get(&view.primary).filter(|known| known.boot == view.primary_boot);
        let Some(copies_min) = primary.filter(|_| view.activated).map(|known| known.copies_min) else {
            return;
        };
        if (insync < copies_min) != self.updates_refused {
            self.updates_refused = insync < copies_min;
            effects.push(Effect::Notice(Notice::Updates { view: view.number, insync, copies_min }));
        }
    }

    /// A joiner that stands still is set aside for a while, like one that the primary cannot reach.
    fn give_up_stalled_joiners(&mut self, now: Duration, view: &View) {
        for joiner in view.joining.keys() {
            if self.servers.is_stalled(joiner, now, self.options.join_stall()) {
                self.servers.suspect(now, &self.options, view.number, &view.primary, joiner);
            }
        }
    }

    /// What is wrong with the current view, if anything.
    fn why_change(&self, now: Duration, view: &View, candidates: &Members) -> Option<Why> {
        if !candidates.contains_key(&view.primary) {
            let astray = self.obeys_another(&view.primary);
            return Some(if astray { Why::PrimaryAstray } else { Why::PrimaryFailed });
        }
        if self.servers.boot(&view.primary) != Some(view.primary_boot) {
            return Some(Why::PrimaryBeganAnew);
        }
        let failed = |members: &Members| {
            members.iter().any(|(server, data)| {
                *server != view.primary && !self.is_usable(now, view, &view.primary, server, *data)
            })
        };
        if failed(&view.insync) {
            return Some(Why::BackupFailed);
        }
        if failed(&view.joining) {
            return Some(Why::JoinerFailed);
        }
        // A spare does not disturb a joiner that makes progress: each view begins all joins anew.
        let missing = view.insync.len() < self.options.replicas && view.joining.is_empty();
        if view.activated && missing && self.spares(now, view, &view.primary).next().is_some() {
            return Some(Why::CopyMissing);
        }
        None
    }

    fn is_usable(
        &self,
        now: Duration,
        view: &View,
        primary: &ServerId,
        server: &ServerId,
        data: DataId,
    ) -> bool {
        self.servers.is_ok(server, data, now, self.options.dead_after)
            && !self.servers.is_suspected(now, primary, &view.primary, server)
    }

    /// What is wrong with a member that held `data` and is none any more.
    fn why_dropped(&self, now: Duration, view: &View, server: &ServerId, data: DataId) -> WhyDropped {
        let dead_after = self.options.dead_after;
        match () {
            () if self.servers.is_out_of_reach(server, now, dead_after) => WhyDropped::OutOfReach,
            () if self.servers.is_gone(server) => WhyDropped::Gone,
            () if !self.servers.is_alive(server, now, dead_after) => WhyDropped::Silent,
            () if self.servers.has_lost(server, data) => WhyDropped::LostItsData,
            () if self.servers.is_reported(server) => WhyDropped::Reported,
            () if self.obeys_another(server) => WhyDropped::Astray,
            () if *server == view.primary => WhyDropped::UnheardByBackups,
            () if view.joining.contains_key(server) => WhyDropped::NoProgress,
            () if self.servers.is_suspected(now, &view.primary, &view.primary, server) => {
                WhyDropped::Suspected
            }
            () => WhyDropped::Surplus,
        }
    }

    /// Living servers that `primary` could bring up to date, with what they hold.
    fn spares<'a>(
        &'a self,
        now: Duration,
        view: &'a View,
        primary: &'a ServerId,
    ) -> impl Iterator<Item = (&'a ServerId, DataId)> {
        self.servers.iter().filter_map(move |(server, known)| {
            let data = known.data?;
            let free =
                server != primary && view.data_of(server) != Some(data) && !self.holds_more(known.log_end);
            (free && known.heard && self.is_usable(now, view, primary, server, data))
                .then_some((server, data))
        })
    }

    /// VS-ADOPT: whether a log that ends there holds what would be lost if its server were brought up to
    /// date.
    pub(super) fn holds_more(&self, end: Position) -> bool {
        self.record.adopted.is_some_and(|adopted| adopted.is_exceeded_by(end))
    }

    /// V-a: the current primary if it can go on, else the candidate with the longest log. Nobody else is
    /// promoted while the old primary may hold a lease; unless a later life of it was heard that holds what
    /// it held: the one that had the lease is gone. A life that holds something else may be a second process,
    /// beside the first.
    fn choose_primary(&self, clock: Duration, view: &View, candidates: &Members) -> Option<ServerId> {
        if candidates.contains_key(&view.primary) {
            return Some(view.primary.clone());
        }
        let lease_void = self.servers.get(&view.primary).is_some_and(|known| {
            let goes_on = known.data == view.insync.get(&view.primary).copied();
            known.boot > view.primary_boot && known.has_echoed && goes_on // it lives now: not a late ping of the dead
        });
        if clock < self.granted_until && !lease_void {
            return None;
        }
        let end = |server: &ServerId| self.servers.get(server).map(|known| known.log_end);
        candidates.keys().max_by(|a, b| end(a).cmp(&end(b)).then_with(|| b.cmp(a))).cloned()
    }

    /// The number of the next view, unless numbers are left out for the sake of a server.
    fn least_number(&self) -> ViewNumber {
        self.record.number.max(*self.left_out.end()).next()
    }

    /// The number of the view after `view`. A server that was told of a view that nobody proposed obeys none
    /// up to that number: they are left out, and it obeys the next one. Only if the primary of `view` goes on
    /// in it, and the server's log ends in no later one: then nothing was done in such a view (R19).
    fn next_number(&self, now: Duration, view: &View) -> ViewNumber {
        let known = |server: &ServerId| self.servers.get(server).map(|known| known.view_known);
        let current = self.record.number;
        let goes_on = view.activated
            && known(&view.primary) == Some(current)
            && self.servers.boot(&view.primary) == Some(view.primary_boot)
            && self.servers.is_alive(&view.primary, now, self.options.dead_after);
        let astray = self.servers.iter().filter(|(server, known)| {
            let plausible = known.view_known.0 <= current.0 + VIEW_LEAP_MAX && known.log_end.view <= current;
            goes_on
                && plausible
                && known.generation == self.record.generation
                && self.servers.is_alive(server, now, self.options.dead_after)
        });
        let latest = astray.map(|(_, known)| known.view_known).max();
        latest.map(ViewNumber::next).unwrap_or_default().max(self.least_number())
    }

    fn propose(
        &mut self,
        now: Duration,
        view: &View,
        candidates: &Members,
        primary: ServerId,
        why: Why,
        effects: &mut Vec<Effect>,
    ) {
        let replicas = self.options.replicas;
        let mut insync = Members::from([(primary.clone(), candidates[&primary])]);
        for (server, data) in candidates {
            if insync.len() < replicas && self.is_usable(now, view, &primary, server, *data) {
                insync.insert(server.clone(), *data);
            }
        }
        let mut joining = Members::new();
        let old_joiners = view.joining.iter().map(|(server, data)| (server, *data));
        for (server, data) in old_joiners.chain(self.spares(now, view, &primary)) {
            let room = insync.len() + joining.len() < replicas;
            let usable = self.is_usable(now, view, &primary, server, data);
            if room && usable && !insync.contains_key(server) {
                joining.insert(server.clone(), data);
            }
        }
        let mut dropped = Vec::new();
        for (member, data) in view.insync.iter().chain(&view.joining) {
            if insync.contains_key(member) || joining.contains_key(member) {
                continue;
            }
            dropped.push((member.clone(), self.why_dropped(now, view, member, *data)));
            if self.servers.is_reported(member) {
                self.servers.suspect(now, &self.options, view.number, &view.primary, member);
            }
            if self.servers.is_out_of_reach(member, now, self.options.dead_after) {
                self.servers.suspect(now, &self.options, view.number, member, member);
            }
        }
        let view = View {
            generation: view.generation,
            number: self.next_number(now, view),
            primary_boot: self.servers.boot(&primary).expect("a candidate is known"),
            primary,
            activated: insync == self.record.stable,
            insync,
            joining,
        };
        self.servers.begin_view(now, view.joining.keys());
        effects.push(Effect::Notice(Notice::Proposed { view: view.clone(), why, dropped }));
        self.write(Record { number: view.number, view: Some(view), ..self.record.clone() }, effects);
    }
}
