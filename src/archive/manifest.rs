//! The manifest: what an archive was made of. The ledger signs it, and with it every file.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::line::State;
use crate::event::{AccountId, LedgerId, Position};

/// What the lines and files are. A reader that does not know it reads no further.
pub const FORMAT: &str = "convoledger archive, v1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    pub format: String,
    pub of: Of,
    /// The id of the ledger; its name is in every leaf.
    pub ledger: LedgerId,
    pub origin: String,
    /// When the checkpoint was signed; everything is as it was then.
    #[serde(with = "super::line::time")]
    pub as_of: DateTime<Utc>,
    /// How many events the log had.
    pub size: u64,
    pub counts: Counts,
    /// What is not in it, and why.
    pub withheld: Vec<Withheld>,
    /// SHA-256 of `SHA256SUMS`: hex.
    pub sums: String,
}

/// Whose archive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "archive")]
pub enum Of {
    /// All of one account's, with words.
    Account { account: AccountId },
    /// Every event of everybody's in a range, facts and proofs alone.
    Range { from: Position, to: Position },
}

/// How much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counts {
    pub events: u64,
    pub kinds: BTreeMap<String, u64>,
    /// Parts of words, by what became of them.
    pub words: BTreeMap<State, u64>,
    pub streams: u64,
    pub conversations: u64,
    pub branches: u64,
    pub messages: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
        for (state, count) in &other.words {
            *self.words.entry(*state).or_default() += count;
        }
        self.streams += other.streams;
        self.conversations += other.conversations;
        self.branches += other.branches;
        self.messages += other.messages;
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub what: String,
    pub why: String,
}

/// What is signed: what it is, and the SHA-256 of `manifest.json`.
#[must_use]
pub fn signed_text(sha256: &str) -> String {
    format!("{FORMAT}\n{sha256}\n")
}
