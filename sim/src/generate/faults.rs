//! What goes wrong: which kinds, how often, against whom, and at which interesting moments.

use testbed::{
    data::fault::{Cut, Memory, Mistreatment, Node},
    draw::{dice::Dice, faults::disk_failure},
};

use super::patterns::pattern;
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{fault::Trigger, setup::Reads},
};

/// Between two losses of memory, from the return of the first to the second, in milliseconds: the time
/// for being declared a stranger, state transfer and activation, several times over.
pub(super) const REJOIN_MS: u64 = 6_000;
/// The longest a server that lost its memory stays down, in milliseconds.
pub(super) const AMNESIA_DOWN_MS_MAX: u64 = 3_000;

/// The longest that one node stands still, in milliseconds: ten times the silence after which it is dead.
const STAND_STILL_MS_MAX: u64 = 15_000;
/// The longest that a disk stalls, in milliseconds.
const DISK_STALL_MS_MAX: u64 = 8_000;
/// How often a node stutters at one time, about: each costs a run some work.
const STUTTERS_MAX: u64 = 400;

/// What a seed may enable. The name is that of the stream it draws from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Crash,
    PowerLoss,
    Amnesia,
    ViewServiceCrash,
    Pause,
    Isolate,
    CutPair,
    CutFromViewService,
    CutOneWay,
    Slow,
    Rpc(Mistreatment),
    Pattern,
    Lasting,
    StandStill,
    Stutter,
    SlowOneWay,
    Relapse,
    ClientStandsStill,
    Closed,
    DiskStall,
    DiskFailure,
}

const KINDS: [(Kind, &str); 26] = [
    (Kind::Crash, "crash"),
    (Kind::PowerLoss, "power loss"),
    (Kind::Amnesia, "amnesia"),
    (Kind::ViewServiceCrash, "view service crash"),
    (Kind::Pause, "pause"),
    (Kind::Isolate, "isolate"),
    (Kind::CutPair, "cut pair"),
    (Kind::CutFromViewService, "cut from view service"),
    (Kind::CutOneWay, "cut one way"),
    (Kind::Slow, "slow"),
    (Kind::Rpc(Mistreatment::DropRequest), "drop request"),
    (Kind::Rpc(Mistreatment::DropReply), "drop reply"),
    (Kind::Rpc(Mistreatment::Duplicate), "duplicate"),
    (Kind::Rpc(Mistreatment::Delay), "delay"),
    (Kind::Rpc(Mistreatment::Hang), "hang"),
    (Kind::Rpc(Mistreatment::Cancel), "cancel"),
    (Kind::Pattern, "pattern"),
    (Kind::Lasting, "lasting"),
    (Kind::StandStill, "stand still"),
    (Kind::Stutter, "stutter"),
    (Kind::SlowOneWay, "slow one way"),
    (Kind::Relapse, "relapse"),
    (Kind::ClientStandsStill, "client stands still"),
    (Kind::Closed, "closed"),
    (Kind::DiskStall, "disk stall"),
    (Kind::DiskFailure, "disk failure"),
];

/// What goes wrong in a plan that has no faults yet.
pub(super) fn plan(plan: &Plan) -> Vec<Fault> {
    let Plan { seed, faults_ms, cluster, .. } = plan;
    let (seed, faults_ms) = (*seed, *faults_ms);
    let mut swarm = Dice::new(seed, "swarm");
    // The share of kinds that this seed enables; nothing at all in one of sixteen.
    let enabled_percent = swarm.weighted(&[(1, 0), (4, 10), (6, 25), (3, 50), (2, 80)]);
    let targets = Targets::of(plan);
    let mut faults = Vec::new();
    for (kind, name) in KINDS {
        let (enabled, mean_ms) = (swarm.percent(enabled_percent), swarm.magnitude(1_000, 32_000));
        if !enabled {
            continue;
        }
        let dice = &mut Dice::new(seed, &format!("faults/{name}"));
        if kind == Kind::Amnesia {
            faults.extend(amnesia(dice, targets, faults_ms, mean_ms, cluster.replicas));
            continue;
        }
        if kind == Kind::Lasting {
            faults.extend((0..dice.weighted(&[(4, 1), (1, 2)])).map(|_| lasting(dice, targets, faults_ms)));
            continue;
        }
        let mut at_ms = dice.wait(mean_ms);
        while at_ms < faults_ms {
            faults.extend(one(dice, kind, targets, at_ms, cluster.reads));
            at_ms += dice.wait(mean_ms).max(50);
        }
    }
    faults
}

