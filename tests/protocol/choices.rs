//! Random sequences of choices, and what they come to in a given cluster.

use std::{fmt, time::Duration};

use bytes::Bytes;
use pbkv::protocol::{
    command::{Expected, Update},
    identity::{Boot, ServerId},
    options::{ReadMode, ReplicaOptions, ViewServiceOptions},
};
use proptest::prelude::*;

use crate::{
    clients::Wish,
    cluster::{Checked, Cluster, Setup},
    command::{Command, VIEW_SERVICE, WallClock, append},
    network::Pick,
};

/// Servers have these names.
const SERVERS: [&str; 4] = ["A", "B", "C", "D"];

/// Clients have these names.
const CLIENTS: [&str; 3] = ["x", "y", "z"];

/// Long enough for a first view and its backups.
const WARM_UP: Duration = Duration::from_secs(3);

/// Few keys, so that clients meet.
const KEYS: [&str; 4] = ["k", "l", "m", "n"];

/// A life that no server will ever reach by itself.
const FORGED_LIFE: Boot = Boot(u64::MAX / 4);

/// A choice whose numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    Deliver(u16),
    DeliverAll(u8),
    Duplicate(u16),
    Drop(u16),
    Persist(u8),
    Advance(u16),
    Stall(u16),
    Settle,
    Run(u16),
    Cut(u8, u8),
    Isolate(u8),
    Heal,
    Hold(u8, u8),
    HoldKind(u8),
    Release,
    SlowDisk(u8),
    FastDisks,
    Forge(u8, bool),
    Crash(u8, u8),
    CrashPrimary(u8),
    CrashDuringTransfer(u8),
    IsolatePrimary,
    Gone(u8),
    Wipe(u8),
    Restart(u8, bool),
    Call(u8, u8, u8, u8),
    Retry(u8, u8),
    GiveUp(u8),
}

/// What a test is about: the cluster's make and how much it may lose.
#[derive(Clone, Debug)]
pub struct Make {
    pub servers: usize,
    pub replicas: usize,
    pub reads: ReadMode,
    pub wipes: usize,
    /// Whether the cluster runs in peace first, for so many updates.
    pub warm: Option<u8>,
    pub gains_permille: Vec<i32>,
    /// Bytes in one part of a transferred state: a key, or everything.
    pub part_bytes: usize,
}

/// Limits with which checkpoints, state transfers, full windows and expiry are everyday events.
pub fn small_limits() -> ReplicaOptions {
    ReplicaOptions {
        join_lag_max: Duration::from_millis(200),
        session_ttl: Duration::from_secs(4),
        append_window: 3,
        chunk_bytes_max: 48,
        checkpoint_interval: 3,
        log_entries_max: 12,
        ..ReplicaOptions::default()
    }
}

impl Make {
    /// The cluster.
    pub fn setup(&self) -> Setup {
        Setup {
            servers: SERVERS[..self.servers].iter().map(|name| ServerId::new(*name)).collect(),
            view: ViewServiceOptions { replicas: self.replicas, ..ViewServiceOptions::default() },
            replica: ReplicaOptions { reads: self.reads, chunk_bytes_max: self.part_bytes, ..small_limits() },
            gains_permille: self.gains_permille.clone(),
            shows_revisions: false,
        }
    }
}

/// A make and a sequence of choices. Shown as the script that it comes to.
#[derive(Clone)]
pub struct Plan {
    pub make: Make,
    pub choices: Vec<Choice>,
}

impl Plan {
    fn warm_up(&self) -> Vec<Command> {
        let Some(updates) = self.make.warm else { return Vec::new() };
        let mut commands = vec![Command::Run(WARM_UP)];
        for number in 0..updates {
            let (client, first) = (ServerId::new(CLIENTS[0]), ServerId::new(SERVERS[0]));
            let key = Bytes::from(KEYS[usize::from(number) % KEYS.len()]);
            let update = append(key, Bytes::from(format!("w{number}.")));
            commands.push(Command::Call(client, Wish::Update(update), first));
            commands.push(Command::Run(Duration::from_millis(100)));
        }
        commands
    }

