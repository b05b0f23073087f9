//! The view service: what it hears, what it proposes, what it waits for.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{
    identity::{Boot, DataId, ServerId},
    message::{Ping, PingReplyBody},
    options::ViewServiceOptions,
    view::View,
    view_service::{Answer, Effect, Event, Notice, ViewService, Why},
};
use testbed::data::node::NodeIndex;

use super::{super::Situation, Lookout};
use crate::store::nodes::Nodes;

/// What is known of the view service in its present life, beside its machine.
#[derive(Default)]
pub(super) struct Views {
    /// The name of its life, once it answered somebody.
    pub(super) epoch: Option<u64>,
    /// The view it decided upon last.
    view: Option<View>,
    /// The latest ping of each server.
    heard: BTreeMap<ServerId, Heard>,
    /// Since when its disk holds back a view.
    undurable_since: Option<Duration>,
    /// It does not promote anybody because this server may hold a lease.
    pub(super) waits_for_lease_of: Option<NodeIndex>,
}

struct Heard {
    boot: Boot,
    data: Option<DataId>,
    number: u64,
    at: Duration,
}

impl Lookout {
    /// The view service is about to take an event, at a true time.
    pub fn before_view_service(&mut self, at: Duration, machine: &ViewService, event: &Event) {
        let Event::Ping { ping, .. } = event else { return };
        let late = !ping.confirmed.is_empty() && ping.view_known < machine.record().number;
        self.reach_if(late, Situation::LateViewAck);
        self.ping_arrives(at, ping);
    }

    fn ping_arrives(&mut self, at: Duration, ping: &Ping) {
        let heard = self.views.heard.get(&ping.server);
        let overtaken = heard.is_some_and(|heard| heard.boot == ping.boot && heard.number > ping.number);
        if overtaken {
            self.reach(Situation::OvertakenPing);
        } else if heard.is_none_or(|heard| heard.boot <= ping.boot) {
            let heard = Heard { boot: ping.boot, data: ping.data, number: ping.number, at };
            self.views.heard.insert(ping.server.clone(), heard);
        }
    }

    /// The view service took a step, at a true time.
    pub fn after_view_service(&mut self, at: Duration, machine: &ViewService, effects: &[Effect]) {
        let now = machine.presence();
        for effect in effects {
            match effect {
                Effect::Notice(Notice::Proposed { view, why, .. }) => {
                    self.proposed(at, now, machine, view, *why)
                }
                Effect::Notice(Notice::Activated(view)) => {
                    let before = self.views.view.replace(view.clone());
                    let grows = before.is_some_and(|it| it.activated && it.number == view.number);
                    self.reach_if(grows, Situation::GrowsInPlace);
                    self.reach_if(view.insync.len() > 2, Situation::ThreeCopies);
                }
                Effect::Notice(Notice::Adopted { .. }) => self.reach(Situation::DataAdopted),
                Effect::Notice(Notice::NotAdopted { .. }) => self.reach(Situation::NothingAdopted),
                Effect::Notice(Notice::OtherHistory { .. }) => self.reach(Situation::StrangerLeftOut),
                Effect::Notice(Notice::Gone(server)) => {
                    let runs = self.nodes.server(server).is_some_and(|node| self.servers[node].is_up);
                    self.reach(if runs { Situation::SeemsEnded } else { Situation::ServerEnded });
                }
                Effect::Notice(Notice::Contested { .. }) => self.reach(Situation::Contested),
                Effect::Notice(Notice::OldRecord { .. }) => self.reach(Situation::OldRecordNoticed),
                Effect::Answer { answer: Answer::Ping(reply), .. } => match &reply.body {
                    PingReplyBody::StaleBoot { .. } | PingReplyBody::StaleData { .. } => {
                        self.reach(Situation::StaleBoot);
                    }
                    PingReplyBody::Accepted { echo, .. } => self.views.epoch = Some(echo.epoch),
                    PingReplyBody::Unconfirmed { .. } | PingReplyBody::WrongGeneration { .. } => {}
                },
                _ => {}
            }
        }
        self.note_waiting(now, machine);
        let is_held = machine.record().number > self.record.number;
        self.views.undurable_since = is_held.then(|| self.views.undurable_since.unwrap_or(at));
        let dead_after = ViewServiceOptions::default().dead_after;
        let waits = self.views.undurable_since.is_some_and(|since| at >= since + dead_after);
        self.reach_if(waits, Situation::RecordWaits);
    }

    /// An operator gave all data up. What the views were means nothing any more.
    pub fn data_given_up(&mut self) {
        self.reach(Situation::DataGivenUp);
        self.views.view = None;
    }

    /// Whether the primary is dead, somebody else could follow it, and nothing happens.
    fn note_waiting(&mut self, now: Duration, machine: &ViewService) {
        self.views.waits_for_lease_of = None;
        let Some(view) = machine.record().view.as_ref().filter(|_| self.leases) else { return };
        let dead_after = ViewServiceOptions::default().dead_after;
        let is_ok = |server: &ServerId, data| machine.servers().is_ok(server, data, now, dead_after);
        let stable = &machine.record().stable;
        if stable.is_empty() || stable.get(&view.primary).is_some_and(|data| is_ok(&view.primary, *data)) {
            return;
        }
        let could_follow =
            stable.iter().any(|(server, data)| *server != view.primary && is_ok(server, *data));
        let primary = self.nodes.server(&view.primary);
        let held = primary.is_some_and(|primary| {
            self.servers[primary].leading.lease.is_some_and(|(granted, _)| granted == view.number)
        });
        if could_follow && held {
            self.views.waits_for_lease_of = primary;
            self.reach(Situation::PromotionWaits);
        }
    }

