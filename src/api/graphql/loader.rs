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

impl dataloader::Loader<ConversationId> for Loader {
    type Value = ConversationRow;
    type Error = Arc<Trouble>;

    async fn load(&self, ids: &[ConversationId]) -> Loaded<ConversationId, ConversationRow> {
        let rows = self.service.conversations(self.actor, ids).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }
}

impl dataloader::Loader<BranchesOf> for Loader {
    type Value = Vec<BranchRow>;
    type Error = Arc<Trouble>;

    async fn load(&self, of: &[BranchesOf]) -> Loaded<BranchesOf, Vec<BranchRow>> {
        let ids: Vec<_> = of.iter().map(|of| of.0).collect();
        let branches = self.service.branches_of(self.actor, &ids).await?;
        Ok(branches.into_iter().map(|(id, branches)| (BranchesOf(id), branches)).collect())
    }
}

impl dataloader::Loader<BranchAt> for Loader {
    type Value = BranchRow;
    type Error = Arc<Trouble>;

    async fn load(&self, at: &[BranchAt]) -> Loaded<BranchAt, BranchRow> {
        let at: Vec<_> = at.iter().map(|at| (at.0, at.1)).collect();
        let branches = self.service.branches(self.actor, &at).await?;
        Ok(branches.into_iter().map(|branch| (BranchAt(branch.conversation, branch.number), branch)).collect())
    }
}

impl dataloader::Loader<PathCost> for Loader {
    type Value = Decimal;
    type Error = Arc<Trouble>;

    async fn load(&self, at: &[PathCost]) -> Loaded<PathCost, Decimal> {
        let at: Vec<_> = at.iter().map(|at| (at.0, at.1)).collect();
        let costs = self.service.path_costs(self.actor, &at).await?;
        Ok(costs.into_iter().map(|((conversation, number), cost)| (PathCost(conversation, number), cost)).collect())
    }
}

impl dataloader::Loader<MessageId> for Loader {
    type Value = Message;
    type Error = Arc<Trouble>;

    async fn load(&self, ids: &[MessageId]) -> Loaded<MessageId, Message> {
        let messages = self.service.messages(self.actor, ids).await?;
        Ok(messages.into_iter().map(|message| (message.id(), message)).collect())
    }
}

impl dataloader::Loader<MessageAt> for Loader {
    type Value = Message;
    type Error = Arc<Trouble>;

    async fn load(&self, at: &[MessageAt]) -> Loaded<MessageAt, Message> {
        let at: Vec<_> = at.iter().map(|at| (at.0, at.1)).collect();
        let messages = self.service.messages_at(self.actor, &at).await?;
        Ok(messages.into_iter().map(|message| (MessageAt(message.conversation(), message.place), message)).collect())
    }
}

impl dataloader::Loader<Below> for Loader {
    type Value = Vec<Message>;
    type Error = Arc<Trouble>;

    async fn load(&self, parents: &[Below]) -> Loaded<Below, Vec<Message>> {
        let parents: Vec<_> = parents.iter().map(|below| (below.0, below.1)).collect();
        let children = self.service.children(self.actor, &parents).await?;
        Ok(children.into_iter().map(|((id, parent), messages)| (Below(id, parent), messages)).collect())
    }
}

impl dataloader::Loader<Position> for Loader {
    type Value = Opened;
    type Error = Arc<Trouble>;

    async fn load(&self, at: &[Position]) -> Loaded<Position, Opened> {
        let events = self.service.events_at(self.actor, at).await?;
        Ok(events.into_iter().map(|opened| (opened.recorded.position, opened)).collect())
    }
}
