//! Messages: what was said, where it stands, and what was thought of it.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::account::Account;
use super::as_of;
use super::asker::{Asker, bad_input, problem, shared, trouble};
use super::branch::{self, Branch};
use super::conversation::{self, Conversation, big};
use super::cursor::{At, Mark, NoCursor};
use super::id::Name;
use super::loader::{Below, MessageAt, Then};
use super::page::{Window, connection};
use super::part::ContentPart;
use super::scalar::{BigInt, Decimal};
use crate::event::{
    self, BranchNumber, ConversationId, Depth, Event, MessageAppended, MessageId, Place, Position, Private,
};
use crate::service;

/// A message, and what was thought of it by a moment.
#[derive(Clone)]
pub struct Message {
    pub message: service::Message,
    pub at: Position,
}

connection!(MessageConnection, MessageEdge, Message);

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Role")]
pub enum Role {
    User,
    Assistant,
    System,
    Developer,
    Tool,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Rating")]
pub enum Rating {
    Up,
    Down,
}

/// Tokens as the provider counted them; null is unknown, which is not zero.
#[derive(SimpleObject, Clone)]
pub struct Usage {
    pub input: Option<BigInt>,
    pub output: Option<BigInt>,
    pub cache_read: Option<BigInt>,
    /// Written to a cache that lives five minutes.
    #[graphql(name = "cacheWrite5m")]
    pub cache_write_5m: Option<BigInt>,
    /// Written to a cache that lives an hour.
    #[graphql(name = "cacheWrite1h")]
    pub cache_write_1h: Option<BigInt>,
    /// Output tokens spent on reasoning; a part of `output`.
    pub reasoning: Option<BigInt>,
}

/// Tokens as the provider counted them. Leave out what is unknown.
#[derive(InputObject)]
pub struct UsageInput {
    pub input: Option<BigInt>,
    pub output: Option<BigInt>,
    pub cache_read: Option<BigInt>,
    #[graphql(name = "cacheWrite5m")]
    pub cache_write_5m: Option<BigInt>,
    #[graphql(name = "cacheWrite1h")]
    pub cache_write_1h: Option<BigInt>,
    pub reasoning: Option<BigInt>,
}

/// A message of a conversation.
#[Object]
impl Message {
    pub async fn id(&self) -> ID {
        Name::Message(self.message.opened.recorded.fact.owner, self.message.id()).id()
    }

    async fn conversation(&self, context: &Context<'_>) -> Result<Conversation> {
        let conversation = conversation::one(&Asker::of(context), self.message.conversation(), self.at).await?;
        conversation.ok_or_else(|| "the conversation of a message is missing from its view".into())
    }

    /// The branch that it was appended to.
    async fn branch(&self, context: &Context<'_>) -> Result<Branch> {
        let number = self.said()?.branch;
        let branch = branch::one(&Asker::of(context), (self.message.conversation(), number), self.at).await?;
        branch.ok_or_else(|| "the branch of a message is missing from its view".into())
    }

    /// Null for a root.
    async fn parent(&self, context: &Context<'_>) -> Result<Option<Self>> {
        match self.message.parent {
            Some(parent) => standing(&Asker::of(context), self.message.conversation(), parent, self.at).await,
            None => Ok(None),
        }
    }

    /// Its alternatives: edits and regenerations, eldest first, itself included.
    #[graphql(complexity = "5 * child_complexity")]
    async fn siblings(&self, context: &Context<'_>) -> Result<Vec<Self>> {
        let below = Then::new(Below(self.message.conversation(), self.message.parent), self.at);
        let siblings = Asker::of(context).loader.load_one(below).await.map_err(shared)?;
        Ok(siblings.unwrap_or_default().into_iter().map(|message| Self { message, at: self.at }).collect())
    }

    /// The message that it is, when it was grafted onto this conversation: its words are that one's, and what it cost was
    /// charged there.
    async fn origin(&self, context: &Context<'_>) -> Result<Option<Self>> {
        match self.said()?.origin {
            Some(origin) => one(&Asker::of(context), origin.message, Position::LATEST).await,
            None => Ok(None),
        }
    }

    /// How many messages lead to it, itself included.
    async fn depth(&self) -> i32 {
        self.message.place.depth.0
    }

    async fn role(&self) -> Result<Role> {
        Ok(self.said()?.role.into())
    }

    /// Its text parts, a blank line between them; null when it has none, and once they are forgotten.
    async fn text(&self) -> Result<Option<String>> {
        Ok(match &self.said()?.parts {
            Private::Known(parts) => event::part::text_of(parts),
            Private::Forgotten => None,
        })
    }

    /// All that it says; empty once it is forgotten.
    async fn parts(&self) -> Result<Vec<ContentPart>> {
        let parts = self.said()?.parts.clone().known().unwrap_or_default();
        Ok(parts.into_iter().map(ContentPart::from).collect())
    }

    /// Its words are gone; the facts stay.
    async fn forgotten(&self) -> bool {
        self.message.opened.forgotten
    }

    async fn hidden(&self) -> bool {
        self.message.hidden
    }

