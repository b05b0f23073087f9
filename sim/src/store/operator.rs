//! Mistakes of operators, step by step: the view service's record is lost, or an old copy takes its place;
//! all data is declared lost; a server is started a second time.

use std::time::Duration;

use pbkv::protocol::view_service::adoption::{Adopt, LISTEN_DEAD_INTERVALS};
use testbed::{
    data::{fault::Memory, node::NodeIndex, outcome::Down},
    marks::Strike,
    nemesis::Done,
    system::Witness,
    world::{
        now,
        simulated::{Executed, OwnTask},
    },
};

use super::{
    fault::Mishap, nodes::Nodes, prospects, record, record::LostRecord, setup::START_INTERVAL, twin,
};
use crate::{
    bound::{FaultKind, Nemesis},
    store::Pbkv,
};

/// How long after it looked for servers whose data was given up an operator looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What operators did that is not over.
#[derive(Default)]
pub struct Operator {
    /// What became of the record.
    pub(super) lost: Option<LostRecord>,
    /// The server whose address a second process has, too.
    pub(super) twins: Option<Twins>,
    /// Servers whose data was given up have to be looked after.
    pub(super) needs_cleaning: bool,
}

/// A server with two processes.
#[derive(Clone, Copy)]
pub(super) struct Twins {
    pub(super) server: NodeIndex,
    /// The process that its address leads to.
    pub(super) leads_to: NodeIndex,
}

impl Operator {
    /// The server whose data is to go on when the view service is started without a record.
    pub fn adopts(&self) -> Option<Adopt> {
        self.lost.as_ref().and_then(|lost| lost.adopt.clone())
    }

    /// The server under whose address a process runs.
    pub fn address_of(&self, nodes: &Nodes, node: NodeIndex) -> NodeIndex {
        let is_twin = nodes.twin() == Some(node);
        self.twins.filter(|_| is_twin).map_or(node, |twins| twins.server)
    }

    /// Whether a server has a second process.
    pub fn has_twin(&self) -> bool {
        self.twins.is_some()
    }

    /// Whether the view service has the record that it should have, and no server what was given up.
    pub fn is_done(&self) -> bool {
        self.lost.is_none() && !self.needs_cleaning
    }
}

/// What is done at some time.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The view service is started with what an operator made of its record, unless that happened,
    Start {
        /// The life that ended.
        life: u64,
    },
    /// and the operator looks after it.
    Correct,
    /// A server's address leads to its twin or to itself,
    Turn {
        /// To which of the two.
        to_twin: bool,
    },
    /// and one of the two ends.
    EndTwin,
    /// An operator looks after servers whose data was given up.
    Clean,
}

impl OwnTask for Step {
    fn heals(self) -> bool {
        !matches!(self, Self::Turn { .. })
    }

    fn comes_last(self) -> bool {
        // Whatever is still to come back is back before an operator looks what it holds.
        matches!(self, Self::Clean)
    }
}

impl Executed<Pbkv> for Mishap {
    type Task = Step;

    fn begin(nemesis: &mut Nemesis, fault: usize) -> Result<Done, String> {
        let world = nemesis.world().clone();
        let FaultKind::Own(own) = &world.plan.faults[fault].kind else {
            unreachable!("fault {fault} is the store's own");
        };
        match own {
            Self::Record { .. } => mistake(nemesis, fault),
            Self::AcceptLoss { down_ms, runs_ms } => accept_loss(nemesis, fault, *down_ms, *runs_ms),
            Self::Twin { node, lasts_ms, .. } => begin_twin(nemesis, fault, node, *lasts_ms),
        }
    }

    fn is_due(nemesis: &mut Nemesis, task: Step) {
        match task {
            Step::EndTwin => twin_ends(nemesis),
            Step::Correct => adoption_is_due(nemesis),
            Step::Start { .. } | Step::Turn { .. } | Step::Clean => {}
        }
    }

    fn perform(nemesis: &mut Nemesis, fault: usize, task: Step) {
        match task {
            Step::Start { life } => {
                if nemesis.cluster().life(Nodes::VIEW_SERVICE) == life {
                    nemesis.cluster_mut().start(Nodes::VIEW_SERVICE);
                }
            }
            Step::Correct => correct(nemesis, fault),
            Step::Clean => clean(nemesis, fault),
            Step::Turn { to_twin } => twin::turn(nemesis.world(), to_twin),
            Step::EndTwin => end_twin(nemesis, fault),
        }
    }
}