    /// Makes it all happen, and tells each command just before.
    pub fn play(&self, mut tell: impl FnMut(&Command, &Cluster)) -> (Cluster, Checked) {
        let mut cluster = Cluster::new(self.make.setup());
        let mut wipes = self.make.wipes;
        let mut warm_up = self.warm_up().into_iter();
        let mut choices = self.choices.iter();
        loop {
            let command = match warm_up.next() {
                Some(command) => command,
                None => {
                    let Some(choice) = choices.next() else { break };
                    let Some(command) = choice.resolve(&cluster, &mut wipes) else { continue };
                    command
                }
            };
            tell(&command, &cluster);
            if let Err(broken) = cluster.apply(&command) {
                return (cluster, Err(broken));
            }
        }
        (cluster, Ok(()))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Make { servers, replicas, reads, gains_permille, part_bytes, .. } = &self.make;
        let clocks: Vec<_> = gains_permille.iter().map(i32::to_string).collect();
        let mut script = format!(
            "\ncluster {} replicas={replicas} reads={reads:?} small=true part-bytes={part_bytes} clocks={}\n",
            SERVERS[..*servers].join(" "),
            clocks.join("/")
        );
        let written = std::panic::AssertUnwindSafe(&mut script);
        let played = std::panic::catch_unwind(move || {
            let written = written;
            let mut seen = 0;
            let script: &mut String = written.0;
            let (cluster, _) = self.play(|command, cluster| {
                for line in &cluster.happened[seen..] {
                    script.push_str(&format!("# {line}\n"));
                }
                seen = cluster.happened.len();
                if let Command::Deliver(Pick::Number(number)) | Command::Duplicate(Pick::Number(number)) =
                    command
                {
                    script.push_str(&format!("# {}\n", cluster.packets[number]));
                }
                script.push_str(&format!("{command}\n"));
            });
            for line in &cluster.happened[seen..] {
                script.push_str(&format!("# {line}\n"));
            }
        });
        if played.is_err() {
            script.push_str("# and here it panics\n");
        }
        f.write_str(&script)
    }
}

fn pick<T: Clone>(from: &[T], index: impl Into<usize>) -> Option<T> {
    let index: usize = index.into();
    (!from.is_empty()).then(|| from[index % from.len()].clone())
}

impl Choice {
    /// What the choice comes to; nothing if it makes no sense here.
    fn resolve(&self, cluster: &Cluster, wipes: &mut usize) -> Option<Command> {
        let servers = &cluster.setup.servers;
        let everybody: Vec<_> = servers.iter().cloned().chain([ServerId::new(VIEW_SERVICE)]).collect();
        let up: Vec<_> = everybody.iter().filter(|node| cluster.is_up(node)).cloned().collect();
        let down: Vec<_> = everybody.iter().filter(|node| !cluster.is_up(node)).cloned().collect();
        let numbers: Vec<u64> = cluster.packets.keys().copied().collect();
        let packet = |index| pick::<u64>(&numbers, index as usize).map(Pick::Number);
        let millis = |time: u16| Duration::from_millis(u64::from(time));
        // Half of all requests go where they belong.
        let asked = |index: u8| {
            let primary = cluster.primary().filter(|_| index >= 128);
            primary.or_else(|| pick(servers, index))
        };
        let client = |index: u8| ServerId::new(CLIENTS[usize::from(index) % CLIENTS.len()]);
        let busy = |name: &ServerId| cluster.clients.get(name).is_some_and(|it| it.waiting.is_some());
        Some(match *self {
            Choice::Deliver(index) => Command::Deliver(packet(index)?),
            Choice::DeliverAll(to) => Command::Deliver(Pick::To(pick(&everybody, to)?)),
            Choice::Duplicate(index) => Command::Duplicate(packet(index)?),
            Choice::Drop(index) => Command::Drop(packet(index)?),
            Choice::Persist(node) => Command::Persist(pick(&up, node)?),
            Choice::Advance(time) => Command::Advance(millis(time)),
            Choice::Stall(time) => Command::Stall(millis(time)),
            Choice::Settle => Command::Settle,
            Choice::Run(time) => Command::Run(millis(time)),
            Choice::Cut(from, to) => Command::Cut(pick(&everybody, from)?, pick(&everybody, to)?),
            Choice::Isolate(node) => Command::Isolate(pick(&everybody, node)?),
            Choice::Heal => Command::Heal,
            Choice::Hold(from, to) => Command::Hold(Pick::Link {
                from: pick(&everybody, from)?,
                to: pick(&everybody, to)?,
                kind: None,
            }),
            Choice::HoldKind(kind) => {
                let kinds = ["append", "ack", "part", "part-ack", "part-ack", "part-ack", "answer"];
                Command::Hold(Pick::Kind(kinds[usize::from(kind) % kinds.len()].to_owned()))
            }
            Choice::Release => Command::Release,
            Choice::SlowDisk(node) => Command::SlowDisk(pick(&everybody, node)?),
            Choice::FastDisks => Command::FastDisks,
            Choice::Forge(node, later) => Command::Forge(pick(servers, node)?, later.then_some(FORGED_LIFE)),
            Choice::Crash(node, keep) => Command::Crash(pick(&up, node)?, usize::from(keep)),
            Choice::CrashPrimary(keep) => {
                Command::Crash(cluster.primary().filter(|it| cluster.is_up(it))?, usize::from(keep))
            }
            Choice::CrashDuringTransfer(index) => {
                let busy: Vec<_> =
                    up.iter().filter(|it| cluster.coverage.is_transferring(it)).cloned().collect();
                Command::Crash(pick(&busy, index)?, 0)
            }
            Choice::IsolatePrimary => Command::Isolate(cluster.primary()?),
            Choice::Gone(node) => Command::Gone(pick(servers, node)?),
            Choice::Wipe(node) => {
                *wipes = wipes.checked_sub(1)?;
                Command::Wipe(pick(servers, node)?)
            }
            Choice::Restart(node, back) => {
                let clock = if back { WallClock::SetBack } else { WallClock::GoesOn };
                Command::Restart(pick(&down, node)?, clock)
            }
            Choice::Call(name, kind, key, server) if !busy(&client(name)) => {
                Command::Call(client(name), wish(kind, key, cluster), asked(server)?)
            }
            Choice::Call(name, _, _, server) | Choice::Retry(name, server) => {
                let name = client(name);
                busy(&name).then_some(())?;
                Command::Retry(name, asked(server)?)
            }
            Choice::GiveUp(name) => {
                let name = client(name);
                busy(&name).then_some(())?;
                Command::GiveUp(name)
            }
        })
    }
}

