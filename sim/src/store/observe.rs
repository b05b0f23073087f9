//! What the one observer of a run sees of the store: every step of every machine, and what happens to disks
//! and to the view service's record.

use std::time::Duration;

use pbkv::protocol::{
    command::{Page, Scan},
    identity::ViewNumber,
    log::{Durable, Write},
    machine::Held,
    message::PingReplyBody,
    replica::{self, Replica, RoleName},
    view::Record,
    view_service::{self, Answer, ViewService},
};
use testbed::{data::node::NodeIndex, judges::broken::Check, observer::step::StepName};

use super::{
    fault::Trigger,
    messages,
    nodes::Nodes,
    operation::Detail,
    script::Asked,
    step::{replica_step, view_service_step},
    witness::{LastSeen, Witness},
};
use crate::{
    bound::Observer,
    judges::{bounds::Exceeded, pages, revisions::Floor},
    store::{self, marks::lookout::Lookout},
};

/// A server is about to take an event.
pub fn before_replica(
    observer: &mut Observer,
    at: Duration,
    node: NodeIndex,
    machine: &Replica,
    event: &replica::Event,
) {
    if observer.begin_step(at, node, replica_step(machine, event), event) {
        observer.witness.mark(|marks| marks.before_replica(node, machine, event));
        if let replica::Event::Request { ticket, request } = event {
            let server = observer.witness.nodes.id(node).clone();
            observer.witness.invariants.request_received(&server, machine, *ticket, request);
        }
        if let Some(messages) = &mut observer.messages {
            messages::replica_heard(messages, at, &observer.witness.nodes, node, event);
        }
        observer.witness.bounds.before_replica(at, node, event);
        observer.witness.health.asks(event);
        observer.witness.health.hears(machine, event);
    }
}

/// A server took a step. Returns whether something happened that the nemesis may wait for.
pub fn after_replica(
    observer: &mut Observer,
    at: Duration,
    node: NodeIndex,
    machine: &Replica,
    effects: &[replica::Effect],
) -> bool {
    let summary = (machine.role(), machine.view_seen(), machine.commit(), machine.log().end());
    if !observer.end_step(effects, &summary, machine) {
        return false;
    }
    let occurrences = observer.occurrences().len();
    let before = observer.witness.last_seen.get(&node).copied();
    let (role, view) = (machine.role(), machine.view_seen());
    let leads = machine.as_primary().is_some_and(|primary| primary.is_active());
    let led_since = before.filter(|before| before.view == view).and_then(|before| before.leads_since);
    let leads_since = leads.then(|| led_since.unwrap_or(at));
    let seen = LastSeen { role, view, commit: machine.commit(), leads_since };
    observer.witness.last_seen.insert(node, seen);
    let commits = before.is_some_and(|before| before.commit < seen.commit);
    observer.witness.health.stepped(at, node, (seen.role, seen.view), commits);
    observer.witness.health.answered(at, node, machine, effects);
    observer.witness.health.refuses(at, node, machine, effects);
    for effect in effects {
        if let replica::Effect::Notice(notice) = effect {
            replica_notice(observer, at, node, notice);
        }
        if let Some(messages) = &mut observer.messages {
            messages::replica_said(messages, at, &observer.witness.nodes, node, effect);
        }
    }
    let Witness { marks, invariants, .. } = &mut observer.witness;
    if let Some(marks) = marks {
        marks.after_replica(node, machine, effects, invariants.facts());
    }
    let nodes = observer.witness.nodes.clone();
    let server = nodes.id(node);
    let check = observer.witness.invariants.replica_stepped(server, machine, effects);
    observer.check(at, node, check);
    observer.witness.order.note(at, effects, &observer.witness.invariants.facts().committed);
    let check = observer.witness.invariants.state_seen(server, machine, &observer.witness.order);
    observer.check(at, node, check);
    let within = observer.witness.bounds.after_replica(at, node, machine, effects);
    heed(observer, at, within);
    observer.step_is_over();
    observer.is_stopped() || observer.occurrences().len() > occurrences
}

fn replica_notice(observer: &mut Observer, at: Duration, node: NodeIndex, notice: &replica::Notice) {
    match notice {
        replica::Notice::Suspected { server } => observer.witness.health.suspected(at, node, server),
        replica::Notice::TransferBegan { to, .. } => observer.witness.health.transfer_began(at, node, to),
        replica::Notice::TransferCompleted { .. } => observer.witness.transfers += 1,
        replica::Notice::RoleChanged { role: RoleName::Primary, .. } => observer.witness.promotions += 1,
        _ => {}
    }
    observer.witness.health.replica_said(at, node, notice);
    observer.reports(at, node, store::Notice::Replica(notice.clone()), Trigger::of(notice));
}

