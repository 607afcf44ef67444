//! Reading, as the actor may: in its own part of the ledger, not before what it was last told was done, and as of whatever
//! position (`at`), which is [`Position::LATEST`] for how things are now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt as _;
use rust_decimal::Decimal;

use super::{Actor, Opened, Service, Trouble};
use crate::event::{
    BranchNumber, ConversationId, Depth, Event, EventId, MessageId, OwnerId, Place, Position, Private, StreamId, Token,
    Version,
};
use crate::log::Recorded;
use crate::view::audit::{self, EntryFilter, EntryRow};
use crate::view::branch::{self, BranchRow};
use crate::view::conversation::{self, ConversationRow, Filter, Key, Order};
use crate::view::event::{self as events, EventFilter, EventRow, Extent};
use crate::view::message::{self, MessageRow};
use crate::view::snapshot::{self, SnapshotRow};
use crate::view::timeline::Timeline;
use crate::view::usage::{self, Costs, Dimension, Span};
use crate::view::{Page, Seen, Slice};

/// The projections that reads are from; events are read from the log itself.
pub const CONVERSATION: &str = "conversation";
pub const USAGE: &str = "usage";
pub const AUDIT: &str = "audit";
/// SQLSTATEs of a time that Postgres cannot hold, and of a zone that its time zone database has not.
const TIMES: [&str; 2] = ["22008", "22023"];
/// How long a read waits for the view to come as far as it must be.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2);

/// A message and what it says.
#[derive(Debug, Clone)]
pub struct Message {
    /// Of what it says, the content: what else its provider said is read with the event.
    pub opened: Arc<Opened>,
    pub place: Place,
    /// The message above it; none above a root. In segment 0 it is the one below which its conversation goes on from another.
    pub parent: Option<Place>,
    pub hidden: bool,
    pub rating: Option<crate::event::Rating>,
    pub comment_at: Option<Position>,
}

impl Message {
    pub fn id(&self) -> MessageId {
        self.opened.recorded.fact.id.into()
    }

    pub fn conversation(&self) -> ConversationId {
        self.opened.recorded.fact.stream.into()
    }
}

impl Service {
    /// Waits until reads from `view` see at least `at_least` and whatever this server last acknowledged to the actor.
    ///
    /// # Errors
    /// If the view is further behind than two seconds make up for; the error says how far.
    pub async fn caught_up(&self, actor: Actor, view: &str, at_least: Option<Position>) -> Result<(), Trouble> {
        let wanted = self.acknowledged.wanted(actor.account, at_least);
        Ok(self.engine.wait(view, wanted, WAIT_MAX).await?)
    }

    /// As [`Self::caught_up`], once it was looked where `view` stands: for who did not see there what must be there.
    pub async fn caught_up_again(&self, actor: Actor, view: &str, at_least: Option<Position>) -> Result<(), Trouble> {
        self.engine.doubt(view).await?;
        self.caught_up(actor, view, at_least).await
    }

    /// How far `view` has come at least: what is read from it after this shows everything up to here.
    pub fn view_position(&self, view: &str) -> Position {
        self.engine.progress(view).map(|progress| *progress.borrow()).unwrap_or_default()
    }

    pub async fn conversations(
        &self,
        actor: Actor,
        ids: &[ConversationId],
        at: Position,
    ) -> Result<Vec<ConversationRow>, Trouble> {
        let shows = conversation::by_ids(&self.pool, actor.owner(), ids, at);
        let [id] = ids else { return Ok(shows.await?) };
        let told = |timeline: &Timeline| Vec::from_iter(timeline.conversation(at));
        Ok(self.was(actor, *id, at, told, shows.map_ok(Seen::wordless)).await?.rows)
    }

    pub async fn list(
        &self,
        actor: Actor,
        filter: &Filter,
        order: Order,
        slice: &Slice<Key>,
        counted: bool,
        at: Position,
    ) -> Result<Page<ConversationRow>, Trouble> {
        Ok(conversation::list(&self.pool, actor.owner(), filter, order, slice, counted, at).await?)
    }

    pub async fn branches_of(
        &self,
        actor: Actor,
        conversations: &[ConversationId],
        at: Position,
    ) -> Result<HashMap<ConversationId, Vec<BranchRow>>, Trouble> {
        let shows = branch::of_conversations(&self.pool, actor.owner(), conversations, at);
        let [id] = conversations else { return Ok(shows.await?) };
        let told = |timeline: &Timeline| {
            let branches = timeline.branches(at);
            if branches.is_empty() { HashMap::new() } else { HashMap::from([(*id, branches)]) }
        };
        Ok(self.was(actor, *id, at, told, shows.map_ok(Seen::wordless)).await?.rows)
    }

