//! Names of things: servers, their lives, their data, their place in history.
//!
//! Every one is a newtype, because mixing up two numbers is the classic way to lose a replicated
//! store. None of them is ever reused within a [`Generation`].

use std::{fmt, sync::Arc};

/// A server, named by the address under which clients and other servers reach it (`host:port`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

impl ServerId {
    /// The server reachable at `address`.
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self(address.into())
    }

    /// The address, `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The number that follows.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// One life of a server: larger for every start of the same server.
    Boot, "b"
);
number!(
    /// Number of a view, from 1; 0 is "no view yet".
    ViewNumber, "v"
);
number!(
    /// Generation of the database: raised only by an operator after all copies were lost.
    Generation, "g"
);
number!(
    /// Place of an operation in the replicated history, from 1; 0 is "before the first".
    OpNumber, "op"
);
number!(
    /// A client's session: the [`OpNumber`] of the operation that opened it.
    SessionId, "s"
);
number!(
    /// Number of an update within its session, from 1.
    RequestNumber, "r"
);
number!(
    /// A caller waiting at this server for an answer; each is answered exactly once.
    Ticket, "t"
);
number!(
    /// A batch handed to the disk; batches become durable in order.
    WriteNumber, "w"
);

/// Which *contents* a server holds. Drawn when its store was created empty; a server that lost its
/// contents has another one and is a stranger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId {
    /// The life in which the store was created.
    pub boot: Boot,
    /// Drawn at random, so that two stores never share an identity.
    pub nonce: u64,
}

impl fmt::Debug for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}.{:04x}", self.boot.0, self.nonce & 0xffff)
    }
}

/// An operation together with the view that created it. Two logs that agree on one position agree on
/// everything before it (invariant I2). Ordered by view first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The view whose primary appended the operation.
    pub view: ViewNumber,
    /// Its place in the log.
    pub op: OpNumber,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.view, self.op)
    }
}
