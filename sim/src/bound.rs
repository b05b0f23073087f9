//! The testbed's types for this store.

use testbed::{data, marks, observer};
#[cfg(madsim)]
use testbed::{nemesis, world};

use crate::store::Pbkv;

/// One run, described.
pub type Plan = data::plan::Plan<Pbkv>;
/// Something that goes wrong, once.
pub type Fault = data::fault::Fault<Pbkv>;
/// What can go wrong.
pub type FaultKind = data::fault::FaultKind<Pbkv>;
/// Everything a run yields.
pub type Outcome = data::outcome::Outcome<Pbkv>;
/// What can stand on the timeline.
pub type Happening = data::outcome::Happening<Pbkv>;
/// Something on the timeline.
pub type Moment = data::outcome::Moment<Pbkv>;
/// One call of a client.
pub type Operation = data::outcome::Operation<Pbkv>;
/// How an operation ended.
pub type End = data::outcome::End<Pbkv>;
/// Numbers of a run.
pub type Stats = data::outcome::Stats<Pbkv>;
/// A promise that was broken.
pub type Unhealthy = data::outcome::Unhealthy<Pbkv>;
/// A situation that a run reaches or not.
pub type Mark = marks::Mark<Pbkv>;
/// A set of them.
pub type Marks = marks::Marks<Pbkv>;
/// Everything that is kept of a run.
pub type Observer = observer::observe::Observer<Pbkv>;
/// The shared state of a run.
#[cfg(madsim)]
pub type World = world::World<Pbkv>;
/// All processes of a run.
#[cfg(madsim)]
pub type Cluster = world::cluster::Cluster<Pbkv>;
/// The executor of a fault plan.
#[cfg(madsim)]
pub type Nemesis = nemesis::Nemesis<Pbkv>;