    pub async fn branches(
        &self,
        actor: Actor,
        branches: &[(ConversationId, BranchNumber)],
        at: Position,
    ) -> Result<Vec<BranchRow>, Trouble> {
        let shows = branch::by_numbers(&self.pool, actor.owner(), branches, at);
        let [(id, number)] = branches else { return Ok(shows.await?) };
        let told = |timeline: &Timeline| Vec::from_iter(timeline.branch_at(*number, at));
        Ok(self.was(actor, *id, at, told, shows.map_ok(Seen::wordless)).await?.rows)
    }

    /// What the whole paths of these branches cost; those of unknown cost are left out.
    pub async fn path_costs(
        &self,
        actor: Actor,
        branches: &[(ConversationId, BranchNumber)],
        at: Position,
    ) -> Result<HashMap<(ConversationId, BranchNumber), Decimal>, Trouble> {
        Ok(branch::path_costs(&self.pool, actor.owner(), branches, at).await?)
    }

    /// A page of a branch, by depth; none when there is no such branch.
    pub async fn page(
        &self,
        actor: Actor,
        conversation: ConversationId,
        branch: BranchNumber,
        slice: &Slice<Depth>,
        at: Position,
    ) -> Result<Option<Page<Message>>, Trouble> {
        let owner = actor.owner();
        // A page that was read lately is asked only where it lies, and one of the past may be told by a timeline.
        let anew = if at == Position::LATEST {
            !self.recent.was_read((owner, conversation, branch, slice.clone()))
        } else {
            !self.is_told(owner, conversation, at) && !self.looks_again(owner, conversation)
        };
        if anew {
            let page = message::page_with_events(&self.pool, owner, conversation, branch, slice, at).await?;
            let Some((Seen { erased, rows: page }, events)) = page else { return Ok(None) };
            let Page { rows, has_next, has_previous, total } = page;
            let opened = self.remember(events, Extent::Content, self.gone(erased)).await?;
            return Ok(Some(Page { rows: self.thought_of(rows, opened).await?, has_next, has_previous, total }));
        }
        let shows = message::page(&self.pool, owner, conversation, branch, slice, at).map_ok(Seen::transpose);
        let told = |timeline: &Timeline| timeline.page(branch, slice, at);
        let Seen { erased, rows: page } = self.was(actor, conversation, at, told, shows).await?;
        let Some(Page { rows, has_next, has_previous, total }) = page else { return Ok(None) };
        let rows = self.said(owner, Seen { erased, rows }).await?;
        Ok(Some(Page { rows, has_next, has_previous, total }))
    }

    pub async fn messages(&self, actor: Actor, ids: &[MessageId], at: Position) -> Result<Vec<Message>, Trouble> {
        let rows = message::by_ids(&self.pool, actor.owner(), ids, at).await?;
        self.said(actor.owner(), rows).await
    }

    pub async fn messages_at(
        &self,
        actor: Actor,
        places: &[(ConversationId, Place)],
        at: Position,
    ) -> Result<Vec<Message>, Trouble> {
        let rows = message::by_places(&self.pool, actor.owner(), places, at).await?;
        self.said(actor.owner(), rows).await
    }

    /// What stands below each of these, eldest first; below none stand the roots.
    pub async fn children(
        &self,
        actor: Actor,
        parents: &[(ConversationId, Option<Place>)],
        at: Position,
    ) -> Result<HashMap<(ConversationId, Option<Place>), Vec<Message>>, Trouble> {
        let below = message::children(&self.pool, actor.owner(), parents, at).await?;
        let mut children: HashMap<_, Vec<_>> = parents.iter().map(|parent| (*parent, Vec::new())).collect();
        for message in self.said(actor.owner(), below).await? {
            children.entry((message.conversation(), message.parent)).or_default().push(message);
        }
        Ok(children)
    }

    /// Which conversation a message is of. It is asked of the log, so that a message just appended is found.
    pub async fn conversation_of(&self, actor: Actor, message: MessageId) -> Result<Option<ConversationId>, Trouble> {
        let found = self.log.read_ids(actor.owner(), &[message.into()]).await?;
        let is_message = |event: &&Recorded| matches!(event.event(), Ok(Event::MessageAppended(_)));
        Ok(found.first().filter(is_message).map(|event| event.fact.stream.into()))
    }

