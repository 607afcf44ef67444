//! Messages: pages of a branch, single ones, and what stands beside and below one.

use std::collections::HashMap;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::event::{EventRow, gather};
use super::{Cut, Page, Slice, unexpected};
use crate::event::{BranchNumber, ConversationId, Depth, MessageId, OwnerId, Place, Position, Rating, Segment};

/// A message: the event that appended it, and what was thought of it by the moment that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Of its words, the content alone: what else a provider said is read with the event ([`super::event`]).
    pub event: EventRow,
    pub place: Place,
    /// The message above it; none above a root. In segment 0 it is the one below which its conversation goes on from another.
    pub parent: Option<Place>,
    pub hidden: bool,
    pub rating: Option<Rating>,
    /// The event that holds the comment of the rating.
    pub comment_at: Option<Position>,
}

impl MessageRow {
    pub fn id(&self) -> MessageId {
        self.event.recorded.fact.id.into()
    }

    pub fn conversation(&self) -> ConversationId {
        self.event.recorded.fact.stream.into()
    }
}

/// A page of a branch as it was at `at`, root first; keys are depths. None when there was no such branch.
pub async fn page(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    branch: BranchNumber,
    slice: &Slice<Depth>,
    at: Position,
) -> Result<Option<Page<MessageRow>>, sqlx::Error> {
    let many = |count: u32| i32::try_from(count).unwrap_or(i32::MAX >> 1);
    let (first, last) = match slice.cut {
        Cut::First(count) => (Some(many(count)), None),
        Cut::Last(count) => (None, Some(many(count))),
    };
    let rows = sqlx::query(as_of!("../../projections/conversation/page.sql", at))
        .bind(owner.0)
        .bind(conversation.0)
        .bind(branch.0)
        .bind(slice.after.map(|after| after.0.clamp(0, i32::MAX >> 1)))
        .bind(slice.before.map(|before| before.0.max(1)))
        .bind(first)
        .bind(last)
        .bind(at.0)
        .fetch_all(pool)
        .await?;
    let Some(any) = rows.first() else { return Ok(None) };
    let total: i32 = any.try_get("total")?;
    let (low, high): (i32, Option<i32>) = (any.try_get("low")?, any.try_get("high")?);
    let empty = any.try_get::<Option<Uuid>, _>("id")?.is_none();
    Ok(Some(Page {
        rows: if empty { Vec::new() } else { messages(&rows)? },
        has_next: high.is_some_and(|high| high < total),
        has_previous: total > 0 && low > 1,
        total: Some(u64::try_from(total).unwrap_or_default()),
    }))
}

/// The messages of an owner that have these ids, as they were at `at`, in no order.
pub async fn by_ids(
    pool: &PgPool,
    owner: OwnerId,
    ids: &[MessageId],
    at: Position,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query =
        sqlx::query(include_str!("../../projections/conversation/messages.sql")).bind(owner.0).bind(ids).bind(at.0);
    messages(&query.fetch_all(pool).await?)
}

/// The messages that stood at these places at `at`, in no order.
pub async fn by_places(
    pool: &PgPool,
    owner: OwnerId,
    places: &[(ConversationId, Place)],
    at: Position,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    standing(pool, owner, include_str!("../../projections/conversation/places.sql"), places.iter().copied(), at).await
}

/// What stood below each of these messages at `at`, eldest first; below `None` stand the roots. The siblings of a message
/// are the children of its parent.
pub async fn children(
    pool: &PgPool,
    owner: OwnerId,
    parents: &[(ConversationId, Option<Place>)],
    at: Position,
) -> Result<HashMap<(ConversationId, Option<Place>), Vec<MessageRow>>, sqlx::Error> {
    // The root stands above all: at 0, 0.
    let places = parents.iter().map(|(conversation, parent)| (*conversation, parent.unwrap_or_default()));
    let rows = standing(pool, owner, include_str!("../../projections/conversation/children.sql"), places, at).await?;
    let mut below: HashMap<_, Vec<_>> = parents.iter().map(|parent| (*parent, Vec::new())).collect();
    for row in rows {
        below.entry((row.conversation(), row.parent)).or_default().push(row);
    }
    Ok(below)
}

async fn standing(
    pool: &PgPool,
    owner: OwnerId,
    statement: &'static str,
    places: impl Iterator<Item = (ConversationId, Place)>,
    at: Position,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    let mut columns = (Vec::<Uuid>::new(), Vec::<i32>::new(), Vec::<i32>::new());
    for (conversation, place) in places {
        columns.0.push(conversation.0);
        columns.1.push(place.segment.0);
        columns.2.push(place.depth.0);
    }
    let query = sqlx::query(statement).bind(owner.0).bind(columns.0).bind(columns.1).bind(columns.2).bind(at.0);
    messages(&query.fetch_all(pool).await?)
}

/// Each message comes in one row: of its words only the content is read.
fn messages(rows: &[PgRow]) -> Result<Vec<MessageRow>, sqlx::Error> {
    gather(rows)?.into_iter().zip(rows).map(|(event, row)| message(event, row)).collect()
}

fn message(event: EventRow, row: &PgRow) -> Result<MessageRow, sqlx::Error> {
    let fact = &event.recorded.fact;
    let place = fact.place.ok_or_else(|| unexpected(format!("message {} stands nowhere", fact.id)))?;
    let rating = match row.try_get::<Option<&str>, _>("rating")? {
        None => None,
        Some("up") => Some(Rating::Up),
        Some("down") => Some(Rating::Down),
        Some(other) => return Err(unexpected(format!("message {} is rated `{other}`", fact.id))),
    };
    Ok(MessageRow {
        place,
        parent: parent(&event, place),
        hidden: row.try_get::<Option<bool>, _>("hidden")?.unwrap_or_default(),
        rating,
        comment_at: row.try_get::<Option<i64>, _>("comment_at")?.map(Position),
        event,
    })
}

/// Where its segment forks off, when it is the first of one that does; else one up.
fn parent(event: &EventRow, place: Place) -> Option<Place> {
    let fork = &event.recorded.fact.body["fork"];
    let number = |field: &str| fork[field].as_i64().and_then(|number| i32::try_from(number).ok());
    match (number("segment"), number("depth")) {
        (Some(segment), Some(depth)) => Some(Place { segment: Segment(segment), depth: Depth(depth) }),
        _ if place.depth > Depth(1) => Some(Place { depth: Depth(place.depth.0 - 1), ..place }),
        _ => None,
    }
}
