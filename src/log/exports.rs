//! What the log says of exports that servers make.

use chrono::{DateTime, Utc};
use sqlx::Error;
use uuid::Uuid;

use super::Log;
use crate::event::{EventId, OwnerId};

impl Log {
    /// Exports that were asked for and are not made, the eldest first, and whether they are to be masked.
    pub async fn exports_open(&self) -> Result<Vec<(OwnerId, EventId, bool)>, Error> {
        let open: Vec<(Uuid, Uuid, bool)> =
            sqlx::query_as(include_str!("sql/exports_open.sql")).fetch_all(&self.pool).await?;
        Ok(open.into_iter().map(|(owner, id, masked)| (OwnerId(owner), EventId(id), masked)).collect())
    }

    /// Exports whose time was over at `now`, and that nobody took away yet.
    pub async fn exports_lapsed(&self, now: DateTime<Utc>) -> Result<Vec<(OwnerId, EventId)>, Error> {
        let lapsed: Vec<(Uuid, Uuid)> =
            sqlx::query_as(include_str!("sql/exports_lapsed.sql")).bind(now).fetch_all(&self.pool).await?;
        Ok(lapsed.into_iter().map(|(owner, export)| (OwnerId(owner), EventId(export))).collect())
    }
}
