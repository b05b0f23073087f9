//! Whatever an operator must know is said: **silence** about it is a failure of its own.
//!
//! For each long state of distress there is a notice of the machine that should know, within a bound after
//! the state began, and another one that takes it back within that bound after the state ended. The bound is
//! what it takes to notice a change of the surroundings ([`Limits::detect`](super::limits::Limits::detect)),
//! and `SLACK`.
//!
//! The judge knows the state from what is around the machines and from what disks hold; what was said, from
//! the notices. A process that is down or stands still says nothing, and what its last life said counts for
//! nothing in the next.
//!
//! What it cannot see: a notice that names a wrong cause in its text; and states that a machine knows from
//! forged or misdirected messages alone (`Contested`, `LedAstray`; but see `refusals`).

use std::{collections::BTreeMap, fmt, time::Duration};

use pbkv::protocol::{
    identity::ServerId,
    replica::{self, RoleName, SessionLimit},
    view_service,
};
use testbed::data::node::NodeIndex;

/// Times of the protocol that do not depend on its options: a view service that starts listens for a second,
/// and one that is not heard is pinged twice a second.
const SLACK: Duration = Duration::from_secs(2);

/// A state that an operator must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distress {
    /// The view service: there are fewer copies in sync than are to be.
    Copies,
    /// The view service: no replica that holds all the data is there, so that nobody can be promoted.
    NobodyToPromote,
    /// A server: the view service does not answer.
    ViewServiceGone,
    /// A backup: its primary is not there.
    PrimaryGone,
    /// A primary: this replica, which it waits for, is not there.
    ReplicaGone(NodeIndex),
    /// A primary: it acknowledges what fewer replicas hold than are to.
    AcknowledgesWithFew,
    /// A primary: it refuses updates, because fewer replicas would hold them than are asked for.
    RefusesUpdates,
    /// A primary: it refuses clients, because sessions have reached this limit.
    Full(SessionLimit),
    /// The view service: the primary refuses updates.
    NoUpdates,
    /// The view service: this server pings, and is not reached at its address.
    Unreached(NodeIndex),
    /// A server: the view service does not reach it, and so does not believe it.
    NotBelieved,
    /// The view service: this server holds data that an operator gave up.
    OtherHistory(NodeIndex),
    /// A server: it does.
    OwnHistoryGivenUp,
    /// The view service, to whoever asks for the view: updates are refused, or nobody can be promoted.
    Answered,
}

impl fmt::Display for Distress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copies => "there are fewer copies in sync than wanted",
            Self::NobodyToPromote => "no server that holds all the data is there",
            Self::ViewServiceGone => "the view service does not answer",
            Self::PrimaryGone => "its primary is gone",
            Self::ReplicaGone(_) => "a replica that it waits for is gone",
            Self::AcknowledgesWithFew => "it acknowledges with fewer copies than wanted",
            Self::RefusesUpdates => "it refuses updates for want of copies",
            Self::Full(SessionLimit::Count) => "it refuses sessions, of which it has as many as it may",
            Self::Full(SessionLimit::Bytes) => {
                "it refuses swaps, of which sessions remember as much as they may"
            }
            Self::NoUpdates => "the primary refuses updates for want of copies",
            Self::Unreached(_) => "a server pings and is not reached at its address",
            Self::NotBelieved => "the view service does not reach it at its address",
            Self::OtherHistory(_) => "a server comes with data that were given up",
            Self::OwnHistoryGivenUp => "its data were given up",
            Self::Answered => {
                "who asks for the view is to hear that there is no service, or none for updates"
            }
        })
    }
}

/// One state of distress, as it is and as it is told.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Whether it is so; `None`: that depends, and nothing is demanded.
    is_so: Option<bool>,
    is_said: bool,
    /// Since when both differ.
    differs_since: Option<Duration>,
}

impl Entry {
    fn compare(&mut self, at: Duration) {
        let differs = self.is_so.is_some_and(|is_so| is_so != self.is_said);
        self.differs_since = differs.then(|| self.differs_since.unwrap_or(at));
    }
}

/// What is said of states of distress, and what should be.
#[derive(Clone, Debug, Default)]
pub struct Silence {
    entries: BTreeMap<(NodeIndex, Distress), Entry>,
    /// The view service said that its record is an old copy: it decides nothing any more, and says so.
    record_is_old: bool,
}

/// Something was not said, or not taken back.
#[derive(Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Since when it was to be said.
    pub at: Duration,
    /// The one that should have.
    pub speaker: NodeIndex,
    /// What it is about.
    pub distress: Distress,
    /// It is so; else it was said and is over.
    pub is_so: bool,
    /// How long nothing was said.
    pub for_so_long: Duration,
}

impl Silence {
    /// Whether something is so, as far as that is known.
    pub fn is(&mut self, at: Duration, speaker: NodeIndex, distress: Distress, is_so: Option<bool>) {
        let is_so = is_so.filter(|_| speaker != super::VS || !self.record_is_old);
        let entry = self.entries.entry((speaker, distress)).or_default();
        if entry.is_so != is_so {
            entry.is_so = is_so;
            entry.compare(at);
        }
    }

    fn says(&mut self, at: Duration, speaker: NodeIndex, distress: Distress, is_said: bool) {
        let entry = self.entries.entry((speaker, distress)).or_default();
        entry.is_said = is_said;
        entry.compare(at);
    }