    /// What the actor's messages used and cost. None when that is more rows than one answer holds.
    pub async fn costs(
        &self,
        actor: Actor,
        range: Span,
        dimensions: &[Dimension],
        filter: Option<&Filter>,
        at: Position,
    ) -> Result<Option<Costs>, Trouble> {
        let read = usage::costs(&self.pool, actor.owner(), range, dimensions, filter, at).await;
        read.map_err(|error| match error.as_database_error() {
            Some(said) if said.code().is_some_and(|code| TIMES.contains(&&*code)) => Trouble::Time(said.to_string()),
            _ => error.into(),
        })
    }

    /// Who did what to what of the actor's, the newest first.
    pub async fn audit(
        &self,
        actor: Actor,
        filter: &EntryFilter,
        after: Option<audit::Key>,
        limit: u32,
        counted: bool,
    ) -> Result<Page<EntryRow>, Trouble> {
        Ok(audit::list(&self.pool, actor.owner(), filter, after, limit, counted).await?)
    }

    /// Snapshots of a conversation, the newest first: the first `limit` taken before the position `before`.
    pub async fn snapshots(
        &self,
        actor: Actor,
        conversation: ConversationId,
        before: Position,
        limit: u32,
        at: Position,
    ) -> Result<Page<SnapshotRow>, Trouble> {
        Ok(snapshot::of_conversation(&self.pool, actor.owner(), conversation, at, before, limit).await?)
    }

    pub async fn find_snapshot(
        &self,
        actor: Actor,
        conversation: ConversationId,
        id: EventId,
        at: Position,
    ) -> Result<Option<SnapshotRow>, Trouble> {
        Ok(snapshot::by_id(&self.pool, actor.owner(), conversation, id, at).await?)
    }

    /// The stream that an event of the actor's is in.
    pub async fn stream_of(&self, actor: Actor, event: EventId) -> Result<Option<StreamId>, Trouble> {
        Ok(self.log.read_ids(actor.owner(), &[event]).await?.first().map(|event| event.fact.stream))
    }

    /// Events of the actor's after `after`, in order: the first `limit`.
    pub async fn events(
        &self,
        actor: Actor,
        filter: &EventFilter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Arc<Opened>>, Trouble> {
        let Seen { erased, rows } = events::list(&self.pool, actor.owner(), filter, after, limit).await?;
        self.recall(actor.owner(), &rows, Extent::Whole, erased).await
    }

    /// What a conversation went through after `after`, in order: the first `limit` events as of `at`.
    ///
    /// Of the present it is what was there a moment ago, at least what the actor was told is done and what the view of
    /// conversations shows: who must not miss what another server appends now asks for [`events`](Self::events).
    pub async fn events_of(
        &self,
        actor: Actor,
        conversation: ConversationId,
        after: Position,
        limit: u32,
        at: Position,
    ) -> Result<Vec<Arc<Opened>>, Trouble> {
        let shown = self.view_position(CONVERSATION).max(self.acknowledged.wanted(actor.account, None));
        let at = at.min(self.reached_lately().await?.head.max(shown));
        let filter = EventFilter { stream: Some(conversation.into()), kinds: Vec::new(), last: Some(at) };
        let lists = events::list(&self.pool, actor.owner(), &filter, after, limit);
        let found = if self.looks_again(actor.owner(), conversation) {
            let told = |timeline: &Timeline| timeline.events(after, limit, at);
            self.was(actor, conversation, at, told, lists).await?
        } else {
            lists.await?
        };
        self.recall(actor.owner(), &found.rows, Extent::Whole, found.erased).await
    }

    pub async fn count_events(&self, actor: Actor, filter: &EventFilter) -> Result<u64, Trouble> {
        Ok(events::count(&self.pool, actor.owner(), filter).await?)
    }

    pub async fn events_by_id(&self, actor: Actor, ids: &[EventId]) -> Result<Vec<Opened>, Trouble> {
        self.open_rows(events::by_ids(&self.pool, actor.owner(), ids).await?).await
    }

    /// The events at these positions: what titles, tags, names and comments are read from.
    pub async fn events_at(&self, actor: Actor, at: &[Position]) -> Result<Vec<Arc<Opened>>, Trouble> {
        let erased = self.reached_now().await?.erased;
        self.recall(actor.owner(), at, Extent::Whole, erased).await
    }

    /// What a conversation went through after `version`: what a stale caller missed.
    pub async fn missed(
        &self,
        actor: Actor,
        conversation: ConversationId,
        version: Version,
        limit: usize,
    ) -> Result<Vec<Opened>, Trouble> {
        let events = self.log.read_stream(actor.owner(), conversation.into(), version, limit).await?;
        self.open(events).await
    }

    /// The address that an account was registered with; forgotten with its key.
    pub async fn email(&self, actor: Actor) -> Result<Private<String>, Trouble> {
        let events = self.log.read_stream(actor.owner(), actor.account.into(), Version(0), 2).await?;
        let mut opened = self.open(events).await?.into_iter();
        Ok(opened
            .find_map(
                |opened| if let Event::AccountRegistered(account) = opened.event { Some(account.email) } else { None },
            )
            .unwrap_or_default())
    }

    /// The tokens of words under the actor's key; none when the key is gone, for then nothing can equal them.
    pub async fn tokens(&self, actor: Actor, words: &[String]) -> Result<Vec<Token>, Trouble> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.vault.current(actor.owner().into()).await?.known();
        Ok(key.map(|key| words.iter().map(|word| key.token(word)).collect()).unwrap_or_default())
    }

