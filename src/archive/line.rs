//! One event as a line of JSON: its facts, its words, its leaf, and the proof that the leaf is in the log.
//!
//! The words of an event come with the bytes that were sealed, which the leaf is hashed over, and with the key of these bytes
//! alone ([`Opening`]): so it can be checked that what is shown is what was sealed when the event was recorded.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::event::{
    AccountId, CommandId, EventId, HistoryId, LedgerId, OwnerId, Place, Position, Sealed, StreamId, SubjectId, Version,
};
use crate::log::{Fact, Recorded, digest};
use crate::proof::merkle::root_by;
use crate::proof::{Hash, base64, hash};
use crate::vault::{About, Opening};

/// An event of an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    pub position: Position,
    /// Which history of the ledger it was recorded in.
    pub history: HistoryId,
    pub owner: OwnerId,
    pub stream: StreamId,
    pub version: Version,
    #[serde(with = "time")]
    pub recorded_at: DateTime<Utc>,
    #[serde(with = "time")]
    pub occurred_at: DateTime<Utc>,
    pub id: EventId,
    pub kind: String,
    pub kind_version: i16,
    pub actor: AccountId,
    pub command: CommandId,
    /// Which event of its command, from 0.
    pub command_nth: i16,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub command_digest: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The event that took its facts away, or all of them but money: then `facts` is what is left, and the leaf counts as it
    /// is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Position>,
    pub facts: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Part>,
    #[serde(with = "hash_text")]
    pub leaf: Hash,
    /// RFC 6962 inclusion proof in the tree of the archive's checkpoint, from the leaf up.
    #[serde(with = "hashes")]
    pub proof: Vec<Hash>,
}

/// One part of an event's words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    pub part: u8,
    /// BLAKE3 over what was sealed: the event's digest holds it, whatever became of the words.
    #[serde(with = "hex::serde")]
    pub digest: Hash,
    pub state: State,
    /// What was said, as JSON; there when `state` is `opened` or `masked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Value>,
    /// There when `state` is `opened`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Openable>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Opened,
    /// Personal data in it stands behind placeholders.
    Masked,
    /// They were forgotten.
    Gone,
    /// They are another person's, or were not asked for.
    Withheld,
}

/// What was sealed, and what opens it alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Openable {
    pub subject: SubjectId,
    pub generation: u32,
    #[serde(with = "hex::serde")]
    pub nonce: [u8; 24],
    #[serde(with = "bytes")]
    pub ciphertext: Vec<u8>,
    #[serde(with = "opening")]
    pub key: Opening,
}

/// Why a line does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error("event {0} is not the one that was recorded: its leaf differs")]
    Leaf(Position),
    #[error("event {0} is not in the log that the checkpoint is of")]
    Absent(Position),
    #[error("the words of event {0} (part {1}) are not those that were sealed when it was recorded")]
    Words(Position, u8),
    #[error(
        "event {0} is shown without its facts, or what is left of its conversation is not what was left when it expired"
    )]
    Expired(Position),
    #[error("event {0} does not say of each of its words what became of them")]
    Form(Position),
}

impl Line {
    /// The line of an event, without its words and its proof.
    #[must_use]
    pub fn of(recorded: Recorded, history: HistoryId) -> Self {
        let Recorded { position, version, recorded_at, leaf, reduced, fact } = recorded;
        let words = digest::words_parts(&fact.words_digest).map(|(part, digest)| Part {
            part,
            digest: digest.try_into().unwrap_or_default(),
            state: State::Withheld,
            said: None,
            sealed: None,
        });
        Self {
            words: words.collect(),
            position,
            history,
            owner: fact.owner,
            stream: fact.stream,
            version,
            recorded_at,
            occurred_at: fact.occurred_at,
            id: fact.id,
            kind: fact.kind,
            kind_version: fact.kind_version,
            actor: fact.actor,
            command: fact.command,
            command_nth: fact.command_nth,
            command_digest: fact.command_digest.map(|digest| digest.to_vec()),
            correlation: fact.correlation,
            causation: fact.causation,
            place: fact.place,
            expired: reduced,
            facts: fact.body,
            leaf,
            proof: Vec::new(),
        }
    }

