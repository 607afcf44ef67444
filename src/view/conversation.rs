//! Conversations: single ones, and lists that are filtered, then ordered, then cut.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{PgPool, Postgres, Row as _};
use uuid::Uuid;

use super::{Cut, Page, Slice, count, from};
use crate::event::{BranchNumber, ConversationId, OwnerId, Place, Position, Token, Version};

#[derive(Debug, Clone, PartialEq)]
pub struct ConversationRow {
    pub id: ConversationId,
    /// The event that holds its title.
    pub title_at: Option<Position>,
    /// Its tags' tokens, each with the event that holds its word.
    pub tags: BTreeMap<Token, Position>,
    pub favorited: bool,
    pub status: Status,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// The kind of export that it was imported from.
    pub source: Option<String>,
    /// The message of another conversation below which it goes on.
    pub from: Option<(ConversationId, Place)>,
    /// The branch that is shown when none is named.
    pub preferred: BranchNumber,
    /// Of its newest event.
    pub version: Version,
    pub position: Position,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Every message once, hidden ones included.
    pub message_count: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cache_reads: u64,
    pub cache_writes: u64,
    /// None while no message has a known cost.
    pub cost_usd: Option<Decimal>,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Active,
    Archived,
    /// Whether it is archived too or not.
    Deleted,
}

impl Status {
    pub(super) const fn of(archived: bool, deleted: bool) -> Self {
        match (archived, deleted) {
            (_, true) => Self::Deleted,
            (true, false) => Self::Archived,
            (false, false) => Self::Active,
        }
    }
}

/// Which conversations are asked for: those that meet all of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    pub favorites_only: bool,
    /// All of these.
    pub tags: Vec<Token>,
    /// Any of these; all but deleted ones when there are none.
    pub status: Vec<Status>,
    /// Any of these, as of the next one.
    pub model: Vec<String>,
    pub provider: Vec<String>,
    /// Begun at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Begun before this time.
    pub to: Option<DateTime<Utc>>,
    /// A conversation of unknown cost meets neither bound.
    pub min_cost_usd: Option<Decimal>,
    pub max_cost_usd: Option<Decimal>,
    /// One of these.
    pub among: Option<Vec<ConversationId>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By when they began.
    #[default]
    Newest,
    Oldest,
    /// Those of unknown cost come last.
    MostExpensive,
    /// Tokens in and out.
    MostTokens,
    Largest,
}

/// Where a conversation stands in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub value: KeyValue,
    pub id: ConversationId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyValue {
    Time(DateTime<Utc>),
    /// Cost (−1 when it is unknown), tokens or bytes.
    Weight(Decimal),
}

impl ConversationRow {
    /// Where it stands in `order`: what a cursor keeps.
    pub fn key(&self, order: Order) -> Key {
        let value = match order {
            Order::Newest | Order::Oldest => KeyValue::Time(self.created_at),
            Order::MostExpensive => KeyValue::Weight(self.cost_usd.unwrap_or(Decimal::NEGATIVE_ONE)),
            Order::MostTokens => KeyValue::Weight(Decimal::from(self.tokens_in) + Decimal::from(self.tokens_out)),
            Order::Largest => KeyValue::Weight(Decimal::from(self.size_bytes)),
        };
        Key { value, id: self.id }
    }
}

impl Filter {
    /// Binds what a statement filters conversations by, in the order of `list.sql`.
    pub(super) fn bind<'q>(&'q self, query: Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(self.favorites_only)
            .bind(self.tags.iter().map(Token::to_string).collect::<Vec<_>>())
            .bind(statuses(self))
            .bind(some(&self.model))
            .bind(some(&self.provider))
            .bind(self.from)
            .bind(self.to)
            .bind(self.min_cost_usd)
            .bind(self.max_cost_usd)
    }

    /// The conversations that it is narrowed to, which statements take last.
    pub(super) fn among(&self) -> Option<Vec<Uuid>> {
        self.among.as_ref().map(|among| among.iter().map(|id| id.0).collect())
    }
}

/// The conversations of an owner that have these ids, as they were at `at`, in no order.
pub async fn by_ids(
    pool: &PgPool,
    owner: OwnerId,
    ids: &[ConversationId],
    at: Position,
) -> Result<Vec<ConversationRow>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let query = sqlx::query(as_of!("../../projections/conversation/get.sql", at)).bind(owner.0).bind(ids).bind(at.0);
    query.fetch_all(pool).await?.iter().map(conversation).collect()
}

/// The last position of a conversation before anything happened to it later than `time`, by its own time; none when it
/// began later, or is not there.
pub async fn by_own_time(
    pool: &PgPool,
    owner: OwnerId,
    id: ConversationId,
    time: DateTime<Utc>,
) -> Result<Option<Position>, sqlx::Error> {
    let query = sqlx::query_scalar(include_str!("../../projections/conversation/occurred.sql"));
    let position: Option<i64> = query.bind(owner.0).bind(id.0).bind(time).fetch_one(pool).await?;
    Ok(position.map(Position))
}

