//! A conversation as a whole: what it amounts to, and the rules for its title, tags, shelf and model.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rust_decimal::Decimal;

use super::{Act, Bound, Branch, Rated, Refusal, Snapshots, Tree};
use crate::event::{
    Ancestor, BranchNumber, ConversationArchived, ConversationDeleted, ConversationFavorited, ConversationStarted,
    ConversationTagged, ConversationTitled, ConversationUnarchived, ConversationUndeleted, ConversationUnfavorited,
    ConversationUntagged, Event, ModelSwitched, Origin, Place, Private, Token, Usage, Version,
};

/// What the history of a conversation amounts to, as far as rules need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversation {
    pub version: Version,
    pub started: bool,
    /// Its time was over: what it was is gone.
    pub expired: bool,
    /// The message of another conversation that it goes on below.
    pub from: Option<Ancestor>,
    /// The version of the event that holds the title; 0 without one.
    pub title: Version,
    pub favorited: bool,
    pub archived: bool,
    pub deleted: bool,
    /// Each with the version of the event that holds its word.
    pub tags: BTreeMap<Token, Version>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub tree: Tree,
    /// In the order of their numbers; `main` first.
    pub branches: Vec<Branch>,
    pub preferred: BranchNumber,
    pub hidden: HashSet<Place>,
    pub ratings: BTreeMap<Place, Rated>,
    pub totals: Totals,
    pub snapshots: Snapshots,
    /// Messages whose words were taken away, each with the version that did so last.
    pub forgotten_messages: BTreeMap<Place, Version>,
    /// The version that took all words away last; 0 when none did.
    pub forgotten: Version,
}

/// What is known to have been used: what is unknown is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub cost_usd: Decimal,
    /// Input and output.
    pub tokens: u64,
}

impl Totals {
    pub(super) fn add(&mut self, cost_usd: Option<Decimal>, usage: Option<&Usage>) {
        self.cost_usd = self.cost_usd.saturating_add(cost_usd.unwrap_or_default());
        let counts = usage.map(|usage| [usage.input, usage.output]).unwrap_or_default();
        self.tokens = counts.into_iter().flatten().fold(self.tokens, u64::saturating_add);
    }
}

#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The message that it goes on below, when it goes on with another conversation.
    pub from: Option<Ancestor>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// The kind of export, and what it said, when this is an import.
    pub source: Option<String>,
    pub origin: Option<Origin>,
}

/// A word and the token that facts know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub token: Token,
    pub word: String,
}

impl Conversation {
    /// Refuses whatever needs a conversation that is there and not deleted.
    pub(super) const fn living(&self) -> Result<(), Refusal> {
        if !self.started {
            Err(Refusal::NotStarted)
        } else if self.deleted {
            Err(Refusal::Deleted)
        } else {
            Ok(())
        }
    }

    /// Refuses whatever makes a conversation grow.
    pub(super) fn growing(&self) -> Result<(), Refusal> {
        self.living()?;
        if self.archived { Err(Refusal::Archived) } else { Ok(()) }
    }
}

pub(super) fn decide(state: &Conversation, act: Act) -> Result<Vec<Event>, Refusal> {
    match &act {
        Act::Start(_) if state.started => return Err(Refusal::AlreadyStarted),
        Act::Start(_) => {}
        Act::Delete | Act::Undelete if state.started => {}
        _ => state.living()?,
    }
    let event: Event = match act {
        Act::Start(start) => return begin(start),
        Act::SetTitle { title } => {
            Bound::TITLE.filled(&title)?;
            ConversationTitled { title: Private::Known(title) }.into()
        }
        Act::Tag { tags } => return tagged(state, tags),
        Act::Untag { mut tokens } => {
            tokens.retain(|token| state.tags.contains_key(token));
            tokens.dedup();
            if tokens.is_empty() {
                return Ok(Vec::new());
            }
            ConversationUntagged { tokens }.into()
        }
        Act::SwitchModel { model, provider } => {
            Bound::MODEL.filled(&model)?;
            provider.as_deref().map_or(Ok(()), |provider| Bound::PROVIDER.filled(provider))?;
            if state.model.as_ref() == Some(&model) && (provider.is_none() || state.provider == provider) {
                return Ok(Vec::new());
            }
            ModelSwitched { model, provider }.into()
        }
        Act::Favorite if !state.favorited => ConversationFavorited {}.into(),
        Act::Unfavorite if state.favorited => ConversationUnfavorited {}.into(),
        Act::Archive if !state.archived => ConversationArchived {}.into(),
        Act::Unarchive if state.archived => ConversationUnarchived {}.into(),
        Act::Delete if !state.deleted => ConversationDeleted {}.into(),
        Act::Undelete if state.deleted => ConversationUndeleted {}.into(),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![event])
}

