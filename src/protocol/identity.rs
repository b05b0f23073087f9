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

    /// The address without its port.
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or(&*self.0, |(host, _)| host)
    }

    /// How a text names servers: by their addresses, or in the alternate form (`{:#}`) without ports.
    pub fn naming(f: &fmt::Formatter<'_>) -> fn(&Self) -> &str {
        if f.alternate() { Self::host } else { Self::as_str }
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
impl Boot {
    /// Lives are numbered by clocks up to here: by nanoseconds, that is until the year 2101.
    pub const CLOCK_MAX: Self = Self(u64::MAX / 40 * 9);

    /// Beyond, a life is numbered at most by so much higher than the one before: what is left is enough for
    /// more lives than there will be, whatever number a server claimed once.
    pub const STEP_MAX: u64 = 1 << 10;

    /// Whether a server whose latest life was `before` may have this one next.
    pub fn may_follow(self, before: Self) -> bool {
        self <= Self::CLOCK_MAX || self.0 <= before.0.saturating_add(Self::STEP_MAX)
    }
}

number!(
    /// Number of a view, from 1; 0 is "no view yet".
    ViewNumber, "v"
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

/// A history of the database, and so the identity of the cluster that has it.
///
/// The number counts how often an operator declared all data lost. The nonce is drawn when the history
/// begins, so that two histories are never taken for one, whatever became of the record: positions and
/// sessions of different histories look alike and mean different things. Hence there is no order on
/// generations, only [`Generation::is_later_than`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Counts generations, from 1; 0 is "none known".
    pub number: u64,
    /// Drawn at random when the generation begins; 0 before.
    pub nonce: u64,
}

impl Generation {
    /// The generation of a client that knows none yet.
    pub const UNKNOWN: Self = Self { number: 0, nonce: 0 };

    /// The first one, which has not begun.
    pub const FIRST: Self = Self { number: 1, nonce: 0 };

    /// What an operator makes of this one, which is lost. It has not begun.
    #[must_use]
    pub fn next(self) -> Self {
        Self { number: self.number + 1, nonce: 0 }
    }

    /// An operator gave up `other`, or one of its number, for this one. Of two with one number neither is
    /// later: they have nothing to do with each other.
    pub fn is_later_than(self, other: Self) -> bool {
        self.number > other.number
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}.{:08x}", self.number, self.nonce & 0xffff_ffff)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
