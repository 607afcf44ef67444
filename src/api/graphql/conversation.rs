//! Conversations: one, and lists of them.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use chrono::{DateTime, SecondsFormat, Utc};

use super::account::Account;
use super::asker::{Asker, bad_input, problem, shared, trouble};
use super::branch::{self, Branch};
use super::cursor::{At, Cursor, Mark, NoCursor};
use super::event::{self, EventConnection};
use super::id::Name;
use super::loader::{BranchesOf, Then};
use super::message::{self, Message, MessageConnection};
use super::page::{Window, connection, cost};
use super::scalar::{BigInt, Decimal};
use super::snapshot::{self, SnapshotConnection};
use crate::event::{ConversationId, Event, Position, Private};
use crate::service::CONVERSATION;
use crate::view::Page;
use crate::view::conversation::{ConversationRow, Filter, Key, KeyValue, Order, Status};
use crate::view::search::Query;

/// A conversation as it was at a moment, and all that hangs on it.
#[derive(Clone)]
pub struct Conversation {
    pub row: ConversationRow,
    pub at: Position,
}

connection!(ConversationConnection, ConversationEdge, Conversation);

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum ConversationStatus {
    Active,
    Archived,
    Deleted,
}

/// Totals count every message of the conversation once, whatever branches it is on, hidden ones included.
#[Object]
impl Conversation {
    pub async fn id(&self, context: &Context<'_>) -> ID {
        Name::Conversation(Asker::of(context).actor.owner(), self.row.id).id()
    }

    async fn owner(&self, context: &Context<'_>) -> Account {
        Account(Asker::of(context).actor.account)
    }

    /// Null while it has none, and once it was forgotten.
    async fn title(&self, context: &Context<'_>) -> Result<Option<String>> {
        let Some(at) = self.row.title_at else { return Ok(None) };
        let opened = Asker::of(context).loader.load_one(at).await.map_err(shared)?;
        Ok(opened.and_then(|opened| match &opened.event {
            Event::ConversationTitled(titled) => titled.title.clone().known(),
            _ => None,
        }))
    }

    /// In alphabetical order; forgotten ones are left out.
    async fn tags(&self, context: &Context<'_>) -> Result<Vec<String>> {
        let at: Vec<Position> = self.row.tags.values().copied().collect();
        let opened = Asker::of(context).loader.load_many(at).await.map_err(shared)?;
        let word = |(token, at)| match &opened.get(at)?.event {
            Event::ConversationTagged(tagged) => {
                let nth = tagged.tokens.iter().position(|known| known == token)?;
                if let Private::Known(words) = &tagged.tags { words.get(nth).cloned() } else { None }
            }
            _ => None,
        };
        let mut tags: Vec<String> = self.row.tags.iter().filter_map(word).collect();
        tags.sort_unstable();
        Ok(tags)
    }

    async fn favorited(&self) -> bool {
        self.row.favorited
    }

    async fn status(&self) -> ConversationStatus {
        match self.row.status {
            Status::Active => ConversationStatus::Active,
            Status::Archived => ConversationStatus::Archived,
            Status::Deleted => ConversationStatus::Deleted,
        }
    }

    async fn model(&self) -> Option<&str> {
        self.row.model.as_deref()
    }

    async fn provider(&self) -> Option<&str> {
        self.row.provider.as_deref()
    }

    /// The kind of export that it was imported from.
    async fn source(&self) -> Option<&str> {
        self.row.source.as_deref()
    }

    async fn version(&self) -> i32 {
        self.row.version.0
    }

    async fn position(&self) -> BigInt {
        self.row.position.into()
    }

    /// When it began, in its own time.
    async fn created_at(&self) -> DateTime<Utc> {
        self.row.created_at
    }

