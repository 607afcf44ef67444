//! What goes from one conversation to another: a run of messages, or a beginning below one of them.

use super::execute::{Named, Order, Outcome, Reason};
use super::{Actor, Service, Trouble};
use crate::event::{Ancestor, ConversationId, Elsewhere, Event, MessageAppended, MessageId, OwnerId, Place, Version};
use crate::ledger::{Act, Below, Bound, Graft, Grafted, Refusal, Tree};
use crate::log::Recorded;
use crate::random;

/// Messages of one path of one conversation, from one to another below it, both included.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub from: MessageId,
    pub to: MessageId,
}

impl Service {
    /// Repeats a run of the actor's messages in a conversation of the actor's. A message that is a graft itself is
    /// repeated as its first origin.
    pub async fn graft(
        &self,
        actor: Actor,
        conversation: ConversationId,
        onto: Below,
        run: Run,
        named: Option<Named>,
        expected: Option<Version>,
    ) -> Result<Outcome, Trouble> {
        let run = match self.resolve(actor.owner(), run).await? {
            Ok(run) => run,
            Err(reason) => return Ok(Outcome::Refused(reason)),
        };
        let commands = vec![Act::Graft(Graft { onto, run }).into()];
        self.execute(actor, Order { conversation, commands, named, expected }).await
    }

    /// What a conversation needs to be told that goes on below a message; none when the actor has no such message.
    pub async fn ancestor(&self, actor: Actor, message: MessageId) -> Result<Option<Ancestor>, Trouble> {
        let Some((recorded, appended)) = self.appended(actor.owner(), &[message]).await?.pop() else { return Ok(None) };
        Ok(Some(Ancestor { conversation: recorded.fact.stream.into(), message, at: appended.place }))
    }

    async fn resolve(&self, owner: OwnerId, run: Run) -> Result<Result<Vec<Grafted>, Reason>, Trouble> {
        let Some((last, _)) = self.appended(owner, &[run.to]).await?.pop() else {
            return Ok(Err(Refusal::NoSuchMessage { message: run.to }.into()));
        };
        let source = ConversationId::from(last.fact.stream);
        let state = self.fold(owner, source, None).await?;
        let path = match path(&state.tree, run) {
            Ok(path) => path,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut appended = self.appended(owner, &path).await?;
        appended.sort_by_key(|(recorded, _)| path.iter().position(|id| recorded.fact.id == (*id).into()));
        let grafted = appended.into_iter().map(|(_, message)| {
            let origin = message.origin.unwrap_or(Elsewhere { conversation: source, message: message.id });
            Grafted {
                id: MessageId(random::id()),
                conversation: origin.conversation,
                message: origin.message,
                role: message.role,
                shape: message.shape,
                language: message.language,
                model: message.model,
                provider: message.provider,
                finish_reason: message.finish_reason,
            }
        });
        Ok(Ok(grafted.collect()))
    }

    /// Those of `messages` that are messages of `owner`'s, in no order.
    async fn appended(
        &self,
        owner: OwnerId,
        messages: &[MessageId],
    ) -> Result<Vec<(Recorded, MessageAppended)>, Trouble> {
        let ids: Vec<_> = messages.iter().map(|message| (*message).into()).collect();
        let mut found = Vec::with_capacity(ids.len());
        for recorded in self.log.read_ids(owner, &ids).await? {
            if let Event::MessageAppended(appended) = recorded.event()? {
                found.push((recorded, appended));
            }
        }
        Ok(found)
    }
}

/// The messages of a run, the uppermost first.
fn path(tree: &Tree, run: Run) -> Result<Vec<MessageId>, Reason> {
    let top = tree.place(run.from).ok_or(Reason::NoRun)?;
    let mut path = Vec::new();
    let mut next: Option<Place> = tree.place(run.to);
    while let Some(place) = next.filter(|place| place.depth >= top.depth) {
        path.extend(tree.node(place).map(|node| node.message));
        if place == top {
            path.reverse();
            return Ok(path);
        }
        Bound::GRAFT.count(path.len() + 1)?;
        next = tree.parent(place);
    }
    Err(Reason::NoRun)
}
