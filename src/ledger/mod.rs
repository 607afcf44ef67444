//! The rules, pure: what may happen next, and what a history amounts to. No I/O, no async, no clock.
//!
//! [`decide`] says which events a command becomes, or why it is refused; [`evolve`] folds an event into the state and
//! cannot fail, for history cannot be refused. Replay, time travel and tests are this same fold, stopped at another
//! place. The state holds facts only: nothing here needs words opened.

pub mod account;
mod branch;
mod conversation;
mod language;
mod message;
pub mod projection;
mod refusal;
#[cfg(test)]
mod scenario;
mod tree;

use chrono::{DateTime, TimeDelta, Utc};

pub use branch::{Branch, CreateBranch};
pub use conversation::{Conversation, Start, Tag};
pub use message::{AppendMessage, Below, EditMessage};
pub use refusal::{Bound, Refusal};
pub use tree::{Node, Tree};

use crate::event::{BranchNumber, Event, MessageId, Rating, Token};

/// An act that is asked for.
#[derive(Debug, Clone)]
pub struct Command {
    /// When it happened, if that was not now: an imported act keeps its own time.
    pub occurred_at: Option<DateTime<Utc>>,
    pub act: Act,
}

#[derive(Debug, Clone)]
pub enum Act {
    Start(Start),
    SetTitle { title: String },
    Favorite,
    Unfavorite,
    Tag { tags: Vec<Tag> },
    Untag { tokens: Vec<Token> },
    Archive,
    Unarchive,
    Delete,
    Undelete,
    SwitchModel { model: String, provider: Option<String> },
    Append(AppendMessage),
    Edit(EditMessage),
    Hide { message: MessageId },
    Unhide { message: MessageId },
    Rate { message: MessageId, rating: Option<Rating>, comment: Option<String> },
    CreateBranch(CreateBranch),
    RenameBranch { branch: BranchNumber, name: Tag },
    PreferBranch { branch: BranchNumber },
}

impl From<Act> for Command {
    fn from(act: Act) -> Self {
        Self { occurred_at: None, act }
    }
}

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub occurred_at: DateTime<Utc>,
    pub event: Event,
}

/// How far a caller's clock may run ahead of ours.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// What `command` becomes in `state`: its events, none when all is as it asks already, or the reason why not.
pub fn decide(state: &Conversation, command: Command, now: DateTime<Utc>) -> Result<Vec<Happened>, Refusal> {
    let occurred_at = command.occurred_at.unwrap_or(now);
    if occurred_at > now + AHEAD_MAX {
        return Err(Refusal::InTheFuture { occurred_at, now });
    }
    let events = match command.act {
        Act::Append(append) => message::append(state, append),
        Act::Edit(edit) => message::edit(state, edit),
        Act::Hide { message } => message::hide(state, message),
        Act::Unhide { message } => message::unhide(state, message),
        Act::Rate { message, rating, comment } => message::rate(state, message, rating, comment),
        Act::CreateBranch(create) => branch::create(state, create),
        Act::RenameBranch { branch, name } => branch::rename(state, branch, name),
        Act::PreferBranch { branch } => branch::prefer(state, branch),
        act => conversation::decide(state, act),
    }?;
    Ok(events.into_iter().map(|event| Happened { occurred_at, event }).collect())
}

/// Decides `commands` one after the other, each on what the ones before it became, and leaves `state` evolved.
///
/// # Errors
/// The first refusal. `state` has then evolved over what came before it: discard it, unless there was one command.
pub fn decide_all(
    state: &mut Conversation,
    commands: Vec<Command>,
    now: DateTime<Utc>,
) -> Result<Vec<Happened>, Refusal> {
    let mut all = Vec::with_capacity(commands.len());
    for command in commands {
        let happened = decide(state, command, now)?;
        *state = happened.iter().fold(std::mem::take(state), |state, happened| evolve(state, &happened.event));
        all.extend(happened);
    }
    Ok(all)
}

/// The state after `event`. Total: whatever the log holds is history.
#[must_use]
pub fn evolve(mut state: Conversation, event: &Event) -> Conversation {
    state.version = state.version.next();
    match event {
        Event::MessageAppended(appended) => message::appended(&mut state, appended),
        Event::MessageHidden(hidden) => {
            state.hidden.insert(hidden.at);
        }
        Event::MessageUnhidden(unhidden) => {
            state.hidden.remove(&unhidden.at);
        }
        Event::MessageRated(rated) => message::rated(&mut state, rated),
        Event::BranchCreated(created) => branch::created(&mut state, created),
        Event::BranchRenamed(renamed) => branch::renamed(&mut state, renamed),
        Event::BranchPreferred(preferred) => state.preferred = preferred.branch,
        event => conversation::evolve(&mut state, event),
    }
    state
}
