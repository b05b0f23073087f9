//! Executes the fault plan. It draws nothing: what happens when is in the plan, or follows from what the
//! machines do.
//!
//! A fault begins at its time, or that long after what it waits for. Whichever node a fault names by a role
//! is looked up when it begins. A fault that has nothing to act upon (a crash of what is down already) does
//! nothing and says so. At the end all faults end, standing processes go on, and processes that are down are
//! started again, except what the plan breaks for good.

mod calm;
mod copies;
mod disturb;
mod drives;
mod stutter;
mod task;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use self::task::Task;
use crate::{
    data::{
        fault::{Fault, FaultKind, Memory},
        node::NodeIndex,
        outcome::{Down, Happening},
    },
    hardware::network::{Effect, lateness},
    marks::Strike,
    system::{Setup, System, Witness},
    world::{
        World,
        cluster::{Cluster, Status},
        now,
        simulated::{Executed, OwnTask, Simulated},
    },
};

/// What stands for a cause before the first fault: processes start.
pub const START: &str = "start";

/// What a system's own faults do at some time.
type OwnOf<S> = <<S as System>::Fault as Executed<S>>::Task;

/// What was done when a fault began.
pub struct Done {
    /// The nodes that the fault names; those that had a role then, if it names roles. Of "all others",
    /// none.
    pub nodes: Vec<NodeIndex>,
    /// The same as a sentence.
    pub what: String,
}

impl Done {
    /// Something was done to one node.
    pub fn to(node: NodeIndex, what: String) -> Self {
        Self { nodes: vec![node], what }
    }
}

/// The executor of the fault plan.
pub struct Nemesis<S: Simulated> {
    world: Arc<World<S>>,
    cluster: Cluster<S>,
    /// By time, and in the order in which it was entered.
    schedule: BTreeMap<(Duration, u64), Task<OwnOf<S>>>,
    entries: u64,
    /// Faults that wait for something to happen, each kind in the order of the plan.
    waiting: BTreeMap<S::Trigger, VecDeque<usize>>,
    /// How many occurrences were looked at.
    looked_at: usize,
    active: Vec<usize>,
    drives: drives::Drives,
    /// When the next copies of disks are made, if any are put back.
    copies_due: Option<Duration>,
    /// Faults of the network that have no end.
    lasting: Vec<usize>,
    /// When something was done last.
    done_at: Duration,
    calm: Option<calm::Calm>,
    /// What was owed while nothing was wrong, and not done.
    overdue: Vec<String>,
}

impl<S: Simulated> Nemesis<S> {
    /// A nemesis with the whole plan before it. The first processes start when it runs.
    pub fn new(world: Arc<World<S>>, cluster: Cluster<S>) -> Self {
        let mut nemesis = Self {
            world: world.clone(),
            cluster,
            schedule: BTreeMap::new(),
            entries: 0,
            waiting: BTreeMap::new(),
            looked_at: 0,
            active: Vec::new(),
            drives: drives::Drives::default(),
            copies_due: copies::first(&world.plan.faults),
            lasting: Vec::new(),
            done_at: Duration::ZERO,
            calm: None,
            overdue: Vec::new(),
        };
        for (node, process) in world.plan.cluster.processes().into_iter().enumerate() {
            nemesis.enter(process.starts_at, Task::Start(node));
        }
        for (place, fault) in world.plan.faults.iter().enumerate() {
            match fault.on {
                None => nemesis.enter(Duration::from_millis(fault.at_ms), Task::Begin(place)),
                Some(trigger) => nemesis.waiting.entry(trigger).or_default().push_back(place),
            }
        }
        nemesis
    }

    /// What everything shares.
    pub fn world(&self) -> &Arc<World<S>> {
        &self.world
    }

    /// The processes.
    pub fn cluster(&self) -> &Cluster<S> {
        &self.cluster
    }

    /// The processes.
    pub fn cluster_mut(&mut self) -> &mut Cluster<S> {
        &mut self.cluster
    }

    /// When something was done last.
    pub fn done_at(&self) -> Duration {
        self.done_at
    }

    /// Faults of the network that have no end.
    pub fn lasting(&self) -> &[usize] {
        &self.lasting
    }

    /// A step of a fault that only the system knows is done at this time.
    pub fn enter_own(&mut self, at: Duration, fault: usize, task: OwnOf<S>) {
        self.enter(at, Task::Own { fault, task });
    }

