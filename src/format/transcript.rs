//! The neutral shape that every format is read into.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::event::{Part, Rating, Role, Usage};

/// A conversation as its source tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The kind of export. (`source`, `id`, a message's `id`) is the same on every reading of the same export, and of
    /// a later one: ids of our own may be derived from it.
    pub source: &'static str,
    /// Its id at the source.
    pub id: String,
    pub title: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub archived: bool,
    pub favorited: bool,
    pub tags: Vec<String>,
    /// In the order in which they were said, parents before their children; what was said at one time stands in the
    /// source's order.
    pub messages: Vec<SourceMessage>,
    /// The id of the message that was last in view at the source.
    pub current: Option<String>,
    /// What the source says of the conversation and no field carries: JSON text.
    pub kept: Option<String>,
    /// What was kept without being understood, or had to be guessed.
    pub notes: Vec<Note>,
    /// Roots that carry no message and below which two messages or more follow: branch points that no message shows.
    pub(super) bare_branch_points: u64,
}

/// A message as its source tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceMessage {
    /// Unique in its transcript.
    pub id: String,
    /// The nearest ancestor that carries a message.
    pub parent: Option<String>,
    pub role: Role,
    pub parts: Vec<Part>,
    /// Its own time, or else that of the nearest ancestor that has one.
    pub at: Option<DateTime<Utc>>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// None when the source does not say: unknown is not zero.
    pub usage: Option<Usage>,
    pub cost_usd: Option<Decimal>,
    pub latency_ms: Option<u64>,
    pub finish_reason: Option<String>,
    pub hidden: bool,
    pub rating: Option<Rating>,
    /// What the source says of the message and no field carries: JSON text.
    pub verbatim: Option<String>,
}

/// Something that the report of losses tells: it was kept without being understood, or guessed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// The message concerned; none when it is the conversation.
    pub message: Option<String>,
    /// What it is, in words that are the same each time it happens, so that they can be counted.
    pub what: String,
}

/// The size of a transcript in the words that any report of it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub messages: u64,
    /// Messages, and roots without one, below which two messages or more follow directly.
    pub branch_points: u64,
    /// Messages with none below.
    pub leaves: u64,
}

impl Transcript {
    pub(super) const fn new(source: &'static str, id: String) -> Self {
        Self {
            source,
            id,
            title: None,
            created_at: None,
            updated_at: None,
            model: None,
            provider: None,
            archived: false,
            favorited: false,
            tags: Vec::new(),
            messages: Vec::new(),
            current: None,
            kept: None,
            notes: Vec::new(),
            bare_branch_points: 0,
        }
    }

    pub fn counts(&self) -> Counts {
        let mut below: HashMap<&str, u64> = HashMap::with_capacity(self.messages.len());
        for parent in self.messages.iter().filter_map(|message| message.parent.as_deref()) {
            *below.entry(parent).or_default() += 1;
        }
        let messages = self.messages.len() as u64;
        Counts {
            messages,
            branch_points: self.bare_branch_points + below.values().filter(|&&children| children > 1).count() as u64,
            leaves: messages - below.len() as u64,
        }
    }
}

impl SourceMessage {
    pub(super) const fn new(id: String, role: Role) -> Self {
        Self {
            id,
            parent: None,
            role,
            parts: Vec::new(),
            at: None,
            model: None,
            provider: None,
            usage: None,
            cost_usd: None,
            latency_ms: None,
            finish_reason: None,
            hidden: false,
            rating: None,
            verbatim: None,
        }
    }
}
