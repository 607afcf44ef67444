//! The receipt of a person forgotten: what was removed, what stays and why. All of it is told by events, so it can be made
//! again at any time, and says the same.
//!
//! It proves that this was stated and recorded, and that nothing else of the log changed. That no copy exists anywhere, no
//! receipt can prove.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::stores;
use crate::event::{AccountId, Event};
use crate::log::{Identity, Recorded};

/// What is signed of a receipt: what it is, then its JSON without blanks, keys in the order of the alphabet.
#[must_use]
pub fn receipt_text(receipt: &Value) -> String {
    format!("{FORMAT}\n{receipt}\n")
}

/// The first line of what is signed, which no checkpoint has.
const FORMAT: &str = "convoledger receipt of forgetting, v1";

/// Where receipts are kept.
#[derive(Clone, Default)]
pub struct Receipts {
    directory: Option<PathBuf>,
}

impl Receipts {
    /// Kept in `directory`, a file an account.
    pub const fn kept_in(directory: PathBuf) -> Self {
        Self { directory: Some(directory) }
    }

    /// Keeps it: whole after any crash.
    pub(super) fn keep(&self, account: AccountId, receipt: &Value) -> io::Result<Option<PathBuf>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = directory.join(format!("{account}.json"));
        write(directory, &path, &format!("{receipt:#}\n"))?;
        Ok(Some(path))
    }
}

/// The receipt of what happened in an account's stream.
pub(super) fn told(ledger: &Identity, account: AccountId, history: &[(Recorded, Event)]) -> Value {
    let mut told = json!({
        "format": FORMAT,
        "ledger": ledger.origin,
        "history": ledger.history.to_string(),
        "account": account.to_string(),
        "stays": stores::kept().map(|(place, why)| json!({ "place": place, "why": why })).collect::<Vec<_>>(),
    });
    for (recorded, event) in history {
        match event {
            // One that was cancelled is not the one that was carried out.
            Event::AccountForgetRequested(requested) => {
                told["requested"] = at(recorded);
                told["requested"]["by"] = json!(requested.by);
            }
            Event::AccountForgetStarted(started) => {
                told["started"] = at(recorded);
                told["keys"] = json!(started.keys);
                told["words"] = json!(started.words);
                told["removed"] = json!(started.removes);
            }
            Event::AccountForgotten(forgotten) => {
                told["forgotten"] = at(recorded);
                told["epochs_retired_through"] = json!(forgotten.epoch);
                told["backups"] = json!(format!(
                    "a copy of the key directory from before {}, together with a copy of the database from before, would \
                     still open what was said; such copies are the operator's to expire",
                    time(recorded)
                ));
            }
            _ => {}
        }
    }
    told
}

fn at(recorded: &Recorded) -> Value {
    json!({ "position": recorded.position.0, "recorded_at": time(recorded), "leaf": hex::encode(recorded.leaf) })
}

fn time(recorded: &Recorded) -> String {
    recorded.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn write(directory: &Path, path: &Path, text: &str) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).recursive(true).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}
