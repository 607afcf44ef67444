//! The rules for going back: a conversation becomes again what it was, and nothing that came after is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Branch, Conversation, Rated, Refusal};
use crate::event::{BranchNumber, BranchRestored, ConversationRestored, Event, MessageRestored, Place, Token, Version};

/// Go back to version `to`.
#[derive(Debug, Clone)]
pub struct Restore {
    pub to: Version,
    /// What the history up to `to` amounts to.
    pub then: Arc<Conversation>,
}

/// Branches in one event at most, and messages: far below what a body of 64 KiB holds.
const CHUNK: usize = 200;

pub(super) fn restore(state: &Conversation, restore: &Restore) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    let (to, then) = (restore.to, &*restore.then);
    if to < Version(1) || to >= state.version {
        return Err(Refusal::NoEarlierVersion { to, version: state.version });
    }
    let first = ConversationRestored {
        title: (then.title != state.title).then_some(then.title),
        tags: (then.tags != state.tags).then(|| then.tags.clone()),
        favorited: (then.favorited != state.favorited).then_some(then.favorited),
        archived: (then.archived != state.archived).then_some(then.archived),
        model: (then.model != state.model).then(|| then.model.clone()),
        provider: (then.provider != state.provider).then(|| then.provider.clone()),
        preferred: (then.preferred != state.preferred).then_some(then.preferred),
        ..nothing(to)
    };
    let (branches, messages) = (branches(state, then), messages(state, then));
    let more = branches.len().max(messages.len()).div_ceil(CHUNK).max(1);
    let mut events: Vec<_> = std::iter::once(first).chain(std::iter::repeat_n(nothing(to), more - 1)).collect();
    for (event, branches) in events.iter_mut().zip(branches.chunks(CHUNK)) {
        event.branches = branches.to_vec();
    }
    for (event, messages) in events.iter_mut().zip(messages.chunks(CHUNK)) {
        event.messages = messages.to_vec();
    }
    events.retain(|event| *event != nothing(to));
    Ok(events.into_iter().map(Event::from).collect())
}

fn nothing(to: Version) -> ConversationRestored {
    ConversationRestored { to, ..ConversationRestored::default() }
}

/// The branches that change. One that was born later is abandoned: it keeps its tip, and its name unless that was
/// another's then.
fn branches(state: &Conversation, then: &Conversation) -> Vec<BranchRestored> {
    let taken: BTreeSet<Token> = then.branches.iter().filter_map(|branch| branch.name).collect();
    let born_later = |now: &Branch| {
        let loses_name = now.name.is_some_and(|name| taken.contains(&name));
        let (name, named) = if loses_name { (None, Version(0)) } else { (now.name, now.named) };
        Branch { name, named, abandoned: true, ..*now }
    };
    let all = (1..).map(BranchNumber).zip(&state.branches).enumerate();
    let changed = all.filter_map(|(index, (number, now))| {
        let becomes = then.branches.get(index).copied().unwrap_or_else(|| born_later(now));
        (becomes != *now).then_some((number, becomes))
    });
    changed
        .map(|(branch, Branch { tip, name, named, abandoned, .. })| BranchRestored {
            branch,
            tip,
            name: named,
            token: name,
            abandoned,
        })
        .collect()
}

/// The messages of which another thing is thought than then. What was said later is left as it is.
fn messages(state: &Conversation, then: &Conversation) -> Vec<MessageRestored> {
    let judged =
        |of: &Conversation, at: Place| (of.hidden.contains(&at), of.ratings.get(&at).copied().unwrap_or_default());
    let touched: BTreeSet<Place> = [state, then]
        .into_iter()
        .flat_map(|of| of.hidden.iter().chain(of.ratings.keys()))
        .copied()
        .filter(|at| then.tree.node(*at).is_some())
        .collect();
    let changed = touched.into_iter().filter(|at| judged(state, *at) != judged(then, *at));
    changed
        .map(|at| {
            let (hidden, Rated { rating, by }) = judged(then, at);
            MessageRestored { at, hidden, rating, comment: by }
        })
        .collect()
}

