//! The tree over the log (RFC 6962, C2SP tlog-tiles), in the database: what proofs are made from.
//!
//! Leaves are the events' own. A [`sealer`] puts full tiles beside them, off the lane; [`tiles`] reads hashes and makes
//! proofs; [`checkpoints`] keeps what was signed.

pub mod checkpoints;
pub mod sealer;
pub mod tiles;

use crate::event::HistoryId;

use super::Identity;

impl Identity {
    /// What checkpoints call this log: the ledger, and which of its histories. A log that was restored to an earlier
    /// moment goes on as another one, for it could not but contradict what was signed before.
    #[must_use]
    pub fn checkpoint_origin(&self) -> String {
        checkpoint_origin(&self.origin, self.history)
    }
}

/// See [`Identity::checkpoint_origin`].
#[must_use]
pub fn checkpoint_origin(origin: &str, history: HistoryId) -> String {
    format!("{origin}/{history}")
}
