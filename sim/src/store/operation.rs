//! What the clients of the store ask and are told.

use std::time::Duration;

pub use linearizability::kv::{Input, Output};
use pbkv::protocol::identity::OpNumber;

use crate::{
    data::{node::NodeName, outcome::Operation},
    store::script::Asked,
};

/// What is kept of an operation beyond what the checker's model knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Detail {
    /// The revision that a compare-and-swap by revision expects; the operation's `input` has the value that
    /// the client was told with it.
    pub expected_revision: Option<OpNumber>,
    /// What an answer said of the order of changes.
    pub told: Option<Told>,
    /// The generation, by its number, in which it was asked; 0 if its client knew none.
    pub generation: u64,
}

impl Operation {
    /// An operation that a client was just asked for.
    pub fn asked(client: NodeName, at: Duration, asked: Asked) -> Self {
        let Asked { input, expected_revision } = asked;
        let detail = Detail { expected_revision, ..Detail::default() };
        Self { detail, ..Self::called(client, at, input) }
    }

    /// Whether it belongs to this generation, or may.
    pub fn is_of(&self, generation: u64) -> bool {
        self.detail.generation == generation || self.detail.generation == 0
    }
}

/// What an answer says of the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// The operation after which the answer was true; an update's own.
    pub revision: OpNumber,
    /// The operation that had changed the key last when it was read, or before it was swapped; 0 if it was
    /// absent.
    pub found: Option<OpNumber>,
}
