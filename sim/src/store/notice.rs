//! What the processes of the store report.

use pbkv::protocol::{replica, view_service};

/// A moment in the life of a server or of the view service.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Notice {
    /// A server reports.
    Replica(replica::Notice),
    /// The view service reports.
    ViewService(view_service::Notice),
}