/// The nodes that faults may strike.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    servers: u64,
    pub(super) clients: u64,
}

impl Targets {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { servers: plan.cluster.servers.into(), clients: plan.clients.len() as u64 }
    }

    /// A server, by part or by name.
    fn server(self, dice: &mut Dice) -> Node {
        match dice.weighted(&[(4, "primary"), (3, "backup"), (1, "joiner"), (1, "idle"), (3, "")]) {
            "" => format!("s{}", dice.between(1, self.servers)),
            part => part.to_string(),
        }
    }

    fn any(self, dice: &mut Dice) -> Node {
        match dice.weighted(&[(3, "vs"), (2, "client"), (15, "server")]) {
            "vs" => "vs".to_string(),
            "client" => dice.pick(&self.clients()).clone(),
            _ => self.server(dice),
        }
    }

    pub(super) fn servers(self) -> Vec<Node> {
        (1..=self.servers).map(|n| format!("s{n}")).collect()
    }

    pub(super) fn clients(self) -> Vec<Node> {
        (1..=self.clients).map(|n| format!("c{n}")).collect()
    }

    /// Whose messages to whom: one conversation of the protocol, or everything.
    fn link(self, dice: &mut Dice) -> (Vec<Node>, Vec<Node>) {
        let node = |name: &str| vec![name.to_string()];
        match dice.below(8) {
            0 => (node("primary"), node("backup")),
            1 => (node("backup"), node("primary")),
            2 => (node("primary"), node("joiner")),
            3 => (vec![self.server(dice)], node("vs")),
            4 => (self.servers(), node("vs")),
            5 => (self.clients(), vec![]),
            6 => (self.clients(), node("primary")),
            _ => (self.servers(), vec![]),
        }
    }
}

/// A moment, at a time or when something interesting happens after that time: `at_ms`, `on`, `after_ms`.
fn moment(dice: &mut Dice, at_ms: u64) -> (u64, Option<Trigger>, u64) {
    if dice.percent(40) {
        let trigger = *dice.pick(&Trigger::ALL);
        (dice.weighted(&[(3, 0), (3, 1), (2, 10), (2, 100), (1, 600)]), Some(trigger), at_ms)
    } else {
        (at_ms, None, 0)
    }
}

fn down_ms(dice: &mut Dice) -> Option<u64> {
    Some(dice.magnitude(10, 8_000))
}

fn lasts_ms(dice: &mut Dice) -> u64 {
    dice.magnitude(20, 8_000)
}

pub(super) fn cut(dice: &mut Dice) -> Cut {
    if dice.percent(40) { Cut::Refuse } else { Cut::BlackHole }
}

