//! Messages by the view, each with the event that it finds in the log.

use std::collections::HashMap;

use convoledger::event::{BranchNumber, ConversationId, Depth, MessageId, OwnerId, Place, Position, Rating};
use convoledger::view::event::{self, EventRow, Extent};
use convoledger::view::message::{self, MessageRow};
use convoledger::view::{Page, Seen, Slice};
use sqlx::PgPool;

#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub event: EventRow,
    pub place: Place,
    pub parent: Option<Place>,
    pub hidden: bool,
    pub rating: Option<Rating>,
    pub comment_at: Option<Position>,
}

type Read<T> = Result<T, sqlx::Error>;

impl Message {
    pub fn id(&self) -> MessageId {
        self.event.recorded.fact.id.into()
    }

    pub fn conversation(&self) -> ConversationId {
        self.event.recorded.fact.stream.into()
    }
}

pub async fn page(
    pool: &PgPool,
    owner: OwnerId,
    id: ConversationId,
    branch: BranchNumber,
    slice: &Slice<Depth>,
    at: Position,
) -> Read<Option<Page<Message>>> {
    let Some(Seen { erased, rows: page }) = message::page(pool, owner, id, branch, slice, at).await? else {
        return Ok(None);
    };
    let Page { rows, has_next, has_previous, total } = page;
    let rows = read(pool, owner, Seen { erased, rows }).await?;
    Ok(Some(Page { rows, has_next, has_previous, total }))
}

pub async fn by_ids(pool: &PgPool, owner: OwnerId, ids: &[MessageId], at: Position) -> Read<Vec<Message>> {
    read(pool, owner, message::by_ids(pool, owner, ids, at).await?).await
}

pub async fn by_places(
    pool: &PgPool,
    owner: OwnerId,
    places: &[(ConversationId, Place)],
    at: Position,
) -> Read<Vec<Message>> {
    read(pool, owner, message::by_places(pool, owner, places, at).await?).await
}

pub async fn children(
    pool: &PgPool,
    owner: OwnerId,
    parents: &[(ConversationId, Option<Place>)],
    at: Position,
) -> Read<HashMap<(ConversationId, Option<Place>), Vec<Message>>> {
    let mut below: HashMap<_, Vec<_>> = parents.iter().map(|parent| (*parent, Vec::new())).collect();
    for message in read(pool, owner, message::children(pool, owner, parents, at).await?).await? {
        below.entry((message.conversation(), message.parent)).or_default().push(message);
    }
    Ok(below)
}

/// In the order in which they were found.
async fn read(pool: &PgPool, owner: OwnerId, found: Seen<Vec<MessageRow>>) -> Read<Vec<Message>> {
    let positions: Vec<_> = found.rows.iter().map(|row| row.position).collect();
    let events = event::by_positions(pool, owner, &positions, Extent::Content).await?;
    let events: HashMap<_, _> = events.into_iter().map(|event| (event.recorded.position, event)).collect();
    let message = |MessageRow { position, hidden, rating, comment_at }: MessageRow| {
        let event = events[&position].clone();
        let fact = &event.recorded.fact;
        let place = fact.place.expect("a message stands somewhere");
        let parent = message::parent(fact, place);
        Message { event, place, parent, hidden, rating, comment_at }
    };
    Ok(found.rows.into_iter().map(message).collect())
}
