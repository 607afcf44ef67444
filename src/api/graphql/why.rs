//! Why a value on screen is what it is: the event behind it.

use async_graphql::{Enum, ID, Result};

use super::asker::{Asker, bad_input, problem, trouble};
use super::event::Event;
use super::id::Name;
use crate::event::{BranchNumber, ConversationId, MessageId, Position};
use crate::ledger::why::Value;

/// A value of a conversation, of one of its messages (give `message`) or of its branches (give `branch`).
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum WhyField {
    Title,
    /// Whether it has the tag `tag`.
    Tag,
    Favorited,
    Status,
    Model,
    Provider,
    PreferredBranch,
    BranchName,
    BranchTip,
    /// Whether the branch was given up.
    BranchAbandoned,
    Hidden,
    /// The rating of a message, and its comment.
    Rating,
    /// When the conversation was last changed.
    Updated,
}

/// What a value is of, beside the conversation.
pub struct Of {
    pub message: Option<ID>,
    pub branch: Option<ID>,
    pub tag: Option<String>,
}

/// The event that had set a value last as of `at`; none when nothing ever did.
pub async fn why(
    asker: &Asker<'_>,
    conversation: ConversationId,
    field: WhyField,
    of: Of,
    at: Position,
) -> Result<Option<Event>> {
    let Some(value) = of.value(asker, conversation, field).await? else { return Ok(None) };
    let event = asker.service.why(asker.actor, conversation, value, at).await;
    Ok(event.map_err(|error| trouble(&error))?.map(Event::from))
}

impl Of {
    /// Which value is asked for; none when a tag cannot be told any more, for its key is gone.
    async fn value(&self, asker: &Asker<'_>, conversation: ConversationId, field: WhyField) -> Result<Option<Value>> {
        Ok(Some(match field {
            WhyField::Title => Value::Title,
            WhyField::Tag => {
                let tag = self.tag.clone().ok_or_else(|| bad_input("`tag` says which tag"))?;
                let tokens = asker.service.tokens(asker.actor, &[tag]).await.map_err(|error| trouble(&error))?;
                return Ok(tokens.first().copied().map(Value::Tag));
            }
            WhyField::Favorited => Value::Favorited,
            WhyField::Status => Value::Status,
            WhyField::Model => Value::Model,
            WhyField::Provider => Value::Provider,
            WhyField::PreferredBranch => Value::PreferredBranch,
            WhyField::BranchName => Value::BranchName(self.branch(conversation)?),
            WhyField::BranchTip => Value::BranchTip(self.branch(conversation)?),
            WhyField::BranchAbandoned => Value::BranchAbandoned(self.branch(conversation)?),
            WhyField::Hidden => Value::Hidden(self.message()?),
            WhyField::Rating => Value::Rating(self.message()?),
            WhyField::Updated => Value::Updated,
        }))
    }

    fn branch(&self, conversation: ConversationId) -> Result<BranchNumber> {
        let branch = self.branch.as_ref().ok_or_else(|| bad_input("`branch` says which branch"))?;
        let (_, of, number) = Name::branch(branch).map_err(problem)?;
        if of == conversation { Ok(number) } else { Err(bad_input("this branch is not one of this conversation")) }
    }

    fn message(&self) -> Result<MessageId> {
        let message = self.message.as_ref().ok_or_else(|| bad_input("`message` says which message"))?;
        Ok(Name::message(message).map_err(problem)?.1)
    }
}
