//! Why a value of a conversation is what it is.

use super::{Actor, Opened, Service, Trouble};
use crate::event::{ConversationId, Version};
use crate::ledger::Happened;
use crate::ledger::why::{Reasons, Value};

/// Events in one read.
const PAGE: usize = 1_000;

impl Service {
    /// The event that set a value of a conversation last, among those up to version `to`; none when nothing ever did, or
    /// the actor has no such conversation.
    pub async fn why(
        &self,
        actor: Actor,
        conversation: ConversationId,
        value: Value,
        to: Version,
    ) -> Result<Option<Opened>, Trouble> {
        let mut reasons = Reasons::default();
        loop {
            let version = reasons.state().version;
            let page = usize::try_from(to.0 - version.0).unwrap_or_default().min(PAGE);
            let events = self.log.read_stream(actor.owner(), conversation.into(), version, page).await?;
            for recorded in &events {
                reasons.take(&Happened { occurred_at: recorded.fact.occurred_at, event: recorded.event()? });
            }
            if page == 0 || events.len() < page {
                break;
            }
        }
        let Some(version) = reasons.of(value) else { return Ok(None) };
        let event = self.missed(actor, conversation, Version(version.0 - 1), 1).await?;
        Ok(event.into_iter().next())
    }
}
