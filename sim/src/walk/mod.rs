//! Random walks through a world that is nothing but a value: machines without runtime, network or clock.
//!
//! ```text
//!  seed ──► settings ──► World ──► choose, take, choose, take, ... ──► end
//!                        a value     one action after the other         all is well again, for good
//!                           │
//!                           └─ fails: shrink leaves out actions as long as it fails for the same reason; tell says what is left
//! ```
//!
//! [`World`] is all that a system has to be for that: its machines, the messages between them, its disks and
//! clocks as one value, in which nothing happens but what an *action* names. The judges are part of the
//! world: an action that breaks a promise is an error. This half knows nothing of pbkv; [`cluster`] is its
//! world.
//!
//! A walk is *swarm-weighted*: which sorts of actions are frequent, rare or absent is drawn for each walk,
//! and now and then anew. A walk in which everything is possible all the time is bad at reaching what takes
//! the absence of something (Groce et al., *Swarm Testing*, 2012).
//!
//! Guaranteed: a walk is a function of its seed, the same in every build. Actions name the message or the
//! node that they are about, and not its place, so that a list from which some were left out still means what
//! it meant; what has become impossible is passed over.

pub mod cluster;
pub mod dice;
pub mod shared;
pub mod shrink;
pub mod summary;

use std::fmt;

pub use dice::Dice;

/// After so many actions the swarm's weights may be drawn anew.
const SWARM_ACTIONS: u64 = 256;

/// Actions of a walk through a cluster.
pub const LENGTH: u64 = 3_000;

/// Choices without an action in a row after which a walk ends: nothing is possible any more.
const IDLE_MAX: u32 = 10_000;

/// A world in which nothing happens by itself.
pub trait World: Clone {
    /// One thing that happens.
    type Action: Copy + fmt::Debug;
    /// Which actions are how likely, and what else a walker remembers of its way.
    type Swarm;
    /// A promise that was broken.
    type Failure: Clone + fmt::Debug;

    /// Draws how likely each sort of action is.
    fn swarm(&self, dice: &mut Dice) -> Self::Swarm;

    /// Draws what happens next; `None`: what was drawn is not possible here.
    fn choose(&self, dice: &mut Dice, swarm: &mut Self::Swarm) -> Option<Self::Action>;

    /// Makes it happen. Returns false if it is not possible here; then nothing has changed.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    fn take(&mut self, action: Self::Action) -> Result<bool, Self::Failure>;

    /// Nothing goes wrong any more, and everything that is owed has to come.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    fn end(&mut self) -> Result<(), Self::Failure>;

    /// What an action is about, in words, before it is taken.
    fn tell(&self, action: Self::Action) -> String;

    /// What happened since this was last asked, in words. Only asked of a world that was told to
    /// [`World::listen`].
    fn heard(&mut self) -> Vec<String>;

    /// Keeps what happens in words from now on.
    fn listen(&mut self);
}

/// How a walk ended.
#[derive(Clone, Debug)]
pub enum Ending<F> {
    /// All promises were kept.
    Well,
    /// A promise was broken.
    Failed(F),
    /// An assertion of the machines failed.
    Panicked(String),
}

impl<F> Ending<F> {
    /// Whether something went wrong.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Well)
    }
}

/// A walk that was made.
#[derive(Debug)]
pub struct Walk<W: World> {
    /// Where it ended.
    pub world: W,
    /// Which way it went: what was possible.
    pub actions: Vec<W::Action>,
    /// How it ended.
    pub ending: Ending<W::Failure>,
}

/// Walks from `start`, so many actions far, and to a good end.
pub fn walk<W: World>(start: W, dice: &mut Dice, length: u64) -> Walk<W> {
    let (mut world, mut actions) = (start, Vec::new());
    let ending = guarded(&mut world, |world| {
        let mut swarm = world.swarm(dice);
        let mut idle = 0;
        while (actions.len() as u64) < length && idle < IDLE_MAX {
            let Some(action) = world.choose(dice, &mut swarm) else {
                idle += 1;
                continue;
            };
            actions.push(action); // before it is taken, which may be its last moment
            if !world.take(action)? {
                actions.pop();
                idle += 1;
                continue;
            }
            idle = 0;
            if (actions.len() as u64).is_multiple_of(SWARM_ACTIONS) && dice.percent(50) {
                swarm = world.swarm(dice);
            }
        }
        world.end()
    });
    Walk { world, actions, ending }
}

/// Takes the same actions again, as far as they are possible, and ends as a walk does.
pub fn replay<W: World>(start: W, actions: &[W::Action]) -> (W, Ending<W::Failure>) {
    let mut world = start;
    let ending = guarded(&mut world, |world| {
        for action in actions {
            world.take(*action)?;
        }
        world.end()
    });
    (world, ending)
}

/// Takes the same actions again, as far as they are possible, and no further: without the end.
///
/// # Errors
///
/// The first promise that is broken.
pub fn replay_to<W: World>(world: &mut W, actions: &[W::Action]) -> Result<(), String> {
    let ending = guarded(world, |world| {
        for action in actions {
            world.take(*action)?;
        }
        Ok(())
    });
    if ending.is_failure() { Err(format!("{ending:?}")) } else { Ok(()) }
}

/// The same, step by step, in words.
pub fn tell<W: World>(start: W, actions: &[W::Action]) -> (Vec<String>, Ending<W::Failure>) {
    let (mut world, mut lines) = (start, Vec::new());
    world.listen();
    let ending = guarded(&mut world, |world| {
        for action in actions {
            lines.push(world.tell(*action));
            let taken = world.take(*action);
            lines.extend(world.heard().into_iter().map(|line| format!("    {line}")));
            taken?;
        }
        lines.push("from here on nothing goes wrong any more".into());
        world.end()
    });
    lines.extend(world.heard().into_iter().map(|line| format!("    {line}")));
    (lines, ending)
}

fn guarded<W: World>(
    world: &mut W,
    way: impl FnOnce(&mut W) -> Result<(), W::Failure>,
) -> Ending<W::Failure> {
    match testbed::observer::panics::catch(|| way(world)) {
        Ok(Ok(())) => Ending::Well,
        Ok(Err(failure)) => Ending::Failed(failure),
        Err(message) => Ending::Panicked(message),
    }
}

/// A walk through a cluster, named by its seed, which decides the settings and the way; and where it began.
pub fn of_from_start(seed: u64) -> (cluster::Cluster, Walk<cluster::Cluster>) {
    let mut dice = Dice::new(seed);
    let start = cluster::Cluster::new(cluster::settings(&mut dice));
    (start.clone(), walk(start, &mut dice, LENGTH))
}

/// The same without its beginning.
pub fn of(seed: u64) -> Walk<cluster::Cluster> {
    of_from_start(seed).1
}

#[cfg(test)]
mod tests;