fn one(dice: &mut Dice, kind: Kind, targets: Targets, at_ms: u64, reads: Reads) -> Vec<Fault> {
    match kind {
        Kind::Pattern => return pattern(dice, targets, at_ms, reads),
        Kind::Relapse => return relapse(dice, at_ms),
        _ => {}
    }
    let (at_ms, on, after_ms) = moment(dice, at_ms);
    let partition = |dice: &mut Dice, from: Vec<Node>, to: Vec<Node>, both_ways| FaultKind::Partition {
        from,
        to,
        both_ways,
        how: cut(dice),
        lasts_ms: Some(lasts_ms(dice)),
    };
    let kind = match kind {
        Kind::Crash => {
            FaultKind::Crash { node: targets.server(dice), down_ms: down_ms(dice), memory: Memory::Kept }
        }
        Kind::PowerLoss => {
            FaultKind::PowerLoss { node: targets.server(dice), down_ms: down_ms(dice), memory: Memory::Kept }
        }
        Kind::ViewServiceCrash => {
            let (node, down_ms, memory) = ("vs".into(), down_ms(dice), Memory::Kept);
            if dice.percent(60) {
                FaultKind::Crash { node, down_ms, memory }
            } else {
                FaultKind::PowerLoss { node, down_ms, memory }
            }
        }
        Kind::Pause => FaultKind::Pause { node: targets.any(dice), lasts_ms: Some(lasts_ms(dice)) },
        Kind::Isolate => {
            let node = targets.any(dice);
            partition(dice, vec![node], vec![], true)
        }
        Kind::CutPair => {
            let (from, to) = (targets.server(dice), targets.server(dice));
            partition(dice, vec![from], vec![to], true)
        }
        Kind::CutFromViewService => {
            let node = targets.server(dice);
            partition(dice, vec![node], vec!["vs".into()], true)
        }
        Kind::CutOneWay => {
            let (from, to) = match dice.below(3) {
                0 => (vec![targets.any(dice)], vec![]),
                1 => (vec!["vs".into()], vec![targets.server(dice)]),
                _ => (vec![targets.any(dice)], vec![targets.any(dice)]),
            };
            partition(dice, from, to, false)
        }
        Kind::Slow => {
            let (from, to) = targets.link(dice);
            FaultKind::Slow {
                from,
                to,
                one_way: false,
                latency_ms: dice.magnitude(1, 600),
                jitter_ms: dice.magnitude(1, 1_500),
                lasts_ms: lasts_ms(dice),
            }
        }
        Kind::Rpc(how) => {
            let (from, to) = targets.link(dice);
            FaultKind::Rpc { from, to, how, percent: dice.magnitude(1, 100) as u32, lasts_ms: lasts_ms(dice) }
        }
        Kind::StandStill => stand_still(dice, reads),
        Kind::ClientStandsStill => client_stands_still(dice, targets),
        Kind::Stutter => stutter(dice, targets),
        Kind::Closed => {
            let (to, how) = (vec![targets.server(dice)], cut(dice));
            FaultKind::Closed {
                from: callers(dice, targets),
                to,
                how,
                lasts_ms: Some(dice.magnitude(200, 12_000)),
            }
        }
        Kind::DiskStall => FaultKind::DiskStall { node: writer(dice), lasts_ms: stall_ms(dice) },
        Kind::DiskFailure => {
            let node = writer(dice);
            disk_failure(node, dice.magnitude(10, 4_000), dice.magnitude(10, 8_000))
        }
        Kind::SlowOneWay => {
            let (from, to) = targets.link(dice);
            FaultKind::Slow {
                from,
                to,
                one_way: true,
                latency_ms: dice.magnitude(1, 2_000),
                jitter_ms: dice.magnitude(1, 500),
                lasts_ms: lasts_ms(dice),
            }
        }
        Kind::Amnesia | Kind::Pattern | Kind::Lasting | Kind::Relapse => {
            unreachable!("these are planned elsewhere")
        }
    };
    vec![Fault { at_ms, on, after_ms, kind }]
}

/// Who does not get in where a door is closed.
pub(super) fn callers(dice: &mut Dice, targets: Targets) -> Vec<Node> {
    match dice.below(8) {
        0..=3 => vec![],
        4 | 5 => vec!["vs".into()],
        6 => targets.servers(),
        _ => targets.clients(),
    }
}

/// One node alone stands still: for any time, or for about as long as silence is borne.
fn stand_still(dice: &mut Dice, reads: Reads) -> FaultKind {
    let node = dice.weighted(&[(5, "primary"), (3, "backup"), (1, "joiner"), (1, "idle"), (4, "vs")]);
    let lasts_ms =
        if dice.percent(50) { dice.between(900, 1_800) } else { dice.magnitude(100, STAND_STILL_MS_MAX) };
    let stops_clock = dice.percent(40);
    // A lease trusts the clock of its holder to count such times.
    if stops_clock && (reads == Reads::Confirm || node == "vs") {
        FaultKind::Freeze { node: node.into(), lasts_ms }
    } else {
        FaultKind::Pause { node: node.into(), lasts_ms: Some(lasts_ms) }
    }
}

