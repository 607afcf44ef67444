//! Words in the clear, on their way into the rows of an opened projection. Who may open them lives above: the fold only
//! asks.

use std::fmt;

use futures::future::BoxFuture;

use super::Strand;
use crate::event::Position;

/// What was said in a range of events and can be opened, as the three arrays that an opened projection's `apply.sql`
/// takes. Words that were forgotten are not in it.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Said {
    /// $3: where each was said.
    pub positions: Vec<i64>,
    /// $4: which part of the event's words it is.
    pub parts: Vec<i16>,
    /// $5: as plain text, without NUL, which Postgres cannot hold.
    pub texts: Vec<String>,
    /// The newest event that took words away when these were opened: behind a later one they are not folded any more.
    pub erased: Position,
}

impl Said {
    pub fn push(&mut self, position: Position, part: u8, text: &str) {
        self.positions.push(position.0);
        self.parts.push(part.into());
        self.texts.push(text.replace('\0', "\u{fffd}"));
    }
}

/// Counts alone: words belong in no log.
impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}

/// Why words could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// The words themselves are at fault: a smaller range finds out which.
    #[error("{0}")]
    Damaged(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Opens words for a fold.
pub trait Opener: Send + Sync + 'static {
    /// What was said in the events of (`after`, `last`] that are of the strand.
    fn said(&self, strand: Strand, after: Position, last: Position) -> BoxFuture<'_, Result<Said, Unopened>>;
}

/// Opens nothing: for projections that are folded from facts alone.
pub struct Closed;

impl Opener for Closed {
    fn said(&self, _strand: Strand, _after: Position, _last: Position) -> BoxFuture<'_, Result<Said, Unopened>> {
        Box::pin(async { Err(Unopened::Damaged("no keys are at hand".into())) })
    }
}