    /// When anything last happened to it, in its own time.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.row.updated_at
    }

    async fn message_count(&self) -> i32 {
        i32::try_from(self.row.message_count).unwrap_or(i32::MAX)
    }

    async fn tokens_in(&self) -> BigInt {
        big(self.row.tokens_in)
    }

    async fn tokens_out(&self) -> BigInt {
        big(self.row.tokens_out)
    }

    async fn cache_reads(&self) -> BigInt {
        big(self.row.cache_reads)
    }

    async fn cache_writes(&self) -> BigInt {
        big(self.row.cache_writes)
    }

    /// The costs that are known, added up; null while none is known, for unknown is not zero.
    async fn cost_usd(&self) -> Option<Decimal> {
        self.row.cost_usd.map(Decimal)
    }

    /// Bytes of UTF-8 that were said.
    async fn size_bytes(&self) -> BigInt {
        big(self.row.size_bytes)
    }

    #[graphql(complexity = "10 * child_complexity")]
    async fn branches(&self, context: &Context<'_>) -> Result<Vec<Branch>> {
        let of = Then::new(BranchesOf(self.row.id), self.at);
        let branches = Asker::of(context).loader.load_one(of).await.map_err(shared)?;
        Ok(branches.unwrap_or_default().into_iter().map(|row| Branch { row, at: self.at }).collect())
    }

    /// The branch of this name; without a name, the preferred one.
    async fn branch(&self, context: &Context<'_>, name: Option<String>) -> Result<Option<Branch>> {
        let asker = Asker::of(context);
        let Some(name) = name else {
            return branch::one(&asker, (self.row.id, self.row.preferred), self.at).await;
        };
        let of = Then::new(BranchesOf(self.row.id), self.at);
        let branches = asker.loader.load_one(of).await.map_err(shared)?;
        for branch in branches.unwrap_or_default().into_iter().map(|row| Branch { row, at: self.at }) {
            if branch.called(&asker).await? == name {
                return Ok(Some(branch));
            }
        }
        Ok(None)
    }

    /// The messages of a branch, from the root to its tip; without a branch, of the preferred one.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn messages(
        &self,
        context: &Context<'_>,
        branch: Option<ID>,
        first: Option<i32>,
        after: Option<Cursor>,
        last: Option<i32>,
        before: Option<Cursor>,
    ) -> Result<MessageConnection> {
        let asker = Asker::of(context);
        let number = match branch {
            None => self.row.preferred,
            Some(branch) => match Name::branch(&branch).map_err(problem)? {
                (owner, conversation, number) if asker.may_see(owner) && conversation == self.row.id => number,
                _ => return Err(bad_input("this branch is not one of this conversation; `branches` lists them")),
            },
        };
        message::page(&asker, self.row.id, number, &Window { first, after, last, before }, self.at).await
    }

    /// Versions that were given a label, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn snapshots(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<SnapshotConnection> {
        let window = Window { first, after, last: None, before: None };
        snapshot::page(&Asker::of(context), self.row.id, &window, self.at).await
    }

    /// The message of another conversation below which this one goes on.
    async fn from(&self, context: &Context<'_>) -> Result<Option<Message>> {
        let Some((conversation, place)) = self.row.from else { return Ok(None) };
        message::standing(&Asker::of(context), conversation, place, self.at).await
    }

    /// What it went through.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn events(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<EventConnection> {
        let counted = context.look_ahead().field("totalCount").exists();
        event::history(&Asker::of(context), self.row.id, first, after, counted, self.at).await
    }
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum ConversationOrder {
    /// By when they began.
    Newest,
    Oldest,
    /// Those of unknown cost come last.
    MostExpensive,
    /// Tokens in and out.
    MostTokens,
    /// Bytes that were said.
    Largest,
}

/// Which conversations are asked for: those that meet all of it. Deleted ones are left out unless `status` names them.
#[derive(InputObject, Default)]
pub struct ConversationFilter {
    /// Some message, its title or a tag says this, as `search` reads it; of very many, the 10000 newest hits count.
    pub query: Option<String>,
    pub favorites_only: Option<bool>,
    /// All of these.
    pub tags: Option<Vec<String>>,
    pub status: Option<Vec<ConversationStatus>>,
    /// Any of these.
    pub model: Option<Vec<String>>,
    pub provider: Option<Vec<String>>,
    /// Begun at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Begun before this time.
    pub to: Option<DateTime<Utc>>,
    /// A conversation of unknown cost meets neither bound.
    pub min_cost_usd: Option<Decimal>,
    pub max_cost_usd: Option<Decimal>,
}

