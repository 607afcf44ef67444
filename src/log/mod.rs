//! The append-only log in Postgres. It holds facts in the clear and words sealed; it never sees plaintext.
//!
//! Data flows one way: [`Log::append`] through the group-commit [`appender`] and the [`lane`] into `event` and `words`; out
//! again through [`read`] and the [`tail`], both of which check that positions are dense; [`verify`] computes every digest
//! again, and the [`tree`] over them is what strangers are shown.

mod append;
mod appender;
mod bell;
pub mod digest;
mod expiry;
mod exports;
mod forget;
mod lane;
pub mod read;
mod retention;
pub mod tail;
pub mod tree;
pub mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

pub use append::{Answer, Append, AppendError, Appended, Expected, NewEvent, Target};
pub use appender::Limits;
pub use digest::Hash;
use forget::ERASING;
pub use forget::erased;
pub use read::Reach;
pub use retention::{Rested, Span};
pub use tail::{Batch, Live};

use crate::event::{
    AccountId, CommandId, Event, EventId, HistoryId, LedgerId, OwnerId, Place, Position, StreamId, Unreadable, Version,
};

/// All of an event that is known before the lane gives it its place; what the event digest covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub owner: OwnerId,
    pub stream: StreamId,
    pub id: EventId,
    pub command: CommandId,
    /// Which event of its command, from 0.
    pub command_nth: i16,
    /// On the first event of a command that its caller named.
    pub command_digest: Option<[u8; 16]>,
    pub actor: AccountId,
    pub correlation: Option<Uuid>,
    pub causation: Option<EventId>,
    pub occurred_at: DateTime<Utc>,
    pub kind: String,
    pub kind_version: i16,
    pub place: Option<Place>,
    pub body: Value,
    /// See [`digest::words_column`]; empty when the event has no words.
    pub words_digest: Vec<u8>,
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub position: Position,
    pub version: Version,
    pub recorded_at: DateTime<Utc>,
    pub leaf: Hash,
    /// The event that took its body away, or all of it but money; none while it is whole.
    pub reduced: Option<Position>,
    pub fact: Fact,
}

impl Recorded {
    /// The event itself, its words still sealed.
    pub fn event(&self) -> Result<Event, Unreadable> {
        if self.reduced.is_some() {
            return Err(Unreadable::Expired { kind: self.fact.kind.clone() });
        }
        let version = u16::try_from(self.fact.kind_version).unwrap_or_default();
        Event::read(&self.fact.kind, version, self.fact.id, self.fact.place, &self.fact.body)
    }
}

/// Which ledger this is, and which of its histories is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub ledger: LedgerId,
    /// What checkpoints call it.
    pub origin: String,
    pub history: HistoryId,
}

/// A log that is open for appending and reading. Cheap to clone; all clones share one appender and one tail.
#[derive(Clone)]
pub struct Log {
    pool: PgPool,
    identity: Identity,
    appender: appender::Appender,
    tail: tail::Tail,
    /// The newest event of this process that took words away.
    erased: Arc<AtomicI64>,
}

impl Log {
    /// Opens the log behind `pool` and starts its appender and tail. `lane` is a pool for appending alone.
    pub async fn open(pool: PgPool, lane: PgPool, limits: Limits) -> Result<Self, sqlx::Error> {
        let identity = read::identity(&pool).await?;
        let tail = tail::Tail::start(pool.clone()).await?;
        let appender = appender::Appender::start(lane, limits, tail.bell());
        Ok(Self { pool, identity, appender, tail, erased: Arc::default() })
    }

    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Appends a command: all of its events or none. It waits in a bounded queue and is written with its neighbours.
    ///
    /// Dropping the future cancels nothing: what was queued is written.
    pub async fn append(&self, append: Append) -> Result<Answer, AppendError> {
        let erases = append.targets.iter().flat_map(|target| &target.events).any(|event| ERASING.contains(&event.kind));
        let answer = self.appender.append(append).await;
        if let Ok(Answer::Appended(appended)) = &answer
            && erases
        {
            self.erased.fetch_max(appended.last.0, Ordering::SeqCst);
        }
        answer
    }

    /// The newest event that this process appended and that took words away.
    #[must_use]
    pub fn erased_here(&self) -> Position {
        Position(self.erased.load(Ordering::SeqCst))
    }

    pub const fn tail(&self) -> &tail::Tail {
        &self.tail
    }

    /// Writes what is queued, refuses what comes later, and ends.
    pub async fn close(&self) {
        self.appender.close().await;
        self.tail.close().await;
    }
}
