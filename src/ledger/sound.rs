//! What may follow in a history that was written elsewhere. What this ledger decides itself is so by its rules; an archive may
//! come from anybody, and what does not fit where it stands would stop the views of all.
//!
//! It asks that everything which an event names is there, and stands where it says; not whether a rule would have decided so
//! today, for rules change and history does not.

use chrono::Datelike as _;

use super::{Conversation, Happened};
use crate::event::{
    BranchNumber, ConversationRestored, Event, INTEGER_MAX, MessageAppended, MessageId, Place, Segment, Usage, Version,
};

/// Why an event cannot have happened in a conversation that is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot have happened there: {0}")]
pub struct Unsound(&'static str);

/// Whether `happened` may be the next event of `state`.
///
/// # Errors
/// If it names what is not there, or stands where it cannot.
pub fn sound(state: &Conversation, happened: &Happened) -> Result<(), Unsound> {
    let begins = matches!(happened.event, Event::ConversationStarted(_));
    when((1..=9_999).contains(&happened.occurred_at.year()), "its time is none that is written in four digits")?;
    when(begins != state.started, "a conversation begins once, with its first event")?;
    match &happened.event {
        Event::ConversationStarted(started) => {
            when(started.from.is_none_or(|from| is_place(from.at)), "it goes on from where no message can be")
        }
        Event::MessageAppended(appended) => message(state, appended),
        Event::MessageHidden(hidden) => there(state, hidden.message, hidden.at),
        Event::MessageUnhidden(unhidden) => there(state, unhidden.message, unhidden.at),
        Event::MessageRated(rated) => there(state, rated.message, rated.at),
        Event::MessageForgotten(forgotten) => there(state, forgotten.message, forgotten.at),
        Event::BranchCreated(created) => {
            when(created.branch == state.next_branch(), "its branch has a number that is not the next")?;
            there(state, created.message, created.at)
        }
        Event::BranchRenamed(renamed) => branch(state, renamed.branch),
        Event::BranchPreferred(preferred) => branch(state, preferred.branch),
        Event::BranchAbandoned(abandoned) => branch(state, abandoned.branch),
        Event::BranchResumed(resumed) => branch(state, resumed.branch),
        Event::BranchChosen(chosen) => {
            branch(state, chosen.branch)?;
            chosen.over.iter().try_for_each(|other| branch(state, *other))
        }
        Event::ConversationRestored(restored) => restore(state, restored),
        Event::ConversationTagged(tagged) => {
            let words = tagged.tags.as_ref().known().map(Vec::len);
            when(words.is_none_or(|words| words == tagged.tokens.len()), "it has other tags than tokens")
        }
        Event::SnapshotTaken(taken) => been(state, taken.version),
        Event::ConversationTitled(_)
        | Event::ConversationFavorited(_)
        | Event::ConversationUnfavorited(_)
        | Event::ConversationUntagged(_)
        | Event::ConversationArchived(_)
        | Event::ConversationUnarchived(_)
        | Event::ConversationDeleted(_)
        | Event::ConversationUndeleted(_)
        | Event::ConversationForgotten(_)
        | Event::ModelSwitched(_)
        | Event::SnapshotThinned(_)
        | Event::SnapshotConfigured(_) => Ok(()),
        _ => Err(Unsound("it is no event of a conversation")),
    }
}

fn message(state: &Conversation, appended: &MessageAppended) -> Result<(), Unsound> {
    let MessageAppended { id, place, fork, .. } = appended;
    when(is_place(*place), "its message stands where none can")?;
    when(state.tree.place(*id).is_none(), "its message is there already")?;
    let within = Place { depth: crate::event::Depth(place.depth.0 - 1), ..*place };
    let above = fork.or(Some(within)).filter(|above| state.tree.node(*above).is_some());
    when(state.tree.below(above) == (*place, *fork), "its message does not stand below another, nor is it a root")?;
    let grows = appended.branch == state.next_branch() || state.tip(appended.branch) == Ok(above);
    when(grows, "its branch does not end there")?;
    when(appended.revises.is_none_or(|of| state.tree.place(of).is_some()), "it revises no message")?;
    when(appended.cost_usd.is_none_or(|cost| !cost.is_sign_negative()), "what it cost is negative")?;
    let Usage { input, output, cache_read, cache_write_5m, cache_write_1h, reasoning } =
        appended.usage.unwrap_or_default();
    let numbers = [input, output, cache_read, cache_write_5m, cache_write_1h, reasoning, appended.latency_ms];
    let known = numbers.into_iter().flatten().chain([appended.bytes]);
    when(known.into_iter().all(|number| number <= INTEGER_MAX), "it counts what cannot be counted")
}

fn restore(state: &Conversation, restored: &ConversationRestored) -> Result<(), Unsound> {
    been(state, restored.to)?;
    restored.preferred.map_or(Ok(()), |preferred| branch(state, preferred))?;
    let tags = restored.tags.iter().flatten().map(|(_, at)| *at);
    let comments = restored.messages.iter().map(|message| message.comment);
    let names = restored.branches.iter().map(|branch| branch.name);
    restored.title.into_iter().chain(tags).chain(comments).chain(names).try_for_each(|at| none_or_been(state, at))?;
    for back in &restored.branches {
        branch(state, back.branch)?;
        when(back.tip.is_none_or(|tip| state.tree.node(tip).is_some()), "a branch goes back to no message")?;
        when(back.name == Version(0) || back.token.is_some(), "a branch gets a name that no token tells")?;
    }
    let there = |at: Place| state.tree.node(at).is_some();
    when(restored.messages.iter().all(|message| there(message.at)), "a message changes that is not there")
}

fn there(state: &Conversation, message: MessageId, at: Place) -> Result<(), Unsound> {
    when(state.tree.place(message) == Some(at), "its message is not there")
}

fn branch(state: &Conversation, branch: BranchNumber) -> Result<(), Unsound> {
    when(branch.0 > 0 && state.tip(branch).is_ok(), "its branch is not there")
}

fn been(state: &Conversation, version: Version) -> Result<(), Unsound> {
    when((1..=state.version.0).contains(&version.0), "it names a version that has not been")
}

fn none_or_been(state: &Conversation, at: Version) -> Result<(), Unsound> {
    if at == Version(0) { Ok(()) } else { been(state, at) }
}

const fn is_place(place: Place) -> bool {
    place.segment.0 >= Segment(1).0 && place.depth.0 >= 1
}

fn when(holds: bool, what: &'static str) -> Result<(), Unsound> {
    if holds { Ok(()) } else { Err(Unsound(what)) }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{AUTOMATIC, given, noon, started};
    use super::*;
    use crate::event::{Private, SnapshotTaken, Trigger};

    #[test]
    fn a_label_is_on_a_version_that_was() {
        let state = given([started()]).state();
        let labelled = |version| Happened {
            occurred_at: noon(),
            event: SnapshotTaken {
                id: AUTOMATIC,
                version: Version(version),
                trigger: Trigger::Manual,
                files: Vec::new(),
                label: Private::Known(None),
                paths: Private::Known(Vec::new()),
            }
            .into(),
        };
        assert_eq!([0, 1, 2].map(|version| sound(&state, &labelled(version)).is_ok()), [false, true, false]);
    }
}
