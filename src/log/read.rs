//! Reading the log: by position, by stream, by owner, by id.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Column, PgExecutor, Row as _};
use uuid::Uuid;

use super::{Fact, Identity, Log, Recorded};
use crate::event::{
    AccountId, CommandId, Depth, EventId, HistoryId, LedgerId, OwnerId, Piece, Place, Position, Sealed, Segment,
    StreamId, SubjectId, Version,
};

/// Events of one owner after a position, and how far the log was looked through to find them.
#[derive(Debug, Clone)]
pub struct Page {
    pub events: Vec<Recorded>,
    /// Nothing of this owner lies between the last event and this position that is not in `events`.
    pub seen_to: Position,
}

/// The versions of a stream that stand in a stretch of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub owner: OwnerId,
    pub stream: StreamId,
    pub from: Version,
    pub version: Version,
}

impl Log {
    /// Events after `after`, in order and without a gap: at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer, or positions have a gap: the log is damaged, and nobody must read on.
    pub async fn read_range(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, sqlx::Error> {
        range(&self.pool, after, limit).await
    }

    /// All that was recorded in `(after, to]`, in order, each with its sealed words.
    ///
    /// # Errors
    /// As [`Self::read_range`]; a `to` that the log does not reach counts as a gap, too.
    pub async fn read_stretch(
        &self,
        after: Position,
        to: Position,
    ) -> Result<Vec<(Recorded, Vec<Sealed>)>, sqlx::Error> {
        let rows =
            sqlx::query(include_str!("sql/read_range_to.sql")).bind(after.0).bind(to.0).fetch_all(&self.pool).await?;
        let words = sqlx::query(include_str!("sql/read_words_range.sql"))
            .bind(after.0)
            .bind(to.0)
            .fetch_all(&self.pool)
            .await?;
        let events = in_order(&rows, after)?;
        let last = events.last().map_or(after, |event| event.position);
        if last != to {
            return Err(damaged(&format!("position {} is missing", last.next())));
        }
        let mut words = words.iter().map(sealed).collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
        let with_words = events.into_iter().map(|event| {
            // Of words without an event, `verify` tells.
            while words.next_if(|(at, _)| *at < event.position).is_some() {}
            let own = std::iter::from_fn(|| words.next_if(|(at, _)| *at == event.position).map(|(_, sealed)| sealed));
            let own = own.collect();
            (event, own)
        });
        Ok(with_words.collect())
    }

    /// Events of one stream with versions after `after`, in order and without a gap: at most `limit`.
    pub async fn read_stream(
        &self,
        owner: OwnerId,
        stream: StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, sqlx::Error> {
        let rows = sqlx::query(include_str!("sql/read_stream.sql"))
            .bind(owner.0)
            .bind(stream.0)
            .bind(after.0)
            .bind(bounded(limit))
            .fetch_all(&self.pool)
            .await?;
        let events = rows.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
        let mut expected = after;
        for event in &events {
            expected = expected.next();
            if event.version != expected {
                return Err(damaged(&format!(
                    "stream {stream} has no version {expected}: position {} has version {}",
                    event.position, event.version
                )));
            }
        }
        Ok(events)
    }

    /// Events of one owner after `after`, in order: at most `limit`.
    pub async fn read_owner(&self, owner: OwnerId, after: Position, limit: usize) -> Result<Page, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        // The head is read first: what is committed later is not missed, only seen by the next call.
        let head = head(&mut *connection).await?;
        let rows = sqlx::query(include_str!("sql/read_owner.sql"))
            .bind(owner.0)
            .bind(after.0)
            .bind(bounded(limit))
            .fetch_all(&mut *connection)
            .await?;
        drop(connection);
        let events = rows.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
        let seen_to = match events.last() {
            Some(last) if events.len() >= limit => last.position,
            Some(last) => last.position.max(head),
            None => after.max(head),
        };
        Ok(Page { events, seen_to })
    }

    /// How far each stream goes with the events after `after` up to `to`, by owner and stream, of one owner or of all: at most
    /// `limit`, behind `behind`.
    pub async fn read_heads(
        &self,
        owner: Option<OwnerId>,
        (after, to): (Position, Position),
        behind: (OwnerId, StreamId),
        limit: usize,
    ) -> Result<Vec<Head>, sqlx::Error> {
        let rows = sqlx::query(include_str!("sql/read_heads.sql"))
            .bind(owner.map(|owner| owner.0))
            .bind(after.0)
            .bind(to.0)
            .bind(behind.0.0)
            .bind(behind.1.0)
            .bind(bounded(limit))
            .fetch_all(&self.pool)
            .await?;
        let head = |row: &PgRow| {
            Ok(Head {
                owner: OwnerId(row.try_get("owner_id")?),
                stream: StreamId(row.try_get("stream_id")?),
                from: Version(row.try_get("first")?),
                version: Version(row.try_get("last")?),
            })
        };
        rows.iter().map(head).collect()
    }

    /// How many events of one owner, or of all, stand after `after` and up to `to`.
    pub async fn count(&self, owner: Option<OwnerId>, after: Position, to: Position) -> Result<u64, sqlx::Error> {
        let count: i64 = sqlx::query_scalar(include_str!("sql/count.sql"))
            .bind(owner.map(|owner| owner.0))
            .bind(after.0)
            .bind(to.0)
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The events of one owner with these ids, in no order; those that expired are not there.
    pub async fn read_ids(&self, owner: OwnerId, ids: &[EventId]) -> Result<Vec<Recorded>, sqlx::Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query(include_str!("sql/read_ids.sql")).bind(owner.0).bind(ids).fetch_all(&self.pool).await?;
        rows.iter().map(recorded).collect()
    }

    /// The events of a command, in order; none when it never went in.
    pub async fn read_command(&self, owner: OwnerId, command: CommandId) -> Result<Vec<Recorded>, sqlx::Error> {
        let first: Option<i64> = sqlx::query_scalar(include_str!("sql/command_first.sql"))
            .bind(owner.0)
            .bind(command.0)
            .fetch_optional(&self.pool)
            .await?;
        let mut events: Vec<Recorded> = Vec::new();
        let mut next = first.map(|first| Position(first - 1));
        // A command's events are neighbours: they end where another command begins.
        while let Some(after) = next {
            const PAGE: usize = 64;
            let page = range(&self.pool, after, PAGE).await?;
            let (read, end) = (page.len(), page.last().map(|event| event.position));
            events.extend(
                page.into_iter().take_while(|event| event.fact.owner == owner && event.fact.command == command),
            );
            next = end.filter(|end| read == PAGE && events.last().is_some_and(|last| last.position == *end));
        }
        Ok(events)
    }

    /// The sealed words of the events at these positions, by position and part.
    pub async fn read_words(&self, positions: &[Position]) -> Result<Vec<(Position, Sealed)>, sqlx::Error> {
        let positions: Vec<i64> = positions.iter().map(|position| position.0).collect();
        let rows = sqlx::query(include_str!("sql/read_words.sql")).bind(positions).fetch_all(&self.pool).await?;
        rows.iter().map(sealed).collect()
    }

    /// What keys of the owner's before `generation` sealed of its words: of up to `limit` events behind `after`. With it
    /// comes where the last of these events stands; none when there is none.
    pub async fn sealed_before(
        &self,
        owner: OwnerId,
        generation: u32,
        after: Position,
        limit: usize,
    ) -> Result<Option<(Position, Vec<Piece>)>, sqlx::Error> {
        let rows = sqlx::query(include_str!("sql/sealed_before.sql"))
            .bind(owner.0)
            .bind(generation.cast_signed())
            .bind(after.0)
            .bind(bounded(limit))
            .fetch_all(&self.pool)
            .await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let last = Position(last.try_get("position")?);
        let mut pieces = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(part) = row.try_get::<Option<i16>, _>("part")? else { continue };
            pieces.push(Piece {
                position: Position(row.try_get("position")?),
                part: u8::try_from(part).unwrap_or(u8::MAX),
                subject: SubjectId(row.try_get("subject_id")?),
                generation: row.try_get::<i32, _>("generation")?.cast_unsigned(),
                nonce: nonce(row)?,
            });
        }
        Ok(Some((last, pieces)))
    }

