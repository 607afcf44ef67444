//! Receipts of forgetting a person, a conversation or a message: what was removed, what stays and why. All of it is told by
//! events, so it can be made again at any time, and says the same; only what is still to come changes, once it came.
//!
//! It proves that this was stated and recorded, and that nothing else of the log changed. That no copy exists anywhere, no
//! receipt can prove.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::epoch::EPOCH_S;
use super::{Service, Trouble, stores};
use crate::event::{AccountId, ConversationId, DeadKey, Event, MessageId, Position, SubjectKeyDestroyed, WordsGone};
use crate::log::tree::{checkpoints, tiles};
use crate::log::{Identity, Recorded};
use crate::proof::receipt::{EVENTS, FORMAT, text};
use crate::proof::{Hash, base64};

/// Where receipts are kept.
#[derive(Clone, Default)]
pub struct Receipts {
    directory: Option<PathBuf>,
    /// For how many days old copies of the key directory are kept, as whoever runs the ledger says.
    pub(super) backups_days: Option<u32>,
}

impl Receipts {
    /// Kept in `directory`, a file an account.
    pub const fn kept_in(directory: PathBuf) -> Self {
        Self { directory: Some(directory), backups_days: None }
    }

    /// They say that old copies of the key directory are kept for so many days.
    #[must_use]
    pub fn with_backups(mut self, days: Option<u32>) -> Self {
        self.backups_days = days;
        self
    }

    /// Keeps it: whole after any crash.
    pub(super) fn keep(&self, account: AccountId, receipt: &Value) -> io::Result<Option<PathBuf>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = directory.join(format!("{account}.json"));
        write(directory, &path, &format!("{receipt:#}\n"))?;
        Ok(Some(path))
    }
}

/// What was forgotten of an account that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All that was said in it until then.
    Conversation(ConversationId),
    Message(ConversationId, MessageId),
}

impl Part {
    const fn conversation(self) -> ConversationId {
        match self {
            Self::Conversation(conversation) | Self::Message(conversation, _) => conversation,
        }
    }

    fn is_forgotten_by(self, event: &Event) -> bool {
        match (self, event) {
            (Self::Conversation(_), Event::ConversationForgotten(_)) => true,
            (Self::Message(_, message), Event::MessageForgotten(forgotten)) => forgotten.message == message,
            _ => false,
        }
    }
}

impl Service {
    /// The receipt of a part of an account's that was forgotten last, signed; none when it was not.
    pub async fn receipt_of(&self, account: AccountId, part: Part) -> Result<Option<Value>, Trouble> {
        let conversation = part.conversation();
        let said = self.told_in(account.into(), conversation.into()).await?;
        let Some((because, _)) = said.into_iter().rfind(|(_, event)| part.is_forgotten_by(event)) else {
            return Ok(None);
        };
        let said = self.log.said_in(because.position).await?;
        let mut receipt = begun(self.log.identity(), account);
        receipt["conversation"] = json!(conversation.to_string());
        if let Part::Message(_, message) = part {
            receipt["message"] = json!(message.to_string());
        }
        receipt["forgotten"] = at(&because);
        receipt["words"] = json!(WordsGone { events: said.events, parts: said.parts, positions: said.positions });
        let history = self.history(account).await?;
        if let Some((recorded, destroyed, keys)) = buried(because.position, &history) {
            receipt["keys"] = json!(keys);
            receipt["keys_destroyed"] = at(recorded);
            receipt["epochs_retired_through"] = json!(destroyed.epoch);
            receipt["backups"] = json!(backups(recorded.recorded_at, destroyed.backups_days));
        } else {
            let by = self.vault.renewed_by(EPOCH_S).await?.map(written);
            receipt["keys_destroyed_by"] = json!(by);
            receipt["backups"] = json!(
                "the key that had sealed the words is destroyed with the epoch that wraps it; until then it would open \
                 a copy of the database from before, and this receipt, asked for later, says when it was"
            );
        }
        self.signed_receipt(receipt).await.map(Some)
    }