/// Who has a disk.
fn writer(dice: &mut Dice) -> Node {
    dice.weighted(&[(5, "primary"), (4, "backup"), (1, "joiner"), (1, "idle"), (4, "vs")]).into()
}

/// How long a disk stalls, in milliseconds: from about a heartbeat to several times the silence after which a
/// node is dead.
pub(super) fn stall_ms(dice: &mut Dice) -> u64 {
    if dice.percent(40) { dice.between(900, 1_800) } else { dice.magnitude(64, DISK_STALL_MS_MAX) }
}

/// A client's machine stands still, and its clock, by which it gives up, with it or not.
fn client_stands_still(dice: &mut Dice, targets: Targets) -> FaultKind {
    let node = dice.pick(&targets.clients()).clone();
    let lasts_ms = dice.magnitude(100, STAND_STILL_MS_MAX);
    if dice.percent(60) {
        FaultKind::Freeze { node, lasts_ms }
    } else {
        FaultKind::Pause { node, lasts_ms: Some(lasts_ms) }
    }
}

/// A node that has hardly any time to work.
fn stutter(dice: &mut Dice, targets: Targets) -> FaultKind {
    let node = targets.any(dice);
    let (pause_ms, run_ms) = (dice.magnitude(2, 400), dice.magnitude(1, 16));
    let lasts_ms = dice.magnitude(500, 16_000).min(STUTTERS_MAX * (pause_ms / 2 + run_ms));
    FaultKind::Stutter { node, pause_ms, run_ms, lasts_ms }
}

/// The same role is struck again, whichever node has it, as soon as one has it again.
fn relapse(dice: &mut Dice, at_ms: u64) -> Vec<Fault> {
    let node = dice.weighted(&[(3, "primary"), (2, "backup"), (1, "joiner")]);
    let (down_ms, gap_ms) = (dice.magnitude(10, 400), dice.magnitude(100, 2_500));
    let crash = |round| Fault {
        at_ms: at_ms + round * (down_ms + gap_ms),
        on: None,
        after_ms: 0,
        kind: FaultKind::Crash { node: node.into(), down_ms: Some(down_ms), memory: Memory::Kept },
    };
    (0..dice.between(2, 6)).map(crash).collect()
}

