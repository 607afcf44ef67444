//! Events as they lie in the log, and what they say.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Json, Object, Result};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::account::Account;
use super::asker::{Asker, problem, trouble};
use super::cursor::{At, Cursor, Mark};
use super::id::Name;
use super::page::{bounded, connection};
use super::scalar::BigInt;
use crate::event::{ConversationId, OwnerId, Position, StreamId};
use crate::log::digest;
use crate::service::{Opened, Trouble};
use crate::view::event as view;

#[derive(Clone)]
pub struct Event(pub Arc<Opened>);

connection!(EventConnection, EventEdge, Event);

impl From<Opened> for Event {
    fn from(opened: Opened) -> Self {
        Self(Arc::new(opened))
    }
}

/// One immutable fact of the log.
#[Object]
impl Event {
    pub async fn id(&self) -> ID {
        Name::Event(self.0.recorded.fact.owner, self.0.recorded.fact.id).id()
    }

    /// Goes on after this event, in `events` and in subscriptions.
    async fn cursor(&self, context: &Context<'_>) -> Cursor {
        Asker::of(context).give(&mark(self.0.recorded.position))
    }

    async fn position(&self) -> BigInt {
        self.0.recorded.position.into()
    }

    async fn version(&self) -> i32 {
        self.0.recorded.version.0
    }

    /// What happened: a past fact, such as `message.appended`.
    async fn kind(&self) -> &str {
        &self.0.recorded.fact.kind
    }

    /// The conversation or account that it happened to.
    async fn stream_id(&self) -> ID {
        stream_id(self.0.recorded.fact.owner, self.0.recorded.fact.stream)
    }

    async fn actor(&self) -> Option<Account> {
        Some(Account(self.0.recorded.fact.actor))
    }

    async fn occurred_at(&self) -> DateTime<Utc> {
        self.0.recorded.fact.occurred_at
    }

    async fn recorded_at(&self) -> DateTime<Utc> {
        self.0.recorded.recorded_at
    }

    /// The facts.
    async fn body(&self) -> Json<Value> {
        Json(self.0.recorded.fact.body.clone())
    }

    /// The words, by part; null when there are none or they are gone.
    async fn words(&self) -> Option<Json<Value>> {
        let words = self.0.event.words();
        let parts = words
            .iter()
            .filter_map(|words| Some((words.part.to_string(), serde_json::from_slice::<Value>(&words.plain).ok()?)));
        let parts: serde_json::Map<String, Value> = parts.collect();
        (!parts.is_empty()).then_some(Json(Value::Object(parts)))
    }

    /// Whether it had words that are gone. The facts stay.
    async fn forgotten(&self) -> bool {
        self.0.forgotten
    }

    /// BLAKE3 over the event, hex: what its leaf in the log's Merkle tree commits to.
    async fn digest(&self) -> String {
        hex::encode(digest::event(&self.0.recorded.fact))
    }
}

/// The id of what a stream is of.
pub fn stream_id(owner: OwnerId, stream: StreamId) -> ID {
    if stream.0 == owner.0 { Name::Account(owner).id() } else { Name::Conversation(owner, stream.into()).id() }
}

pub const fn mark(position: Position) -> Mark {
    Mark::new(position, At::Event)
}

/// Which events are asked for: those that meet all of it.
#[derive(InputObject, Default)]
pub struct EventFilter {
    /// Of this conversation.
    pub conversation: Option<ID>,
    /// Of any of these kinds.
    pub kinds: Option<Vec<String>>,
}

impl EventFilter {
    /// The stream and kinds that are asked for; none when it is of someone else, whose events are not there.
    pub fn resolve(self, asker: &Asker<'_>) -> Result<Option<(Option<StreamId>, Vec<String>)>> {
        let kinds = self.kinds.unwrap_or_default();
        let Some(conversation) = self.conversation else { return Ok(Some((None, kinds))) };
        let (owner, conversation) = Name::conversation(&conversation).map_err(problem)?;
        Ok(asker.may_see(owner).then_some((Some(conversation.into()), kinds)))
    }
}

/// A page of events after a cursor.
pub async fn page(
    asker: &Asker<'_>,
    filter: Option<(Option<StreamId>, Vec<String>)>,
    first: Option<i32>,
    after: Option<Cursor>,
    counted: bool,
) -> Result<EventConnection> {
    let (first, after) = window(asker, first, after)?;
    let Some((stream, kinds)) = filter else { return Ok(EventConnection::new(Vec::new(), (false, false), Some(0))) };
    let filter = view::EventFilter { stream, kinds, last: None };
    let read = asker.service.events(asker.actor, &filter, after, first + 1).await;
    answer(asker, read, (first, after), counted.then_some(&filter)).await
}

/// A page of what a conversation went through up to `at`, after a cursor.
pub async fn history(
    asker: &Asker<'_>,
    conversation: ConversationId,
    first: Option<i32>,
    after: Option<Cursor>,
    counted: bool,
    at: Position,
) -> Result<EventConnection> {
    let (first, after) = window(asker, first, after)?;
    let read = asker.service.events_of(asker.actor, conversation, after, first + 1, at).await;
    let filter = view::EventFilter { stream: Some(conversation.into()), kinds: Vec::new(), last: Some(at) };
    answer(asker, read, (first, after), counted.then_some(&filter)).await
}

fn window(asker: &Asker<'_>, first: Option<i32>, after: Option<Cursor>) -> Result<(u32, Position)> {
    let first = bounded("first", first.unwrap_or(50))?;
    let after = after.map(|cursor| asker.take(&cursor)).transpose()?.map_or(Position(0), |mark| mark.position);
    Ok((first, after))
}

/// A page of what was read, which is one event more where there are more; with the number of all that are `counted`.
async fn answer(
    asker: &Asker<'_>,
    read: Result<Vec<Arc<Opened>>, Trouble>,
    (first, after): (u32, Position),
    counted: Option<&view::EventFilter>,
) -> Result<EventConnection> {
    let mut events = read.map_err(|error| trouble(&error))?;
    let has_next = events.len() > first as usize;
    events.truncate(first as usize);
    let total = match counted {
        Some(filter) => Some(asker.service.count_events(asker.actor, filter).await.map_err(|error| trouble(&error))?),
        None => None,
    };
    let items = events.into_iter().map(|opened| (asker.give(&mark(opened.recorded.position)), Event(opened)));
    Ok(EventConnection::new(items.collect(), (has_next, after.0 > 0), total))
}