    /// A process is started again at this time, unless that happened.
    pub fn restart_at(&mut self, at: Duration, fault: usize, node: NodeIndex, life: u64) {
        self.enter(at, Task::Restart { fault, node, life });
    }

    /// Whether a process is to be started again some day.
    pub fn restarts(&self, node: NodeIndex) -> bool {
        self.schedule.values().any(|task| matches!(task, Task::Restart { node: of, .. } if *of == node))
    }

    /// Something was owed and not done, if it was.
    pub fn owes(&mut self, overdue: Option<String>) {
        self.overdue.extend(overdue);
    }

    /// Ends a fault before its time.
    pub fn end(&mut self, fault: usize) {
        self.perform(Task::End(fault));
    }

    /// A fault is over.
    pub fn ends(&self, fault: usize) {
        self.say(Happening::FaultEnded { fault });
    }

    fn enter(&mut self, at: Duration, task: Task<OwnOf<S>>) {
        self.entries += 1;
        self.schedule.insert((at, self.entries), task);
    }

    /// Executes the plan until `end`, or until the run is stopped. Returns what was owed in between and not
    /// done.
    pub async fn run(&mut self, end: Duration) -> Vec<String> {
        while !self.world.observer().is_stopped() && self.overdue.is_empty() {
            let copies_due = self.keep_copies(end);
            self.look();
            while let Some(((at, _), _)) = self.schedule.first_key_value()
                && *at <= now().min(end)
            {
                self.calm_ends();
                let task = self.schedule.pop_first().expect("it was just looked at").1;
                if let Task::Own { task, .. } = task {
                    S::Fault::is_due(self, task);
                }
                self.done_at = now();
                self.perform(task);
                self.calm_begins();
                let kind = |fault: usize| self.world.plan.faults[fault].kind.name();
                self.look_around(Some(task.fault().map_or(START, kind)));
                self.look();
            }
            if now() >= end {
                self.calm_ends();
                break;
            }
            let next = self.schedule.first_key_value().map_or(end, |((at, _), _)| *at);
            self.world.news(next.min(copies_due)).await;
        }
        std::mem::take(&mut self.overdue)
    }

    /// Tells the system what is around its processes after something was done.
    fn look_around(&self, cause: Option<&'static str>) {
        S::surrounded(self, cause);
    }

    /// Whether a process stutters.
    pub fn stutters(&self) -> bool {
        let faults = &self.world.plan.faults;
        self.active.iter().any(|fault| matches!(faults[*fault].kind, FaultKind::Stutter { .. }))
    }

    /// A fault strikes these nodes: with a pair of nodes, the link between them.
    pub fn strike(&self, kind: &FaultKind<S>, nodes: &[NodeIndex]) {
        self.world.observer().witness.touched(now(), nodes, lateness(kind));
    }

    /// Looks whether something happened that a fault waits for.
    fn look(&mut self) {
        self.look_after_drives();
        let news = self.world.observer().occurrences()[self.looked_at..].to_vec();
        self.looked_at += news.len();
        for (trigger, at) in news {
            let faults = &self.world.plan.faults;
            let Some(queue) = self.waiting.get_mut(&trigger) else { continue };
            let Some(&fault) = queue.front() else { continue };
            if at < Duration::from_millis(faults[fault].after_ms) {
                continue;
            }
            queue.pop_front();
            let after = Duration::from_millis(faults[fault].at_ms);
            self.enter(at + after, Task::Begin(fault));
        }
    }

    fn perform(&mut self, task: Task<OwnOf<S>>) {
        match task {
            Task::Start(node) => self.cluster.start(node),
            Task::Begin(fault) => match self.begin(fault) {
                Ok(Done { nodes, what }) => {
                    let kind = &self.world.plan.faults[fault].kind;
                    if !matches!(kind, FaultKind::Rpc { .. }) {
                        *self.world.observer().stats_mut().faults.entry(kind.name().into()).or_default() += 1;
                    }
                    let what = format!("{}: {what}", kind.word());
                    self.say(Happening::FaultBegan { fault, nodes, what });
                }
                Err(why) => self.say(Happening::FaultSkipped { fault, why }),
            },
            Task::End(fault) => {
                self.active.retain(|active| *active != fault);
                self.world.links.change(|network| network.end(fault));
                self.relieve(fault);
                self.say(Happening::FaultEnded { fault });
            }
            Task::Resume { fault, node, life } => {
                if self.cluster.life(node) == life && matches!(self.cluster.status(node), Status::Paused(_)) {
                    self.cluster.resume(node);
                    self.say(Happening::FaultEnded { fault });
                }
            }
            Task::GoOn { node, life, .. } => {
                if self.cluster.life(node) == life {
                    self.cluster.resume(node);
                }
            }
            Task::Falter { fault, node, life, beat } => self.falter(fault, node, life, beat),
            Task::Own { fault, task } => S::Fault::perform(self, fault, task),
            Task::Restart { fault, node, life } => {
                if self.cluster.life(node) == life {
                    self.cluster.start(node);
                    self.say(Happening::FaultEnded { fault });
                }
            }
        }
    }

