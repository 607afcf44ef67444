//! What is done to views by hand. These events belong to the ledger itself: its id is their owner, subject and stream.

use serde::{Deserialize, Serialize};

use super::{Payload, Position, Private, Words, unseal};

/// A view was told to leave an event out that it cannot fold, now and in every rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionSkipped {
    pub projection: String,
    pub position: Position,
    #[serde(skip)]
    pub reason: Private<String>,
}

impl Payload for ProjectionSkipped {
    const KIND: &'static str = "projection.skipped";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.reason).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.reason = unseal(words)?;
        Ok(())
    }
}
