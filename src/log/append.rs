//! A command on its way into the log, and what the lane answers.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::digest;
use crate::event::{AccountId, CommandId, EventId, OwnerId, Place, Position, Sealed, StreamId, Version};

/// A command: events for one stream or several, appended all together or not at all.
#[derive(Debug, Clone)]
pub struct Append {
    pub owner: OwnerId,
    pub actor: AccountId,
    pub command: CommandId,
    /// Keyed digest of the command, when its caller named it: a repeat must say the same.
    pub command_digest: Option<[u8; 16]>,
    pub correlation: Option<Uuid>,
    pub causation: Option<EventId>,
    pub targets: Vec<Target>,
}

/// What goes to one stream.
#[derive(Debug, Clone)]
pub struct Target {
    pub stream: StreamId,
    pub expected: Expected,
    pub events: Vec<NewEvent>,
}

/// What a stream must be for an append to go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Any,
    /// It has no event yet.
    None,
    /// It has one at least.
    Exists,
    /// Its newest event is of this version: what was decided on a state is appended to that state.
    Exact(Version),
}

#[derive(Debug, Clone)]
pub struct NewEvent {
    pub id: EventId,
    pub kind: &'static str,
    pub kind_version: i16,
    pub occurred_at: DateTime<Utc>,
    pub place: Option<Place>,
    pub body: Value,
    pub words: Vec<Sealed>,
    /// Parts of words that it had where it comes from, and that were forgotten there.
    pub gone: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Appended(Appended),
    /// The same command went in before: its first answer. Its events follow one another from `first`; how many there
    /// were is for the reader to see, `last` supposes as many as this time.
    Repeated(Appended),
    /// Another command went in under this id.
    Reused {
        first: Position,
    },
    /// A stream was not as expected; `version` is what it is.
    Conflict {
        stream: StreamId,
        version: Version,
    },
    /// An event's id is taken by another event of this owner.
    IdTaken,
    /// A conversation that this goes on from, or repeats messages of, expired meanwhile.
    SourceExpired,
    /// The owner is being forgotten, or was: nothing goes in any more.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first event; the others follow in order.
    pub first: Position,
    pub last: Position,
    pub recorded_at: DateTime<Utc>,
    /// The version of each target's stream before.
    pub before: Vec<Version>,
}

/// An append that was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("more is waiting to be written than this server holds in memory; try again in {retry_after_s} s")]
    Full { retry_after_s: u64 },
    #[error("the server is stopping and takes nothing more; try again in a moment")]
    Closed,
    #[error(
        "the database did not answer for {waited_s} s ({reason}), and whether the command was written is unknown; \
         repeat it under the same id"
    )]
    Unknown { waited_s: u64, reason: String },
    #[error("the command has {given} {what}, and one takes at most {max}; split it")]
    TooLarge { what: &'static str, given: usize, max: usize },
    #[error(
        "the facts of `{kind}` hold what has no canonical JSON form; this is a defect of convoledger, please report it"
    )]
    Inadmissible { kind: &'static str },
    #[error("the words were sealed under a key that was given up meanwhile; try again")]
    Outdated,
    #[error("the database refused the append: {0}")]
    Refused(String),
}

impl Answer {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Appended(_) => "appended",
            Self::Repeated(_) => "repeated",
            Self::Reused { .. } => "reused",
            Self::Conflict { .. } => "conflict",
            Self::IdTaken => "id_taken",
            Self::SourceExpired => "source_expired",
            Self::Closed => "closed",
        }
    }
}

impl Append {
    pub(super) fn events(&self) -> usize {
        self.targets.iter().map(|target| target.events.len()).sum()
    }

    /// What it weighs in the queue, in bytes: words and a round figure for facts.
    pub(super) fn weight(&self) -> usize {
        const FACTS: usize = 400;
        let words = |event: &NewEvent| event.words.iter().map(|sealed| sealed.ciphertext.len()).sum::<usize>() + FACTS;
        self.targets.iter().flat_map(|target| &target.events).map(words).sum()
    }

    pub(super) fn admissible(&self) -> Result<(), AppendError> {
        let events = || self.targets.iter().flat_map(|target| &target.events);
        if events().count() == 0 || self.targets.iter().any(|target| target.events.is_empty()) {
            return Err(AppendError::TooLarge { what: "streams without events", given: 1, max: 0 });
        }
        match events().find(|event| !digest::admissible(&event.body)) {
            Some(event) => Err(AppendError::Inadmissible { kind: event.kind }),
            None => Ok(()),
        }
    }
}