    /// Begins a fault; says what was done, or why nothing was.
    fn begin(&mut self, place: usize) -> Result<Done, String> {
        let world = self.world.clone();
        let Fault { kind, .. } = &world.plan.faults[place];
        if let Some(why) = Strike::of(kind).impossible::<S>() {
            return Err(why.into());
        }
        match kind {
            FaultKind::Crash { node, down_ms, memory } => {
                self.stop(place, node, Down::Crash, *down_ms, *memory)
            }
            FaultKind::PowerLoss { node, down_ms, memory } => {
                self.stop(place, node, Down::PowerLoss, *down_ms, *memory)
            }
            FaultKind::Own(_) => S::Fault::begin(self, place),
            FaultKind::Pause { node, lasts_ms } => {
                let node = self.resolve(node)?;
                self.cluster.pause(node, lasts_ms.is_none())?;
                self.strike(kind, &[node]);
                world.observer().witness.struck(Strike::of(kind), &[node]);
                if let Some(lasts_ms) = lasts_ms {
                    let life = self.cluster.life(node);
                    self.enter(
                        now() + Duration::from_millis(*lasts_ms),
                        Task::Resume { fault: place, node, life },
                    );
                }
                Ok(Done::to(
                    node,
                    format!("{} stands still {}", world.nodes.name(node), for_how_long(*lasts_ms)),
                ))
            }
            FaultKind::Freeze { node, lasts_ms } => {
                let node = self.resolve(node)?;
                self.cluster.freeze(node)?;
                self.strike(kind, &[node]);
                world.observer().witness.struck(Strike::of(kind), &[node]);
                let life = self.cluster.life(node);
                let task = Task::Resume { fault: place, node, life };
                self.enter(now() + Duration::from_millis(*lasts_ms), task);
                let name = world.nodes.name(node);
                Ok(Done::to(node, format!("{name} stands still for {lasts_ms} ms and its clock with it")))
            }
            FaultKind::Stutter { node, pause_ms, lasts_ms, .. } => {
                let node = self.resolve(node)?;
                if !self.cluster.up()[node] {
                    return Err(format!("{} does not run", world.nodes.name(node)));
                }
                world.observer().witness.struck(Strike::of(kind), &[node]);
                // Pauses too short to be told from work are not left out of what a node takes for silence
                // (R16).
                let others = world.nodes.processes().filter(|_| world.nodes.processes().contains(&node));
                let everybody: Vec<_> = others.chain([node]).collect();
                self.strike(kind, &everybody);
                let life = self.cluster.life(node);
                self.active.push(place);
                self.enter(now() + Duration::from_millis(*lasts_ms), Task::End(place));
                self.enter(now(), Task::Falter { fault: place, node, life, beat: 0 });
                let name = world.nodes.name(node);
                Ok(Done::to(
                    node,
                    format!("{name} stutters for {lasts_ms} ms, up to {pause_ms} ms at a time"),
                ))
            }
            FaultKind::DiskStall { node, lasts_ms } => self.stall(place, node, *lasts_ms),
            FaultKind::DiskFailure { node, lasts_ms, down_ms, how } => {
                self.fail(place, node, (*lasts_ms, *down_ms), *how)
            }
            FaultKind::Partition { from, to, both_ways, how, lasts_ms } => {
                let effect = Effect::Cut { both_ways: *both_ways, how: *how };
                let arrow = if *both_ways { "<-/->" } else { "-/->" };
                self.disturb(place, from, to, effect, *lasts_ms, (arrow, &in_plans(how)))
            }
            FaultKind::Closed { from, to, how, lasts_ms } => self.disturb(
                place,
                to,
                from,
                Effect::Closed { how: *how },
                *lasts_ms,
                ("is not reached by", &in_plans(how)),
            ),
            FaultKind::Slow { from, to, one_way, latency_ms, jitter_ms, lasts_ms } => {
                let effect = Effect::Slow {
                    both_ways: !one_way,
                    latency: Duration::from_millis(*latency_ms),
                    jitter: Duration::from_millis(*jitter_ms),
                };
                let arrow = if *one_way { "->" } else { "<->" };
                let slower = format!("{latency_ms} to {} ms slower", latency_ms + jitter_ms);
                self.disturb(place, from, to, effect, Some(*lasts_ms), (arrow, &slower))
            }
            FaultKind::Rpc { from, to, how, percent, lasts_ms } => {
                let effect = Effect::Mistreat { how: *how, percent: *percent };
                let struck = format!("{} {percent} %", in_plans(how));
                self.disturb(place, from, to, effect, Some(*lasts_ms), ("->", &struck))
            }
        }
    }