    /// The newest position.
    pub async fn head(&self) -> Result<Position, sqlx::Error> {
        head(&self.pool).await
    }

    /// How far it has come.
    pub async fn reach(&self) -> Result<Reach, sqlx::Error> {
        let (head, erased) = sqlx::query_as(include_str!("sql/reach.sql")).fetch_one(&self.pool).await?;
        Ok(Reach { head: Position(head), erased: Position(erased) })
    }
}

/// How far the log has come, as one statement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The newest position.
    pub head: Position,
    /// The newest event that took words away.
    pub erased: Position,
}

/// The newest position.
pub async fn head(executor: impl PgExecutor<'_>) -> Result<Position, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/head.sql")).fetch_one(executor).await.map(Position)
}

pub(super) async fn range(
    executor: impl PgExecutor<'_>,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, sqlx::Error> {
    let rows =
        sqlx::query(include_str!("sql/read_range.sql")).bind(after.0).bind(bounded(limit)).fetch_all(executor).await?;
    in_order(&rows, after)
}

/// Events as they follow one another from `after` on.
fn in_order(rows: &[PgRow], after: Position) -> Result<Vec<Recorded>, sqlx::Error> {
    let events = rows.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
    let mut expected = after;
    for event in &events {
        expected = expected.next();
        if event.position != expected {
            return Err(damaged(&format!("position {expected} is missing: after it comes {}", event.position)));
        }
    }
    Ok(events)
}

