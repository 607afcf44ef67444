//! Who did what to what, day by day.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};

use super::{Page, count};
use crate::event::{AccountId, OwnerId, Position, StreamId};

/// What one actor did to one stream on one day, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    pub stream: StreamId,
    /// In UTC, by when it was recorded.
    pub day: NaiveDate,
    pub actor: AccountId,
    pub kind: String,
    pub events: u64,
    pub first: Position,
    pub last: Position,
    /// When the first was recorded.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// Which entries are asked for: those that meet all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    pub stream: Option<StreamId>,
    /// Any of these; all kinds when there are none.
    pub kinds: Vec<String>,
    /// Of this day or later.
    pub from: Option<NaiveDate>,
    /// Of a day before this one.
    pub to: Option<NaiveDate>,
}

/// Where an entry stands: it does not move as more is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub day: NaiveDate,
    pub first: Position,
}

impl EntryRow {
    pub const fn key(&self) -> Key {
        Key { day: self.day, first: self.first }
    }
}

/// Entries of an owner after `after`, the newest first: as many as `limit`. The total is counted when `counted`; it looks
/// at each of them.
pub async fn list(
    pool: &PgPool,
    owner: OwnerId,
    filter: &EntryFilter,
    after: Option<Key>,
    limit: u32,
    counted: bool,
) -> Result<Page<EntryRow>, sqlx::Error> {
    let statement = match filter.stream {
        Some(_) => include_str!("../../projections/audit/list_of_stream.sql"),
        None => include_str!("../../projections/audit/list.sql"),
    };
    let mut query = sqlx::query(statement)
        .bind(owner.0)
        .bind(Some(&filter.kinds).filter(|kinds| !kinds.is_empty()))
        .bind(filter.from)
        .bind(filter.to)
        .bind(counted)
        .bind(after.map(|key| key.day))
        .bind(after.map(|key| key.first.0))
        // One more than is wanted says whether there are more.
        .bind(i64::from(limit) + 1);
    if let Some(stream) = filter.stream {
        query = query.bind(stream.0);
    }
    let rows = query.fetch_all(pool).await?;
    let total = rows.first().filter(|_| counted).map(|row| count(row, "total")).transpose()?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>("first_position")?.is_some() {
            page.push(entry(row)?);
        }
    }
    let has_next = page.len() > limit as usize;
    page.truncate(limit as usize);
    Ok(Page { rows: page, has_next, has_previous: after.is_some(), total })
}

fn entry(row: &PgRow) -> Result<EntryRow, sqlx::Error> {
    Ok(EntryRow {
        stream: StreamId(row.try_get("stream_id")?),
        day: row.try_get("day")?,
        actor: AccountId(row.try_get("actor_id")?),
        kind: row.try_get("kind")?,
        events: row.try_get::<i32, _>("events").map(|events| u64::try_from(events).unwrap_or_default())?,
        first: Position(row.try_get("first_position")?),
        last: Position(row.try_get("last_position")?),
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}