    fn stop(
        &mut self,
        fault: usize,
        node: &str,
        how: Down,
        down_ms: Option<u64>,
        memory: Memory,
    ) -> Result<Done, String> {
        let node = self.resolve(node)?;
        let kept = self.cluster.stop(node, how, memory)?;
        self.strike(&self.world.plan.faults[fault].kind, &[node]);
        let name = self.world.nodes.name(node).clone();
        if let Some(down_ms) = down_ms {
            let life = self.cluster.life(node);
            self.enter(now() + Duration::from_millis(down_ms), Task::Restart { fault, node, life });
        }
        let verb = if how == Down::Crash { "crashes" } else { "loses power" };
        let until = for_how_long(down_ms);
        let memory = match (memory, kept) {
            (_, Memory::Lost) => "and loses its memory",
            (_, Memory::Rotten) => "and a bit of its memory rots",
            (_, Memory::Older) => "and an older copy of its memory is put back",
            (Memory::Lost, Memory::Kept) => "but keeps its memory, the last copy",
            (Memory::Rotten, Memory::Kept) => "but keeps its memory, the last copy or one that cannot rot",
            (Memory::Older, Memory::Kept) => "but keeps its memory: no older copy would be noticed",
            (Memory::Kept, Memory::Kept) => "and keeps its memory",
        };
        Ok(Done::to(node, format!("{name} {verb} {until} {memory}")))
    }

    /// The node that a fault names: by its own name, or by the role it has now.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn resolve(&self, name: &str) -> Result<NodeIndex, String> {
        match self.world.nodes.find(name) {
            Some(node) => Ok(node),
            None => S::resolve(&self.world, name, &self.cluster.up()),
        }
    }

    fn say(&self, event: Happening<S>) {
        self.world.happened(self.world.nodes.simulator(), event);
    }

    /// Ends everything that has an end, and starts what is down for a while only.
    pub fn heal(&mut self) {
        let lasting = &self.lasting;
        self.world.links.change(|network| network.heal(lasting));
        self.repair_drives();
        self.cluster.resume_all();
        for fault in std::mem::take(&mut self.active) {
            self.say(Happening::FaultEnded { fault });
        }
        for (trigger, faults) in std::mem::take(&mut self.waiting) {
            for fault in faults {
                self.say(Happening::FaultSkipped {
                    fault,
                    why: format!("{} did not happen", in_plans(trigger)),
                });
            }
        }
        let schedule = std::mem::take(&mut self.schedule);
        let (last, first): (Vec<_>, Vec<_>) = schedule
            .into_values()
            .partition(|task| matches!(task, Task::Own { task, .. } if task.comes_last()));
        for task in first.into_iter().chain(last) {
            match task {
                Task::Start(node) => self.cluster.start(node),
                Task::Restart { .. } => self.perform(task),
                Task::Own { task: own, .. } if own.heals() => self.perform(task),
                Task::Begin(fault) => {
                    self.say(Happening::FaultSkipped { fault, why: "the time of faults is over".into() });
                }
                Task::End(_)
                | Task::Resume { .. }
                | Task::GoOn { .. }
                | Task::Falter { .. }
                | Task::Own { .. } => {}
            }
        }
        // What was started again empty.
        while let Some((_, task)) = self.schedule.pop_first() {
            self.perform(task);
        }
        self.look_around(None);
        self.say(Happening::Healed);
    }
}

fn for_how_long(lasts_ms: Option<u64>) -> String {
    lasts_ms.map_or("for good".into(), |ms| format!("for {ms} ms"))
}

/// The word for something in plans.
pub(crate) fn in_plans<T: Serialize + fmt::Debug>(it: T) -> String {
    match serde_json::to_value(&it) {
        Ok(serde_json::Value::String(word)) => word,
        _ => format!("{it:?}"),
    }
}
