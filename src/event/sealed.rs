//! Words as they lie in the log: sealed, one row a part.

use super::SubjectId;

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
