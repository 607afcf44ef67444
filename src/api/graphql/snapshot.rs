//! Snapshots: versions of a conversation that were given a label.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::as_of;
use super::asker::{Asker, problem, shared, trouble};
use super::conversation::{self, Conversation};
use super::cursor::{At, Mark, NoCursor};
use super::id::Name;
use super::page::{Window, connection};
use crate::event::{self, ConversationId, Event, EventId, Position};
use crate::service::{self, CONVERSATION};
use crate::view::Cut;
use crate::view::snapshot::SnapshotRow;

#[derive(Clone)]
pub struct Snapshot(pub SnapshotRow);

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Trigger")]
pub enum SnapshotTrigger {
    /// The first act an hour or more after the last snapshot.
    AutoHourly,
    /// The model was switched next, or a tool used.
    BeforeChange,
    Manual,
    /// What came next brought the known cost to the limit.
    CostLimit,
    /// What came next brought the tokens to the limit.
    TokenLimit,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::FileAction")]
pub enum FileAction {
    Added,
    Modified,
    Deleted,
    Renamed,
}

/// A file that was changed.
#[derive(SimpleObject, Clone)]
pub struct SnapshotFile {
    /// Null once it was forgotten.
    pub path: Option<String>,
    /// Of its sealed content, as its keeper gave it: hex.
    pub digest: String,
    pub action: FileAction,
}

connection!(SnapshotConnection, SnapshotEdge, Snapshot);

/// A version that was given a label. It is no copy: what it shows is read from the log.
#[Object]
impl Snapshot {
    pub async fn id(&self, context: &Context<'_>) -> ID {
        Name::Snapshot(Asker::of(context).actor.owner(), self.0.id).id()
    }

    /// Null for one that was taken by itself, and once it was forgotten.
    async fn label(&self, context: &Context<'_>) -> Result<Option<String>> {
        let opened = Asker::of(context).loader.load_one(self.0.position).await.map_err(shared)?;
        Ok(opened.and_then(|opened| match &opened.event {
            Event::SnapshotTaken(taken) => taken.label.clone().known().flatten(),
            _ => None,
        }))
    }

    /// Why it was taken.
    async fn trigger(&self) -> SnapshotTrigger {
        self.0.trigger.into()
    }

    /// The version of the conversation that it labels.
    async fn version(&self) -> i32 {
        self.0.version.0
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.taken_at
    }

    /// Files that were changed when it was taken.
    async fn files(&self, context: &Context<'_>) -> Result<Vec<SnapshotFile>> {
        let opened = Asker::of(context).loader.load_one(self.0.position).await.map_err(shared)?;
        let Some(Event::SnapshotTaken(taken)) = opened.map(|opened| opened.event.clone()) else {
            return Ok(Vec::new());
        };
        let mut paths = taken.paths.known().unwrap_or_default().into_iter();
        let file = |file: event::FileChange| SnapshotFile {
            path: paths.next(),
            digest: hex::encode(file.digest),
            action: file.action.into(),
        };
        Ok(taken.files.into_iter().map(file).collect())
    }

    /// The conversation as it was.
    async fn conversation(&self, context: &Context<'_>) -> Result<Conversation> {
        let asker = Asker::of(context);
        let version = Some(service::AsOf::Version(self.0.version));
        let at = as_of::moment(&asker, Some(self.0.conversation), version).await?;
        let conversation = conversation::one(&asker, self.0.conversation, at).await?;
        conversation.ok_or_else(|| "the conversation of a snapshot is missing from its view".into())
    }
}

/// A page of a conversation's snapshots as of `at`, the newest first.
pub async fn page(
    asker: &Asker<'_>,
    conversation: ConversationId,
    window: &Window,
    at: Position,
) -> Result<SnapshotConnection> {
    let at = as_of::of_page(asker, CONVERSATION, window, at).await?;
    let slice = window.slice(|cursor| match asker.take(cursor)?.at {
        At::Snapshot(taken) => Ok(taken),
        _ => Err(problem(NoCursor::OtherConnection)),
    })?;
    let (Cut::First(first) | Cut::Last(first)) = slice.cut;
    let position = asker.service.view_position(CONVERSATION);
    let before = slice.after.unwrap_or(Position::LATEST);
    let page = asker.service.snapshots(asker.actor, conversation, before, first, at).await;
    let page = page.map_err(|error| trouble(&error))?;
    let item = |row: SnapshotRow| (asker.give(&Mark::new(position, At::Snapshot(row.position)).of(at)), Snapshot(row));
    let items = page.rows.into_iter().map(item).collect();
    Ok(SnapshotConnection::new(items, (page.has_next, page.has_previous), page.total))
}

/// One snapshot of a conversation of the asker's, if it had a label at `at`.
pub async fn one(
    asker: &Asker<'_>,
    conversation: ConversationId,
    id: EventId,
    at: Position,
) -> Result<Option<Snapshot>> {
    let row = asker.service.find_snapshot(asker.actor, conversation, id, at).await.map_err(|error| trouble(&error))?;
    Ok(row.map(Snapshot))
}