pub(super) fn restored(state: &mut Conversation, restored: &ConversationRestored) {
    let ConversationRestored {
        to: _,
        title,
        tags,
        favorited,
        archived,
        model,
        provider,
        preferred,
        branches,
        messages,
    } = restored.clone();
    state.title = title.unwrap_or(state.title);
    state.favorited = favorited.unwrap_or(state.favorited);
    state.archived = archived.unwrap_or(state.archived);
    state.preferred = preferred.unwrap_or(state.preferred);
    if let Some(tags) = tags {
        state.tags = tags;
    }
    if let Some(model) = model {
        state.model = model;
    }
    if let Some(provider) = provider {
        state.provider = provider;
    }
    for BranchRestored { branch, tip, name: named, token: name, abandoned } in branches {
        if let Some(branch) = state.branches.get_mut(branch.index()) {
            *branch = Branch { tip, name, named, abandoned, ..*branch };
        }
    }
    for MessageRestored { at, hidden, rating, comment: by } in messages {
        if hidden {
            state.hidden.insert(at);
        } else {
            state.hidden.remove(&at);
        }
        if by == Version(0) {
            state.ratings.remove(&at);
        } else {
            state.ratings.insert(at, Rated { rating, by });
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::scenario::*;
    use super::super::{Act, AppendMessage, CreateBranch};
    use super::*;
    use crate::event::{ConversationArchived, MessageId, Rating, Role};

    fn back_to(given: &Given) -> Act {
        let then = given.clone().state();
        Act::Restore(Restore { to: then.version, then: Arc::new(then) })
    }

    fn create(from: u8, name: &str) -> Act {
        Act::CreateBranch(CreateBranch { from: id(from), name: tag(name) })
    }

    fn title(title: &str) -> Act {
        Act::SetTitle { title: title.into() }
    }

    #[test]
    fn only_what_differs_is_said() {
        let then = given([started()]).and(title("a")).and(say(1));
        let now = then.clone().and(title("b")).and(say(2));
        let (to, first) = (Version(3), then.clone().state().tree.place(id(1)));
        let branch =
            BranchRestored { branch: BranchNumber::MAIN, tip: first, name: Version(0), token: None, abandoned: false };
        let restored = ConversationRestored { title: Some(Version(2)), branches: vec![branch], ..nothing(to) };
        now.clone().when(back_to(&then)).then([restored.into()]);
        let same = then.clone().and(Act::Favorite).and(Act::Unfavorite);
        same.when(back_to(&then)).then([]);
    }

    #[test]
    fn a_restored_branch_goes_on_from_its_old_tip() {
        let then = given([started()]).and(say(1));
        let state = then.clone().and(say(2)).and(back_to(&then)).and(say(3)).state();
        assert_eq!(state.tree.path(state.branches[0].tip), [1, 3].map(id));
        assert_eq!(state.tree.len(), 3, "what was said stays");
    }

    #[test]
    fn only_earlier_versions_are_gone_back_to_and_only_of_what_lives() {
        let now = given([started()]).and(say(1));
        let refusal = |to: i32| Refusal::NoEarlierVersion { to: Version(to), version: Version(2) };
        now.clone().when(back_to(&now)).refused(refusal(2));
        now.clone().when(back_to(&given([]))).refused(refusal(0));
        now.clone().when(back_to(&now.clone().and(say(2)))).refused(refusal(3));
        given([]).when(back_to(&given([]))).refused(Refusal::NotStarted);
        given([started(), deleted()]).when(back_to(&given([started()]))).refused(Refusal::Deleted);
    }

    #[test]
    fn an_archived_conversation_is_taken_out_again() {
        let state = given([started(), ConversationArchived {}.into()]).and(back_to(&given([started()]))).state();
        assert!(!state.archived);
    }

    #[test]
    fn a_branch_born_later_is_abandoned_and_gives_a_name_back() {
        let then = given([started()]).and(say(1)).and(create(1, "idea")).and(create(1, "other"));
        let renamed = Act::RenameBranch { branch: BranchNumber(2), name: tag("plan") };
        let now = then.clone().and(renamed).and(create(1, "idea")).and(create(1, "new"));
        let state = now.clone().and(back_to(&then)).state();
        let told = |state: &Conversation| {
            state.branches.iter().map(|branch| (branch.name, branch.abandoned)).collect::<Vec<_>>()
        };
        let named = |word: &str| Some(tag(word).token);
        let expected =
            [(None, false), (named("idea"), false), (named("other"), false), (None, true), (named("new"), true)];
        assert_eq!(told(&state), expected);
        let again = now.clone().and(back_to(&then)).and(back_to(&now)).state();
        assert_eq!(told(&again), told(&now.state()));
    }

    #[test]
    fn what_is_thought_of_messages_goes_back_except_of_later_ones() {
        let up = |name: u8| Act::Rate { message: id(name), rating: Some(Rating::Up), comment: None };
        let then = given([started()]).and(say(1)).and(up(1));
        let hide = |name: u8| Act::Hide { message: id(name) };
        let down = Act::Rate { message: id(1), rating: Some(Rating::Down), comment: Some("no".into()) };
        let now = then.clone().and(down).and(hide(1)).and(say(2)).and(hide(2)).and(up(2));
        let state = now.clone().and(back_to(&then)).state();
        let at = |name: u8| state.tree.place(id(name)).expect("it was said");
        assert_eq!(state.ratings[&at(1)], Rated { rating: Some(Rating::Up), by: Version(3) });
        assert_eq!(state.ratings[&at(2)].rating, Some(Rating::Up));
        assert!(!state.hidden.contains(&at(1)) && state.hidden.contains(&at(2)));
    }

    #[test]
    fn many_messages_take_several_events() {
        let name = |name: u128| MessageId(Uuid::from_u128(name));
        let say = |given: Given, nth| given.and(Act::Append(AppendMessage::text(name(nth), Role::User, "")));
        let then = (1..=501).fold(given([started()]), say);
        let many = (1..=501).fold(then.clone(), |given, nth| given.and(Act::Hide { message: name(nth) }));
        let told = many.clone().when(back_to(&then)).events();
        let hidden = |event: &Event| event.facts()["messages"].as_array().map_or(0, Vec::len);
        assert_eq!(told.iter().map(hidden).collect::<Vec<_>>(), [200, 200, 101]);
        assert!(many.and(back_to(&then)).state().hidden.is_empty());
    }
}
