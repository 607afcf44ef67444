//! Identities and coordinates, each a type of its own, so that no two of them can be swapped by accident.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_kinds {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )*};
}

uuid_kinds! {
    /// One ledger: a database and its keys. Sealed words name it, so they open nowhere else.
    LedgerId,
    /// One unbroken past of a ledger; a point-in-time restore starts another.
    HistoryId,
    /// A person or service that can sign in.
    AccountId,
    /// Whose part of the ledger something is; today always an account.
    OwnerId,
    /// Whose words they are: the person that a key belongs to and that can be forgotten.
    SubjectId,
    /// A run of events with versions of its own: a conversation, an account.
    StreamId,
    /// One event; unique within its owner.
    EventId,
    /// One act as it was asked for, which may take several events; the idempotency key.
    CommandId,
    /// The stream of a conversation.
    ConversationId,
    /// A message: the id of the event that appended it.
    MessageId,
}

impl From<AccountId> for OwnerId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<OwnerId> for AccountId {
    fn from(owner: OwnerId) -> Self {
        Self(owner.0)
    }
}

impl From<AccountId> for SubjectId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<OwnerId> for SubjectId {
    fn from(owner: OwnerId) -> Self {
        Self(owner.0)
    }
}

impl From<AccountId> for StreamId {
    fn from(account: AccountId) -> Self {
        Self(account.0)
    }
}

impl From<ConversationId> for StreamId {
    fn from(conversation: ConversationId) -> Self {
        Self(conversation.0)
    }
}

impl From<StreamId> for ConversationId {
    fn from(stream: StreamId) -> Self {
        Self(stream.0)
    }
}

impl From<MessageId> for EventId {
    fn from(message: MessageId) -> Self {
        Self(message.0)
    }
}

impl From<EventId> for MessageId {
    fn from(event: EventId) -> Self {
        Self(event.0)
    }
}

impl CommandId {
    /// The id of the command that `actor` names `client_id` in the ledger of `owner`: the same words, the same command.
    #[must_use]
    pub fn of(owner: OwnerId, actor: AccountId, client_id: &str) -> Self {
        let actors = Uuid::new_v5(&owner.0, actor.0.as_bytes());
        Self(Uuid::new_v5(&actors, client_id.as_bytes()))
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty)),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    )*};
}

numbers! {
    /// Where an event stands in the log: 1, 2, 3 … without a gap, in commit order. 0 is before the first.
    Position(i64),
    /// Where an event stands in its stream: 1, 2, 3 … without a gap. 0 is before the first.
    Version(i32),
    /// A run of messages of one conversation without a fork: 1, 2, 3 …
    Segment(i32),
    /// How many messages lie on the way from the root to this one, itself included.
    Depth(i32),
    /// Which branch of its conversation: `main` is 1.
    BranchNumber(i32),
}

impl Position {
    /// Past every event: what is read as of it is how things are now.
    pub const LATEST: Self = Self(i64::MAX);
}

impl BranchNumber {
    pub const MAIN: Self = Self(1);
}

/// Where a message stands in the tree of its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Place {
    pub segment: Segment,
    pub depth: Depth,
}