/// Losses of memory, within the budget: one at an interesting moment, or several far enough apart.
fn amnesia(dice: &mut Dice, targets: Targets, faults_ms: u64, mean_ms: u64, replicas: u32) -> Vec<Fault> {
    if replicas < 2 {
        return Vec::new();
    }
    let loss = |dice: &mut Dice, at_ms, on: Option<Trigger>, down_ms| {
        let (node, down_ms, memory) = (targets.server(dice), Some(down_ms), Memory::Lost);
        let kind = if dice.percent(70) {
            FaultKind::Crash { node, down_ms, memory }
        } else {
            FaultKind::PowerLoss { node, down_ms, memory }
        };
        Fault { at_ms, on, after_ms: if on.is_some() { REJOIN_MS } else { 0 }, kind }
    };
    let at_ms = dice.between(REJOIN_MS, faults_ms);
    let at = |at_ms, kind| Fault { at_ms, on: None, after_ms: 0, kind };
    let backup_forgets = |dice: &mut Dice| {
        let (node, down_ms) = ("backup".into(), Some(dice.magnitude(10, 500)));
        at(at_ms, FaultKind::Crash { node, down_ms, memory: Memory::Lost })
    };
    let how = dice.weighted(&[(8, "now and then"), (3, "once"), (2, "old state"), (2, "promoted")]);
    if how == "old state" {
        // Parts of the state that is transferred then arrive again when it is long past.
        let how = if dice.percent(50) { Mistreatment::Duplicate } else { Mistreatment::Delay };
        let (from, to) = (vec!["primary".into()], vec![]);
        let percent = dice.between(40, 100) as u32;
        let late = at(at_ms, FaultKind::Rpc { from, to, how, percent, lasts_ms: 4_000 });
        return vec![backup_forgets(dice), late];
    }
    if how == "promoted" {
        // Clients do not hear what was done, and who is asked again knows it from the state it received.
        let (from, to, how) = (targets.clients(), vec!["primary".into()], Mistreatment::DropReply);
        let silence = at(at_ms, FaultKind::Rpc { from, to, how, percent: 100, lasts_ms: 3_000 });
        let (node, down_ms) = ("primary".into(), Some(4_000));
        let death = Fault {
            at_ms: dice.magnitude(1, 400),
            on: Some(Trigger::TransferCompleted),
            after_ms: at_ms,
            kind: FaultKind::Crash { node, down_ms, memory: Memory::Kept },
        };
        return vec![backup_forgets(dice), silence, death];
    }
    if how == "once" {
        let trigger =
            [Trigger::TransferBegan, Trigger::ViewProposed, Trigger::ViewActivated, Trigger::Promoted];
        let (at_ms, on) = (dice.below(300), Some(*dice.pick(&trigger)));
        let down_ms = dice.magnitude(10, AMNESIA_DOWN_MS_MAX);
        return vec![loss(dice, at_ms, on, down_ms)];
    }
    let mut faults = Vec::new();
    let mut at_ms = REJOIN_MS + dice.wait(mean_ms);
    while at_ms < faults_ms {
        let down_ms = dice.magnitude(10, AMNESIA_DOWN_MS_MAX);
        faults.push(loss(dice, at_ms, None, down_ms));
        at_ms += down_ms + REJOIN_MS + dice.wait(mean_ms);
    }
    faults
}

/// Something that breaks for good. What is owed to whom then is for [`testbed::judges::liveness`] to say;
/// most often it is everything to everybody.
fn lasting(dice: &mut Dice, targets: Targets, faults_ms: u64) -> Fault {
    let at_ms = dice.between(faults_ms / 4, faults_ms);
    let (at_ms, on, after_ms) = moment(dice, at_ms);
    let partition = |dice: &mut Dice, from: Node, to: Vec<Node>, both_ways| FaultKind::Partition {
        from: vec![from],
        to,
        both_ways,
        how: cut(dice),
        lasts_ms: None,
    };
    let kind = match dice.below(17) {
        0..=3 => {
            let both_ways = dice.percent(60);
            partition(dice, "primary".into(), vec!["backup".into()], both_ways)
        }
        4 => partition(dice, "backup".into(), vec!["primary".into()], false),
        5 => partition(dice, "primary".into(), targets.servers(), true),
        6 => {
            let (one, other) = (targets.server(dice), targets.server(dice));
            partition(dice, one, vec![other], true)
        }
        7 => {
            let node = targets.server(dice);
            partition(dice, node, vec!["vs".into()], true)
        }
        8 => {
            let node = targets.server(dice);
            partition(dice, "vs".into(), vec![node], false)
        }
        9 => {
            let node = targets.server(dice);
            partition(dice, node, vec![], true)
        }
        10 => {
            let (client, server) = (dice.pick(&targets.clients()).clone(), targets.server(dice));
            partition(dice, client, vec![server], true)
        }
        11 | 12 => FaultKind::Pause { node: targets.server(dice), lasts_ms: None },
        14 => {
            let (to, how) = (vec![targets.server(dice)], cut(dice));
            FaultKind::Closed { from: callers(dice, targets), to, how, lasts_ms: None }
        }
        13 => {
            let node = if dice.percent(30) { "vs".into() } else { targets.server(dice) };
            FaultKind::PowerLoss { node, down_ms: None, memory: Memory::Kept }
        }
        _ => FaultKind::Crash { node: targets.server(dice), down_ms: None, memory: Memory::Kept },
    };
    Fault { at_ms, on, after_ms, kind }
}