/// Values are never written twice.
fn wish(kind: u8, key: u8, cluster: &Cluster) -> Wish {
    let key = Bytes::from(KEYS[usize::from(key) % KEYS.len()]);
    let value = Bytes::from(format!("{}.", cluster.recorder.operations().len()));
    match kind % 16 {
        0..=4 => Wish::Get { key },
        5..=8 => Wish::Update(Update::Put { key, value }),
        9..=12 => Wish::Update(append(key, value)),
        13 => Wish::Update(Update::Delete { key }),
        14 => Wish::Update(Update::CompareAndSwap { key, expected: Expected::Value(None), new: value }),
        _ => Wish::Close,
    }
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        20 => any::<u16>().prop_map(Choice::Deliver),
        8 => any::<u8>().prop_map(Choice::DeliverAll),
        6 => any::<u16>().prop_map(Choice::Duplicate),
        3 => any::<u16>().prop_map(Choice::Drop),
        8 => any::<u8>().prop_map(Choice::Persist),
        6 => (0..300u16).prop_map(Choice::Advance),
        1 => (0..3000u16).prop_map(Choice::Stall),
        6 => Just(Choice::Settle),
        6 => (0..2500u16).prop_map(Choice::Run),
        3 => any::<(u8, u8)>().prop_map(|(from, to)| Choice::Cut(from, to)),
        2 => any::<u8>().prop_map(Choice::Isolate),
        2 => Just(Choice::Heal),
        3 => any::<(u8, u8)>().prop_map(|(from, to)| Choice::Hold(from, to)),
        5 => any::<u8>().prop_map(Choice::HoldKind),
        4 => Just(Choice::Release),
        2 => any::<u8>().prop_map(Choice::SlowDisk),
        1 => Just(Choice::FastDisks),
        3 => any::<(u8, bool)>().prop_map(|(node, later)| Choice::Forge(node, later)),
        3 => (any::<u8>(), 0..6u8).prop_map(|(node, keep)| Choice::Crash(node, keep)),
        2 => (0..6u8).prop_map(Choice::CrashPrimary),
        8 => any::<u8>().prop_map(Choice::CrashDuringTransfer),
        2 => Just(Choice::IsolatePrimary),
        2 => any::<u8>().prop_map(Choice::Gone),
        1 => any::<u8>().prop_map(Choice::Wipe),
        5 => any::<(u8, bool)>().prop_map(|(node, back)| Choice::Restart(node, back)),
        18 => any::<(u8, u8, u8, u8)>()
            .prop_map(|(client, kind, key, server)| Choice::Call(client, kind, key, server)),
        4 => any::<(u8, u8)>().prop_map(|(client, server)| Choice::Retry(client, server)),
        3 => any::<u8>().prop_map(Choice::GiveUp),
    ]
}

/// Plans of at most `length` choices.
pub fn plans(reads: ReadMode, length: usize) -> impl Strategy<Value = Plan> {
    let part_bytes = prop::sample::select(vec![48, 10_000]);
    let gains = prop::collection::vec(-50..=50i32, 5);
    let make = (2..=4usize, 1..=3usize, 0..=2usize, prop::option::weighted(0.8, 0..12u8), gains, part_bytes)
        .prop_map(move |(servers, replicas, wipes, warm, gains_permille, part_bytes)| Make {
            servers,
            replicas,
            reads,
            wipes,
            warm,
            gains_permille,
            part_bytes,
        });
    (make, prop::collection::vec(choice(), 0..length)).prop_map(|(make, choices)| Plan { make, choices })
}