/// The view service is about to take an event.
pub fn before_view_service(
    observer: &mut Observer,
    at: Duration,
    machine: &ViewService,
    event: &view_service::Event,
) {
    if !observer.begin_step(at, Nodes::VIEW_SERVICE, view_service_step(event), event) {
        return;
    }
    observer.witness.mark(|marks| marks.before_view_service(at, machine, event));
    observer.witness.bounds.before_view_service(event);
    if let view_service::Event::Ping { ping, .. } = event
        && let Some(server) = observer.witness.nodes.server(&ping.server)
    {
        observer.witness.pings[server] += 1;
        if let Some(messages) = &mut observer.messages {
            messages::view_service_heard(messages, at, &observer.witness.nodes, event);
        }
    }
}

/// The view service took a step, at a true time. Returns whether something happened that the nemesis may
/// wait for.
pub fn after_view_service(
    observer: &mut Observer,
    at: Duration,
    machine: &ViewService,
    effects: &[view_service::Effect],
) -> bool {
    use view_service::{Effect, Notice};
    if !observer.end_step(effects, &machine.record().number, machine) {
        return false;
    }
    observer.witness.mark(|marks| marks.after_view_service(at, machine, effects));
    observer.witness.view_service_heard(machine);
    let within = observer.witness.bounds.after_view_service(at, machine, effects);
    heed(observer, at, within);
    observer.witness.health.answers(at, machine.distress().as_ref());
    let occurrences = observer.occurrences().len();
    for effect in effects {
        if let Some(messages) = &mut observer.messages {
            messages::view_service_said(messages, at, &observer.witness.nodes, effect);
        }
        let told = match effect {
            Effect::Notice(notice) => {
                observer.witness.health.view_service_said(at, notice);
                let trigger = match notice {
                    Notice::Proposed { view, why, dropped } => {
                        observer.witness.health.proposed(at, view, *why, dropped);
                        observer.witness.view_changes += u64::from(view.number > ViewNumber(1));
                        Some(Trigger::ViewProposed)
                    }
                    Notice::Activated(_) => Some(Trigger::ViewActivated),
                    _ => None,
                };
                let notice = store::Notice::ViewService(notice.clone());
                observer.reports(at, Nodes::VIEW_SERVICE, notice, trigger);
                continue;
            }
            Effect::Answer { answer: Answer::View { view, .. }, .. } => view,
            Effect::Answer { answer: Answer::Ping(reply), .. } => match &reply.body {
                PingReplyBody::Accepted { view, .. } => view,
                _ => continue,
            },
            Effect::Persist { record, .. } => {
                observer.witness.invariants.record_written(record);
                continue;
            }
            Effect::Answer { answer: Answer::Status(_), .. }
            | Effect::Probe { .. }
            | Effect::Dismiss { .. } => continue,
        };
        if let Some(view) = told {
            let check = observer.witness.invariants.view_told(view);
            observer.check(at, Nodes::VIEW_SERVICE, check);
        }
    }
    observer.step_is_over();
    observer.is_stopped() || observer.occurrences().len() > occurrences
}

/// A bound that is exceeded ends the run: a machine in circles would not let it end.
fn heed(observer: &mut Observer, at: Duration, within: Result<(), Exceeded>) {
    if let Err(exceeded) = within
        && observer.cut_short(|| format!("exceeded: {exceeded}"))
    {
        observer.witness.health.exceeded(at, &exceeded);
    }
}

/// A client calls; returns the place of its operation.
pub fn called(observer: &mut Observer, at: Duration, client: NodeIndex, asked: Asked) -> usize {
    let Asked { input, expected_revision } = asked;
    let detail = Detail { expected_revision, ..Detail::default() };
    observer.called(at, client, (input.clone(), detail), || match expected_revision {
        Some(revision) => format!("calls {input:?} by its revision {revision}"),
        None => format!("calls {input:?}"),
    })
}

/// A client asks for a page: what it must not be older than.
pub fn page_called(observer: &Observer) -> Floor {
    observer.witness.revisions.floor()
}

/// A page comes, in a generation.
pub fn page_came(
    observer: &mut Observer,
    at: Duration,
    client: NodeIndex,
    (floor, generation): (Floor, u64),
    asked: &Scan,
    page: &Page,
) {
    if !observer.is_stopped() {
        let order = observer.witness.order.of_generation(generation);
        let check = pages::check((floor, generation), asked, page, order);
        observer.outside(at, client, StepName::RETURN, check);
    }
}

