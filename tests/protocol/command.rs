//! What can be done to a cluster: the words of the scripts.
//!
//! A random sequence of choices becomes a list of these, so a failing one is printed as a script that can
//! be saved under `tests/scripts` as it is.

use std::{fmt, time::Duration};

use bytes::Bytes;
use pbkv::protocol::{
    command::{Expected, Update},
    identity::{Boot, OpNumber, ServerId, ViewNumber},
};

use crate::{clients::Wish, describe, network::Pick};

/// The name of the view service.
pub const VIEW_SERVICE: &str = "VS";

/// A value no test grows beyond.
const VALUE_BYTES_MAX: u64 = 1 << 16;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Time passes and timers go off; nothing arrives and nothing becomes durable.
    Advance(Duration),
    /// Time passes, and nobody runs.
    Stall(Duration),
    /// The timers of one node go off, if they are due.
    Tick(ServerId),
    /// The clock of one node jumps ahead.
    Jump(ServerId, Duration),
    /// What arrives at a server from now on is one batch.
    Gather(ServerId),
    /// The batch is over.
    Flush(ServerId),
    /// Everything in flight arrives and becomes durable, and so does all that follows from it. No time
    /// passes.
    Settle,
    /// As `settle`, for a while.
    Run(Duration),
    /// Messages arrive, oldest first.
    Deliver(Pick),
    /// Messages arrive, and stay in flight to arrive again.
    Duplicate(Pick),
    /// Messages are lost.
    Drop(Pick),
    /// Messages stay in flight during `settle` and `run`.
    Hold(Pick),
    /// No message is held any more.
    Release,
    /// Messages from one to another are lost from now on.
    Cut(ServerId, ServerId),
    /// Messages from and to one are lost from now on; clients still reach it.
    Isolate(ServerId),
    /// Nothing is cut any more.
    Heal,
    /// The first batch on its way to the disk becomes durable.
    Persist(ServerId),
    /// The disk finishes nothing by itself any more.
    SlowDisk(ServerId),
    /// All disks finish what they are given.
    FastDisks,
    /// A stranger pings under a server's name and claims whatever does harm: in the life that the view names,
    /// or in this one.
    Forge(ServerId, Option<Boot>),
    /// A stranger sends to a server, as the primary of that view, an append without operations.
    ForgeView(ServerId, ViewNumber),
    /// The view service is refused a connection to a server, whether it runs or not.
    Gone(ServerId),
    /// The process ends; of the changes on their way to the disk the first few arrive.
    Crash(ServerId, usize),
    /// The process ends and the disk is emptied.
    Wipe(ServerId),
    /// A copy is made of what is durable at a server.
    Copy(ServerId),
    /// It ends, and that copy is put back.
    GoBack(ServerId),
    /// A new life begins.
    Restart(ServerId, WallClock),
    /// A client begins an operation and asks this server.
    Call(ServerId, Wish, ServerId),
    /// A client asks this server for its current operation.
    Retry(ServerId, ServerId),
    /// A client gives up on its current operation.
    GiveUp(ServerId),
}

/// What the clock was set to that numbers the lives of a server without memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClock {
    /// It went on.
    GoesOn,
    /// It was set back: the number is smaller than the last one.
    SetBack,
    /// It was set back so that the last number comes again.
    Repeats,
}

