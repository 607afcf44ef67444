//! Why a value is what it is: the event that set it last.

use std::collections::HashMap;

use super::{Branch, Conversation, Happened, evolve};
use crate::event::{BranchNumber, ConversationRestored, Event, MessageId, Place, Token, Version};

/// A value of a conversation that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Title,
    /// Whether it has this tag.
    Tag(Token),
    Favorited,
    /// Active, archived or deleted.
    Status,
    Model,
    Provider,
    PreferredBranch,
    BranchName(BranchNumber),
    BranchTip(BranchNumber),
    /// Whether it was given up.
    BranchAbandoned(BranchNumber),
    Hidden(MessageId),
    /// What was thought of a message, and the comment.
    Rating(MessageId),
    /// When it was last changed: by whatever happened last.
    Updated,
}

/// Which event set each value of a conversation last, by its version.
#[derive(Debug, Clone, Default)]
pub struct Reasons {
    state: Conversation,
    last: HashMap<Value, Version>,
}

impl Reasons {
    /// What was taken in amounts to this.
    pub const fn state(&self) -> &Conversation {
        &self.state
    }

    /// The version of the event that set `value` last; none when nothing ever did.
    pub fn of(&self, value: Value) -> Option<Version> {
        self.last.get(&value).copied()
    }

    /// Takes in what happens next.
    pub fn take(&mut self, happened: &Happened) {
        let version = self.state.version.next();
        let values = match &happened.event {
            Event::ConversationRestored(restored) => self.restored(restored),
            event => self.set_by(event),
        };
        self.last.extend(values.into_iter().chain([Value::Updated]).map(|value| (value, version)));
        self.state = evolve(std::mem::take(&mut self.state), happened);
    }

    fn set_by(&self, event: &Event) -> Vec<Value> {
        match event {
            Event::ConversationStarted(started) => {
                let main = BranchNumber::MAIN;
                let models = models(started.model.is_some(), started.provider.is_some());
                [Value::Favorited, Value::Status, Value::PreferredBranch]
                    .into_iter()
                    .chain(born(main))
                    .chain(models)
                    .collect()
            }
            Event::ConversationTitled(_) => vec![Value::Title],
            Event::ConversationTagged(tagged) => tagged.tokens.iter().copied().map(Value::Tag).collect(),
            Event::ConversationUntagged(untagged) => untagged.tokens.iter().copied().map(Value::Tag).collect(),
            Event::ConversationFavorited(_) | Event::ConversationUnfavorited(_) => vec![Value::Favorited],
            Event::ConversationArchived(_)
            | Event::ConversationUnarchived(_)
            | Event::ConversationDeleted(_)
            | Event::ConversationUndeleted(_) => vec![Value::Status],
            Event::ModelSwitched(switched) => models(true, switched.provider.is_some()).collect(),
            Event::MessageAppended(said) => {
                let is_new = self.state.branches.get(index(said.branch)).is_none();
                let branch = if is_new { born(said.branch).to_vec() } else { vec![Value::BranchTip(said.branch)] };
                branch.into_iter().chain([Value::Hidden(said.id)]).collect()
            }
            Event::MessageHidden(hidden) => vec![Value::Hidden(hidden.message)],
            Event::MessageUnhidden(unhidden) => vec![Value::Hidden(unhidden.message)],
            Event::MessageRated(rated) => vec![Value::Rating(rated.message)],
            Event::BranchCreated(created) => born(created.branch).to_vec(),
            Event::BranchRenamed(renamed) => vec![Value::BranchName(renamed.branch)],
            Event::BranchPreferred(_) => vec![Value::PreferredBranch],
            Event::BranchAbandoned(abandoned) => vec![Value::BranchAbandoned(abandoned.branch)],
            Event::BranchResumed(resumed) => vec![Value::BranchAbandoned(resumed.branch)],
            _ => Vec::new(),
        }
    }

    /// What a restore changes. It names branches and messages whole, of which only some may become something else.
    fn restored(&self, restored: &ConversationRestored) -> Vec<Value> {
        let state = &self.state;
        let mut values = Vec::new();
        let mut set = |is_set: bool, value: Value| values.extend(is_set.then_some(value));
        set(restored.title.is_some(), Value::Title);
        set(restored.favorited.is_some(), Value::Favorited);
        set(restored.archived.is_some(), Value::Status);
        set(restored.model.is_some(), Value::Model);
        set(restored.provider.is_some(), Value::Provider);
        set(restored.preferred.is_some(), Value::PreferredBranch);
        if let Some(tags) = &restored.tags {
            for token in state.tags.keys().chain(tags.keys()) {
                set(state.tags.get(token) != tags.get(token), Value::Tag(*token));
            }
        }
        for becomes in &restored.branches {
            let Some(Branch { tip, name, named, abandoned, .. }) = state.branches.get(index(becomes.branch)) else {
                continue;
            };
            set(becomes.tip != *tip, Value::BranchTip(becomes.branch));
            set((becomes.token, becomes.name) != (*name, *named), Value::BranchName(becomes.branch));
            set(becomes.abandoned != *abandoned, Value::BranchAbandoned(becomes.branch));
        }
        for becomes in &restored.messages {
            let Some(message) = self.message(becomes.at) else { continue };
            let judged = state.ratings.get(&becomes.at).copied().unwrap_or_default();
            set(becomes.hidden != state.hidden.contains(&becomes.at), Value::Hidden(message));
            set((becomes.rating, becomes.comment) != (judged.rating, judged.by), Value::Rating(message));
        }
        values
    }

    fn message(&self, at: Place) -> Option<MessageId> {
        self.state.tree.node(at).map(|node| node.message)
    }
}

/// What a branch is from its birth on.
const fn born(branch: BranchNumber) -> [Value; 3] {
    [Value::BranchName(branch), Value::BranchTip(branch), Value::BranchAbandoned(branch)]
}

fn models(model: bool, provider: bool) -> impl Iterator<Item = Value> {
    [(Value::Model, model), (Value::Provider, provider)]
        .into_iter()
        .filter_map(|(value, is_set)| is_set.then_some(value))
}

fn index(branch: BranchNumber) -> usize {
    usize::try_from(branch.0 - 1).unwrap_or(usize::MAX)
}