/// Which ledger the database holds, and which of its histories is being written.
pub async fn identity(executor: impl PgExecutor<'_>) -> Result<Identity, sqlx::Error> {
    let row = sqlx::query(include_str!("sql/identity.sql")).fetch_one(executor).await?;
    Ok(Identity {
        ledger: LedgerId(row.try_get("ledger")?),
        origin: row.try_get("origin")?,
        history: HistoryId(row.try_get("history")?),
    })
}

/// A log that is not what a log must be. It travels as a decoding error, for that is what it is: unreadable.
pub(super) fn damaged(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the log is damaged: {what}; run `convoledger verify`").into())
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The columns of an event, in the order in which every statement that reads events lists them.
const COLUMNS: [&str; 21] = [
    "position",
    "recorded_at",
    "occurred_at",
    "owner_id",
    "id",
    "stream_id",
    "command_id",
    "actor_id",
    "correlation_id",
    "causation_id",
    "version",
    "segment",
    "depth",
    "kind_version",
    "command_nth",
    "kind",
    "body",
    "command_digest",
    "words_digest",
    "leaf",
    "reduced",
];

/// An event out of a row that has its columns, other columns before or behind them. Only the first is looked for by name:
/// for all of them it would take as long as the rest.
pub(crate) fn recorded(row: &PgRow) -> Result<Recorded, sqlx::Error> {
    let first = row.try_column(COLUMNS[0])?.ordinal();
    debug_assert!(
        row.columns()[first..].iter().map(Column::name).take(COLUMNS.len()).eq(COLUMNS),
        "events are read column by column in their one order"
    );
    let mut columns = first..;
    let mut next = || columns.next().unwrap_or_default();
    let position = Position(row.try_get(next())?);
    let recorded_at: DateTime<Utc> = row.try_get(next())?;
    let occurred_at: DateTime<Utc> = row.try_get(next())?;
    let owner = OwnerId(row.try_get(next())?);
    let id = EventId(row.try_get(next())?);
    let stream = StreamId(row.try_get(next())?);
    let command = CommandId(row.try_get(next())?);
    let actor = AccountId(row.try_get(next())?);
    let correlation: Option<Uuid> = row.try_get(next())?;
    let causation: Option<Uuid> = row.try_get(next())?;
    let version = Version(row.try_get(next())?);
    let segment: Option<i32> = row.try_get(next())?;
    let depth: Option<i32> = row.try_get(next())?;
    let kind_version = row.try_get(next())?;
    let command_nth = row.try_get(next())?;
    let kind = row.try_get(next())?;
    let body: Value = row.try_get(next())?;
    let command_digest: Option<&[u8]> = row.try_get(next())?;
    let words_digest: Option<Vec<u8>> = row.try_get(next())?;
    let leaf: &[u8] = row.try_get(next())?;
    let reduced: Option<i64> = row.try_get(next())?;
    Ok(Recorded {
        position,
        version,
        recorded_at,
        leaf: leaf.try_into().map_err(|_| damaged("leaf is not 32 bytes"))?,
        reduced: reduced.map(Position),
        fact: Fact {
            owner,
            stream,
            id,
            command,
            command_nth,
            command_digest: command_digest.and_then(|digest| digest.try_into().ok()),
            actor,
            correlation,
            causation: causation.map(EventId),
            occurred_at,
            kind,
            kind_version,
            place: segment.zip(depth).map(|(segment, depth)| Place { segment: Segment(segment), depth: Depth(depth) }),
            body,
            words_digest: words_digest.unwrap_or_default(),
        },
    })
}

pub(crate) fn sealed(row: &PgRow) -> Result<(Position, Sealed), sqlx::Error> {
    let sealed = Sealed {
        part: u8::try_from(row.try_get::<i16, _>("part")?).unwrap_or(u8::MAX),
        subject: SubjectId(row.try_get("subject_id")?),
        generation: u32::try_from(row.try_get::<i32, _>("generation")?).unwrap_or_default(),
        nonce: nonce(row)?,
        ciphertext: row.try_get("ciphertext")?,
    };
    Ok((Position(row.try_get("position")?), sealed))
}

fn nonce(row: &PgRow) -> Result<[u8; 24], sqlx::Error> {
    let nonce: &[u8] = row.try_get("nonce")?;
    nonce.try_into().map_err(|_| damaged("a nonce is not 24 bytes"))
}
