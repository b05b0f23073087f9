//! When the view service proposes another view, and which (VS-POLICY).
//!
//! The rule of thumb: touch nothing that works. A view is replaced when its primary, a backup or a joiner
//! fails, or when a copy is missing and a spare server could hold it. All that is wrong is put right in
//! one proposal, so an idle server steps in in the same view change that removes a dead one.

use std::time::Duration;

use super::{DataId, Effect, Members, Notice, Ping, Record, ServerId, View, ViewService, servers::Server};

/// Servers outside the view that were silent for so many dead intervals are forgotten.
const FORGET_AFTER_DEAD_INTERVALS: u32 = 100;

impl ViewService {
    /// Suspicions count only if they speak of the current view.
    pub(super) fn note_suspects(&mut self, now: Duration, ping: &Ping) {
        let Some(view) = &self.record.view else { return };
        let speaks_for_view =
            ping.server == view.primary && ping.boot == view.primary_boot && ping.view_known == view.number;
        if speaks_for_view {
            self.servers.report(now, &self.options, view.number, &ping.server, &ping.suspects);
        }
    }

    pub(super) fn run_policy(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.policy_due = now + self.options.policy_interval;
        let silent_for = self.options.dead_after * FORGET_AFTER_DEAD_INTERVALS;
        self.servers.forget(now, &self.record, silent_for, self.options.suspicion_max);
        let Some(view) = self.record.view.clone().filter(|_| !self.record.stable.is_empty()) else {
            return self.bootstrap(now, effects);
        };

        let dead_after = self.options.dead_after;
        let candidates: Members = self
            .record
            .stable
            .iter()
            .filter(|(server, data)| self.servers.is_ok(server, **data, now, dead_after))
            .map(|(server, data)| (server.clone(), *data))
            .collect();
        self.note_loss(candidates.is_empty(), &view, effects);
        if candidates.is_empty() {
            return;
        }
        self.give_up_stalled_joiners(now, &view);
        let Some(why) = self.why_change(now, &view, &candidates) else { return };
        let Some(primary) = self.choose_primary(now, &view, &candidates) else { return };
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
        let unknown_history = |known: &Server| known.log_end.view > self.record.number;
        if now < self.started_at + self.options.dead_after
            || self.servers.iter().any(|(_, known)| unknown_history(known))
        {
            return;
        }
        let first = self.servers.iter().find_map(|(server, known)| {
            let data = known.data.filter(|data| known.heard && is_ok(server, *data))?;
            Some((server.clone(), data, known.boot))
        });
        let Some((primary, data, primary_boot)) = first else { return };
        let view = View {
            generation: self.record.generation,
            number: self.record.number.next(),
            insync: Members::from([(primary.clone(), data)]),
            primary,
            primary_boot,
            joining: Members::new(),
            activated: false,
        };
        effects.push(Effect::Notice(Notice::Proposed { view: view.clone(), why: "the first server" }));
        self.write(Record { number: view.number, view: Some(view), ..self.record.clone() }, effects);
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

    /// A joiner that stands still is set aside for a while, like one that the primary cannot reach.
    fn give_up_stalled_joiners(&mut self, now: Duration, view: &View) {
        for joiner in view.joining.keys() {
            if self.servers.is_stalled(joiner, now, self.options.join_stall_max) {
                self.servers.suspect(now, &self.options, view.number, &view.primary, joiner);
            }
        }
    }

    /// What is wrong with the current view, if anything.
    fn why_change(&self, now: Duration, view: &View, candidates: &Members) -> Option<&'static str> {
        if !candidates.contains_key(&view.primary) {
            return Some("the primary is dead or lost its data");
        }
        if self.servers.boot(&view.primary) != Some(view.primary_boot) {
            return Some("the primary restarted");
        }
        let failed = |members: &Members| {
            members.iter().any(|(server, data)| {
                *server != view.primary && !self.is_usable(now, view, &view.primary, server, *data)
            })
        };
        if failed(&view.insync) {
            return Some("a backup failed");
        }
        if failed(&view.joining) {
            return Some("a joiner failed");
        }
        let missing = view.insync.len() + view.joining.len() < self.options.replicas;
        if view.activated && missing && self.spares(now, view, &view.primary).next().is_some() {
            return Some("a server can step in");
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

    /// Living servers that `primary` could bring up to date, with what they hold.
    fn spares<'a>(
        &'a self,
        now: Duration,
        view: &'a View,
        primary: &'a ServerId,
    ) -> impl Iterator<Item = (&'a ServerId, DataId)> {
        self.servers.iter().filter_map(move |(server, known)| {
            let data = known.data?;
            let free = server != primary && view.member(server) != Some(data);
            (free && known.heard && self.is_usable(now, view, primary, server, data))
                .then_some((server, data))
        })
    }

    /// V-a: the current primary if it can go on, else the candidate with the longest log. Nobody else is
    /// promoted by a view service that just started, or while the old primary may hold a lease; unless a
    /// later life of it was heard: the one that held the lease is gone.
    fn choose_primary(&self, now: Duration, view: &View, candidates: &Members) -> Option<ServerId> {
        if candidates.contains_key(&view.primary) {
            return Some(view.primary.clone());
        }
        let lease_void = self.servers.get(&view.primary).is_some_and(|known| {
            known.boot > view.primary_boot && known.has_echoed // it lives now: not a late ping of the dead
        });
        let too_early = now < self.started_at + self.options.dead_after;
        if too_early || (now < self.granted_until && !lease_void) {
            return None;
        }
        let end = |server: &ServerId| self.servers.get(server).map(|known| known.log_end);
        candidates.keys().max_by(|a, b| end(a).cmp(&end(b)).then_with(|| b.cmp(a))).cloned()
    }

    fn propose(
        &mut self,
        now: Duration,
        view: &View,
        candidates: &Members,
        primary: ServerId,
        why: &'static str,
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
        let view = View {
            generation: view.generation,
            number: self.record.number.next(),
            primary_boot: self.servers.boot(&primary).expect("a candidate is known"),
            primary,
            activated: insync == self.record.stable,
            insync,
            joining,
        };
        self.servers.begin_view(now, view.joining.keys());
        effects.push(Effect::Notice(Notice::Proposed { view: view.clone(), why }));
        self.write(Record { number: view.number, view: Some(view), ..self.record.clone() }, effects);
    }
}
