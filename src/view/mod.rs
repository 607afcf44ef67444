//! Typed reads. Each is one statement, so what it answers is of one moment; each takes the owner whose rows it reads.
//!
//! Rows hold facts, and words as they were sealed: opening them is the service's business.
//!
//! What can be read as of another moment takes the position that the log had come to then, or [`Position::LATEST`](crate::event::Position::LATEST).

/// The text of a statement that reads things as of a moment. Of the present it is read by functions of other names that look
/// no further than the rows at hand (`projections/conversation/as_of.sql`).
macro_rules! as_of {
    ($file:literal, $at:expr) => {{
        static NOW: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| include_str!($file).replace("_at(", "_now("));
        if $at == $crate::event::Position::LATEST { NOW.as_str() } else { include_str!($file) }
    }};
}

pub mod audit;
pub mod branch;
pub mod conversation;
pub mod event;
pub mod message;
pub mod moment;
pub mod search;
pub mod snapshot;
pub mod timeline;
pub mod usage;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::event::{ConversationId, Depth, Place, Position, Segment};

/// Which part of a list is asked for: what lies between two keys, cut from one end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slice<Key> {
    /// Only what comes after this.
    pub after: Option<Key>,
    /// Only what comes before this.
    pub before: Option<Key>,
    pub cut: Cut,
}

/// How many are asked for, at most, and from which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    First(u32),
    Last(u32),
}

impl<Key> Slice<Key> {
    pub const fn first(count: u32) -> Self {
        Self { after: None, before: None, cut: Cut::First(count) }
    }

    pub const fn last(count: u32) -> Self {
        Self { after: None, before: None, cut: Cut::Last(count) }
    }

    #[must_use]
    pub fn after(mut self, key: Key) -> Self {
        self.after = Some(key);
        self
    }

    #[must_use]
    pub fn before(mut self, key: Key) -> Self {
        self.before = Some(key);
        self
    }
}

/// What a [`Slice`] holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<Row> {
    pub rows: Vec<Row>,
    pub has_next: bool,
    pub has_previous: bool,
    /// How many there are in all; none when that was not asked for.
    pub total: Option<u64>,
}

/// What was found of the log, and which was the newest event by then that took words away: what was opened behind that one may
/// be shown as it was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<Rows> {
    pub erased: Position,
    pub rows: Rows,
}

impl<Rows> Seen<Rows> {
    /// What these rows say, each of which says when it was.
    fn of(found: &[PgRow], rows: Rows) -> Result<Self, sqlx::Error> {
        let erased = found.first().map(|row| row.try_get("erased")).transpose()?;
        Ok(Self { erased: Position(erased.unwrap_or_default()), rows })
    }

    /// Of rows that find no words, there are none to go.
    pub const fn wordless(rows: Rows) -> Self {
        Self { erased: Position(0), rows }
    }

    pub fn transpose(seen: Option<Self>) -> Seen<Option<Rows>> {
        match seen {
            Some(Self { erased, rows }) => Seen { erased, rows: Some(rows) },
            None => Seen::wordless(None),
        }
    }
}

/// A place that may be missing, from its two columns.
fn place(row: &PgRow, segment: &str, depth: &str) -> Result<Option<Place>, sqlx::Error> {
    let segment: Option<i32> = row.try_get(segment)?;
    let depth: Option<i32> = row.try_get(depth)?;
    Ok(segment.zip(depth).map(|(segment, depth)| Place { segment: Segment(segment), depth: Depth(depth) }))
}

/// The message of another conversation below which one goes on.
fn from(row: &PgRow) -> Result<Option<(ConversationId, Place)>, sqlx::Error> {
    let id: Option<Uuid> = row.try_get("from_id")?;
    Ok(id.map(ConversationId).zip(place(row, "from_segment", "from_depth")?))
}

/// A count that SQL keeps signed.
fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(|count| u64::try_from(count).unwrap_or_default())
}

/// A row that cannot be what the projection writes.
fn unexpected(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
