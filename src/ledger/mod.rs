//! The rules, pure: what may happen next, and what a history amounts to. No I/O, no async, no clock.
//!
//! [`decide`] says which events a command becomes, or why it is refused; [`evolve`] folds an event into the state and
//! cannot fail, for history cannot be refused. Replay, time travel and tests are this same fold, stopped at another
//! place. The state holds facts only: nothing here needs words opened.

pub mod account;
mod branch;
mod conversation;
pub mod export;
mod forget;
mod graft;
mod language;
mod message;
pub mod projection;
mod refusal;
mod restore;
pub mod retention;
#[cfg(test)]
mod scenario;
mod snapshot;
pub mod sound;
pub mod thinning;
mod tree;
pub mod why;

use chrono::{DateTime, TimeDelta, Utc};
use snapshot::Ahead;

pub use branch::{Branch, CreateBranch};
pub use conversation::{Conversation, Start, Tag, Totals};
pub use graft::{Graft, Grafted};
pub use message::{AppendMessage, Below, EditMessage, Rated};
pub use refusal::{Bound, Refusal};
pub use restore::Restore;
pub use snapshot::{Automatic, Snapshot, Snapshots, TakeSnapshot};
pub use tree::{Node, Tree};

use crate::clock::micros;
use crate::event::{BranchNumber, Event, EventId, MessageId, Rating, SnapshotPolicy, Token};

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
    ForgetMessage { message: MessageId },
    ForgetConversation,
    Rate { message: MessageId, rating: Option<Rating>, comment: Option<String> },
    CreateBranch(CreateBranch),
    RenameBranch { branch: BranchNumber, name: Tag },
    PreferBranch { branch: BranchNumber },
    AbandonBranch { branch: BranchNumber },
    ResumeBranch { branch: BranchNumber },
    ChooseBranch { branch: BranchNumber, over: Vec<BranchNumber> },
    Graft(Graft),
    TakeSnapshot(TakeSnapshot),
    ThinSnapshots { snapshots: Vec<EventId> },
    ConfigureSnapshots(SnapshotPolicy),
    Restore(Restore),
}

impl Act {
    /// Whether words go.
    #[must_use]
    pub const fn takes_words(&self) -> bool {
        matches!(self, Self::ForgetMessage { .. } | Self::ForgetConversation)
    }
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

/// What a decision depends on besides the history.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    pub now: DateTime<Utc>,
    /// Without it, no snapshot is taken by itself.
    pub automatic: Option<Automatic>,
}

/// How far a caller's clock may run ahead of ours.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// What `command` becomes in `state`: its events, none when all is as it asks already, or the reason why not. A snapshot
/// that is due comes first.
pub fn decide(state: &Conversation, command: Command, circumstances: &Circumstances) -> Result<Vec<Happened>, Refusal> {
    let ahead = Ahead::of([&command]);
    decide_amid(state, command, &ahead, circumstances)
}

/// Decides `commands` one after the other, each on what the ones before it became, and leaves `state` evolved. Only the
/// first of them that becomes anything may have a snapshot taken before it: of what was there before all of them.
///
/// # Errors
/// The first refusal. `state` has then evolved over what came before it: discard it, unless there was one command.
pub fn decide_all(
    state: &mut Conversation,
    commands: Vec<Command>,
    circumstances: &Circumstances,
) -> Result<Vec<Happened>, Refusal> {
    let (mut circumstances, ahead) = (*circumstances, Ahead::of(&commands));
    let mut all = Vec::with_capacity(commands.len());
    for command in commands {
        let happened = decide_amid(state, command, &ahead, &circumstances)?;
        if !happened.is_empty() {
            circumstances.automatic = None;
        }
        *state = happened.iter().fold(std::mem::take(state), evolve);
        all.extend(happened);
    }
    Ok(all)
}