    /// A receipt with the proof that the log has the events that it tells of, and the note that signs it.
    pub(super) async fn signed_receipt(&self, mut receipt: Value) -> Result<Value, Trouble> {
        match self.evidence(&receipt).await {
            Ok(evidence) => receipt["log"] = evidence,
            // What was forgotten is, all the same.
            Err(error) => tracing::warn!("a receipt has no proof in it, for the log is not signed for: {error}"),
        }
        let note = self.sign(text(&receipt)).await?;
        Ok(json!({ "receipt": receipt, "note": note.to_string() }))
    }

    async fn evidence(&self, receipt: &Value) -> Result<Value, Trouble> {
        let told = EVENTS.iter().filter_map(|name| receipt[*name]["position"].as_u64());
        let told: BTreeSet<u64> = told.collect();
        let (Some(first), Some(last)) = (told.first(), told.last()) else { return Ok(Value::Null) };
        self.checkpoint(*last).await?;
        let mut connection = self.pool.acquire().await?;
        let origin = self.checkpoint_origin();
        let (before, after) = checkpoints::around(&mut connection, &origin, (*first, *last)).await?;
        let behind = || Trouble::Internal("an event lies behind its checkpoint".into());
        let (size, after) = after.ok_or_else(behind)?;
        let mut evidence = json!({ "after": after, "inclusion": {} });
        for position in &told {
            let path = tiles::inclusion(&mut connection, position - 1, size).await?.ok_or_else(behind)?;
            evidence["inclusion"][position.to_string()] = written_path(&path);
        }
        if let Some((old, before)) = before {
            let path = tiles::consistency(&mut connection, old, size).await?.ok_or_else(behind)?;
            evidence["before"] = json!(before);
            evidence["consistency"] = written_path(&path);
        }
        Ok(evidence)
    }
}

/// The event that tells of the end of the keys that had sealed what went at `because`, and these keys.
fn buried(because: Position, history: &[(Recorded, Event)]) -> Option<(&Recorded, &SubjectKeyDestroyed, Vec<DeadKey>)> {
    let mut ends = history.iter().filter_map(|(recorded, event)| match event {
        Event::SubjectKeyDestroyed(destroyed) if destroyed.through >= because => Some((recorded, destroyed)),
        _ => None,
    });
    let (recorded, destroyed) = ends.next()?;
    let keys = history.iter().filter_map(|(_, event)| match event {
        Event::SubjectKeyCreated(key) if key.generation <= destroyed.generation => {
            Some(DeadKey { generation: key.generation, commitment: key.commitment.clone() })
        }
        _ => None,
    });
    Some((recorded, destroyed, keys.collect()))
}

fn begun(ledger: &Identity, account: AccountId) -> Value {
    json!({
        "format": FORMAT,
        "ledger": ledger.origin,
        "history": ledger.history.to_string(),
        "account": account.to_string(),
        "stays": stores::kept().map(|(place, why)| json!({ "place": place, "why": why })).collect::<Vec<_>>(),
    })
}

/// The receipt of what happened in an account's stream.
pub(super) fn told(ledger: &Identity, account: AccountId, history: &[(Recorded, Event)]) -> Value {
    let mut told = begun(ledger, account);
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
                told["backups"] = json!(backups(recorded.recorded_at, forgotten.backups_days));
            }
            _ => {}
        }
    }
    told
}

/// What old copies open, and until when there are any.
fn backups(when: DateTime<Utc>, days: Option<u32>) -> String {
    let open = format!(
        "a copy of the key directory from before {}, together with a copy of the database from before, would still open \
         what was said",
        written(when)
    );
    match days {
        None => format!("{open}; such copies are the operator's to expire"),
        Some(days) => format!(
            "{open}; the operator says that copies of the key directory are kept for {days} days: none is left after {}",
            written(when + TimeDelta::days(days.into()))
        ),
    }
}

fn written_path(path: &[Hash]) -> Value {
    path.iter().map(base64).collect()
}

fn at(recorded: &Recorded) -> Value {
    json!({ "position": recorded.position.0, "recorded_at": time(recorded), "leaf": hex::encode(recorded.leaf) })
}

fn time(recorded: &Recorded) -> String {
    written(recorded.recorded_at)
}

fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
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
