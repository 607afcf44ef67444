//! Which words are there to go.

use chrono::{DateTime, Utc};
use sqlx::Error;

use super::Log;
use crate::event::{Lapsed, OwnerId, Position};

/// Words of one kind of event, behind a position and up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'k> {
    pub kind: &'k str,
    pub after: Position,
    pub through: Position,
}

impl Log {
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