/// A page of an owner's conversations as they were at `at`. The total is counted when `counted`; it looks at each of them.
pub async fn list(
    pool: &PgPool,
    owner: OwnerId,
    filter: &Filter,
    order: Order,
    slice: &Slice<Key>,
    counted: bool,
    at: Position,
) -> Result<Page<ConversationRow>, sqlx::Error> {
    let (wanted, forward) = match slice.cut {
        Cut::First(wanted) => (wanted, true),
        Cut::Last(wanted) => (wanted, false),
    };
    let descending = order != Order::Oldest;
    // Going down an order that descends, `after` is above the page; going down one that ascends, it is below.
    let (after, before) = (slice.after.as_ref(), slice.before.as_ref());
    let (above, below) = if descending { (after, before) } else { (before, after) };
    let walk = match (order, descending == forward) {
        (Order::Newest | Order::Oldest, true) => "time down",
        (Order::Newest | Order::Oldest, false) => "time up",
        (_, true) => "weight down",
        (_, false) => "weight up",
    };
    let query = sqlx::query(as_of!("../../projections/conversation/list.sql", at)).bind(owner.0);
    let rows = filter
        .bind(query)
        .bind(weight(order))
        .bind(walk)
        .bind(time_of(above))
        .bind(id_of(above))
        .bind(weight_of(above))
        .bind(time_of(below))
        .bind(id_of(below))
        .bind(weight_of(below))
        // One more than is wanted says whether there are more.
        .bind(i64::from(wanted) + 1)
        .bind(counted)
        .bind(filter.among())
        .bind(at.0)
        .fetch_all(pool)
        .await?;
    let total = rows.first().filter(|_| counted).map(|row| count(row, "total")).transpose()?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            page.push(conversation(row)?);
        }
    }
    let more = page.len() > wanted as usize;
    page.truncate(wanted as usize);
    // What a cursor points at lies on its other side.
    let (has_next, has_previous) = if forward { (more, slice.after.is_some()) } else { (slice.before.is_some(), more) };
    if !forward {
        page.reverse();
    }
    Ok(Page { rows: page, has_next, has_previous, total })
}

const fn weight(order: Order) -> &'static str {
    match order {
        Order::MostExpensive => "cost",
        Order::MostTokens => "tokens",
        Order::Largest | Order::Newest | Order::Oldest => "size",
    }
}

pub(super) fn statuses(filter: &Filter) -> Vec<&'static str> {
    let asked: &[Status] = if filter.status.is_empty() { &[Status::Active, Status::Archived] } else { &filter.status };
    let name = |status: &Status| match status {
        Status::Active => "active",
        Status::Archived => "archived",
        Status::Deleted => "deleted",
    };
    asked.iter().map(name).collect()
}

pub(super) fn some(any_of: &[String]) -> Option<&[String]> {
    Some(any_of).filter(|any_of| !any_of.is_empty())
}

fn id_of(key: Option<&Key>) -> Option<Uuid> {
    key.map(|key| key.id.0)
}

fn time_of(key: Option<&Key>) -> Option<DateTime<Utc>> {
    key.and_then(|key| if let KeyValue::Time(time) = key.value { Some(time) } else { None })
}

fn weight_of(key: Option<&Key>) -> Option<Decimal> {
    key.and_then(|key| if let KeyValue::Weight(weight) = key.value { Some(weight) } else { None })
}

fn conversation(row: &PgRow) -> Result<ConversationRow, sqlx::Error> {
    let Json(tags) = row.try_get("tags")?;
    Ok(ConversationRow {
        id: ConversationId(row.try_get("id")?),
        title_at: row.try_get::<Option<i64>, _>("title_at")?.map(Position),
        tags,
        favorited: row.try_get("favorited")?,
        status: Status::of(row.try_get("archived")?, row.try_get("deleted")?),
        model: row.try_get("model")?,
        provider: row.try_get("provider")?,
        source: row.try_get("source")?,
        from: from(row)?,
        preferred: BranchNumber(row.try_get("preferred")?),
        version: Version(row.try_get("version")?),
        position: Position(row.try_get("position")?),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        message_count: count(row, "message_count")?,
        tokens_in: count(row, "tokens_in")?,
        tokens_out: count(row, "tokens_out")?,
        cache_reads: count(row, "cache_reads")?,
        cache_writes: count(row, "cache_writes")?,
        cost_usd: row.try_get("cost_usd")?,
        size_bytes: count(row, "size_bytes")?,
    })
}