    async fn said(&self, owner: OwnerId, found: Seen<Vec<MessageRow>>) -> Result<Vec<Message>, Trouble> {
        let positions: Vec<_> = found.rows.iter().map(|row| row.position).collect();
        let opened = self.recall(owner, &positions, Extent::Content, found.erased).await?;
        self.thought_of(found.rows, opened).await
    }

    /// Messages and what was thought of them, both in one order. What expired after its row was found is in the rows alone.
    async fn thought_of(&self, rows: Vec<MessageRow>, opened: Vec<Arc<Opened>>) -> Result<Vec<Message>, Trouble> {
        let mut rows = rows.into_iter();
        let message = |opened: Arc<Opened>| {
            let fact = &opened.recorded.fact;
            let place = fact.place.ok_or_else(|| Trouble::Internal(format!("message {} stands nowhere", fact.id)))?;
            let parent = message::parent(fact, place);
            let row = rows.find(|row| row.position == opened.recorded.position);
            let row = row.ok_or_else(|| Trouble::Internal(format!("message {} was not asked for", fact.id)))?;
            let MessageRow { hidden, rating, comment_at, .. } = row;
            Ok(Message { opened, place, parent, hidden, rating, comment_at })
        };
        self.grafted(opened).await?.into_iter().map(message).collect()
    }

    /// Gives grafted messages the words of their origins, which they have none beside.
    async fn grafted(&self, mut messages: Vec<Arc<Opened>>) -> Result<Vec<Arc<Opened>>, Trouble> {
        let mut origins: HashMap<OwnerId, Vec<EventId>> = HashMap::new();
        for (owner, origin) in messages.iter().filter_map(|message| origin(message)) {
            origins.entry(owner).or_default().push(origin);
        }
        let mut said = HashMap::new();
        for (owner, ids) in origins {
            for opened in self.open(self.log.read_ids(owner, &ids).await?).await? {
                said.insert((owner, opened.recorded.fact.id), opened);
            }
        }
        for message in &mut messages {
            let Some(origin) = origin(message) else { continue };
            let (parts, verbatim, forgotten) = match said.get(&origin) {
                Some(Opened { event: Event::MessageAppended(said), forgotten, .. }) => {
                    (said.parts.clone(), said.verbatim.clone(), *forgotten)
                }
                _ => (Private::Forgotten, Private::Forgotten, true),
            };
            let message = Arc::make_mut(message);
            if let Event::MessageAppended(grafted) = &mut message.event {
                (grafted.parts, grafted.verbatim) = (parts, verbatim);
            }
            message.forgotten = forgotten;
        }
        Ok(messages)
    }

    pub(super) async fn open_rows(&self, rows: Vec<EventRow>) -> Result<Vec<Opened>, Trouble> {
        self.words.open_sealed(rows.into_iter().map(|row| (row.recorded, row.words)).collect()).await
    }
}

/// The message that a grafted one is.
fn origin(message: &Opened) -> Option<(OwnerId, EventId)> {
    match &message.event {
        Event::MessageAppended(appended) => {
            appended.origin.map(|origin| (message.recorded.fact.owner, origin.message.into()))
        }
        _ => None,
    }
}
