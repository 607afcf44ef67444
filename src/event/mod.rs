//! The vocabulary: what can happen, as past facts. No I/O, no async.
//!
//! An event lies in the log in two halves. Its **facts** (ids, roles, models, counts, money, sizes) are JSON that SQL
//! can read for ever. Its **words** (what a person said, named or attached) are sealed under that person's key and can
//! be forgotten without the facts or the proofs noticing. A payload struct says which field is which: a field of type
//! [`Private`] is words and is skipped by serde.
//!
//! An event's name and version on the wire never change their meaning. An older version is upcast on reading
//! ([`upcast`]), never rewritten; every version keeps a golden file under `tests/golden/events`.

pub mod account;
pub mod branch;
pub mod conversation;
pub mod export;
mod forget;
pub mod id;
pub mod masking;
pub mod message;
pub mod part;
pub mod private;
pub mod projection;
pub mod retention;
pub mod sealed;
pub mod snapshot;
pub mod upcast;
pub mod usage;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

pub use account::{AccountRead, AccountRegistered, Reading, SubjectKeyCreated, SubjectKeyDestroyed};
pub use branch::{BranchAbandoned, BranchChosen, BranchCreated, BranchPreferred, BranchRenamed, BranchResumed};
pub use conversation::{
    Ancestor, BranchRestored, ConversationArchived, ConversationDeleted, ConversationFavorited, ConversationRestored,
    ConversationStarted, ConversationTagged, ConversationTitled, ConversationUnarchived, ConversationUndeleted,
    ConversationUnfavorited, ConversationUntagged, MessageRestored, ModelSwitched, Origin, Token,
};
pub use export::{ExportExpired, ExportFetched, ExportMade, ExportRequested};
pub use forget::{
    AccountForgetCancelled, AccountForgetRequested, AccountForgetStarted, AccountForgotten, AccountHeld,
    AccountReleased, ConversationForgotten, DeadKey, MessageForgotten, Removed, Requester, WordsGone,
};
pub use id::{
    AccountId, BranchNumber, CommandId, ConversationId, Depth, EventId, HistoryId, LedgerId, MessageId, OwnerId, Place,
    Position, Segment, StreamId, SubjectId, Version,
};
pub use masking::{MaskingConfigured, Personal};
pub use message::{Elsewhere, MessageAppended, MessageHidden, MessageRated, MessageUnhidden, Rating, Role};
pub use part::{Modality, Part, PartKind};
pub use private::Private;
pub use projection::ProjectionSkipped;
pub use retention::{
    Class, ConversationExpired, Lapsed, Resting, RetentionAnnounced, RetentionApplied, RetentionConfigured,
    RetentionPolicy, RetentionUndone, SAYING,
};
pub use sealed::{Piece, Sealed};
pub use snapshot::{
    FileAction, FileChange, SnapshotConfigured, SnapshotPolicy, SnapshotTaken, SnapshotThinned, Trigger,
};
pub use usage::Usage;

/// The largest whole number that every JSON reader agrees on (RFC 8259 § 6, RFC 8785): 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What an event type says of itself: its name on the wire, and which of its fields are words.
pub trait Payload: Serialize + DeserializeOwned {
    const KIND: &'static str;
    const VERSION: u16 = 1;

    /// The place in the tree of messages that this event takes, kept in columns of its own.
    fn place(&self) -> Option<Place> {
        None
    }

    /// The words, still in the clear, part by part. A part that is not there is not there: no empty ones.
    fn words(&self) -> Vec<Words> {
        Vec::new()
    }

    /// What its first part says, as plain text that somebody may look for; none when there is none, or it was forgotten.
    fn text(&self) -> Option<String> {
        None
    }

    /// Takes what lies in columns and not in the facts.
    fn stand(&mut self, _id: EventId, _place: Option<Place>) {}

    /// Takes the words of `part` back.
    ///
    /// # Errors
    /// If they are not the JSON that [`Payload::words`] wrote.
    fn open(&mut self, _part: u8, _words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        Ok(())
    }
}

/// One part of an event's words in the clear: JSON, wiped from memory when dropped.
#[derive(Clone)]
pub struct Words {
    pub part: u8,
    pub plain: Zeroizing<Vec<u8>>,
}

impl Words {
    /// `known` as words; nothing when they were forgotten, for what is forgotten cannot be said again.
    pub fn of<T: Serialize>(part: u8, known: &Private<T>) -> Option<Self> {
        let Private::Known(known) = known else { return None };
        let plain = serde_json::to_vec(known).expect("words are strings, lists and maps with string keys");
        Some(Self { part, plain: Zeroizing::new(plain) })
    }
}

/// Reads words back.
#[allow(clippy::needless_pass_by_value)] // a Private of a reference is a reference
pub(crate) fn unseal<T: DeserializeOwned>(words: Private<&[u8]>) -> Result<Private<T>, serde_json::Error> {
    match words {
        Private::Known(plain) => serde_json::from_slice(plain).map(Private::Known),
        Private::Forgotten => Ok(Private::Forgotten),
    }
}

