//! Retention: how long what an account said is kept, and what went because its time was over. Events of the account's own
//! stream; they hold no words.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    BranchCreated, BranchRenamed, ConversationStarted, ConversationTagged, ConversationTitled, MessageAppended,
    MessageRated, Payload, Position, Requester, SnapshotTaken, Version,
};

/// The kinds of events that say something in a conversation: those whose words can have a lifetime.
pub const SAYING: &[&str] = &[
    MessageAppended::KIND,
    MessageRated::KIND,
    ConversationStarted::KIND,
    ConversationTitled::KIND,
    ConversationTagged::KIND,
    BranchCreated::KIND,
    BranchRenamed::KIND,
    SnapshotTaken::KIND,
];

/// How long each class is kept, in days since it was recorded. None of them is kept longer than the next.
///
/// * **words**: what was said, event by event;
/// * **facts**: everything else that events say, and which words there were; by conversation, since its newest event;
/// * **money**: of each message what it used and cost, and by what; with its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<u32>,
    /// What goes by another lifetime than `words` says: by the kind of the event, null for ever.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, Option<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<u32>,
    /// So many days lie between the notice and what follows from it, in which it can be taken back.
    pub undo: u32,
}

/// How long things are kept was settled for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionConfigured {
    /// None: as the server says.
    pub policy: Option<RetentionPolicy>,
}

/// The notice: these words go when it is due, unless it is undone, the policy changes, or the account is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionAnnounced {
    pub due: DateTime<Utc>,
    /// Whose lifetimes they are: the account's own or the server's.
    pub policy: RetentionPolicy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Lapsed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<Resting>,
}

/// What was announced does not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionUndone {
    /// The version of the notice in the account's stream.
    pub announced: Version,
    pub by: Requester,
}

/// Words that were announced are gone, in the transaction of this event: those up to a position; or conversations expire in
/// the same command. Large accounts take several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionApplied {
    /// The version of the notice in the account's stream.
    pub announced: Version,
    pub through: Position,
    pub words: Vec<Lapsed>,
    /// How many expire.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conversations: u64,
    /// Whether some that were announced may still be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// What is left behind words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Facts,
    Money,
}

impl Class {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Money => "money",
        }
    }
}

/// Conversations at rest whose facts, or whose money, has had its time: those whose newest event stands behind `after`, up to
/// `through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    pub class: Class,
    pub after: Position,
    pub through: Position,
    pub conversations: u64,
    pub events: u64,
    /// When the newest event of the first and of the last of them was recorded.
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

/// The time of a conversation was over: what its earlier events said is gone in the transaction of this one, which is part of
/// a command that carries a notice out. It is the last of its stream, unless money went later: then another one follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationExpired {
    /// What is left of bodies; nothing when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<Class>,
    /// How many events are before it.
    pub events: u64,
    /// Over the digests of these events as they are left (`log::digest::left`): hex.
    pub left: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls it with
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Words of one kind of event whose time is over: those that the account said in conversations behind `after`, up to
/// `through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapsed {
    pub kind: String,
    pub after: Position,
    pub through: Position,
    /// Events that have any.
    pub events: u64,
    /// Sealed parts.
    pub parts: u64,
    /// Of the sealed parts.
    pub bytes: u64,
    /// When the first and the last of them were recorded.
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
}

impl Payload for ConversationExpired {
    const KIND: &'static str = "conversation.expired";
}

impl Payload for RetentionConfigured {
    const KIND: &'static str = "retention.configured";
}

impl Payload for RetentionAnnounced {
    const KIND: &'static str = "retention.announced";
}

impl Payload for RetentionUndone {
    const KIND: &'static str = "retention.undone";
}

impl Payload for RetentionApplied {
    const KIND: &'static str = "retention.applied";
}
