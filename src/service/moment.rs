//! Moments: as of when something is read. Whatever says when, it is a position in the end, and what is read as of it is what
//! the log amounts to up to there.

use chrono::{DateTime, Utc};

use super::{Actor, CONVERSATION, Service, Trouble};
use crate::event::{ConversationId, Position, Version};
use crate::view::{conversation, moment};

/// When something is to be read as of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Of the conversation that is read.
    Version(Version),
    Position(Position),
    /// What was recorded by then.
    Recorded(DateTime<Utc>),
    /// What had happened to the conversation by then, in its own time: up to the first of its events that happened later.
    Occurred(DateTime<Utc>),
}

/// A moment that there is not, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMoment {
    #[error("the log has not come to position {position} yet, but to {head}; ask for one up to there")]
    AheadOfLog { position: Position, head: Position },
    #[error("the conversation has no version {version}; its newest is {newest}")]
    NoVersion { version: Version, newest: Version },
    #[error("a version and a conversation's own time are of one conversation; give a position or a time")]
    OfOneConversation,
    #[error("{given} lies before the first; count from 1")]
    BeforeFirst { given: i64 },
}

impl Service {
    /// The position that `as_of` means for `conversation`, or for everything when none is named; 0 before anything was.
    ///
    /// # Errors
    /// If there is no such moment ([`Trouble::Moment`]).
    pub async fn moment(
        &self,
        actor: Actor,
        conversation: Option<ConversationId>,
        as_of: AsOf,
    ) -> Result<Position, Trouble> {
        match (as_of, conversation) {
            (AsOf::Position(position), _) => {
                if position.0 < 1 {
                    return Err(NoMoment::BeforeFirst { given: position.0 }.into());
                }
                // What this process knows may be a moment old.
                let known = *self.log.tail().head().borrow();
                let head = if position > known { self.log.head().await? } else { known };
                if position > head { Err(NoMoment::AheadOfLog { position, head }.into()) } else { Ok(position) }
            }
            (AsOf::Recorded(time), _) => Ok(moment::recorded_by(&self.pool, time).await?),
            (AsOf::Version(version), Some(conversation)) => self.versioned(actor, conversation, version).await,
            (AsOf::Occurred(time), Some(conversation)) => {
                let position = conversation::by_own_time(&self.pool, actor.owner(), conversation, time).await?;
                Ok(position.unwrap_or_default())
            }
            (AsOf::Version(_) | AsOf::Occurred(_), None) => Err(NoMoment::OfOneConversation.into()),
        }
    }

    /// The version that a conversation had at `at`; 0 before it began.
    pub async fn version_at(
        &self,
        actor: Actor,
        conversation: ConversationId,
        at: Position,
    ) -> Result<Version, Trouble> {
        self.caught_up(actor, CONVERSATION, Some(at)).await?;
        let rows = conversation::by_ids(&self.pool, actor.owner(), &[conversation], at).await?;
        Ok(rows.first().map(|row| row.version).unwrap_or_default())
    }

    async fn versioned(
        &self,
        actor: Actor,
        conversation: ConversationId,
        version: Version,
    ) -> Result<Position, Trouble> {
        if version.0 < 1 {
            return Err(NoMoment::BeforeFirst { given: version.0.into() }.into());
        }
        let (owner, stream) = (actor.owner(), conversation.into());
        if let Some(position) = self.position_of(owner, conversation, version) {
            return Ok(position);
        }
        let before = Version(version.0 - 1);
        if let Some(event) = self.log.read_stream(owner, stream, before, 1).await?.first() {
            return Ok(event.position);
        }
        match conversation::by_ids(&self.pool, owner, &[conversation], Position::LATEST).await?.first() {
            Some(row) => Err(NoMoment::NoVersion { version, newest: row.version }.into()),
            // A conversation that is not there: nothing was.
            None => Ok(Position::default()),
        }
    }
}