    async fn author(&self) -> Option<Account> {
        Some(Account(self.message.opened.recorded.fact.actor))
    }

    async fn model(&self) -> Result<Option<&str>> {
        Ok(self.said()?.model.as_deref())
    }

    async fn provider(&self) -> Result<Option<&str>> {
        Ok(self.said()?.provider.as_deref())
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        Ok(self.said()?.usage.map(|usage| Usage {
            input: usage.input.map(big),
            output: usage.output.map(big),
            cache_read: usage.cache_read.map(big),
            cache_write_5m: usage.cache_write_5m.map(big),
            cache_write_1h: usage.cache_write_1h.map(big),
            reasoning: usage.reasoning.map(big),
        }))
    }

    /// Null is unknown, which is not zero.
    async fn cost_usd(&self) -> Result<Option<Decimal>> {
        Ok(self.said()?.cost_usd.map(Decimal))
    }

    async fn latency_ms(&self) -> Result<Option<i32>> {
        Ok(self.said()?.latency_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)))
    }

    async fn finish_reason(&self) -> Result<Option<&str>> {
        Ok(self.said()?.finish_reason.as_deref())
    }

    async fn rating(&self) -> Option<Rating> {
        self.message.rating.map(Rating::from)
    }

    /// What was said with the rating.
    async fn rating_comment(&self, context: &Context<'_>) -> Result<Option<String>> {
        let Some(at) = self.message.comment_at else { return Ok(None) };
        let opened = Asker::of(context).loader.load_one(at).await.map_err(shared)?;
        Ok(opened.and_then(|opened| match &opened.event {
            Event::MessageRated(rated) => rated.comment.clone().known().flatten(),
            _ => None,
        }))
    }

    async fn position(&self) -> BigInt {
        self.message.opened.recorded.position.into()
    }

    async fn version(&self) -> i32 {
        self.message.opened.recorded.version.0
    }

    async fn occurred_at(&self) -> DateTime<Utc> {
        self.message.opened.recorded.fact.occurred_at
    }

    async fn recorded_at(&self) -> DateTime<Utc> {
        self.message.opened.recorded.recorded_at
    }
}

impl Message {
    fn said(&self) -> Result<&MessageAppended> {
        match &self.message.opened.event {
            Event::MessageAppended(appended) => Ok(appended),
            other => Err(format!("a message was read from `{}`", other.kind()).into()),
        }
    }
}

impl UsageInput {
    pub fn read(self) -> Result<event::Usage> {
        let count = |count: Option<BigInt>| {
            let read = |BigInt(count)| u64::try_from(count).map_err(|_| bad_input("a count of tokens is negative"));
            count.map(read).transpose()
        };
        Ok(event::Usage {
            input: count(self.input)?,
            output: count(self.output)?,
            cache_read: count(self.cache_read)?,
            cache_write_5m: count(self.cache_write_5m)?,
            cache_write_1h: count(self.cache_write_1h)?,
            reasoning: count(self.reasoning)?,
        })
    }
}

/// A page of a branch.
pub async fn page(
    asker: &Asker<'_>,
    conversation: ConversationId,
    branch: BranchNumber,
    window: &Window,
    at: Position,
) -> Result<MessageConnection> {
    let at = as_of::of_page(asker, service::CONVERSATION, window, at).await?;
    let slice = window.slice(|cursor| match asker.take(cursor)?.at {
        At::Depth(depth) => Ok(Depth(depth)),
        _ => Err(problem(NoCursor::OtherConnection)),
    })?;
    let position = asker.service.view_position(service::CONVERSATION);
    let page = asker.service.page(asker.actor, conversation, branch, &slice, at).await;
    let page = page.map_err(|error| trouble(&error))?;
    let Some(page) = page else { return Err(bad_input("the conversation has no such branch; `branches` lists them")) };
    let item = |message: service::Message| {
        (asker.give(&Mark::new(position, At::Depth(message.place.depth.0)).of(at)), Message { message, at })
    };
    let items = page.rows.into_iter().map(item).collect();
    Ok(MessageConnection::new(items, (page.has_next, page.has_previous), page.total))
}

/// One message of the asker's as it was at `at`, if it was there.
pub async fn one(asker: &Asker<'_>, id: MessageId, at: Position) -> Result<Option<Message>> {
    let message = asker.loader.load_one(Then::new(id, at)).await.map_err(shared)?;
    Ok(message.map(|message| Message { message, at }))
}

/// The message that stands at a place of a conversation; in segment 0, the one of another conversation that this one goes on
/// from.
pub async fn standing(
    asker: &Asker<'_>,
    conversation: ConversationId,
    place: Place,
    at: Position,
) -> Result<Option<Message>> {
    let (conversation, place) = if place.segment.0 > 0 {
        (conversation, place)
    } else {
        let row = asker.loader.load_one(Then::new(conversation, at)).await.map_err(shared)?;
        match row.and_then(|row| row.from) {
            Some(from) => from,
            None => return Ok(None),
        }
    };
    let message = asker.loader.load_one(Then::new(MessageAt(conversation, place), at)).await.map_err(shared)?;
    Ok(message.map(|message| Message { message, at }))
}
