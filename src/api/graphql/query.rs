//! Queries.

use async_graphql::{Context, Enum, ID, Interface, Json, Object, Result, SimpleObject};
use serde_json::Value;

use super::account::Account;
use super::as_of::{self, AsOf, AsOfMoment};
use super::asker::{Asker, problem, trouble};
use super::audit::{self, AuditConnection, AuditFilter};
use super::branch::{self, Branch};
use super::compare::{self, Comparison, Side};
use super::conversation::{self, Conversation, ConversationConnection, ConversationFilter, ConversationOrder};
use super::cursor::Cursor;
use super::event::{self, Event, EventConnection, EventFilter};
use super::export::{self, Export};
use super::forget;
use super::id::Name;
use super::message::{self, Message};
use super::page::{Window, cost};
use super::proof::{self, Checkpoint, Proof};
use super::reads::{self, AccountReadConnection};
use super::scalar::BigInt;
use super::search::{self, SearchConnection, SearchMode, SearchOrder};
use super::snapshot::{self, Snapshot};
use super::usage::{self, CostDimension, CostReport, TimeRange};
use super::why::{self, WhyField};
use crate::event::{ConversationId, EventId, Position};
use crate::projection;
use crate::service::{AUDIT, CONVERSATION, Progress, USAGE};

/// Whatever has an id of its own.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub enum Node {
    Account(Account),
    Conversation(Conversation),
    Message(Message),
    Branch(Branch),
    Event(Event),
    Snapshot(Snapshot),
}

pub struct Query;

/// Every read sees at least what this server last acknowledged to the account; `atLeast` waits for a position that
/// another server acknowledged.
#[Object]
impl Query {
    /// All that there is of the asker's, as archives that were asked for (`exportMyData`): the newest first.
    async fn exports(&self, context: &Context<'_>) -> Result<Vec<Export>> {
        export::all(&Asker::of(context)).await
    }

    async fn viewer(&self, context: &Context<'_>) -> Account {
        Account(Asker::of(context).actor.account)
    }

    /// Whatever has this id, if it is there, or was as of a moment, and the asker may see it.
    async fn node(&self, context: &Context<'_>, id: ID, as_of: Option<AsOf>) -> Result<Option<Node>> {
        let asker = Asker::of(context);
        let name = Name::parse(&id).map_err(problem)?;
        if !asker.may_see(name.owner()) {
            return Ok(None);
        }
        let conversation = match name {
            Name::Conversation(_, id) | Name::Branch(_, id, _) => Some(id),
            Name::Message(_, id) => conversation_of(&asker, id.into()).await?,
            Name::Event(_, id) | Name::Snapshot(_, id) => conversation_of(&asker, id).await?,
            Name::Account(_) => None,
        };
        let at = as_of::moment(&asker, conversation, as_of).await?;
        caught_up(&asker, &[CONVERSATION], None, at).await?;
        Ok(match name {
            Name::Account(owner) => Some(Node::Account(Account(owner.into()))),
            Name::Conversation(_, id) => conversation::one(&asker, id, at).await?.map(Node::Conversation),
            Name::Message(_, id) => message::one(&asker, id, at).await?.map(Node::Message),
            Name::Branch(_, id, number) => branch::one(&asker, (id, number), at).await?.map(Node::Branch),
            Name::Event(_, id) => {
                let events = asker.service.events_by_id(asker.actor, &[id]).await.map_err(|error| trouble(&error))?;
                let event = events.into_iter().next().filter(|opened| opened.recorded.position <= at);
                event.map(|opened| Node::Event(opened.into()))
            }
            Name::Snapshot(_, id) => match conversation {
                Some(conversation) => snapshot::one(&asker, conversation, id, at).await?.map(Node::Snapshot),
                None => None,
            },
        })
    }

    /// A conversation, or what it was as of a moment; null when it was not there.
    async fn conversation(
        &self,
        context: &Context<'_>,
        id: ID,
        as_of: Option<AsOf>,
        at_least: Option<BigInt>,
    ) -> Result<Option<Conversation>> {
        let asker = Asker::of(context);
        let (owner, id) = Name::conversation(&id).map_err(problem)?;
        if !asker.may_see(owner) {
            return Ok(None);
        }
        let at = as_of::moment(&asker, Some(id), as_of).await?;
        caught_up(&asker, &[CONVERSATION], at_least, at).await?;
        conversation::one(&asker, id, at).await
    }