/// An event that the log holds and this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error(
        "`{kind}` is no event that this version of convoledger knows; run the version that wrote it, or a newer one"
    )]
    Kind { kind: String },
    #[error("`{kind}` is of version {version}, and this version of convoledger reads up to {newest}; run a newer one")]
    Version { kind: String, version: u16, newest: u16 },
    #[error("what `{kind}` said is gone: the time of its conversation was over")]
    Expired { kind: String },
    #[error("the facts of `{kind}` do not read as one")]
    Facts {
        kind: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the words of `{kind}` do not read as its own")]
    Words {
        kind: String,
        #[source]
        source: serde_json::Error,
    },
}

macro_rules! vocabulary {
    ($($payload:ident),* $(,)?) => {
        /// One thing that happened.
        #[allow(clippy::large_enum_variant)] // most events are messages, which are the large ones
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $($payload($payload),)*
        }

        $(impl From<$payload> for Event {
            fn from(payload: $payload) -> Self {
                Self::$payload(payload)
            }
        })*

        /// Every kind and its newest version, in the order of the vocabulary.
        pub const KINDS: &[(&str, u16)] = &[$(($payload::KIND, $payload::VERSION)),*];

        impl Event {
            /// The name on the wire.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$payload(_) => $payload::KIND,)* }
            }

            /// The version on the wire.
            #[must_use]
            pub const fn version(&self) -> u16 {
                match self { $(Self::$payload(_) => $payload::VERSION,)* }
            }

            /// The facts: an object of strings, booleans, nulls and whole numbers within ±(2^53 − 1).
            #[must_use]
            pub fn facts(&self) -> Value {
                match self { $(Self::$payload(payload) => serde_json::to_value(payload),)* }
                    .expect("facts are plain structs with string keys")
            }

            #[must_use]
            pub fn place(&self) -> Option<Place> {
                match self { $(Self::$payload(payload) => payload.place(),)* }
            }

            #[must_use]
            pub fn words(&self) -> Vec<Words> {
                match self { $(Self::$payload(payload) => payload.words(),)* }
            }

            /// Reads an event back from its facts; its words count as forgotten until [`Event::open`].
            ///
            /// # Errors
            /// If this program does not know the kind or its version, or the facts do not fit it.
            pub fn read(kind: &str, version: u16, id: EventId, place: Option<Place>, facts: &Value) -> Result<Self, Unreadable> {
                let (version, facts) = upcast::chain(upcast::STEPS, kind, version, Cow::Borrowed(facts));
                match kind {
                    $($payload::KIND => {
                        if version != $payload::VERSION {
                            return Err(Unreadable::Version { kind: kind.to_owned(), version, newest: $payload::VERSION });
                        }
                        let mut payload = $payload::deserialize(&*facts)
                            .map_err(|source| Unreadable::Facts { kind: kind.to_owned(), source })?;
                        payload.stand(id, place);
                        Ok(Self::$payload(payload))
                    })*
                    _ => Err(Unreadable::Kind { kind: kind.to_owned() }),
                }
            }

            /// What its first part says, as plain text that somebody may look for; none when there is none, or it was
            /// forgotten.
            #[must_use]
            pub fn text(&self) -> Option<String> {
                match self { $(Self::$payload(payload) => payload.text(),)* }
            }

            /// Takes the words of one part back.
            ///
            /// # Errors
            /// If they do not read as this event's.
            pub fn open(&mut self, part: u8, words: Private<&[u8]>) -> Result<(), Unreadable> {
                match self { $(Self::$payload(payload) => payload.open(part, words),)* }
                    .map_err(|source| Unreadable::Words { kind: self.kind().to_owned(), source })
            }
        }
    };
}

vocabulary!(
    ConversationStarted,
    ConversationTitled,
    ConversationFavorited,
    ConversationUnfavorited,
    ConversationTagged,
    ConversationUntagged,
    ConversationArchived,
    ConversationUnarchived,
    ConversationDeleted,
    ConversationUndeleted,
    ConversationRestored,
    MessageAppended,
    MessageHidden,
    MessageUnhidden,
    MessageRated,
    ModelSwitched,
    BranchCreated,
    BranchRenamed,
    BranchPreferred,
    BranchAbandoned,
    BranchResumed,
    BranchChosen,
    SnapshotTaken,
    SnapshotThinned,
    SnapshotConfigured,
    MaskingConfigured,
    AccountRegistered,
    AccountForgetRequested,
    AccountForgetCancelled,
    AccountForgetStarted,
    AccountForgotten,
    AccountHeld,
    AccountReleased,
    AccountRead,
    ExportRequested,
    ExportMade,
    ExportFetched,
    ExportExpired,
    MessageForgotten,
    ConversationForgotten,
    ConversationExpired,
    SubjectKeyCreated,
    SubjectKeyDestroyed,
    ProjectionSkipped,
    RetentionConfigured,
    RetentionAnnounced,
    RetentionUndone,
    RetentionApplied,
);

/// Declares events that say all by their name.
macro_rules! bare {
    ($($(#[$doc:meta])* $name:ident = $kind:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        pub struct $name {}

        impl $crate::event::Payload for $name {
            const KIND: &'static str = $kind;
        }
    )*};
}
pub(crate) use bare;
