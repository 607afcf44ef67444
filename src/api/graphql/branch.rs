//! Branches: named pointers to the tip of a path.

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime, Utc};

use super::asker::{Asker, shared};
use super::id::Name;
use super::loader::{BranchAt, MessageAt, PathCost};
use super::message::Message;
use super::scalar::Decimal;
use crate::event::{BranchNumber, ConversationId, Event, Place, Private};
use crate::view::branch::BranchRow;

#[derive(Clone)]
pub struct Branch(pub BranchRow);

/// A path through a conversation, from a root to a tip.
#[Object]
impl Branch {
    pub async fn id(&self, context: &Context<'_>) -> ID {
        Name::Branch(Asker::of(context).actor.owner(), self.0.conversation, self.0.number).id()
    }

    /// `main` is the first; one that nobody named is called by its number.
    async fn name(&self, context: &Context<'_>) -> Result<String> {
        self.called(&Asker::of(context)).await
    }

    /// The message below which it began.
    async fn forked_from(&self, context: &Context<'_>) -> Result<Option<Message>> {
        self.at(context, self.0.forked_from).await
    }

    /// Its newest message; null while it is empty.
    async fn tip(&self, context: &Context<'_>) -> Result<Option<Message>> {
        self.at(context, self.0.tip).await
    }

    /// The messages on its path, hidden ones included.
    async fn message_count(&self) -> i32 {
        i32::try_from(self.0.message_count()).unwrap_or(i32::MAX)
    }

    /// The known costs of its whole path.
    async fn cost_usd(&self, context: &Context<'_>) -> Result<Option<Decimal>> {
        let path = PathCost(self.0.conversation, self.0.number);
        Ok(Asker::of(context).loader.load_one(path).await.map_err(shared)?.map(Decimal))
    }

    /// The known costs of what was appended to it, without what it shares with where it forked.
    async fn own_cost_usd(&self) -> Option<Decimal> {
        self.0.own_cost_usd.map(Decimal)
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn preferred(&self) -> bool {
        self.0.preferred
    }
}

impl Branch {
    pub async fn called(&self, asker: &Asker<'_>) -> Result<String> {
        let numbered =
            || if self.0.number == BranchNumber::MAIN { "main".to_owned() } else { self.0.number.to_string() };
        let Some((at, _)) = self.0.name else { return Ok(numbered()) };
        let opened = asker.loader.load_one(at).await.map_err(shared)?;
        let name = opened.map(|opened| match opened.event {
            Event::BranchCreated(created) => created.name,
            Event::BranchRenamed(renamed) => renamed.name,
            _ => Private::Forgotten,
        });
        Ok(name.and_then(Private::known).unwrap_or_else(numbered))
    }

    async fn at(&self, context: &Context<'_>, place: Option<Place>) -> Result<Option<Message>> {
        let Some(place) = place else { return Ok(None) };
        let at = MessageAt(self.0.conversation, place);
        Ok(Asker::of(context).loader.load_one(at).await.map_err(shared)?.map(Message))
    }
}

/// One branch of the asker's, if it is there.
pub async fn one(asker: &Asker<'_>, (conversation, number): (ConversationId, BranchNumber)) -> Result<Option<Branch>> {
    Ok(asker.loader.load_one(BranchAt(conversation, number)).await.map_err(shared)?.map(Branch))
}
