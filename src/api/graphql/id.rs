//! Ids as clients see them: `kind:` and base64url of owner and id, so that finding what one names never guesses whose
//! it is, and a wrong kind is told apart from a wrong id.

use async_graphql::ID;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::event::{BranchNumber, ConversationId, EventId, MessageId, OwnerId, StreamId};

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    Account(OwnerId),
    Conversation(OwnerId, ConversationId),
    Message(OwnerId, MessageId),
    /// A branch has no id of its own: it is its conversation's, with its number.
    Branch(OwnerId, ConversationId, BranchNumber),
    Event(OwnerId, EventId),
    /// The event that took it.
    Snapshot(OwnerId, EventId),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
// What was given may be anything, and answers are logged by whoever asks: it is not said back.
#[error("that is no {expected}id; ids come from this API, like `conversation:…`")]
pub struct NoId {
    expected: &'static str,
}

impl Name {
    pub fn id(self) -> ID {
        let (kind, bytes) = match self {
            Self::Account(owner) => ("account", owner.0.as_bytes().to_vec()),
            Self::Conversation(owner, id) => ("conversation", [*owner.0.as_bytes(), *id.0.as_bytes()].concat()),
            Self::Message(owner, id) => ("message", [*owner.0.as_bytes(), *id.0.as_bytes()].concat()),
            Self::Branch(owner, id, number) => {
                let ids = [owner.0.as_bytes().as_slice(), id.0.as_bytes(), &number.0.to_be_bytes()];
                ("branch", ids.concat())
            }
            Self::Event(owner, id) => ("event", [*owner.0.as_bytes(), *id.0.as_bytes()].concat()),
            Self::Snapshot(owner, id) => ("snapshot", [*owner.0.as_bytes(), *id.0.as_bytes()].concat()),
        };
        ID(format!("{kind}:{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub fn parse(id: &ID) -> Result<Self, NoId> {
        parse(id).ok_or(NoId { expected: "" })
    }

    pub const fn owner(self) -> OwnerId {
        match self {
            Self::Account(owner)
            | Self::Conversation(owner, _)
            | Self::Message(owner, _)
            | Self::Branch(owner, _, _)
            | Self::Event(owner, _)
            | Self::Snapshot(owner, _) => owner,
        }
    }
}

fn parse(id: &ID) -> Option<Name> {
    let (kind, encoded) = id.split_once(':')?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let uuid = |at: usize| Some(Uuid::from_bytes(bytes.get(at..at + 16)?.try_into().ok()?));
    let owner = OwnerId(uuid(0)?);
    match (kind, bytes.len()) {
        ("account", 16) => Some(Name::Account(owner)),
        ("conversation", 32) => Some(Name::Conversation(owner, ConversationId(uuid(16)?))),
        ("message", 32) => Some(Name::Message(owner, MessageId(uuid(16)?))),
        ("event", 32) => Some(Name::Event(owner, EventId(uuid(16)?))),
        ("snapshot", 32) => Some(Name::Snapshot(owner, EventId(uuid(16)?))),
        ("branch", 36) => {
            let number = i32::from_be_bytes(bytes[32..].try_into().ok()?);
            Some(Name::Branch(owner, ConversationId(uuid(16)?), BranchNumber(number)))
        }
        _ => None,
    }
}

macro_rules! expecting {
    ($($name:ident, $variant:ident($($field:ident: $type:ty),+), $word:literal);* $(;)?) => {
        impl Name {$(
            /// What `id` names, if it is one of these.
            pub fn $name(id: &ID) -> Result<(OwnerId, $($type),+), NoId> {
                match Self::parse(id) {
                    Ok(Self::$variant(owner, $($field),+)) => Ok((owner, $($field),+)),
                    _ => Err(NoId { expected: concat!($word, " ") }),
                }
            }
        )*}
    };
}

expecting!(
    conversation, Conversation(id: ConversationId), "conversation";
    message, Message(id: MessageId), "message";
    branch, Branch(id: ConversationId, number: BranchNumber), "branch";
    snapshot, Snapshot(id: EventId), "snapshot";
);

impl Name {
    /// The stream of the conversation or account that `id` names.
    pub fn stream(id: &ID) -> Result<(OwnerId, StreamId), NoId> {
        match Self::parse(id) {
            Ok(Self::Account(owner)) => Ok((owner, StreamId(owner.0))),
            Ok(Self::Conversation(owner, id)) => Ok((owner, id.into())),
            _ => Err(NoId { expected: "conversation or account " }),
        }
    }
}

/// An id that a client chooses for what it is about to create: a UUID, or one of our own of the right kind.
pub fn chosen(id: &ID, owned: impl FnOnce(Name) -> Option<(OwnerId, Uuid)>, owner: OwnerId) -> Result<Uuid, NoId> {
    let no_id = || NoId { expected: "UUID or " };
    if let Ok(id) = Uuid::try_parse(id) {
        return Ok(id);
    }
    let (whose, id) = Name::parse(id).ok().and_then(owned).ok_or_else(no_id)?;
    if whose == owner { Ok(id) } else { Err(no_id()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_what_it_was_made_for_and_nothing_else() {
        let (owner, id) = (OwnerId(Uuid::from_u128(1)), Uuid::from_u128(2));
        for name in [
            Name::Account(owner),
            Name::Conversation(owner, ConversationId(id)),
            Name::Message(owner, MessageId(id)),
            Name::Branch(owner, ConversationId(id), BranchNumber(7)),
            Name::Event(owner, EventId(id)),
            Name::Snapshot(owner, EventId(id)),
        ] {
            assert_eq!(Name::parse(&name.id()), Ok(name));
        }
        assert!(Name::conversation(&Name::Message(owner, MessageId(id)).id()).is_err());
        for nonsense in ["", "conversation:", "conversation:AAAA", "x:AAAAAAAAAAAAAAAAAAAAAA", "message"] {
            assert!(Name::parse(&ID::from(nonsense)).is_err(), "{nonsense}");
        }
    }
}
