//! Forgetting a person, and holding on to one by law: events of the account's own stream. And forgetting a message or a
//! conversation, which stand in the stream of the conversation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{MessageId, Payload, Place, Position, Private, Words, bare, unseal};

/// It was asked that an account be forgotten. With this event the account is closed: nothing else is appended for it, and
/// nobody reads in its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountForgetRequested {
    /// Until then it can be cancelled.
    pub due: DateTime<Utc>,
    pub by: Requester,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// The person.
    Subject,
    /// Whoever runs the ledger.
    Operator,
}

bare! {
    /// The account is not forgotten after all, and open again.
    AccountForgetCancelled = "account.forget_cancelled",
    /// All that was said in the conversation until now is gone, in the transaction of this event.
    ConversationForgotten = "conversation.forgotten",
}

/// What a message said is gone, and what was said when it was rated, in the transaction of this event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageForgotten {
    pub message: MessageId,
    pub at: Place,
}

impl Payload for MessageForgotten {
    const KIND: &'static str = "message.forgotten";
}

/// Forgetting has begun, with this event: the account's keys are destroyed in its transaction. What was there is counted
/// now, once: whatever happens on the way, the receipt says this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountForgetStarted {
    /// The keys that die.
    pub keys: Vec<DeadKey>,
    pub words: WordsGone,
    /// Where else something is removed, and how much.
    pub removes: Vec<Removed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadKey {
    pub generation: u32,
    /// As in `subject_key.created`: hex.
    pub commitment: String,
}

/// Words that go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordsGone {
    /// Events that had any.
    pub events: u64,
    /// Sealed parts.
    pub parts: u64,
    /// SHA-256 over the positions of these events, 8 bytes each, big-endian, in order: hex.
    pub positions: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub store: String,
    pub count: u64,
}

/// Everything that was to go is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountForgotten {
    /// All epochs up to this one are retired: no copy of the account's keys opens by any key file that is left.
    pub epoch: u32,
    /// Of the event that began it.
    pub started: Position,
    /// For how many days whoever runs the ledger keeps old copies of the key directory, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups_days: Option<u32>,
}

impl Payload for AccountForgetRequested {
    const KIND: &'static str = "account.forget_requested";
}

impl Payload for AccountForgetStarted {
    const KIND: &'static str = "account.forget_started";
}

impl Payload for AccountForgotten {
    const KIND: &'static str = "account.forgotten";
}

/// A law or a dispute demands that nothing of the account go. The reason is the ledger's words, not the account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountHeld {
    #[serde(skip)]
    pub reason: Private<String>,
}

/// What demanded it has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReleased {
    #[serde(skip)]
    pub reason: Private<String>,
}

impl Payload for AccountHeld {
    const KIND: &'static str = "account.held";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.reason).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.reason = unseal(words)?;
        Ok(())
    }
}

impl Payload for AccountReleased {
    const KIND: &'static str = "account.released";

    fn words(&self) -> Vec<Words> {
        Words::of(0, &self.reason).into_iter().collect()
    }

    fn open(&mut self, _part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        self.reason = unseal(words)?;
        Ok(())
    }
}