    fn proposed(&mut self, at: Duration, now: Duration, machine: &ViewService, view: &View, why: Why) {
        let old = self.views.view.replace(view.clone());
        let Some(old) = old else { return };
        self.reach_if(!old.activated, Situation::ReplacedUnactivated);
        match why {
            Why::FirstServer => self.reach(Situation::FirstViewReplaced),
            Why::PrimaryUnheard => self.reach(Situation::UnheardPrimary),
            Why::PrimaryBeganAnew => self.reach(Situation::RebootedPrimary),
            Why::BackupFailed => {
                let dropped = |server: &ServerId| !view.insync.contains_key(server);
                let lives = old.insync.iter().any(|(server, data)| {
                    *server != old.primary && dropped(server) && is_ok(now, machine, server, *data)
                });
                self.reach_if(lives, Situation::SuspectLeftOut);
                let stalls = |server: &ServerId| {
                    self.nodes.server(server).is_some_and(|node| self.stalled.contains(&node))
                };
                let waits = old.insync.keys().any(|server| dropped(server) && stalls(server));
                self.reach_if(lives && waits, Situation::StalledLeftOut);
            }
            Why::JoinerFailed => {
                let dropped = |server: &ServerId| view.data_of(server).is_none();
                let lives = old
                    .joining
                    .iter()
                    .any(|(server, data)| dropped(server) && is_ok(now, machine, server, *data));
                self.reach(Situation::JoinerGivenUp);
                self.reach_if(lives, Situation::LivingJoinerGivenUp);
            }
            Why::PrimaryFailed | Why::PrimaryAstray | Why::CopyMissing => {}
        }
        if view.primary != old.primary {
            self.succeeded(now, machine, &old, view);
            let unheard = why == Why::PrimaryUnheard;
            self.reach_if(!unheard && self.is_deaf(at, &old), Situation::DeafPrimary);
        }
        let suspected =
            |server: &ServerId| machine.servers().is_suspected(now, &view.primary, &view.primary, server);
        let remembered = view.insync.len() + view.joining.len() < self.replicas
            && machine.servers().iter().any(|(server, known)| {
                let ok = known.data.is_some_and(|data| is_ok(now, machine, server, data));
                // It was dropped before this view: what is reported now is no memory.
                ok && view.data_of(server).is_none() && old.data_of(server).is_none() && suspected(server)
            });
        self.reach_if(remembered, Situation::SuspicionRemembered);
    }

    /// Whether the primary of `old` was heard so recently that its silence is no reason to replace it.
    fn is_deaf(&self, at: Duration, old: &View) -> bool {
        let holds = old.insync.get(&old.primary);
        self.views.heard.get(&old.primary).is_some_and(|heard| {
            heard.boot == old.primary_boot
                && heard.data.as_ref() == holds
                && at < heard.at + self.surely_alive
        })
    }

    /// Another server is to be primary.
    fn succeeded(&mut self, now: Duration, machine: &ViewService, old: &View, view: &View) {
        let stable = &machine.record().stable;
        let ends = stable
            .iter()
            .filter(|(server, data)| is_ok(now, machine, server, **data))
            .filter_map(|(server, _)| machine.servers().get(server))
            .map(|known| known.log_end);
        let (shortest, longest) = (ends.clone().min(), ends.max());
        self.reach_if(shortest < longest, Situation::LongerLogPreferred);
        let lease = self.nodes.server(&old.primary).and_then(|node| self.servers[node].leading.lease);
        let orphaned = lease.is_some_and(|(number, epoch)| {
            number == old.number && self.views.epoch.is_some_and(|own| own != epoch)
        });
        self.reach_if(orphaned, Situation::PromotionAfterGrantor);
        debug_assert!(view.number > old.number);
    }

    /// The view service begins a life with its durable record.
    pub(super) fn view_service_started(&mut self) {
        self.views = Views { view: self.record.view.clone(), ..Views::default() };
        let unactivated = self.view().is_some_and(|view| !view.activated);
        let again = self.servers[Nodes::VIEW_SERVICE].role.is_some() || self.record.number.0 > 0;
        self.reach_if(unactivated && again, Situation::RestartUnactivated);
    }

    /// The view service's life is over.
    pub(super) fn view_service_ended(&mut self) {
        self.views = Views { view: self.views.view.take(), ..Views::default() };
        let transfer = self.servers.iter().any(|server| server.is_up && server.leading.is_sending());
        self.reach_if(transfer, Situation::ViewServiceCrashesInTransfer);
    }
}

fn is_ok(now: Duration, machine: &ViewService, server: &ServerId, data: DataId) -> bool {
    machine.servers().is_ok(server, data, now, ViewServiceOptions::default().dead_after)
}
