//! Snapshots of a conversation: versions that were given a label.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{Page, count, unexpected};
use crate::event::{ConversationId, EventId, OwnerId, Position, Trigger, Version};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    pub conversation: ConversationId,
    /// The event that took it, and holds its label.
    pub id: EventId,
    pub position: Position,
    /// The version that it labels.
    pub version: Version,
    pub trigger: Trigger,
    pub taken_at: DateTime<Utc>,
}

/// Snapshots of a conversation that had a label at `at`, the newest first: the first `limit` below `before`.
pub async fn of_conversation(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    at: Position,
    before: Position,
    limit: u32,
) -> Result<Page<SnapshotRow>, sqlx::Error> {
    read(pool, owner, conversation, at, (before, limit), None).await
}

/// One of them.
pub async fn by_id(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    id: EventId,
    at: Position,
) -> Result<Option<SnapshotRow>, sqlx::Error> {
    let page = read(pool, owner, conversation, at, (Position::LATEST, 1), Some(id)).await?;
    Ok(page.rows.into_iter().next())
}

async fn read(
    pool: &PgPool,
    owner: OwnerId,
    conversation: ConversationId,
    at: Position,
    (before, limit): (Position, u32),
    id: Option<EventId>,
) -> Result<Page<SnapshotRow>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../../projections/conversation/snapshots.sql"))
        .bind(owner.0)
        .bind(conversation.0)
        .bind(at.0)
        .bind(before.0)
        .bind(i64::from(limit) + 1)
        .bind(id.map(|id| id.0))
        .fetch_all(pool)
        .await?;
    let total = rows.first().map(|row| count(row, "total")).transpose()?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            page.push(snapshot(conversation, row)?);
        }
    }
    let has_next = page.len() > limit as usize;
    page.truncate(limit as usize);
    Ok(Page { rows: page, has_next, has_previous: before != Position::LATEST, total })
}

/// The labels of one conversation, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub owner: OwnerId,
    pub conversation: ConversationId,
    pub labels: Vec<(EventId, DateTime<Utc>, Trigger)>,
}

/// Conversations, whoever's, that have more than one label, the oldest put there before `time`: the next `limit` behind
/// `after`.
pub async fn aged(
    pool: &PgPool,
    time: DateTime<Utc>,
    (owner, conversation): (OwnerId, ConversationId),
    limit: u32,
) -> Result<Vec<Labels>, sqlx::Error> {
    let query = sqlx::query(include_str!("../../projections/conversation/aged.sql"))
        .bind(time)
        .bind(owner.0)
        .bind(conversation.0)
        .bind(i64::from(limit));
    query.fetch_all(pool).await?.iter().map(labels).collect()
}

fn labels(row: &PgRow) -> Result<Labels, sqlx::Error> {
    let ids: Vec<Uuid> = row.try_get("ids")?;
    let times: Vec<DateTime<Utc>> = row.try_get("taken_at")?;
    let triggers: Vec<String> = row.try_get("triggers")?;
    let label = |((id, taken_at), trigger): ((Uuid, DateTime<Utc>), String)| {
        Ok((EventId(id), taken_at, self::trigger(&trigger)?))
    };
    Ok(Labels {
        owner: OwnerId(row.try_get("owner_id")?),
        conversation: ConversationId(row.try_get("conversation_id")?),
        labels: ids.into_iter().zip(times).zip(triggers).map(label).collect::<Result<_, sqlx::Error>>()?,
    })
}

fn trigger(name: &str) -> Result<Trigger, sqlx::Error> {
    Ok(match name {
        "auto_hourly" => Trigger::AutoHourly,
        "before_change" => Trigger::BeforeChange,
        "manual" => Trigger::Manual,
        "cost_limit" => Trigger::CostLimit,
        "token_limit" => Trigger::TokenLimit,
        other => return Err(unexpected(format!("a snapshot was triggered by `{other}`"))),
    })
}

fn snapshot(conversation: ConversationId, row: &PgRow) -> Result<SnapshotRow, sqlx::Error> {
    Ok(SnapshotRow {
        conversation,
        id: EventId(row.try_get("id")?),
        position: Position(row.try_get("position")?),
        version: Version(row.try_get("version")?),
        trigger: trigger(row.try_get("trigger")?)?,
        taken_at: row.try_get("taken_at")?,
    })
}
