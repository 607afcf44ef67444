//! Which words are there to go, and which conversations rest.

use chrono::{DateTime, Utc};
use sqlx::Error;

use super::{Log, digest};
use crate::event::{Class, ConversationExpired, Lapsed, OwnerId, Position, StreamId, Version};

/// Words of one kind of event, behind a position and up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'k> {
    pub kind: &'k str,
    pub after: Position,
    pub through: Position,
}

/// A conversation at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rested {
    pub stream: StreamId,
    pub version: Version,
    /// Of its newest event, but for that of an expiry.
    pub position: Position,
    pub recorded_at: DateTime<Utc>,
    /// How many there are, but for those of an expiry.
    pub events: u64,
}

/// Events in one read.
const PAGE: usize = 1_000;

impl Log {
    /// Conversations of `owner` of which the facts, or the money, are there and may go: those whose newest event stands behind
    /// one position and up to another, and that no other conversation which is left depends on. At most `most`.
    pub async fn resting(
        &self,
        owner: OwnerId,
        class: Class,
        (after, through): (Position, Position),
        most: i64,
    ) -> Result<Vec<Rested>, Error> {
        type Row = (uuid::Uuid, i32, i64, i32, DateTime<Utc>);
        let rows: Vec<Row> = sqlx::query_as(include_str!("sql/resting.sql"))
            .bind(owner.0)
            .bind(class.name())
            .bind(after.0)
            .bind(through.0)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        let rested = rows.into_iter().map(|(stream, version, position, events, recorded_at)| Rested {
            stream: StreamId(stream),
            version: Version(version),
            position: Position(position),
            recorded_at,
            events: u64::try_from(events).unwrap_or_default(),
        });
        Ok(rested.collect())
    }

    /// What is said of a conversation when all but what it `keeps` of its first `version` events goes.
    pub async fn expired(
        &self,
        owner: OwnerId,
        (stream, version): (StreamId, Version),
        keeps: Option<Class>,
    ) -> Result<ConversationExpired, Error> {
        let (mut left, mut after) = (Vec::new(), Version(0));
        while after < version {
            let most = usize::try_from(version.0 - after.0).unwrap_or_default().min(PAGE);
            let page = self.read_stream(owner, stream, after, most).await?;
            let Some(last) = page.last() else { break };
            after = last.version;
            left.extend(page.into_iter().map(|mut event| {
                event.fact.body = digest::left_of(&event.fact.kind, &event.fact.body, keeps);
                digest::event(&event.fact)
            }));
        }
        Ok(ConversationExpired { keeps, events: left.len() as u64, left: hex::encode(digest::left(&left)) })
    }

    /// What `owner` said in conversations within `spans` and is still there, by kind: the first `most` events, or all.
    pub async fn lapsed(&self, owner: OwnerId, spans: &[Span<'_>], most: Option<i64>) -> Result<Vec<Lapsed>, Error> {
        type Row = (String, i64, i64, i64, DateTime<Utc>, DateTime<Utc>, i64);
        let kinds: Vec<&str> = spans.iter().map(|span| span.kind).collect();
        let after: Vec<i64> = spans.iter().map(|span| span.after.0).collect();
        let through: Vec<i64> = spans.iter().map(|span| span.through.0).collect();
        let rows: Vec<Row> = sqlx::query_as(include_str!("sql/lapsed.sql"))
            .bind(owner.0)
            .bind(kinds)
            .bind(after)
            .bind(through)
            .bind(most)
            .fetch_all(&self.pool)
            .await?;
        let lapsed = rows.into_iter().map(|(kind, events, parts, bytes, first, last, through)| Lapsed {
            after: spans.iter().find(|span| span.kind == kind).map(|span| span.after).unwrap_or_default(),
            kind,
            through: Position(through),
            events: events.unsigned_abs(),
            parts: parts.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
            first,
            last,
        });
        Ok(lapsed.collect())
    }
}
