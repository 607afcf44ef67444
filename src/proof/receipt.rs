//! Receipts of forgetting: JSON that says what went and what stays, signed as a note, with the proof that the log tells it.
//!
//! ```text
//! {"receipt": {…, "forgotten": {"position": 9, "leaf": hex, …},
//!              "log": {"before": note, "after": note, "consistency": […], "inclusion": {"9": […]}}},
//!  "note": what is signed of it}
//! ```
//!
//! `before` is a checkpoint from before the first of the events that it names, where one was signed, and `after` one of a log
//! that has them all. So the past was not rewritten to forget; that no copy exists anywhere, no receipt can prove.

use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::merkle::root_by;
use super::note::{Note, NoteError, Verifier};
use super::witness::{Disbelief, can_follow, follows};
use super::{Hash, hash};

/// The first line of what is signed, which no checkpoint has.
pub const FORMAT: &str = "convoledger receipt of forgetting, v1";

/// The members that tell of an event.
pub const EVENTS: [&str; 4] = ["requested", "started", "forgotten", "keys_destroyed"];

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disproven {
    #[error("it is neither a checkpoint nor a receipt")]
    Form,
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("it says something else than what was signed")]
    OtherText,
    #[error("the proof in it, that its events are in the log, does not read as one")]
    Proof,
    #[error("event {position}, which it tells of, is not in the log of its checkpoint")]
    NotThere { position: u64 },
    #[error(transparent)]
    Rewritten(#[from] Disbelief),
}

/// A receipt that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// What it says.
    pub says: Value,
    /// Of the log from before and from after, as far as it has them.
    pub checkpoints: Vec<Checkpoint>,
}

/// What is signed of a receipt: what it is, then its JSON without blanks, keys in the order of the alphabet.
#[must_use]
pub fn text(receipt: &Value) -> String {
    format!("{FORMAT}\n{receipt}\n")
}

/// Checks the file of a receipt: that one of `trusted` signed what it says, and that the log that it was made from has the
/// events which it tells of, and begins with what it was before them.
///
/// # Errors
/// If it does not read, nobody who is trusted signed it, or a proof in it does not hold.
pub fn check(file: &str, trusted: &[Verifier]) -> Result<Receipt, Disproven> {
    let mut kept: Value = serde_json::from_str(file).map_err(|_| Disproven::Form)?;
    let says = kept.get_mut("receipt").map(Value::take).filter(Value::is_object).ok_or(Disproven::Form)?;
    let note = Note::parse(kept["note"].as_str().ok_or(Disproven::Form)?)?;
    note.verified(trusted)?;
    if note.text != text(&says) {
        return Err(Disproven::OtherText);
    }
    let checkpoints = match &says["log"] {
        Value::Null => Vec::new(),
        log => checked(&says, log)?,
    };
    Ok(Receipt { says, checkpoints })
}

/// The checkpoints of a log that has all that `says` tells of. That they are the log's is signed with the receipt.
fn checked(says: &Value, log: &Value) -> Result<Vec<Checkpoint>, Disproven> {
    let after = checkpoint(&log["after"])?;
    let mut told = false;
    for event in EVENTS.iter().map(|name| &says[*name]).filter(|event| !event.is_null()) {
        let position = event["position"].as_u64().filter(|position| *position > 0).ok_or(Disproven::Proof)?;
        let leaf = event["leaf"].as_str().and_then(|leaf| <Hash>::try_from(hex::decode(leaf).ok()?).ok());
        let path = hashes(&log["inclusion"][position.to_string()])?;
        let root = root_by(&path, leaf.ok_or(Disproven::Proof)?, position - 1, after.size);
        if root != Some(after.root) {
            return Err(Disproven::NotThere { position });
        }
        told = true;
    }
    if !told {
        return Err(Disproven::Proof);
    }
    let mut checkpoints = vec![after];
    if !log["before"].is_null() {
        let before = checkpoint(&log["before"])?;
        can_follow(&checkpoints[0], &before)?;
        follows(&checkpoints[0], &before, &hashes(&log["consistency"])?)?;
        checkpoints.insert(0, before);
    }
    Ok(checkpoints)
}

fn checkpoint(note: &Value) -> Result<Checkpoint, Disproven> {
    let note = Note::parse(note.as_str().ok_or(Disproven::Proof)?)?;
    Checkpoint::parse(&note.text).ok_or(Disproven::Proof)
}

fn hashes(path: &Value) -> Result<Vec<Hash>, Disproven> {
    let path = path.as_array().ok_or(Disproven::Proof)?;
    path.iter().map(|one| one.as_str().and_then(hash).ok_or(Disproven::Proof)).collect()
}
