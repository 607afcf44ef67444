//! Messages: what was said, and what was later thought of it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::part::said_in;
use super::{
    BranchNumber, ConversationId, EventId, MessageId, Part, PartKind, Payload, Place, Private, Usage, Words, unseal,
};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
    System,
    Developer,
    Tool,
}

impl Role {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Developer => "developer",
            Self::Tool => "tool",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rating {
    Up,
    Down,
}

/// A message was said. An edit and a regeneration are this too: a sibling of the message that they revise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAppended {
    /// The id of this event.
    #[serde(skip)]
    pub id: MessageId,
    /// Where it stands; its parent is one depth up in its segment, or where the segment forks off.
    #[serde(skip)]
    pub place: Place,
    /// Where this message's segment forks off, when it is the first of one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<Place>,
    /// The branch whose tip this message is from now on; a number not seen before is a new branch.
    pub branch: BranchNumber,
    pub role: Role,
    /// How much was said: bytes of UTF-8, over all parts.
    pub bytes: u64,
    /// The kinds of the parts, in order.
    #[serde(default = "one_text", skip_serializing_if = "is_one_text")]
    pub shape: Vec<PartKind>,
    /// The language that it is in, as ISO 639-3 has it; none when that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The message that this one revises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it cost, when that is known; unknown is not zero.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rust_decimal::serde::str_option")]
    pub cost_usd: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The message of another conversation that this one repeats, without words of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Elsewhere>,
    #[serde(skip)]
    pub parts: Private<Vec<Part>>,
    /// What the provider or the export said beside the message and no field carries: JSON text, verbatim.
    #[serde(skip, default = "nothing")]
    pub verbatim: Private<Option<String>>,
}

/// A message of another conversation of the same owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    pub conversation: ConversationId,
    pub message: MessageId,
}

const CONTENT: u8 = 0;
const VERBATIM: u8 = 1;

fn one_text() -> Vec<PartKind> {
    vec![PartKind::Text]
}

fn is_one_text(shape: &[PartKind]) -> bool {
    shape == [PartKind::Text]
}

const fn nothing() -> Private<Option<String>> {
    Private::Known(None)
}

/// Most messages are one text: they are sealed as a bare string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl Payload for MessageAppended {
    const KIND: &'static str = "message.appended";

    fn place(&self) -> Option<Place> {
        Some(self.place)
    }

    fn words(&self) -> Vec<Words> {
        if self.origin.is_some() {
            return Vec::new();
        }
        let content = self.parts.as_ref().map(|parts| match parts.as_slice() {
            [Part::Text { content }] => Content::Text(content.clone()),
            parts => Content::Parts(parts.to_vec()),
        });
        let verbatim = match &self.verbatim {
            Private::Known(None) => None,
            verbatim => Words::of(VERBATIM, verbatim),
        };
        Words::of(CONTENT, &content).into_iter().chain(verbatim).collect()
    }

    fn stand(&mut self, id: EventId, place: Option<Place>) {
        self.id = id.into();
        self.place = place.unwrap_or_default();
        if self.origin.is_some() {
            self.parts = Private::Known(Vec::new());
        }
    }

    fn open(&mut self, part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        match part {
            CONTENT => {
                self.parts = unseal(words)?.map(|content| match content {
                    Content::Text(content) => vec![Part::Text { content }],
                    Content::Parts(parts) => parts,
                });
            }
            _ => self.verbatim = unseal(words)?,
        }
        Ok(())
    }

    fn text(&self) -> Option<String> {
        let parts = self.parts.as_ref().known().filter(|_| self.origin.is_none());
        parts.map(|parts| said_in(parts))
    }
}

/// A message was hidden from view. It stays where it is, and what hangs below it stays in sight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHidden {
    pub message: MessageId,
    pub at: Place,
}

impl Payload for MessageHidden {
    const KIND: &'static str = "message.hidden";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageUnhidden {
    pub message: MessageId,
    pub at: Place,
}

impl Payload for MessageUnhidden {
    const KIND: &'static str = "message.unhidden";
}

/// A message was judged, or a judgement taken back (no rating).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRated {
    pub message: MessageId,
    pub at: Place,
    pub rating: Option<Rating>,
    #[serde(skip, default = "nothing")]
    pub comment: Private<Option<String>>,
}

impl Payload for MessageRated {
    const KIND: &'static str = "message.rated";

    fn words(&self) -> Vec<Words> {
        match &self.comment {
            Private::Known(None) => Vec::new(),
            comment => Words::of(0, comment).into_iter().collect(),
        }
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.comment = unseal(words)?;
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.comment.clone().known().flatten()
    }
}