/// An operator loses the record or finds an old copy.
fn mistake(nemesis: &mut Nemesis, fault: usize) -> Result<Done, String> {
    let world = nemesis.world().clone();
    let FaultKind::Own(Mishap::Record { adopt, anyway, down_ms, runs_ms }) = &world.plan.faults[fault].kind
    else {
        unreachable!("fault {fault} is about the record");
    };
    let adopt = adopt.as_deref().map(|name| nemesis.resolve(name)).transpose()?;
    let server = adopt.map(|node| Adopt { server: world.own.nodes.id(node).clone(), anyway: *anyway });
    nemesis.cluster_mut().stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept)?;
    let done = record::lose_record(nemesis.cluster(), server);
    let life = nemesis.cluster().life(Nodes::VIEW_SERVICE);
    let up_at = now() + Duration::from_millis(*down_ms);
    nemesis.enter_own(up_at, fault, Step::Start { life });
    nemesis.enter_own(up_at + Duration::from_millis(*runs_ms), fault, Step::Correct);
    strike_all(nemesis, fault);
    done?;
    nemesis.world().observer().witness.struck(Strike::MemoryLoss, &[Nodes::VIEW_SERVICE]);
    let what = match adopt {
        Some(node) => format!(
            "the record is lost; after {down_ms} ms the data of {} is to go on",
            world.nodes.name(node)
        ),
        None => format!("after {down_ms} ms the view service runs with an old copy of its record"),
    };
    Ok(Done { nodes: [Nodes::VIEW_SERVICE].into_iter().chain(adopt).collect(), what })
}

/// An operator who had the data of a server go on whatever others hold looks, after long enough: it does.
fn adoption_is_due(nemesis: &mut Nemesis) {
    let cluster = &nemesis.world().plan.cluster;
    let dead_after = cluster.lives().map(|life| cluster.view_service_options(life).dead_after).max();
    // It listens for so many dead intervals by its own clock, and by then was pinged.
    let listens = dead_after.unwrap_or_default() * (LISTEN_DEAD_INTERVALS + 1) * 9 / 8;
    if !nemesis.world().observer().witness.health.is_quiet_for(now(), listens) {
        return;
    }
    let disobeyed = record::is_disobeyed(nemesis.cluster());
    nemesis.owes(disobeyed);
}

/// An operator looks whether a server's data goes on. If what others hold was to be given up, those that
/// held more are started again empty.
fn correct(nemesis: &mut Nemesis, fault: usize) {
    if !record::find_record(nemesis.cluster_mut()) {
        return;
    }
    let FaultKind::Own(Mishap::Record { anyway, .. }) = nemesis.world().plan.faults[fault].kind else {
        unreachable!("fault {fault} is about the record");
    };
    if anyway {
        for node in record::left_behind(nemesis.cluster()) {
            start_empty(nemesis, fault, node, now());
        }
    }
    strike_all(nemesis, fault);
    nemesis.ends(fault);
}

/// An operator declares all data lost, and starts whatever runs again, empty.
fn accept_loss(nemesis: &mut Nemesis, fault: usize, down_ms: u64, runs_ms: u64) -> Result<Done, String> {
    nemesis.cluster_mut().stop(Nodes::VIEW_SERVICE, Down::Crash, Memory::Kept)?;
    let done = record::accept_loss(nemesis.cluster());
    let life = nemesis.cluster().life(Nodes::VIEW_SERVICE);
    let up_at = now() + Duration::from_millis(down_ms);
    nemesis.enter_own(up_at, fault, Step::Start { life });
    strike_all(nemesis, fault);
    done?;
    let running = nemesis.cluster().up();
    let mut within_reach: Vec<_> =
        nemesis.world().own.nodes.servers().filter(|node| running[*node]).collect();
    within_reach.retain(|node| is_reached(nemesis, *node));
    for node in within_reach {
        start_empty(nemesis, fault, node, up_at);
    }
    nemesis.enter_own(up_at + Duration::from_millis(runs_ms), fault, Step::Clean);
    nemesis.world().observer().witness.struck(Strike::MemoryLoss, &[Nodes::VIEW_SERVICE]);
    let what = format!(
        "all data is declared lost; after {down_ms} ms the view service and empty servers are started"
    );
    Ok(Done::to(Nodes::VIEW_SERVICE, what))
}

/// Ends a server that runs, and starts it at a time, or soon after it, without what it held.
fn start_empty(nemesis: &mut Nemesis, fault: usize, node: NodeIndex, at: Duration) {
    if record::empty(nemesis.cluster_mut(), node).is_ok() {
        let life = nemesis.cluster().life(node);
        let in_order = START_INTERVAL * u32::try_from(node).expect("fewer than 2^32 servers");
        nemesis.restart_at(at + in_order, fault, node, life);
    }
}

/// An operator looks for servers that hold data which was given up, and starts them again, empty; once
/// more a second later, as long as one is down that may come back with such data.
fn clean(nemesis: &mut Nemesis, fault: usize) {
    let (strangers, running) = (record::strangers(nemesis.world()), nemesis.cluster().up());
    let later = strangers.iter().any(|node| match running[*node] {
        true => !is_reached(nemesis, *node),
        false => nemesis.restarts(*node),
    });
    for node in strangers.into_iter().filter(|node| running[*node]) {
        if is_reached(nemesis, node) {
            start_empty(nemesis, fault, node, now());
        }
    }
    if later {
        return nemesis.enter_own(now() + LOOK_AGAIN, fault, Step::Clean);
    }
    nemesis.world().own.operator().needs_cleaning = false;
    strike_all(nemesis, fault);
    nemesis.ends(fault);
}