    /// The asker's conversations, or what they were as of a moment: filtered, then ordered, then cut into pages.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[allow(clippy::too_many_arguments)] // they are the names of the schema
    async fn conversations(
        &self,
        context: &Context<'_>,
        filter: Option<ConversationFilter>,
        order_by: Option<ConversationOrder>,
        first: Option<i32>,
        after: Option<Cursor>,
        last: Option<i32>,
        before: Option<Cursor>,
        as_of: Option<AsOfMoment>,
        at_least: Option<BigInt>,
    ) -> Result<ConversationConnection> {
        let asker = Asker::of(context);
        let window = Window { first, after, last, before };
        let asked = as_of::moment(&asker, None, as_of).await?;
        let at = as_of::of_page(&asker, CONVERSATION, &window, asked).await?;
        caught_up(&asker, &[CONVERSATION], at_least, at).await?;
        let counted = context.look_ahead().field("totalCount").exists();
        let at_least = at_least.map(|position| Position(position.0));
        conversation::list(&asker, filter.unwrap_or_default(), order_by, &window, at_least, counted, at).await
    }

    /// What the asker's messages, titles and tags say: words that must all be there, `"phrases"`, `prefixes*`, `-what` must
    /// not be there, `OR` between alternatives. Words count in all their inflections, and where little is found, those
    /// that are spelled almost alike count too. Deleted conversations are left out unless the filter's `status` names
    /// them, hidden messages unless `includeHidden`.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    #[allow(clippy::too_many_arguments)] // they are the names of the schema
    async fn search(
        &self,
        context: &Context<'_>,
        query: String,
        filter: Option<ConversationFilter>,
        mode: Option<SearchMode>,
        order_by: Option<SearchOrder>,
        include_hidden: Option<bool>,
        first: Option<i32>,
        after: Option<Cursor>,
        as_of: Option<AsOfMoment>,
        at_least: Option<BigInt>,
    ) -> Result<SearchConnection> {
        let asker = Asker::of(context);
        let at = as_of::moment(&asker, None, as_of).await?;
        caught_up(&asker, &[CONVERSATION], None, at).await?;
        let asked = search::Asked {
            filter: filter.unwrap_or_default(),
            mode,
            order: order_by,
            include_hidden: include_hidden.unwrap_or_default(),
            window: Window { first, after, last: None, before: None },
            at_least: at_least.map(|position| Position(position.0)),
            counted: context.look_ahead().field("totalCount").exists(),
            at,
        };
        search::list(&asker, &query, asked).await
    }

    /// The asker's events, in the order of the log.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn events(
        &self,
        context: &Context<'_>,
        filter: Option<EventFilter>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<EventConnection> {
        let asker = Asker::of(context);
        let counted = context.look_ahead().field("totalCount").exists();
        let filter = filter.unwrap_or_default().resolve(&asker)?;
        event::page(&asker, filter, first, after, counted).await
    }

    /// What the asker's messages used and cost, in a range of time, by any set of dimensions; by none, one row. Without a
    /// filter all that was used counts, also in conversations that were deleted since.
    #[graphql(complexity = "1000 + child_complexity")]
    async fn costs(
        &self,
        context: &Context<'_>,
        range: TimeRange,
        group_by: Vec<CostDimension>,
        filter: Option<ConversationFilter>,
        as_of: Option<AsOfMoment>,
        at_least: Option<BigInt>,
    ) -> Result<CostReport> {
        let asker = Asker::of(context);
        let at = as_of::moment(&asker, None, as_of).await?;
        caught_up(&asker, &[USAGE, CONVERSATION], at_least, at).await?;
        let at_least = at_least.map(|position| Position(position.0));
        usage::costs(&asker, range, group_by, filter, at_least, at).await
    }

