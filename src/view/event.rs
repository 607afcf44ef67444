//! Events as they lie in the log, with their sealed words.

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::Seen;
use crate::event::{EventId, OwnerId, Position, Sealed, StreamId};
use crate::log::Recorded;
use crate::log::read::{recorded, sealed};

/// An event and the words that are left of it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    pub recorded: Recorded,
    /// By part. Fewer than were said, when some were pruned.
    pub words: Vec<Sealed>,
}

/// Which events of an owner are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub stream: Option<StreamId>,
    /// Any of these; all kinds when there are none.
    pub kinds: Vec<String>,
    /// None later than this; all when it is not given.
    pub last: Option<Position>,
}

/// How much of what an event says is read: words come in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The first part: of a message, its content, and not what else its provider said.
    Content,
    Whole,
}

/// Where the events of an owner after `after` lie, in order: the first `limit`.
pub async fn list(
    pool: &PgPool,
    owner: OwnerId,
    filter: &EventFilter,
    after: Position,
    limit: u32,
) -> Result<Seen<Vec<Position>>, sqlx::Error> {
    let statement = match filter.stream {
        Some(_) => include_str!("sql/events_of_stream.sql"),
        None => include_str!("sql/events_of_owner.sql"),
    };
    let mut query = sqlx::query(statement).bind(owner.0).bind(after.0).bind(kinds(filter)).bind(i64::from(limit));
    query = query.bind(last(filter));
    if let Some(stream) = filter.stream {
        query = query.bind(stream.0);
    }
    let row = query.fetch_one(pool).await?;
    let positions: Vec<i64> = row.try_get("positions")?;
    Seen::of(std::slice::from_ref(&row), positions.into_iter().map(Position).collect())
}

/// The newest events of a stream of an owner's, the newest first: at most `limit`.
pub async fn newest(
    pool: &PgPool,
    owner: OwnerId,
    filter: &EventFilter,
    limit: u32,
) -> Result<Vec<EventRow>, sqlx::Error> {
    let query = sqlx::query(include_str!("sql/newest_of_stream.sql"))
        .bind(owner.0)
        .bind(filter.stream.map(|stream| stream.0))
        .bind(kinds(filter))
        .bind(last(filter))
        .bind(i64::from(limit));
    gather(&query.fetch_all(pool).await?)
}

/// How many events of an owner there are.
pub async fn count(pool: &PgPool, owner: OwnerId, filter: &EventFilter) -> Result<u64, sqlx::Error> {
    let query = sqlx::query_scalar(include_str!("sql/count_events.sql"))
        .bind(owner.0)
        .bind(filter.stream.map(|stream| stream.0))
        .bind(kinds(filter))
        .bind(last(filter));
    query.fetch_one(pool).await.map(|count: i64| u64::try_from(count).unwrap_or_default())
}

/// The events of an owner that have these ids, in the order of the log.
pub async fn by_ids(pool: &PgPool, owner: OwnerId, ids: &[EventId]) -> Result<Vec<EventRow>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query = sqlx::query(include_str!("sql/events_by_id.sql")).bind(owner.0).bind(ids);
    gather(&query.fetch_all(pool).await?)
}

/// The events of an owner at these positions, in order.
pub async fn by_positions(
    pool: &PgPool,
    owner: OwnerId,
    at: &[Position],
    extent: Extent,
) -> Result<Vec<EventRow>, sqlx::Error> {
    let at: Vec<i64> = at.iter().map(|position| position.0).collect();
    let query = sqlx::query(include_str!("sql/events_at.sql")).bind(owner.0).bind(at).bind(extent == Extent::Whole);
    gather(&query.fetch_all(pool).await?)
}

/// Makes events of rows that come one a part, a part behind the other.
pub(super) fn gather(rows: &[PgRow]) -> Result<Vec<EventRow>, sqlx::Error> {
    let mut events: Vec<EventRow> = Vec::with_capacity(rows.len());
    for row in rows {
        let position = Position(row.try_get("position")?);
        if events.last().is_none_or(|last| last.recorded.position != position) {
            events.push(EventRow { recorded: recorded(row)?, words: Vec::new() });
        }
        let said = row.try_get::<Option<i16>, _>("part")?.is_some();
        if let Some(event) = events.last_mut().filter(|_| said) {
            event.words.push(sealed(row)?.1);
        }
    }
    Ok(events)
}

fn last(filter: &EventFilter) -> i64 {
    filter.last.unwrap_or(Position::LATEST).0
}

fn kinds(filter: &EventFilter) -> Option<&[String]> {
    Some(filter.kinds.as_slice()).filter(|kinds| !kinds.is_empty())
}