/// What `command` becomes when it and what follows in the same order bring what lies `ahead`.
fn decide_amid(
    state: &Conversation,
    command: Command,
    ahead: &Ahead,
    circumstances: &Circumstances,
) -> Result<Vec<Happened>, Refusal> {
    let now = circumstances.now;
    let occurred_at = micros(command.occurred_at.unwrap_or(now));
    if occurred_at > now + AHEAD_MAX {
        return Err(Refusal::InTheFuture { occurred_at, now });
    }
    let automatic = circumstances.automatic.filter(|_| snapshot::may_trigger(&command.act));
    let events = become_events(state, command.act)?;
    let due = automatic.filter(|_| !events.is_empty());
    let snapshot = due.and_then(|automatic| snapshot::due(state, ahead, &automatic, occurred_at));
    Ok(snapshot.into_iter().chain(events).map(|event| Happened { occurred_at, event }).collect())
}

fn become_events(state: &Conversation, act: Act) -> Result<Vec<Event>, Refusal> {
    if state.expired {
        return Err(Refusal::Expired);
    }
    match act {
        Act::Append(append) => message::append(state, append),
        Act::Edit(edit) => message::edit(state, edit),
        Act::Hide { message } => message::hide(state, message),
        Act::Unhide { message } => message::unhide(state, message),
        Act::ForgetMessage { message } => forget::message(state, message),
        Act::ForgetConversation => forget::conversation(state),
        Act::Rate { message, rating, comment } => message::rate(state, message, rating, comment),
        Act::CreateBranch(create) => branch::create(state, create),
        Act::RenameBranch { branch, name } => branch::rename(state, branch, name),
        Act::PreferBranch { branch } => branch::prefer(state, branch),
        Act::AbandonBranch { branch } => branch::abandon(state, branch),
        Act::ResumeBranch { branch } => branch::resume(state, branch),
        Act::ChooseBranch { branch, over } => branch::choose(state, branch, over),
        Act::Graft(run) => graft::graft(state, run),
        Act::TakeSnapshot(take) => snapshot::take(state, take),
        Act::ThinSnapshots { snapshots } => snapshot::thin(state, &snapshots),
        Act::ConfigureSnapshots(policy) => snapshot::configure(state, policy),
        Act::Restore(restore) => restore::restore(state, &restore),
        act => conversation::decide(state, act),
    }
}

/// The state after an event that says nothing any more: only the expiry that follows it counts.
#[must_use]
pub fn pass(mut state: Conversation) -> Conversation {
    state.version = state.version.next();
    state
}

/// The state after what happened. Total: whatever the log holds is history.
#[must_use]
pub fn evolve(mut state: Conversation, happened: &Happened) -> Conversation {
    state.version = state.version.next();
    snapshot::evolve(&mut state.snapshots, happened.occurred_at, &happened.event);
    match &happened.event {
        Event::MessageAppended(appended) => message::appended(&mut state, appended),
        Event::MessageHidden(hidden) => {
            state.hidden.insert(hidden.at);
        }
        Event::MessageUnhidden(unhidden) => {
            state.hidden.remove(&unhidden.at);
        }
        Event::MessageForgotten(forgotten) => {
            state.forgotten_messages.insert(forgotten.at, state.version);
        }
        Event::ConversationForgotten(_) => state.forgotten = state.version,
        Event::MessageRated(rated) => message::rated(&mut state, rated),
        Event::BranchCreated(created) => branch::created(&mut state, created),
        Event::BranchRenamed(renamed) => branch::renamed(&mut state, renamed),
        Event::BranchPreferred(preferred) => state.preferred = preferred.branch,
        Event::BranchAbandoned(abandoned) => branch::set_abandoned(&mut state, abandoned.branch, true),
        Event::BranchResumed(resumed) => branch::set_abandoned(&mut state, resumed.branch, false),
        Event::ConversationRestored(restored) => restore::restored(&mut state, restored),
        event => conversation::evolve(&mut state, event),
    }
    state
}