fn wish(wish: &Wish) -> String {
    match wish {
        Wish::Get { key } => format!("get {}", describe::text(key)),
        Wish::Update(update) => describe::update(update),
        Wish::Close => "close".to_owned(),
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Advance(time) => write!(f, "advance {}", time.as_millis()),
            Command::Stall(time) => write!(f, "stall {}", time.as_millis()),
            Command::Tick(node) => write!(f, "tick {node}"),
            Command::Jump(node, time) => write!(f, "jump {node} {}", time.as_millis()),
            Command::Gather(server) => write!(f, "gather {server}"),
            Command::Flush(server) => write!(f, "flush {server}"),
            Command::Settle => write!(f, "settle"),
            Command::Run(time) => write!(f, "run {}", time.as_millis()),
            Command::Deliver(pick) => write!(f, "deliver {pick}"),
            Command::Duplicate(pick) => write!(f, "duplicate {pick}"),
            Command::Drop(pick) => write!(f, "drop {pick}"),
            Command::Hold(pick) => write!(f, "hold {pick}"),
            Command::Release => write!(f, "release"),
            Command::Cut(from, to) => write!(f, "cut {from} {to}"),
            Command::Isolate(node) => write!(f, "isolate {node}"),
            Command::Heal => write!(f, "heal"),
            Command::Persist(server) => write!(f, "persist {server}"),
            Command::SlowDisk(server) => write!(f, "slow-disk {server}"),
            Command::FastDisks => write!(f, "fast-disks"),
            Command::Forge(server, None) => write!(f, "forge {server}"),
            Command::Forge(server, Some(life)) => write!(f, "forge {server} life={}", life.0),
            Command::ForgeView(server, view) => write!(f, "forge-view {server} {}", view.0),
            Command::Gone(server) => write!(f, "gone {server}"),
            Command::Crash(server, 0) => write!(f, "crash {server}"),
            Command::Crash(server, keep) => write!(f, "crash {server} keep={keep}"),
            Command::Wipe(server) => write!(f, "wipe {server}"),
            Command::Copy(server) => write!(f, "copy {server}"),
            Command::GoBack(server) => write!(f, "go-back {server}"),
            Command::Restart(server, WallClock::GoesOn) => write!(f, "restart {server}"),
            Command::Restart(server, WallClock::SetBack) => write!(f, "restart {server} clock=back"),
            Command::Restart(server, WallClock::Repeats) => write!(f, "restart {server} clock=same"),
            Command::Call(client, what, server) => write!(f, "{client}: {} via={server}", wish(what)),
            Command::Retry(client, server) => write!(f, "{client}: retry via={server}"),
            Command::GiveUp(client) => write!(f, "{client}: give-up"),
        }
    }
}

type Parsed<T> = Result<T, Box<dyn std::error::Error>>;

struct Words<'a>(goldenscript::ArgumentConsumer<'a>);

impl Words<'_> {
    fn word(&mut self, what: &str) -> Parsed<String> {
        Ok(self.0.next_pos().ok_or_else(|| format!("{what} is missing"))?.value.clone())
    }

    fn server(&mut self) -> Parsed<ServerId> {
        Ok(ServerId::new(self.word("a server")?))
    }

    fn bytes(&mut self, what: &str) -> Parsed<Bytes> {
        Ok(self.word(what)?.into())
    }

    fn time(&mut self) -> Parsed<Duration> {
        Ok(Duration::from_millis(self.word("a number of milliseconds")?.parse()?))
    }

    fn via(&mut self) -> Parsed<ServerId> {
        let via = self.0.lookup("via").ok_or("say which server is asked: via=A")?;
        Ok(ServerId::new(via.value.clone()))
    }

    fn pick(&mut self) -> Parsed<Pick> {
        let first = self.word("a sender, a message number, first, all or every")?;
        if let Ok(number) = first.parse() {
            return Ok(Pick::Number(number));
        }
        if first == "every" {
            return Ok(Pick::Kind(self.word("a kind of message")?));
        }
        if first == "all" {
            return Ok(Pick::To(self.server()?));
        }
        let only_first = first == "first";
        let from = if only_first { self.server()? } else { ServerId::new(first) };
        let to = self.server()?;
        let kind = self.0.next_pos().map(|word| word.value.clone());
        if let Some(nth) = self.0.lookup_parse("nth")? {
            let kind = kind.ok_or("the kind of message is missing of which it is the nth")?;
            return Ok(Pick::Nth { from, to, kind, nth });
        }
        Ok(if only_first { Pick::First { from, to, kind } } else { Pick::Link { from, to, kind } })
    }
}

