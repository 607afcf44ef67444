//! Accounts and the keys of the people behind them.

use serde::{Deserialize, Serialize};

use super::{ConversationId, Payload, Position, Private, SubjectId, Words, unseal};

/// An account was registered. Its stream is its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRegistered {
    #[serde(skip)]
    pub email: Private<String>,
}

impl Payload for AccountRegistered {
    const KIND: &'static str = "account.registered";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.email).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.email = unseal(words)?;
        Ok(())
    }
}

/// Somebody else read what is the account's: it is told to the account before it is shown to anybody. The reason is the
/// ledger's words, not the account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRead {
    pub what: Reading,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    #[serde(skip, default = "unreasoned")]
    pub reason: Private<Option<String>>,
}

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// One conversation.
    Conversation,
    /// All there is, taken along.
    Export,
    /// What a search found.
    Search,
}

const fn unreasoned() -> Private<Option<String>> {
    Private::Known(None)
}

impl Payload for AccountRead {
    const KIND: &'static str = "account.read";

    fn words(&self) -> Vec<Words> {
        match &self.reason {
            Private::Known(None) => Vec::new(),
            reason => Words::of(0, reason).into_iter().collect(),
        }
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.reason = unseal(words)?;
        Ok(())
    }
}

/// A key was made for a subject's words. The commitment binds the ledger to this key: nobody can later open a sealed
/// word to something else under another, and an erasure can name the very key that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectKeyCreated {
    pub subject: SubjectId,
    pub generation: u32,
    /// BLAKE3 `derive_key("convoledger subject key commitment v1", key)`, hex.
    pub commitment: String,
}

/// Keys of a subject are destroyed, and so are the epochs that wrapped them: no copy of one opens by any key file that is left.
/// What they had sealed and is still there opens by what the next key keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectKeyDestroyed {
    pub subject: SubjectId,
    /// The newest of them; those before it went as well.
    pub generation: u32,
    /// All epochs up to this one are retired.
    pub epoch: u32,
    /// Words that were taken away up to here open by no key any more, wherever a copy of them lies.
    pub through: Position,
    /// For how many days whoever runs the ledger keeps old copies of the key directory, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups_days: Option<u32>,
}

impl Payload for SubjectKeyDestroyed {
    const KIND: &'static str = "subject_key.destroyed";
}

impl Payload for SubjectKeyCreated {
    const KIND: &'static str = "subject_key.created";
}
