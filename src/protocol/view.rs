//! Views: who is primary, who must acknowledge, who is being brought up to date.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::identity::{Boot, DataId, Generation, Position, ServerId, ViewNumber};

/// Servers together with the contents they must hold to count as members.
pub type Members = BTreeMap<ServerId, DataId>;

/// A numbered configuration, as the view service tells it to servers and clients.
///
/// Within one number only the join of a backup changes it: a server moves from `joining` to
/// `insync` and `activated` becomes and stays true.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The generation of the database this view belongs to.
    pub generation: Generation,
    /// Its number; a larger number replaces a smaller one.
    pub number: ViewNumber,
    /// The one server that orders operations and answers clients,
    pub primary: ServerId,
    /// in this life only: a primary that restarted needs a new view.
    pub primary_boot: Boot,
    /// The replicas an operation must reach before it is answered, the primary among them.
    pub insync: Members,
    /// Servers to which state is being transferred.
    pub joining: Members,
    /// The primary acknowledged this view and the view service recorded it (rule V-b).
    pub activated: bool,
}

impl View {
    /// The in-sync replicas other than the primary.
    pub fn backups(&self) -> impl Iterator<Item = &ServerId> {
        self.insync.keys().filter(|server| **server != self.primary)
    }

    /// The contents `server` must hold to be a member of this view, in sync or joining.
    pub fn data_of(&self, server: &ServerId) -> Option<DataId> {
        self.insync.get(server).or_else(|| self.joining.get(server)).copied()
    }
}

/// In words. The alternate form (`{:#}`) names servers without their ports.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ServerId::naming(f);
        let list = |members: &Members| members.keys().map(name).collect::<Vec<_>>().join(" ");
        write!(f, "{}: primary {}, in sync {}", self.number, name(&self.primary), list(&self.insync))?;
        if self.joining.is_empty() { Ok(()) } else { write!(f, ", joining {}", list(&self.joining)) }
    }
}

/// The view service's one durable record (rules V-a to V-c).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The current generation.
    pub generation: Generation,
    /// The last number given to a view; never goes back, not even across generations.
    pub number: ViewNumber,
    /// The current view, absent until the first server of this generation is accepted.
    pub view: Option<View>,
    /// The replicas from which the next primary may be taken. Unchanged by a proposal; replaced by
    /// the in-sync set when the primary acknowledges the view (rule V-b). Empty until a first view was
    /// acknowledged: then there is nothing to lose, and any server may become primary.
    pub stable: Members,
    /// The longest dead interval by which servers may still go under this record, for their leases and their
    /// pings: whatever the options of a later life say, it is respected (VS-START).
    pub promised: Duration,
    /// Where the data that goes on ended, after the record was lost (VS-ADOPT).
    pub adopted: Option<Adopted>,
}

/// The end of the data that an operator had go on, as far as it was known then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Adopted {
    /// The view in which it goes on; all that is done since is of that or a later one.
    pub view: ViewNumber,
    /// The end of the adopted log.
    pub end: Position,
}

impl Adopted {
    /// Whether a log that ends there holds operations that precede the adoption and did not go on.
    pub fn is_exceeded_by(&self, end: Position) -> bool {
        self.end < end && end.view < self.view
    }
}

impl Default for Record {
    /// The record of a view service that never had a view.
    fn default() -> Self {
        Self {
            generation: Generation::FIRST,
            number: ViewNumber(0),
            view: None,
            stable: Members::new(),
            promised: Duration::ZERO,
            adopted: None,
        }
    }
}

impl Record {
    /// What an operator asks for after all copies were lost: a new generation, which starts empty. View
    /// numbers go on, so that nothing of the old generation is ever obeyed again.
    #[must_use]
    pub fn accept_data_loss(self) -> Self {
        Self { generation: self.generation.next(), view: None, stable: Members::new(), adopted: None, ..self }
    }
}
