//! Messages: pages of a branch, single ones, and what stands beside and below one. A message stands in the log with all that it
//! says, and is read there.

use std::sync::LazyLock;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgPool, Postgres, Row as _};
use uuid::Uuid;

use super::event::{EventRow, gather};
use super::{Cut, Page, Seen, Slice, unexpected};
use crate::event::{BranchNumber, ConversationId, Depth, MessageId, OwnerId, Place, Position, Rating, Segment};
use crate::log::Fact;

/// A message: where the event that appended it lies, and what was thought of it by the moment that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    pub position: Position,
    pub hidden: bool,
    pub rating: Option<Rating>,
    /// The event that holds the comment of the rating.
    pub comment_at: Option<Position>,
}

/// A page of a branch as it was at `at`, root first; keys are depths. None when there was no such branch.
pub async fn page(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    branch: BranchNumber,
    slice: &Slice<Depth>,
    at: Position,
) -> Result<Option<Seen<Page<MessageRow>>>, sqlx::Error> {
    let statement = as_of!("../../projections/conversation/page.sql", at);
    let query = of_page(statement, owner, conversation, branch, slice, at);
    paged(&query.fetch_all(pool).await?)
}

/// A page of a branch, as [`page`] has it, and its events with the first part of their words: for who has none of them at hand.
pub async fn page_with_events(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    branch: BranchNumber,
    slice: &Slice<Depth>,
    at: Position,
) -> Result<Option<(Seen<Page<MessageRow>>, Vec<EventRow>)>, sqlx::Error> {
    static STATEMENTS: LazyLock<[String; 2]> = LazyLock::new(|| {
        [Position::LATEST, Position::default()].map(|at| {
            let page = as_of!("../../projections/conversation/page.sql", at);
            format!("WITH page AS MATERIALIZED (\n{page}\n)\n{}", include_str!("sql/with_events.sql"))
        })
    });
    let [now, then] = &*STATEMENTS;
    let query = of_page(if at == Position::LATEST { now } else { then }, owner, conversation, branch, slice, at);
    let rows = query.fetch_all(pool).await?;
    let Some(page) = paged(&rows)? else { return Ok(None) };
    let events = if page.rows.rows.is_empty() { Vec::new() } else { gather(&rows)? };
    Ok(Some((page, events)))
}

fn of_page<'q>(
    statement: &'static str,
    owner: OwnerId,
    conversation: ConversationId,
    branch: BranchNumber,
    slice: &Slice<Depth>,
    at: Position,
) -> Query<'q, Postgres, PgArguments> {
    let many = |count: u32| i32::try_from(count).unwrap_or(i32::MAX >> 1);
    let (first, last) = match slice.cut {
        Cut::First(count) => (Some(many(count)), None),
        Cut::Last(count) => (None, Some(many(count))),
    };
    sqlx::query(statement)
        .bind(owner.0)
        .bind(conversation.0)
        .bind(branch.0)
        .bind(slice.after.map(|after| after.0.clamp(0, i32::MAX >> 1)))
        .bind(slice.before.map(|before| before.0.max(1)))
        .bind(first)
        .bind(last)
        .bind(at.0)
}

fn paged(rows: &[PgRow]) -> Result<Option<Seen<Page<MessageRow>>>, sqlx::Error> {
    let Some(any) = rows.first() else { return Ok(None) };
    let total: i32 = any.try_get("total")?;
    let (low, high): (i32, Option<i32>) = (any.try_get("low")?, any.try_get("high")?);
    let empty = any.try_get::<Option<i64>, _>("position")?.is_none();
    let page = Page {
        rows: if empty { Vec::new() } else { messages(rows)? },
        has_next: high.is_some_and(|high| high < total),
        has_previous: total > 0 && low > 1,
        total: Some(u64::try_from(total).unwrap_or_default()),
    };
    Seen::of(rows, page).map(Some)
}

/// The messages of an owner that have these ids, as they were at `at`, in no order.
pub async fn by_ids(
    pool: &PgPool,
    owner: OwnerId,
    ids: &[MessageId],
    at: Position,
) -> Result<Seen<Vec<MessageRow>>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query =
        sqlx::query(include_str!("../../projections/conversation/messages.sql")).bind(owner.0).bind(ids).bind(at.0);
    let rows = query.fetch_all(pool).await?;
    Seen::of(&rows, messages(&rows)?)
}

/// The messages that stood at these places at `at`, in no order.
pub async fn by_places(
    pool: &PgPool,
    owner: OwnerId,
    places: &[(ConversationId, Place)],
    at: Position,
) -> Result<Seen<Vec<MessageRow>>, sqlx::Error> {
    standing(pool, owner, include_str!("../../projections/conversation/places.sql"), places.iter().copied(), at).await
}

/// What stood below these messages at `at`, eldest first; below `None` stand the roots. The siblings of a message are the
/// children of its parent.
pub async fn children(
    pool: &PgPool,
    owner: OwnerId,
    parents: &[(ConversationId, Option<Place>)],
    at: Position,
) -> Result<Seen<Vec<MessageRow>>, sqlx::Error> {
    // The root stands above all: at 0, 0.
    let places = parents.iter().map(|(conversation, parent)| (*conversation, parent.unwrap_or_default()));
    standing(pool, owner, include_str!("../../projections/conversation/children.sql"), places, at).await
}

/// The message above the one that `fact` appended at `place`: where its segment forks off, when it is the first of one that
/// does; else one up. None above a root; in segment 0 it is the one below which its conversation goes on from another.
pub fn parent(fact: &Fact, place: Place) -> Option<Place> {
    let fork = &fact.body["fork"];
    let number = |field: &str| fork[field].as_i64().and_then(|number| i32::try_from(number).ok());
    match (number("segment"), number("depth")) {
        (Some(segment), Some(depth)) => Some(Place { segment: Segment(segment), depth: Depth(depth) }),
        _ if place.depth > Depth(1) => Some(Place { depth: Depth(place.depth.0 - 1), ..place }),
        _ => None,
    }
}

async fn standing(
    pool: &PgPool,
    owner: OwnerId,
    statement: &'static str,
    places: impl Iterator<Item = (ConversationId, Place)>,
    at: Position,
) -> Result<Seen<Vec<MessageRow>>, sqlx::Error> {
    let mut columns = (Vec::<Uuid>::new(), Vec::<i32>::new(), Vec::<i32>::new());
    for (conversation, place) in places {
        columns.0.push(conversation.0);
        columns.1.push(place.segment.0);
        columns.2.push(place.depth.0);
    }
    let query = sqlx::query(statement).bind(owner.0).bind(columns.0).bind(columns.1).bind(columns.2).bind(at.0);
    let rows = query.fetch_all(pool).await?;
    Seen::of(&rows, messages(&rows)?)
}

fn messages(rows: &[PgRow]) -> Result<Vec<MessageRow>, sqlx::Error> {
    rows.iter().map(message).collect()
}

fn message(row: &PgRow) -> Result<MessageRow, sqlx::Error> {
    let position = Position(row.try_get("position")?);
    let rating = match row.try_get::<Option<&str>, _>("rating")? {
        None => None,
        Some("up") => Some(Rating::Up),
        Some("down") => Some(Rating::Down),
        Some(other) => return Err(unexpected(format!("the message at {position} is rated `{other}`"))),
    };
    Ok(MessageRow {
        position,
        hidden: row.try_get::<Option<bool>, _>("hidden")?.unwrap_or_default(),
        rating,
        comment_at: row.try_get::<Option<i64>, _>("comment_at")?.map(Position),
    })
}