    /// What a part of its words is sealed for.
    #[must_use]
    pub fn about(&self, ledger: LedgerId, part: u8) -> About<'_> {
        let kind_version = u16::try_from(self.kind_version).unwrap_or_default();
        About { ledger, owner: self.owner, event: self.id, kind: &self.kind, kind_version, part }
    }

    /// Checks that this very event is in the log of `size` events whose root is `root`, and that its words are those that it
    /// was recorded with. Of one that expired, only its leaf is: see [`Expiries`](super::expiry::Expiries).
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, origin: &str, ledger: LedgerId, size: u64, root: &Hash) -> Result<(), Unsound> {
        let event = digest::event(&self.fact().ok_or(Unsound::Form(self.position))?);
        let stream = (self.owner, self.stream, self.version);
        let leaf = digest::leaf(origin, self.history, self.position, stream, self.recorded_at, &event);
        if leaf != self.leaf && self.expired.is_none() {
            return Err(Unsound::Leaf(self.position));
        }
        let index = self.position.0.checked_sub(1).and_then(|index| u64::try_from(index).ok());
        if index.and_then(|index| root_by(&self.proof, self.leaf, index, size)).as_ref() != Some(root) {
            return Err(Unsound::Absent(self.position));
        }
        self.words.iter().try_for_each(|part| self.check_part(ledger, part))
    }

    fn check_part(&self, ledger: LedgerId, part: &Part) -> Result<(), Unsound> {
        let wrong = Unsound::Words(self.position, part.part);
        match (part.state, &part.said, &part.sealed) {
            (State::Opened, Some(said), Some(openable)) => {
                let sealed = openable.sealed(part.part);
                if digest::words(&sealed) != part.digest {
                    return Err(wrong);
                }
                let plain = openable.key.open(&self.about(ledger, part.part), &sealed).map_err(|_| wrong.clone())?;
                if serde_json::from_slice::<Value>(&plain).is_ok_and(|plain| plain == *said) {
                    Ok(())
                } else {
                    Err(wrong)
                }
            }
            (State::Masked, Some(_), None) | (State::Gone | State::Withheld, None, None) => Ok(()),
            _ => Err(Unsound::Form(self.position)),
        }
    }

    /// Its facts as the log holds them; none if they do not read as such.
    #[must_use]
    pub fn fact(&self) -> Option<Fact> {
        let command_digest = match &self.command_digest {
            Some(digest) => Some(digest.as_slice().try_into().ok()?),
            None => None,
        };
        Some(Fact {
            owner: self.owner,
            stream: self.stream,
            id: self.id,
            command: self.command,
            command_nth: self.command_nth,
            command_digest,
            actor: self.actor,
            correlation: self.correlation,
            causation: self.causation,
            occurred_at: self.occurred_at,
            kind: self.kind.clone(),
            kind_version: self.kind_version,
            place: self.place,
            body: self.facts.clone(),
            words_digest: self.words.iter().flat_map(|part| std::iter::once(part.part).chain(part.digest)).collect(),
        })
    }
}

impl Openable {
    #[must_use]
    pub fn of(sealed: &Sealed, key: Opening) -> Self {
        let Sealed { subject, generation, nonce, ciphertext, .. } = sealed.clone();
        Self { subject, generation, nonce, ciphertext, key }
    }

    fn sealed(&self, part: u8) -> Sealed {
        let Self { subject, generation, nonce, ciphertext, .. } = self.clone();
        Sealed { part, subject, generation, nonce, ciphertext }
    }
}

/// How many events a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamHead {
    pub owner: OwnerId,
    pub stream: StreamId,
    /// Of its first event here; 1 unless the archive begins amid the log.
    pub from: Version,
    pub version: Version,
}

pub(super) mod time {
    use super::{DateTime, Deserialize as _, Deserializer, SecondsFormat, Serializer, Utc};

    pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

mod hex_option {
    use super::{Deserialize as _, Deserializer, Serializer};

    #[allow(clippy::ref_option)] // what serde calls it with
    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes.as_deref().unwrap_or_default()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
    }
}

mod hash_text {
    use super::{Deserialize as _, Deserializer, Hash, Serializer, base64, hash};

    pub fn serialize<S: Serializer>(of: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64(of))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        hash(&String::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("no hash"))
    }
}

mod hashes {
    use super::{Deserialize as _, Deserializer, Hash, Serializer, base64, hash};

    pub fn serialize<S: Serializer>(of: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(of.iter().map(base64))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read: Option<Vec<Hash>> = texts.iter().map(|text| hash(text)).collect();
        read.ok_or_else(|| serde::de::Error::custom("no hash"))
    }
}

mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

mod opening {
    use super::{Deserialize as _, Deserializer, Opening, Serializer};

    pub fn serialize<S: Serializer>(key: &Opening, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(key.0))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Opening, D::Error> {
        let mut key = Opening([0; 32]);
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut key.0).map_err(serde::de::Error::custom)?;
        Ok(key)
    }
}
