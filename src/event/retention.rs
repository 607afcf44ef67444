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

/// How long each class is kept, in days since it was recorded. What says nothing is kept for ever.
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
    pub words: Vec<Lapsed>,
}

/// What was announced does not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionUndone {
    /// The version of the notice in the account's stream.
    pub announced: Version,
    pub by: Requester,
}

/// Words that were announced are gone, in the transaction of this event: those up to a position. Large accounts take several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionApplied {
    /// The version of the notice in the account's stream.
    pub announced: Version,
    pub through: Position,
    pub words: Vec<Lapsed>,
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
