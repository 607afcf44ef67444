//! Gathers what many resolvers of one level ask for into one read: no query per item of a list.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader;
use rust_decimal::Decimal;

use crate::event::{BranchNumber, ConversationId, MessageId, Place, Position};
use crate::service::{Actor, Message, Opened, Service, Trouble};
use crate::view::branch::BranchRow;
use crate::view::conversation::ConversationRow;

/// Reads for one asker.
pub struct Loader {
    pub service: Service,
    pub actor: Actor,
}

/// What is asked for, and as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Then<Key> {
    pub key: Key,
    pub at: Position,
}

impl<Key> Then<Key> {
    pub const fn new(key: Key, at: Position) -> Self {
        Self { key, at }
    }
}

/// The branches of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BranchesOf(pub ConversationId);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BranchAt(pub ConversationId, pub BranchNumber);

/// What the whole path of a branch costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathCost(pub ConversationId, pub BranchNumber);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageAt(pub ConversationId, pub Place);

/// What stands below a message; below none stand the roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Below(pub ConversationId, pub Option<Place>);

type Loaded<K, V> = Result<HashMap<K, V>, Arc<Trouble>>;

/// Reads what is asked for as of each moment in one go.
macro_rules! loads {
    ($($key:ty => $value:ty, |$service:ident, $actor:ident, $keys:ident, $at:ident| $read:expr);* $(;)?) => {$(
        impl dataloader::Loader<Then<$key>> for Loader {
            type Value = $value;
            type Error = Arc<Trouble>;

            async fn load(&self, asked: &[Then<$key>]) -> Loaded<Then<$key>, $value> {
                let mut moments: HashMap<Position, Vec<$key>> = HashMap::new();
                for then in asked {
                    moments.entry(then.at).or_default().push(then.key);
                }
                let mut loaded = HashMap::with_capacity(asked.len());
                let ($service, $actor) = (&self.service, self.actor);
                for ($at, $keys) in moments {
                    let read: Vec<($key, $value)> = $read;
                    loaded.extend(read.into_iter().map(|(key, value)| (Then::new(key, $at), value)));
                }
                Ok(loaded)
            }
        }
    )*};
}

loads! {
    ConversationId => ConversationRow, |service, actor, ids, at| {
        service.conversations(actor, &ids, at).await?.into_iter().map(|row| (row.id, row)).collect()
    };
    BranchesOf => Vec<BranchRow>, |service, actor, of, at| {
        let ids: Vec<_> = of.iter().map(|of| of.0).collect();
        let branches = service.branches_of(actor, &ids, at).await?;
        branches.into_iter().map(|(id, branches)| (BranchesOf(id), branches)).collect()
    };
    BranchAt => BranchRow, |service, actor, of, at| {
        let numbers: Vec<_> = of.iter().map(|of| (of.0, of.1)).collect();
        let branches = service.branches(actor, &numbers, at).await?;
        branches.into_iter().map(|branch| (BranchAt(branch.conversation, branch.number), branch)).collect()
    };
    PathCost => Decimal, |service, actor, of, at| {
        let numbers: Vec<_> = of.iter().map(|of| (of.0, of.1)).collect();
        let costs = service.path_costs(actor, &numbers, at).await?;
        costs.into_iter().map(|((conversation, number), cost)| (PathCost(conversation, number), cost)).collect()
    };
    MessageId => Message, |service, actor, ids, at| {
        service.messages(actor, &ids, at).await?.into_iter().map(|message| (message.id(), message)).collect()
    };
    MessageAt => Message, |service, actor, of, at| {
        let places: Vec<_> = of.iter().map(|of| (of.0, of.1)).collect();
        let messages = service.messages_at(actor, &places, at).await?;
        messages.into_iter().map(|message| (MessageAt(message.conversation(), message.place), message)).collect()
    };
    Below => Vec<Message>, |service, actor, of, at| {
        let parents: Vec<_> = of.iter().map(|below| (below.0, below.1)).collect();
        let children = service.children(actor, &parents, at).await?;
        children.into_iter().map(|((id, parent), messages)| (Below(id, parent), messages)).collect()
    };
}

/// Events do not change: they are the same as of any moment at which they are there.
impl dataloader::Loader<Position> for Loader {
    type Value = Arc<Opened>;
    type Error = Arc<Trouble>;

    async fn load(&self, at: &[Position]) -> Loaded<Position, Arc<Opened>> {
        let events = self.service.events_at(self.actor, at).await?;
        Ok(events.into_iter().map(|opened| (opened.recorded.position, opened)).collect())
    }
}
