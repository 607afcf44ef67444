//! Branches: named pointers to the tip of a path.

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime, Utc};

use super::asker::{Asker, shared};
use super::id::Name;
use super::loader::{BranchAt, PathCost, Then};
use super::message::{self, Message};
use super::scalar::Decimal;
use crate::event::{BranchNumber, ConversationId, Event, Position, Private};
use crate::view::branch::BranchRow;

/// A branch as it was at a moment.
#[derive(Clone)]
pub struct Branch {
    pub row: BranchRow,
    pub at: Position,
}

/// A path through a conversation, from a root to a tip.
#[Object]
impl Branch {
    pub async fn id(&self, context: &Context<'_>) -> ID {
        Name::Branch(Asker::of(context).actor.owner(), self.row.conversation, self.row.number).id()
    }

    /// `main` is the first; one that nobody named is called by its number.
    async fn name(&self, context: &Context<'_>) -> Result<String> {
        self.called(&Asker::of(context)).await
    }

    /// The message below which it began.
    async fn forked_from(&self, context: &Context<'_>) -> Result<Option<Message>> {
        match self.row.forked_from {
            Some(place) => message::standing(&Asker::of(context), self.row.conversation, place, self.at).await,
            None => Ok(None),
        }
    }

    /// Its newest message; null while it is empty. While nothing was said on it in a conversation that goes on from another,
    /// the message of that one.
    async fn tip(&self, context: &Context<'_>) -> Result<Option<Message>> {
        match self.row.end() {
            Some((conversation, place)) => message::standing(&Asker::of(context), conversation, place, self.at).await,
            None => Ok(None),
        }
    }

    /// The messages on its path, hidden ones included.
    async fn message_count(&self) -> i32 {
        i32::try_from(self.row.message_count()).unwrap_or(i32::MAX)
    }

    /// The known costs of its whole path.
    async fn cost_usd(&self, context: &Context<'_>) -> Result<Option<Decimal>> {
        let path = Then::new(PathCost(self.row.conversation, self.row.number), self.at);
        Ok(Asker::of(context).loader.load_one(path).await.map_err(shared)?.map(Decimal))
    }

    /// The known costs of what was appended to it, without what it shares with where it forked.
    async fn own_cost_usd(&self) -> Option<Decimal> {
        self.row.own_cost_usd.map(Decimal)
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at
    }

    async fn preferred(&self) -> bool {
        self.row.preferred
    }

    /// Put aside: it takes no more messages until it is resumed.
    async fn abandoned(&self) -> bool {
        self.row.abandoned
    }
}

impl Branch {
    pub async fn called(&self, asker: &Asker<'_>) -> Result<String> {
        let numbered =
            || if self.row.number == BranchNumber::MAIN { "main".to_owned() } else { self.row.number.to_string() };
        let Some((at, _)) = self.row.name else { return Ok(numbered()) };
        let opened = asker.loader.load_one(at).await.map_err(shared)?;
        let name = opened.map(|opened| match &opened.event {
            Event::BranchCreated(created) => created.name.clone(),
            Event::BranchRenamed(renamed) => renamed.name.clone(),
            _ => Private::Forgotten,
        });
        Ok(name.and_then(Private::known).unwrap_or_else(numbered))
    }
}

/// One branch of the asker's as it was at `at`, if it was there.
pub async fn one(
    asker: &Asker<'_>,
    (conversation, number): (ConversationId, BranchNumber),
    at: Position,
) -> Result<Option<Branch>> {
    let row = asker.loader.load_one(Then::new(BranchAt(conversation, number), at)).await.map_err(shared)?;
    Ok(row.map(|row| Branch { row, at }))
}