    /// Who did what to what of the asker's, day by day, the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn audit(
        &self,
        context: &Context<'_>,
        filter: Option<AuditFilter>,
        first: Option<i32>,
        after: Option<Cursor>,
        at_least: Option<BigInt>,
    ) -> Result<AuditConnection> {
        let asker = Asker::of(context);
        caught_up(&asker, &[AUDIT], at_least, Position::LATEST).await?;
        let counted = context.look_ahead().field("totalCount").exists();
        audit::page(&asker, filter.unwrap_or_default(), first, after, counted).await
    }

    /// Who else read what is the asker's, and why: the newest first.
    #[graphql(complexity = "cost(first, None, child_complexity)")]
    async fn reads(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<AccountReadConnection> {
        let counted = context.look_ahead().field("totalCount").exists();
        reads::page(&Asker::of(context), first, after, counted).await
    }

    /// The event behind a value on screen: the one that set it last. Null when nothing ever did.
    #[graphql(complexity = "1000 + child_complexity")]
    #[allow(clippy::too_many_arguments)] // they are the names of the schema
    async fn why(
        &self,
        context: &Context<'_>,
        conversation: ID,
        field: WhyField,
        message: Option<ID>,
        branch: Option<ID>,
        tag: Option<String>,
        as_of: Option<AsOf>,
    ) -> Result<Option<Event>> {
        let asker = Asker::of(context);
        let (owner, conversation) = Name::conversation(&conversation).map_err(problem)?;
        if !asker.may_see(owner) {
            return Ok(None);
        }
        let at = as_of::moment(&asker, Some(conversation), as_of).await?;
        why::why(&asker, conversation, field, why::Of { message, branch, tag }, at).await
    }

    /// Two branches side by side, from where they part: at most 2,000 messages on each side.
    #[graphql(complexity = "1000 + child_complexity")]
    async fn compare(&self, context: &Context<'_>, left: Side, right: Side) -> Result<Comparison> {
        compare::compare(&Asker::of(context), left, right).await
    }

    /// How far each view of the log has come.
    async fn projections(&self, context: &Context<'_>) -> Result<Vec<ProjectionStatus>> {
        let statuses = Asker::of(context).service.projections().await.map_err(|error| trouble(&error))?;
        Ok(statuses.into_iter().map(ProjectionStatus::from).collect())
    }

    /// The newest checkpoint of the whole log; with `atLeast`, one that holds the first so many events.
    async fn checkpoint(&self, context: &Context<'_>, at_least: Option<BigInt>) -> Result<Checkpoint> {
        proof::checkpoint(&Asker::of(context), at_least).await
    }

    /// The signed receipt of what was forgotten of a message or a conversation of the asker's: what went, when, by which keys
    /// nothing opens it any more, and what stays. Null when nothing of it was forgotten.
    async fn forget_receipt(&self, context: &Context<'_>, id: ID) -> Result<Option<Json<Value>>> {
        forget::receipt(&Asker::of(context), &id).await
    }

    /// The proof that an event of the asker's is in the log: of `size` events, or of the newest checkpoint.
    async fn inclusion_proof(&self, context: &Context<'_>, position: BigInt, size: Option<BigInt>) -> Result<Proof> {
        proof::inclusion(&Asker::of(context), position, size).await
    }

    /// The proof that the log of `to` events begins with the first `from`.
    async fn consistency_proof(&self, context: &Context<'_>, from: BigInt, to: BigInt) -> Result<Proof> {
        proof::consistency(&Asker::of(context), from, to).await
    }
}

/// Waits until what is read from `views` as of `at` shows what it must.
async fn caught_up(asker: &Asker<'_>, views: &[&str], at_least: Option<BigInt>, at: Position) -> Result<()> {
    let moment = Some(at).filter(|at| *at != Position::LATEST);
    let at_least = at_least.map(|position| Position(position.0)).max(moment);
    for view in views {
        asker.service.caught_up(asker.actor, view, at_least).await.map_err(|error| trouble(&error))?;
    }
    Ok(())
}

/// The conversation in whose stream an event is.
async fn conversation_of(asker: &Asker<'_>, id: EventId) -> Result<Option<ConversationId>> {
    let stream = asker.service.stream_of(asker.actor, id).await.map_err(|error| trouble(&error))?;
    Ok(stream.filter(|stream| stream.0 != asker.actor.owner().0).map(ConversationId::from))
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "projection::State")]
pub enum ProjectionState {
    Live,
    CatchingUp,
    /// It stands at its position and is tried again, ever more rarely.
    Failed,
    /// Its rows were made by another version of its folder.
    Outdated,
}

#[derive(SimpleObject)]
pub struct ProjectionStatus {
    pub name: String,
    pub state: ProjectionState,
    pub position: BigInt,
    pub head: BigInt,
    pub lag_events: BigInt,
    pub lag_ms: BigInt,
    /// Events folded a second, lately.
    pub rate: f64,
    pub error: Option<String>,
}

impl From<Progress> for ProjectionStatus {
    fn from(Progress { status, rate }: Progress) -> Self {
        Self {
            name: status.name,
            state: status.state.into(),
            position: status.position.into(),
            head: status.head.into(),
            lag_events: BigInt(status.lag_events),
            lag_ms: BigInt(status.lag_ms),
            rate,
            error: status.error,
        }
    }
}