    /// All that a process said and that this is about is void.
    fn takes_back(&mut self, at: Duration, speaker: NodeIndex, what: impl Fn(Distress) -> bool) {
        let entries = self.entries.iter_mut().filter(|((by, distress), _)| *by == speaker && what(*distress));
        for (_, entry) in entries {
            entry.is_said = false;
            entry.compare(at);
        }
    }

    /// A process begins a life.
    pub fn began(&mut self, at: Duration, speaker: NodeIndex) {
        self.record_is_old &= speaker != super::VS;
        self.takes_back(at, speaker, |_| true);
    }

    /// The view service says something.
    pub fn view_service_said(
        &mut self,
        at: Duration,
        notice: &view_service::Notice,
        place: impl Fn(&ServerId) -> Option<NodeIndex>,
    ) {
        use view_service::Notice;
        let (distress, is_said) = match notice {
            Notice::Waiting { .. } => (Distress::NobodyToPromote, true),
            Notice::DataIsBack { .. } => (Distress::NobodyToPromote, false),
            Notice::Copies { insync, wanted, .. } => (Distress::Copies, insync < wanted),
            Notice::Updates { insync, copies_min, .. } => (Distress::NoUpdates, insync < copies_min),
            Notice::Unreached(server) | Notice::Reached(server) | Notice::UnreachedStopped(server) => {
                let Some(server) = place(server) else { return };
                (Distress::Unreached(server), matches!(notice, Notice::Unreached(_)))
            }
            Notice::OtherHistory { server, .. } => {
                let Some(server) = place(server) else { return };
                (Distress::OtherHistory(server), true)
            }
            Notice::OldRecord { .. } => {
                self.record_is_old = true;
                let decided =
                    [Distress::Copies, Distress::NobodyToPromote, Distress::NoUpdates, Distress::Answered];
                for distress in decided {
                    self.is(at, super::VS, distress, None);
                }
                return;
            }
            _ => return,
        };
        self.says(at, super::VS, distress, is_said);
    }

    /// Whether the view service tells whoever asks for the view that something is gravely wrong.
    pub fn answers(&mut self, at: Duration, is_grave: bool) {
        if self.entries.get(&(super::VS, Distress::Answered)).is_none_or(|entry| entry.is_said != is_grave) {
            self.says(at, super::VS, Distress::Answered, is_grave);
        }
    }

    /// A server says something.
    pub fn replica_said(
        &mut self,
        at: Duration,
        speaker: NodeIndex,
        notice: &replica::Notice,
        place: impl Fn(&ServerId) -> Option<NodeIndex>,
    ) {
        use replica::Notice;
        match notice {
            Notice::ViewServiceSilent => self.says(at, speaker, Distress::ViewServiceGone, true),
            Notice::ViewServiceAnswers => self.says(at, speaker, Distress::ViewServiceGone, false),
            Notice::PrimarySilent { .. } => self.says(at, speaker, Distress::PrimaryGone, true),
            Notice::PrimarySilenceEnds { .. } => self.says(at, speaker, Distress::PrimaryGone, false),
            Notice::Suspected { server } | Notice::HeardAgain { server } => {
                let Some(replica) = place(server) else { return };
                let suspected = matches!(notice, Notice::Suspected { .. });
                self.says(at, speaker, Distress::ReplicaGone(replica), suspected);
            }
            Notice::FewCopies { .. } => self.says(at, speaker, Distress::AcknowledgesWithFew, true),
            Notice::EnoughCopies { .. } => self.says(at, speaker, Distress::AcknowledgesWithFew, false),
            Notice::UpdatesRefused { .. } => self.says(at, speaker, Distress::RefusesUpdates, true),
            Notice::UpdatesTaken { .. } => self.says(at, speaker, Distress::RefusesUpdates, false),
            Notice::Unconfirmed { .. } => self.says(at, speaker, Distress::NotBelieved, true),
            Notice::WrongGeneration { .. } => self.says(at, speaker, Distress::OwnHistoryGivenUp, true),
            Notice::Believed => self.says(at, speaker, Distress::NotBelieved, false),
            Notice::SessionsFull { limit, .. } => self.says(at, speaker, Distress::Full(*limit), true),
            Notice::SessionsHaveRoom { limit, .. } => self.says(at, speaker, Distress::Full(*limit), false),
            // Another view: what was said of the replicas of the last one is over.
            Notice::RoleChanged { role, .. } => {
                let leads = *role == RoleName::Primary;
                self.takes_back(at, speaker, |distress| match distress {
                    Distress::ReplicaGone(_) => true,
                    Distress::AcknowledgesWithFew | Distress::RefusesUpdates | Distress::Full(_) => !leads,
                    _ => false,
                });
            }
            _ => {}
        }
    }

    /// What is overdue: nothing is said of it since `quiet_at` and for longer than `detect`.
    pub fn overdue(&self, at: Duration, quiet_at: Duration, detect: Duration) -> Option<Overdue> {
        let late = self.entries.iter().filter_map(|((speaker, distress), entry)| {
            let since = entry.differs_since?.max(quiet_at);
            // The view service waits for the tokens to be over, and then for as long again.
            let detect = if matches!(distress, Distress::Unreached(_)) { detect * 3 / 2 } else { detect };
            let due = since + detect + SLACK;
            (due < at).then(|| Overdue {
                at: due,
                speaker: *speaker,
                distress: *distress,
                is_so: entry.is_so == Some(true),
                for_so_long: due - since,
            })
        });
        late.min_by_key(|overdue| overdue.at)
    }
}
