//! Why a view is replaced, and what is wrong with the members that the next one leaves out.

use std::fmt;

/// What made another view necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// No view was ever activated, and a server is there that can begin.
    FirstServer,
    /// The primary is dead, or holds something else.
    PrimaryFailed,
    /// The primary takes up no view of this service (R19).
    PrimaryAstray,
    /// The primary lives with its data, in another life than the one that the view names: it gave up its role
    /// (another view service had another history, or a later life of it was known), or its process was
    /// started again with a store that lasts.
    PrimaryBeganAnew,
    /// The primary does not hear its backups, and none of them hears it.
    PrimaryUnheard,
    /// A backup that is in sync is dead, holds something else, or is suspected.
    BackupFailed,
    /// The same of a joiner; or it makes no progress.
    JoinerFailed,
    /// A copy is missing, and a spare server lives.
    CopyMissing,
}

/// What is wrong with a member that a view leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyDropped {
    /// It is heard, but is not reached or hears nothing.
    OutOfReach,
    /// Connections to its address are refused (VS-GONE).
    Gone,
    /// It is dead.
    Silent,
    /// It holds something else. One that held nothing takes another store from another view service.
    LostItsData,
    /// The primary suspects it.
    Reported,
    /// It takes up no view of this service (R19).
    Astray,
    /// It was primary, and its backups do not hear it.
    UnheardByBackups,
    /// As a joiner it stood still, or it was suspected not long ago.
    NoProgress,
    /// It was suspected not long ago.
    Suspected,
    /// None: there are enough copies without it.
    Surplus,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstServer => "the first server",
            Self::PrimaryFailed => "the primary is dead or lost its data",
            Self::PrimaryAstray => "the primary obeys a view that was never proposed",
            Self::PrimaryBeganAnew => {
                "the primary gave up its role (see its log), or restarted with its data"
            }
            Self::PrimaryUnheard => "no backup hears the primary",
            Self::BackupFailed => "a backup failed",
            Self::JoinerFailed => "a joiner failed",
            Self::CopyMissing => "a server can step in",
        })
    }
}

impl fmt::Display for WhyDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfReach => "cannot be reached at its address, or hears nothing",
            Self::Gone => "refuses connections, or something in front of it does",
            Self::Silent => "is not heard",
            Self::LostItsData => "began an empty store: it started again, or another view service took it in",
            Self::Reported => "is not heard by the primary, or takes nothing",
            Self::Astray => "obeys a view that was never proposed",
            Self::UnheardByBackups => "is not heard by its backups",
            Self::NoProgress => "made no progress, or was not reached a moment ago",
            Self::Suspected => "was not reached, or took nothing, a moment ago",
            Self::Surplus => "is more than the copies that are wanted",
        })
    }
}