/// Whether an operator, who is where the view service is, reaches a server. What never ends is in
/// nobody's way.
fn is_reached(nemesis: &Nemesis, node: NodeIndex) -> bool {
    !nemesis.world().links.network().parted_for_a_while(Nodes::VIEW_SERVICE, node, nemesis.lasting())
}

/// The fault concerns the view service and all servers.
fn strike_all(nemesis: &Nemesis, fault: usize) {
    let last = *nemesis.world().own.nodes.servers().end();
    nemesis.strike(&nemesis.world().plan.faults[fault].kind, &(0..=last).collect::<Vec<_>>());
}

/// A second process begins at the address of a server.
fn begin_twin(nemesis: &mut Nemesis, fault: usize, node: &str, lasts_ms: u64) -> Result<Done, String> {
    let world = nemesis.world().clone();
    let node = nemesis.resolve(node)?;
    twin::begin(nemesis.cluster_mut(), node)?;
    strike_all(nemesis, fault);
    world.observer().witness.struck(Strike::MemoryLoss, &[node]);
    let FaultKind::Own(Mishap::Twin { turns_ms, .. }) = world.plan.faults[fault].kind else {
        unreachable!("fault {fault} makes a twin");
    };
    let ends_at = now() + Duration::from_millis(lasts_ms);
    let turns = turns_ms.into_iter().flat_map(|turns_ms| (1..).map(move |n| n * turns_ms));
    for (ms, to_twin) in turns.take_while(|ms| *ms < lasts_ms).zip([false, true].into_iter().cycle()) {
        nemesis.enter_own(now() + Duration::from_millis(ms), fault, Step::Turn { to_twin });
    }
    nemesis.enter_own(ends_at, fault, Step::EndTwin);
    Ok(Done::to(node, format!("{} has a twin for {lasts_ms} ms", world.nodes.name(node))))
}

/// What was owed beside a twin and not done: if nothing was done to anybody for a while, the servers that
/// are reached at their addresses serve.
fn twin_ends(nemesis: &mut Nemesis) {
    let (served_at, complete_at) = {
        let observer = nemesis.world().observer();
        let health = &observer.witness.health;
        (
            nemesis.done_at() + health.serves_within(),
            health.complete_within().map(|within| nemesis.done_at() + within),
        )
    };
    let around = prospects::surroundings(nemesis.cluster(), nemesis.stutters());
    let is_calm = around.apart.is_empty()
        && around.stalled.is_empty()
        && !around.disturbed
        && around.runs.iter().all(|runs| *runs);
    if served_at < now() && is_calm {
        let is_complete = complete_at.is_some_and(|complete_at| complete_at < now());
        let lacks = twin::lacks_service(nemesis.cluster(), is_complete);
        nemesis.owes(lacks);
    }
}

/// One of the two processes ends.
fn end_twin(nemesis: &mut Nemesis, fault: usize) {
    let FaultKind::Own(Mishap::Twin { moves, .. }) = nemesis.world().plan.faults[fault].kind else {
        unreachable!("fault {fault} makes a twin");
    };
    if twin::end(nemesis.cluster_mut(), moves).is_some() {
        strike_all(nemesis, fault);
        nemesis.ends(fault);
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        bound::{Fault, FaultKind, Plan},
        claims,
        store::fault::Mishap,
    };
    use testbed::{
        data::outcome::{Class, RunOptions},
        world::run::run,
    };

    /// A run in which the data of a server is to go on whatever others hold, and an operator looks after this
    /// time whether it does.
    fn looked_at_after(runs_ms: u64) -> Plan {
        let claim = claims::all().into_iter().next().expect("there are claims");
        let kind =
            FaultKind::Own(Mishap::Record { adopt: Some("s1".into()), anyway: true, down_ms: 100, runs_ms });
        let fault = Fault { at_ms: 4_000, on: None, after_ms: 0, kind };
        Plan { faults_ms: 12_000, faults: vec![fault], ..(claim.plan)(0) }
    }

    /// That what is owed later is demanded, the mutant `adoption_anyway_is_refused_like_any` shows.
    #[test]
    fn an_operator_who_looks_early_demands_nothing() {
        for runs_ms in [200, 1_000, 3_000, 7_000] {
            let outcome = run(&looked_at_after(runs_ms), &RunOptions::default());
            assert_eq!(outcome.stats.faults.get("record"), Some(&1), "after {runs_ms} ms");
            assert_eq!(outcome.class(), Class::Ok, "after {runs_ms} ms");
        }
    }
}
