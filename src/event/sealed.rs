//! Words as they lie in the log: sealed, one row a part.

use super::{Position, SubjectId};

/// One part of an event's words, sealed under a key of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub part: u8,
    pub subject: SubjectId,
    /// Which of the subject's keys; 1 is the first.
    pub generation: u32,
    pub nonce: [u8; 24],
    pub ciphertext: Vec<u8>,
}

/// A sealed part that lies in the log, without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub position: Position,
    pub part: u8,
    pub subject: SubjectId,
    /// Of the key that sealed it.
    pub generation: u32,
    pub nonce: [u8; 24],
}

impl Piece {
    #[must_use]
    pub const fn of(position: Position, sealed: &Sealed) -> Self {
        let &Sealed { part, subject, generation, nonce, .. } = sealed;
        Self { position, part, subject, generation, nonce }
    }
}