/// A page of the asker's conversations as they were at `at`.
pub async fn list(
    asker: &Asker<'_>,
    filter: ConversationFilter,
    order: Option<ConversationOrder>,
    window: &Window,
    at_least: Option<Position>,
    counted: bool,
    at: Position,
) -> Result<ConversationConnection> {
    let order = order.map_or(Order::Newest, Order::from);
    let slice = window.slice(|cursor| key(order, asker.take(cursor)?))?;
    let position = asker.service.view_position(CONVERSATION);
    let page = match filter.resolve(asker, at_least, at).await? {
        Some(filter) => asker.service.list(asker.actor, &filter, order, &slice, counted, at).await,
        None => Ok(Page { rows: Vec::new(), has_next: false, has_previous: false, total: Some(0) }),
    };
    let page = page.map_err(|error| trouble(&error))?;
    let item = |row: ConversationRow| (asker.give(&place(position, order, &row).of(at)), Conversation { row, at });
    let items = page.rows.into_iter().map(item).collect();
    Ok(ConversationConnection::new(items, (page.has_next, page.has_previous), page.total))
}

impl ConversationFilter {
    /// The filter in the view's words; none when nothing can meet it.
    pub async fn resolve(self, asker: &Asker<'_>, at_least: Option<Position>, at: Position) -> Result<Option<Filter>> {
        let tags = self.tags.unwrap_or_default();
        let tokens = asker.service.tokens(asker.actor, &tags).await.map_err(|error| trouble(&error))?;
        if tokens.len() < tags.len() {
            return Ok(None);
        }
        let among = match self.query {
            None => None,
            Some(query) => {
                let query = Query::parse(&query).map_err(problem)?;
                let among = asker.service.conversations_saying(asker.actor, at_least, &query, at).await;
                Some(among.map_err(|error| trouble(&error))?)
            }
        };
        let status = |status| match status {
            ConversationStatus::Active => Status::Active,
            ConversationStatus::Archived => Status::Archived,
            ConversationStatus::Deleted => Status::Deleted,
        };
        Ok(Some(Filter {
            favorites_only: self.favorites_only.unwrap_or_default(),
            tags: tokens,
            status: self.status.unwrap_or_default().into_iter().map(status).collect(),
            model: self.model.unwrap_or_default(),
            provider: self.provider.unwrap_or_default(),
            from: self.from,
            to: self.to,
            min_cost_usd: self.min_cost_usd.map(|cost| cost.0),
            max_cost_usd: self.max_cost_usd.map(|cost| cost.0),
            among,
        }))
    }
}

impl From<ConversationOrder> for Order {
    fn from(order: ConversationOrder) -> Self {
        match order {
            ConversationOrder::Newest => Self::Newest,
            ConversationOrder::Oldest => Self::Oldest,
            ConversationOrder::MostExpensive => Self::MostExpensive,
            ConversationOrder::MostTokens => Self::MostTokens,
            ConversationOrder::Largest => Self::Largest,
        }
    }
}

fn place(position: Position, order: Order, row: &ConversationRow) -> Mark {
    let Key { value, id } = row.key(order);
    let value = match value {
        KeyValue::Time(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
        KeyValue::Weight(weight) => weight.to_string(),
    };
    Mark::new(position, At::Sorted { order: order as u8, value, id: id.0 })
}

fn key(order: Order, mark: Mark) -> Result<Key> {
    let other = || problem(NoCursor::OtherConnection);
    let At::Sorted { order: sorted, value, id } = mark.at else { return Err(other()) };
    if sorted != order as u8 {
        return Err(other());
    }
    let value = match order {
        Order::Newest | Order::Oldest => value.parse().map(KeyValue::Time).map_err(|_| other())?,
        _ => value.parse().map(KeyValue::Weight).map_err(|_| other())?,
    };
    Ok(Key { value, id: ConversationId(id) })
}

/// One conversation of the asker's as it was at `at`, if it was there.
pub async fn one(asker: &Asker<'_>, id: ConversationId, at: Position) -> Result<Option<Conversation>> {
    let row = asker.loader.load_one(Then::new(id, at)).await.map_err(shared)?;
    Ok(row.map(|row| Conversation { row, at }))
}

pub fn big(count: u64) -> BigInt {
    BigInt(i64::try_from(count).unwrap_or(i64::MAX))
}