fn begin(start: Start) -> Result<Vec<Event>, Refusal> {
    start.model.as_deref().map_or(Ok(()), |model| Bound::MODEL.filled(model))?;
    start.provider.as_deref().map_or(Ok(()), |provider| Bound::PROVIDER.filled(provider))?;
    let Start { from, model, provider, source, origin } = start;
    Ok(vec![ConversationStarted { model, provider, source, from, origin: Private::Known(origin) }.into()])
}

fn tagged(state: &Conversation, mut tags: Vec<Tag>) -> Result<Vec<Event>, Refusal> {
    let mut seen = BTreeSet::new();
    for tag in &tags {
        Bound::TAG.filled(&tag.word)?;
    }
    tags.retain(|tag| !state.tags.contains_key(&tag.token) && seen.insert(tag.token));
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    Bound::TAGS.count(state.tags.len() + tags.len())?;
    let (tokens, words) = tags.into_iter().map(|tag| (tag.token, tag.word)).unzip();
    Ok(vec![ConversationTagged { tokens, tags: Private::Known(words) }.into()])
}

pub(super) fn evolve(state: &mut Conversation, event: &Event) {
    match event {
        Event::ConversationStarted(started) => {
            state.started = true;
            state.from = started.from;
            state.tree.base = started.from.map(|from| from.at.depth).unwrap_or_default();
            state.model.clone_from(&started.model);
            state.provider.clone_from(&started.provider);
            state.branches = vec![Branch::default()];
            state.preferred = BranchNumber::MAIN;
        }
        Event::ConversationExpired(_) => state.expired = true,
        Event::ConversationTitled(_) => state.title = state.version,
        Event::ConversationFavorited(_) => state.favorited = true,
        Event::ConversationUnfavorited(_) => state.favorited = false,
        Event::ConversationTagged(tagged) => {
            let version = state.version;
            state.tags.extend(tagged.tokens.iter().map(|token| (*token, version)));
        }
        Event::ConversationUntagged(untagged) => state.tags.retain(|token, _| !untagged.tokens.contains(token)),
        Event::ConversationArchived(_) => state.archived = true,
        Event::ConversationUnarchived(_) => state.archived = false,
        Event::ConversationDeleted(_) => state.deleted = true,
        Event::ConversationUndeleted(_) => state.deleted = false,
        Event::ModelSwitched(switched) => {
            state.model = Some(switched.model.clone());
            if switched.provider.is_some() {
                state.provider.clone_from(&switched.provider);
            }
        }
        // The rest is folded by its own noun, or is no conversation's.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::*;
    use super::*;

    #[test]
    fn a_conversation_starts_once() {
        given([]).when(start()).then([started()]);
        given([started()]).when(start()).refused(Refusal::AlreadyStarted);
    }

    #[test]
    fn nothing_happens_to_what_was_not_started_or_is_deleted() {
        for act in [Act::Favorite, Act::Archive, Act::SetTitle { title: "t".into() }, Act::Tag { tags: vec![tag("a")] }]
        {
            given([]).when(act.clone()).refused(Refusal::NotStarted);
            given([started(), deleted()]).when(act).refused(Refusal::Deleted);
        }
        given([]).when(Act::Undelete).refused(Refusal::NotStarted);
    }

    #[test]
    fn what_is_so_already_needs_no_event() {
        given([started(), ConversationFavorited {}.into()]).when(Act::Favorite).then([]);
        given([started()]).when(Act::Unfavorite).then([]);
        given([started(), deleted()]).when(Act::Delete).then([]);
        given([started()]).when(Act::Undelete).then([]);
        given([started(), tagged_with(["a"])]).when(Act::Tag { tags: vec![tag("a")] }).then([]);
        given([started()]).when(Act::Untag { tokens: vec![tag("a").token] }).then([]);
    }

    #[test]
    fn only_new_tags_are_recorded() {
        given([started(), tagged_with(["a"])])
            .when(Act::Tag { tags: vec![tag("a"), tag("b"), tag("b")] })
            .then([tagged_with(["b"])]);
    }

    #[test]
    fn a_title_must_say_something_and_end() {
        given([started()]).when(Act::SetTitle { title: " \n".into() }).refused(Refusal::Empty { what: "the title" });
        given([started()]).when(Act::SetTitle { title: "å".repeat(4_001) }).refused(Refusal::TooLong {
            what: "the title",
            given: 4_001,
            max: 4_000,
            unit: "characters",
        });
    }

    #[test]
    fn undeleting_an_archived_conversation_leaves_it_archived() {
        let state =
            given([started(), ConversationArchived {}.into(), deleted(), ConversationUndeleted {}.into()]).state();
        assert!(state.archived && !state.deleted);
    }
}
