//! Snapshots: labels on versions of a conversation, and when they are put there by themselves.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{EventId, Payload, Place, Private, Version, Words, unseal};

/// A version of a conversation was labelled, to be come back to. Nothing is copied: the version is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotTaken {
    /// The id of this event.
    #[serde(skip)]
    pub id: EventId,
    /// What is labelled: the version before the command that took it.
    pub version: Version,
    pub trigger: Trigger,
    /// What became of files outside of the ledger since the snapshot before. Runs in parallel with `paths`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    #[serde(skip, default = "unlabelled")]
    pub label: Private<Option<String>>,
    #[serde(skip, default = "pathless")]
    pub paths: Private<Vec<String>>,
}

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The first act an hour or more after the last snapshot.
    AutoHourly,
    /// The model is switched next, or a tool used.
    BeforeChange,
    Manual,
    /// What comes next brings the known cost to the limit.
    CostLimit,
    /// What comes next brings the tokens to the limit.
    TokenLimit,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// What the file holds, sealed: the digest that its keeper knows it by.
    #[serde(with = "hex::serde")]
    pub digest: [u8; 32],
    pub action: FileAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    Added,
    Modified,
    Deleted,
    Renamed,
}

const LABEL: u8 = 0;

const fn unlabelled() -> Private<Option<String>> {
    Private::Known(None)
}

const fn pathless() -> Private<Vec<String>> {
    Private::Known(Vec::new())
}

impl Payload for SnapshotTaken {
    const KIND: &'static str = "snapshot.taken";

    fn words(&self) -> Vec<Words> {
        let label = match &self.label {
            Private::Known(None) => None,
            label => Words::of(LABEL, label),
        };
        let paths = if self.files.is_empty() { None } else { Words::of(LABEL + 1, &self.paths) };
        label.into_iter().chain(paths).collect()
    }

    fn stand(&mut self, id: EventId, _place: Option<Place>) {
        self.id = id;
    }

    fn open(&mut self, part: u8, words: Private<&[u8]>) -> Result<(), serde_json::Error> {
        match part {
            LABEL => self.label = unseal(words)?,
            _ => self.paths = unseal(words)?,
        }
        Ok(())
    }

    fn text(&self) -> Option<String> {
        self.label.clone().known().flatten()
    }
}

/// Labels were let go of, for there were many. The versions stay in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotThinned {
    pub snapshots: Vec<EventId>,
}

impl Payload for SnapshotThinned {
    const KIND: &'static str = "snapshot.thinned";
}

/// When snapshots are taken by themselves was settled, for a conversation or for all of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotConfigured {
    pub policy: SnapshotPolicy,
}

/// When snapshots are taken by themselves: the whole policy of one level. What it leaves open, the level above says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_hourly: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_change: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rust_decimal::serde::str_option")]
    pub cost_limit_usd: Option<Decimal>,
    /// Of input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_limit: Option<u64>,
}

impl Payload for SnapshotConfigured {
    const KIND: &'static str = "snapshot.configured";
}