/// A client was told that a page cannot be asked for.
pub fn page_refused(observer: &mut Observer, at: Duration, client: NodeIndex, asked: &Scan, why: &str) {
    if !observer.is_stopped() {
        observer.outside(at, client, StepName::RETURN, Err(pages::refused(asked, why)));
    }
}

/// A client ended, and comes back as one that knows nothing.
pub fn client_ended(observer: &mut Observer, client: NodeIndex) {
    let Witness { revisions, nodes, .. } = &mut observer.witness;
    revisions.client_ended(nodes.name(client));
}

/// The view service begins a life.
pub fn view_service_started(observer: &mut Observer) {
    observer.witness.bounds.view_service_started();
}

/// A server begins a life with this on its disk. If that is an older copy, it is nothing that others may
/// count on: its contents are not theirs any more.
pub fn server_started(observer: &mut Observer, at: Duration, node: NodeIndex, durable: &Durable) {
    let server = &observer.witness.nodes.id(node).clone();
    observer.witness.health.holds(at, node, durable.data);
    observer.witness.bounds.server_started(node, durable);
    observer.witness.last_seen.remove(&node);
    observer.witness.invariants.server_started(server, durable);
}

/// A change became durable at a server.
pub fn disk_written(observer: &mut Observer, at: Duration, node: NodeIndex, write: &Write) {
    if !observer.is_stopped() {
        let server = observer.witness.nodes.id(node).clone();
        if let Write::Data { data, .. } = write {
            observer.witness.health.holds(at, node, Some(*data));
        }
        let check = observer.witness.invariants.disk_written(&server, write);
        observer.outside(at, node, StepName::DISK, check);
    }
}

/// A server started, or lost power, and what is on its disk was looked at.
pub fn disk_found(observer: &mut Observer, at: Duration, node: NodeIndex, check: Check) {
    if !observer.is_stopped() {
        observer.outside(at, node, StepName::DISK, check);
    }
}

/// A server's disk was wiped.
pub fn disk_lost(observer: &mut Observer, at: Duration, node: NodeIndex) {
    observer.witness.health.holds(at, node, None);
    let server = observer.witness.nodes.id(node).clone();
    observer.witness.invariants.disk_lost(&server);
    observer.witness.mark(|marks| marks.disk_lost(node));
}

/// What a server holds around its machine, after a batch of steps. Returns whether that ends the run.
pub fn replica_holds(
    observer: &mut Observer,
    at: Duration,
    node: NodeIndex,
    machine: &Replica,
    held: Held,
) -> bool {
    let before = observer.is_stopped();
    let within = observer.witness.bounds.shell(node, machine, held);
    heed(observer, at, within);
    observer.is_stopped() && !before
}

/// What the view service holds around its machine, after a batch of steps. Returns whether that ends the
/// run.
pub fn view_service_holds(observer: &mut Observer, at: Duration, machine: &ViewService, held: Held) -> bool {
    let before = observer.is_stopped();
    let within = observer.witness.bounds.shell_of_the_view_service(machine, held);
    heed(observer, at, within);
    observer.is_stopped() && !before
}

/// The view service's record is gone.
pub fn record_lost(observer: &mut Observer) {
    observer.witness.invariants.record_lost();
}

/// It is found again; nothing was recorded meanwhile.
pub fn record_restored(observer: &mut Observer, record: &Record) {
    observer.witness.invariants.record_restored(record);
}

/// An operator gave all data up, and this is the view service's record now.
pub fn data_given_up(observer: &mut Observer, at: Duration, record: &Record) {
    observer.witness.mark(Lookout::data_given_up);
    observer.witness.invariants.data_given_up(record);
    observer.witness.health.recorded(at, record, &observer.witness.invariants.facts().complete);
    observer.witness.order.begin_anew();
    observer.witness.revisions.begin_anew();
}

/// The view service's record became durable.
pub fn record_written(observer: &mut Observer, at: Duration, record: &Record) {
    if !observer.is_stopped() {
        observer.witness.mark(|marks| marks.record_written(record));
        let check = observer.witness.invariants.record_persisted(record);
        observer.witness.health.recorded(at, record, &observer.witness.invariants.facts().complete);
        observer.outside(at, Nodes::VIEW_SERVICE, StepName::DISK, check);
    }
}
