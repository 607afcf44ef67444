//! Conversations of an archive that expired: what is left of them is what the event says that let them expire.

use std::collections::HashMap;

use super::line::{Line, Unsound};
use crate::event::{ConversationExpired, OwnerId, Payload as _, Position, StreamId};
use crate::log::digest;
use crate::proof::Hash;

/// Those that were begun, and whose expiry was not met yet.
#[derive(Debug)]
pub struct Expiries {
    /// Whether conversations are in it from their first event to their last. Of others it cannot be told.
    whole: bool,
    begun: HashMap<(OwnerId, StreamId), Left>,
}

#[derive(Debug)]
struct Left {
    by: Position,
    digests: Vec<Hash>,
}

impl Expiries {
    #[must_use]
    pub fn new(whole: bool) -> Self {
        Self { whole, begun: HashMap::new() }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If it is not as its expiry left it, or is that expiry and says otherwise.
    pub fn take(&mut self, line: &Line) -> Result<(), Unsound> {
        let (wrong, key) = (Unsound::Expired(line.position), (line.owner, line.stream));
        if let Some(by) = line.expired {
            let fact = line.fact().ok_or(Unsound::Form(line.position))?;
            let left = match line.version.0 {
                1 => Some(self.begun.entry(key).or_insert(Left { by, digests: Vec::new() })),
                _ => self.begun.get_mut(&key).filter(|left| left.by == by),
            };
            return match left {
                Some(left) => {
                    left.digests.push(digest::event(&fact));
                    Ok(())
                }
                None if self.whole => Err(wrong),
                None => Ok(()),
            };
        }
        let Some(left) = self.begun.remove(&key) else { return Ok(()) };
        let said: Option<ConversationExpired> = (line.kind == ConversationExpired::KIND && left.by == line.position)
            .then(|| serde_json::from_value(line.facts.clone()).ok())
            .flatten();
        let same = said.is_some_and(|said| said.left == hex::encode(digest::left(&left.digests)));
        if same { Ok(()) } else { Err(wrong) }
    }

    /// That was all.
    ///
    /// # Errors
    /// If a conversation is without facts, and its expiry is not there.
    pub fn end(&self) -> Result<(), Unsound> {
        let first = self.begun.values().map(|left| left.by).min();
        first.filter(|_| self.whole).map_or(Ok(()), |by| Err(Unsound::Expired(by)))
    }
}
