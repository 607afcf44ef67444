//! Why a value of a conversation is what it is.

use super::{Actor, Opened, Service, Trouble};
use crate::event::{ConversationId, Position, Version};
use crate::ledger::Happened;
use crate::ledger::why::{Reasons, Value};

/// Events in one read.
const PAGE: usize = 1_000;

impl Service {
    /// The event that had set a value of a conversation last as of `at`; none when nothing ever did, or the actor has no
    /// such conversation.
    pub async fn why(
        &self,
        actor: Actor,
        conversation: ConversationId,
        value: Value,
        at: Position,
    ) -> Result<Option<Opened>, Trouble> {
        let mut reasons = Reasons::default();
        loop {
            let version = reasons.state().version;
            let mut events = self.log.read_stream(actor.owner(), conversation.into(), version, PAGE).await?;
            let read = events.len();
            events.retain(|recorded| recorded.position <= at);
            if events.iter().any(|recorded| recorded.reduced.is_some()) {
                return Ok(None); // it expired
            }
            for recorded in &events {
                reasons.take(&Happened { occurred_at: recorded.fact.occurred_at, event: recorded.event()? });
            }
            if events.len() < PAGE || events.len() < read {
                break;
            }
        }
        let Some(version) = reasons.of(value) else { return Ok(None) };
        let event = self.missed(actor, conversation, Version(version.0 - 1), 1).await?;
        Ok(event.into_iter().next())
    }
}