impl Command {
    /// Reads a command of a script; none if it is not one that changes the cluster.
    pub fn parse(line: &goldenscript::Command) -> Parsed<Option<Self>> {
        let mut words = Words(line.consume_args());
        let command = match &line.prefix {
            Some(client) => Self::parse_client(ServerId::new(client.clone()), &line.name, &mut words)?,
            None => match line.name.as_str() {
                "advance" => Command::Advance(words.time()?),
                "stall" => Command::Stall(words.time()?),
                "tick" => Command::Tick(words.server()?),
                "jump" => Command::Jump(words.server()?, words.time()?),
                "gather" => Command::Gather(words.server()?),
                "flush" => Command::Flush(words.server()?),
                "settle" => Command::Settle,
                "run" => Command::Run(words.time()?),
                "deliver" => Command::Deliver(words.pick()?),
                "duplicate" => Command::Duplicate(words.pick()?),
                "drop" => Command::Drop(words.pick()?),
                "hold" => Command::Hold(words.pick()?),
                "release" => Command::Release,
                "cut" => Command::Cut(words.server()?, words.server()?),
                "isolate" => Command::Isolate(words.server()?),
                "heal" => Command::Heal,
                "persist" => Command::Persist(words.server()?),
                "slow-disk" => Command::SlowDisk(words.server()?),
                "fast-disks" => Command::FastDisks,
                "forge" => {
                    let life = words.0.lookup_parse("life")?.map(Boot);
                    Command::Forge(words.server()?, life)
                }
                "forge-view" => {
                    let server = words.server()?;
                    Command::ForgeView(
                        server,
                        ViewNumber(
                            words.bytes("a view's number")?.as_ref().escape_ascii().to_string().parse()?,
                        ),
                    )
                }
                "crash" => {
                    let keep = words.0.lookup_parse("keep")?.unwrap_or(0);
                    Command::Crash(words.server()?, keep)
                }
                "gone" => Command::Gone(words.server()?),
                "wipe" => Command::Wipe(words.server()?),
                "copy" => Command::Copy(words.server()?),
                "go-back" => Command::GoBack(words.server()?),
                "restart" => {
                    let clock = match words.0.lookup("clock").map(|word| word.value.as_str()) {
                        None => WallClock::GoesOn,
                        Some("back") => WallClock::SetBack,
                        Some("same") => WallClock::Repeats,
                        Some(other) => {
                            return Err(format!("clocks go back or stay the same, not {other}").into());
                        }
                    };
                    Command::Restart(words.server()?, clock)
                }
                _ => return Ok(None),
            },
        };
        words.0.reject_rest()?;
        Ok(Some(command))
    }

    fn parse_client(client: ServerId, name: &str, words: &mut Words<'_>) -> Parsed<Self> {
        let update = match name {
            "give-up" => return Ok(Command::GiveUp(client)),
            "retry" => return Ok(Command::Retry(client, words.via()?)),
            "close" => return Ok(Command::Call(client, Wish::Close, words.via()?)),
            "get" => {
                let via = words.via()?;
                return Ok(Command::Call(client, Wish::Get { key: words.bytes("a key")? }, via));
            }
            "put" => Update::Put { key: words.bytes("a key")?, value: words.bytes("a value")? },
            "append" => append(words.bytes("a key")?, words.bytes("a value")?),
            "delete" => Update::Delete { key: words.bytes("a key")? },
            "swap" => {
                let key = words.bytes("a key")?;
                let word = words.bytes("an expected value, nothing, or a revision such as op3")?;
                let revision =
                    std::str::from_utf8(&word).ok().and_then(|word| word.strip_prefix(describe::REVISION));
                let expected = match revision {
                    Some(number) => Expected::Revision(OpNumber(number.parse()?)),
                    None => Expected::Value(Some(word).filter(|value| value != "nothing")),
                };
                Update::CompareAndSwap { key, expected, new: words.bytes("a value")? }
            }
            _ => return Err(format!("a client cannot {name}").into()),
        };
        let via = words.via()?;
        Ok(Command::Call(client, Wish::Update(update), via))
    }
}

/// An append that no test makes too long.
pub fn append(key: Bytes, value: Bytes) -> Update {
    Update::Append { key, value, value_bytes_max: VALUE_BYTES_MAX }
}
