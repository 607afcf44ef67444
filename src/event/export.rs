//! Exports that are made for their account by a server, kept for a while, and fetched: events of the account's own stream.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{EventId, Payload, Place};

/// An account asked for all that there is of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRequested {
    /// The id of this event, which is the export's.
    #[serde(skip)]
    pub id: EventId,
    /// Personal data in the words stands behind placeholders.
    pub masked: bool,
}

impl Payload for ExportRequested {
    const KIND: &'static str = "export.requested";

    fn stand(&mut self, id: EventId, _place: Option<Place>) {
        self.id = id;
    }
}

/// It is there to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportMade {
    pub export: EventId,
    /// How many events the log had.
    pub size: u64,
    /// How long the archive is, and its SHA-256 as hex.
    pub bytes: u64,
    pub sha256: String,
    /// It is taken away then.
    pub expires: DateTime<Utc>,
}

impl Payload for ExportMade {
    const KIND: &'static str = "export.made";
}

/// It was fetched by a token of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFetched {
    pub export: EventId,
}

impl Payload for ExportFetched {
    const KIND: &'static str = "export.fetched";
}

/// It is gone, for its time was over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportExpired {
    pub export: EventId,
}

impl Payload for ExportExpired {
    const KIND: &'static str = "export.expired";
}
