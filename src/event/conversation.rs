//! A conversation as a whole: its birth, title, tags, place on the shelf and model.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BranchNumber, ConversationId, MessageId, Payload, Place, Private, Rating, Version, Words, bare, unseal};

/// A conversation began. Its stream is its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationStarted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The kind of export that it was imported from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The message of another conversation that it goes on below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Ancestor>,
    #[serde(skip, default = "nowhere")]
    pub origin: Private<Option<Origin>>,
}

/// A message of another conversation of the same owner, below which this one goes on. Roots here are its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    pub conversation: ConversationId,
    pub message: MessageId,
    pub at: Place,
}

/// Where an imported conversation came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its id at the source.
    pub id: String,
    /// What the source said of it and no event of ours carries: JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

const fn nowhere() -> Private<Option<Origin>> {
    Private::Known(None)
}

impl Payload for ConversationStarted {
    const KIND: &'static str = "conversation.started";

    fn words(&self) -> Vec<Words> {
        match &self.origin {
            Private::Known(None) => Vec::new(),
            origin => Words::of(0, origin).into_iter().collect(),
        }
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.origin = unseal(words)?;
        Ok(())
    }
}

/// A conversation got a title, or another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationTitled {
    #[serde(skip)]
    pub title: Private<String>,
}

impl Payload for ConversationTitled {
    const KIND: &'static str = "conversation.titled";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.title).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.title = unseal(words)?;
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.title.clone().known()
    }
}

/// Tags were put on a conversation. `tokens` and `tags` run in parallel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationTagged {
    pub tokens: Vec<Token>,
    #[serde(skip)]
    pub tags: Private<Vec<String>>,
}

impl Payload for ConversationTagged {
    const KIND: &'static str = "conversation.tagged";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.tags).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.tags = unseal(words)?;
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.tags.as_ref().known().map(|tags| tags.join("\n"))
    }
}

/// Tags were taken off a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationUntagged {
    pub tokens: Vec<Token>,
}

impl Payload for ConversationUntagged {
    const KIND: &'static str = "conversation.untagged";
}

/// The model that answers from here on changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSwitched {
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Payload for ModelSwitched {
    const KIND: &'static str = "model.switched";
}

bare!(
    ConversationFavorited = "conversation.favorited",
    ConversationUnfavorited = "conversation.unfavorited",
    ConversationArchived = "conversation.archived",
    ConversationUnarchived = "conversation.unarchived",
    /// A conversation was put away as deleted. Nothing is lost: undeleting gives back exactly what was there.
    ConversationDeleted = "conversation.deleted",
    ConversationUndeleted = "conversation.undeleted",
);

/// A conversation was brought back to what it was at an earlier version. Nothing that came after is lost: messages stay,
/// and it can be brought back to that as well. Only what changes is said; words are referred to by the version of the
/// event that holds them, and version 0 is none.
#[allow(clippy::option_option)] // absent and null are two things
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConversationRestored {
    pub to: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Version>,
    /// All tags that it has from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<Token, Version>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub favorited: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Null takes it away; absent, it does not change.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub model: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    pub provider: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<BranchNumber>,
    /// The branches of which something changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchRestored>,
    /// The messages of which something changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageRestored>,
}

/// All that may change of a branch, as it is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRestored {
    pub branch: BranchNumber,
    pub tip: Option<Place>,
    /// The version of the event that holds its name.
    pub name: Version,
    pub token: Option<Token>,
    pub abandoned: bool,
}

/// All that may change of a message, as it is from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRestored {
    pub at: Place,
    pub hidden: bool,
    pub rating: Option<Rating>,
    /// The version of the `message.rated` that holds the comment.
    pub comment: Version,
}

impl Payload for ConversationRestored {
    const KIND: &'static str = "conversation.restored";
}

/// A field that is there, even when it is null.
#[allow(clippy::option_option)] // absent and null are two things
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A word that facts may be compared by: keyed BLAKE3 of the normalised word under its subject's key, cut to 16 bytes.
/// Equal words of one person have equal tokens; without the key a token says nothing, and it dies with the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub [u8; 16]);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

impl FromStr for Token {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
