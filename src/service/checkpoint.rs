//! Checkpoints: the tree is grown beside the log, its root signed, and what was signed is kept and handed out.
//!
//! What was signed last is remembered beside the keys, before the signature leaves this process. Whoever signs next
//! shows first that the log still begins with what is remembered: a log that was cut short, restored to an earlier day
//! or rewritten is not signed for. So two checkpoints of one log never contradict each other, whatever dies between.

use std::time::Duration;

use tokio::sync::watch;

use super::{Actor, Service, Trouble};
use crate::event::{HistoryId, Position};
use crate::log::tree::checkpoint_origin;
use crate::log::tree::checkpoints::{self, Kept};
use crate::log::tree::sealer::{Turn, rewritten};
use crate::log::tree::tiles;
use crate::log::{Hash, digest};
use crate::proof::bundle::Bundle;
use crate::proof::checkpoint::Checkpoint;
use crate::proof::note::{Note, Verifier};
use crate::proof::tile::{Tile, WIDTH, width};
use crate::proof::witness::Request;
use crate::vault::{KeyringError, Signing, SigningKeys, VaultError};

/// How long a server lets the log grow before it signs, and by how many events it may grow at most until then.
const EVERY: Duration = Duration::from_secs(2);
const EVENTS_MAX: i64 = 10_000;
/// Full tiles that are held against the events again at each signing, in turns, so that in time all are.
const TILES_CHECKED: u64 = 16;
/// The same when a server starts: all of them, so many at a time.
const TILES_CHECKED_AT_ONCE: u64 = 512;
/// How long somebody who asked for a checkpoint waits while another server seals.
const TURN_WITHIN: Duration = Duration::from_secs(10);
const TURN_AGAIN: Duration = Duration::from_millis(50);

/// Why no checkpoint is signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "the log is not signed for: {size} events were signed for, and it has {has}. It was cut short, or restored from \
         an older backup; what others hold of it would be contradicted. If that was done on purpose, run `convoledger \
         checkpoint --new-history`"
    )]
    Shrunk { size: u64, has: u64 },
    #[error(
        "the log is not signed for: its first {size} events have another root than the one that was signed. The past was \
         rewritten, or the database is another one"
    )]
    Rewritten { size: u64 },
    #[error(
        "the log is not signed for: events {first} to {last} do not hash to what was sealed. The past was rewritten: run \
         `convoledger verify`"
    )]
    Differs { first: u64, last: u64 },
    #[error(
        "the log is not signed for: it goes on as {found}, and {remembered} was signed last. Start the server \
         anew; and if nobody began another history here, look for who did"
    )]
    OtherHistory { found: String, remembered: String },
    #[error("another server has been sealing for {0} s; ask again")]
    Busy(u64),
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Keys(#[from] KeyringError),
    #[error("{0}")]
    Interrupted(String),
}

impl From<SealError> for Trouble {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Database(error) => Self::Database(error),
            SealError::Keys(error) => Self::Vault(VaultError::Keyring(error)),
            SealError::Busy(retry_after_s) => Self::Busy { retry_after_s },
            error => Self::Internal(error.to_string()),
        }
    }
}

/// A proof of one event.
#[derive(Debug, Clone)]
pub struct Inclusion {
    pub position: Position,
    pub size: u64,
    pub root: Hash,
    pub leaf: Hash,
    pub path: Vec<Hash>,
    /// The whole as a file, where a checkpoint of this size was signed.
    pub bundle: Option<Bundle>,
}

/// A proof that the log of `size` events begins with the first `old`.
#[derive(Debug, Clone)]
pub struct Consistency {
    pub old: u64,
    pub size: u64,
    pub root: Hash,
    pub path: Vec<Hash>,
}

impl Service {
    /// What checkpoints call this log.
    pub fn checkpoint_origin(&self) -> String {
        self.log.identity().checkpoint_origin()
    }

    /// The newest checkpoint, as it was signed and cosigned.
    pub async fn newest_checkpoint(&self) -> Result<Option<Kept>, Trouble> {
        Ok(checkpoints::newest(&self.pool, &self.checkpoint_origin()).await?)
    }

    /// A checkpoint of at least the first `at_least` events, the newest there is; it is made when it is not there.
    pub async fn checkpoint(&self, at_least: u64) -> Result<Kept, Trouble> {
        match self.newest_checkpoint().await? {
            Some(kept) if kept.checkpoint.size >= at_least => Ok(kept),
            _ => Ok(self.seal_log().await?),
        }
    }

    /// The public keys that sign or signed checkpoints, the newest first.
    pub async fn checkpoint_keys(&self) -> Result<Vec<Verifier>, Trouble> {
        let (origin, was_signed) = (self.checkpoint_origin(), self.newest_checkpoint().await?.is_some());
        let keys = self.signing(move |signing| signing.keys(&origin, was_signed)).await?;
        Ok(keys.known)
    }

    /// Signs a text with the keys that sign checkpoints now, under the log's name: a manifest, a receipt.
    pub async fn sign(&self, text: String) -> Result<Note, Trouble> {
        let (origin, was_signed) = (self.checkpoint_origin(), self.newest_checkpoint().await?.is_some());
        let keys = self.signing(move |signing| signing.keys(&origin, was_signed)).await?;
        Ok(signed(text, &keys))
    }

    /// Proves that the event at `position` is in the log of `size` events; without a size, of the newest checkpoint that
    /// holds it. Nothing where there is no such event.
    pub async fn prove_inclusion(&self, position: Position, size: Option<u64>) -> Result<Option<Inclusion>, Trouble> {
        let Some(index) = position.0.checked_sub(1).and_then(|index| u64::try_from(index).ok()) else {
            return Ok(None);
        };
        let head = u64::try_from(self.log.head().await?.0).unwrap_or_default();
        if index >= size.unwrap_or(head) || size.is_some_and(|size| size > head) {
            return Ok(None);
        }
        let newest = self.checkpoint(size.unwrap_or(index + 1)).await?;
        let size = size.unwrap_or(newest.checkpoint.size);
        let kept = if size == newest.checkpoint.size {
            Some(newest)
        } else {
            checkpoints::of_size(&self.pool, &self.checkpoint_origin(), size).await?
        };
        let mut connection = self.pool.acquire().await?;
        let root = tiles::root(&mut connection, size).await?;
        let Some(path) = tiles::inclusion(&mut connection, index, size).await? else { return Ok(None) };
        drop(connection);
        let Some(event) = self.log.read_range(Position(position.0 - 1), 1).await?.pop() else { return Ok(None) };
        let (identity, fact) = (self.log.identity(), &event.fact);
        let history = self.history_at(position).await?;
        let stream = (fact.owner, fact.stream, event.version);
        // What an event that expired was hashed from is not there any more; its leaf is.
        let record = event.reduced.is_none().then(|| {
            digest::record(&identity.origin, history, position, stream, event.recorded_at, &digest::event(fact))
        });
        let bundle = kept.and_then(|kept| {
            let checkpoint = Note::parse(&kept.note).ok()?;
            Some(Bundle { extra: record, index, path: path.clone(), checkpoint })
        });
        Ok(Some(Inclusion { position, size, root, leaf: event.leaf, path, bundle }))
    }

    /// The same for an event of the actor's; one of others is as if it were not there.
    pub async fn prove_own(
        &self,
        actor: Actor,
        position: Position,
        size: Option<u64>,
    ) -> Result<Option<Inclusion>, Trouble> {
        if position.0 < 1 {
            return Ok(None);
        }
        let event = self.log.read_range(Position(position.0 - 1), 1).await?.pop();
        match event.filter(|event| event.position == position && event.fact.owner == actor.owner()) {
            Some(_) => self.prove_inclusion(position, size).await,
            None => Ok(None),
        }
    }

    /// Proves that the log of `size` events begins with the first `old`. Nothing where it is not so large, or `old` is
    /// larger.
    pub async fn prove_consistency(&self, old: u64, size: u64) -> Result<Option<Consistency>, Trouble> {
        let head = u64::try_from(self.log.head().await?.0).unwrap_or_default();
        if old > size || size > head {
            return Ok(None);
        }
        self.checkpoint(size).await?;
        let mut connection = self.pool.acquire().await?;
        let root = tiles::root(&mut connection, size).await?;
        let path = tiles::consistency(&mut connection, old, size).await?;
        Ok(path.map(|path| Consistency { old, size, root, path }))
    }

    /// The newest checkpoint with the proof that it follows from the first `old` events: what a witness is sent.
    pub async fn prove_checkpoint(&self, kept: &Kept, old: u64) -> Result<Option<Request>, Trouble> {
        let proof = self.prove_consistency(old, kept.checkpoint.size).await?;
        let note = Note::parse(&kept.note).map_err(|error| Trouble::Internal(error.to_string()))?;
        Ok(proof.map(|proof| Request { old, proof: proof.path, checkpoint: note }))
    }

    /// A tile, if the newest checkpoint's tree has it: hashes, and nothing else.
    pub async fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, Trouble> {
        let size = self.newest_checkpoint().await?.map_or(0, |kept| kept.checkpoint.size);
        if width(tile.level, tile.index, size) < tile.width {
            return Ok(None);
        }
        let mut connection = self.pool.acquire().await?;
        Ok(Some(tiles::tile(&mut connection, tile).await?))
    }

    /// Keeps what a witness added.
    pub async fn cosigned(&self, of: &Checkpoint, witness: &Verifier, line: &str) -> Result<(), Trouble> {
        Ok(checkpoints::cosign(&self.pool, of, &witness.to_string(), line).await?)
    }

    /// The size of the newest checkpoint that a witness cosigned.
    pub async fn cosigned_size(&self, witness: &Verifier) -> Result<u64, Trouble> {
        Ok(checkpoints::cosigned(&self.pool, &self.checkpoint_origin(), &witness.to_string()).await?)
    }

    /// Signs whenever the log has grown, for as long as it is polled, and tells `signed` of each. A log that it refuses to
    /// sign it looks at again and again, and says so once.
    pub async fn keep_sealed(&self, signed: watch::Sender<Option<Kept>>) {
        let (mut head, mut at, mut refused) = (self.log.tail().head(), Position(-1), None);
        let mut next_check = None;
        loop {
            let now = *head.borrow_and_update();
            if now != at || refused.is_some() {
                match self.seal_once(&mut next_check).await {
                    Ok(Some(kept)) => {
                        at = Position(i64::try_from(kept.checkpoint.size).unwrap_or(i64::MAX));
                        metrics::gauge!("checkpoint_refused").set(0.0);
                        refused = None;
                        signed.send_if_modified(|last| {
                            let new = last.as_ref().is_none_or(|last| last.checkpoint != kept.checkpoint);
                            *last = Some(kept);
                            new
                        });
                    }
                    Ok(None) => {} // another server is at it
                    Err(error @ (SealError::Database(_) | SealError::Interrupted(_))) => {
                        tracing::debug!(%error, "no checkpoint was signed; it is tried again");
                    }
                    Err(error) => {
                        let said = error.to_string();
                        if refused.as_ref() != Some(&said) {
                            tracing::error!("{said}");
                        }
                        metrics::gauge!("checkpoint_refused").set(1.0);
                        refused = Some(said);
                    }
                }
            }
            let grown = async { head.wait_for(|head| head.0 >= now.0 + EVENTS_MAX).await.map(drop) };
            let _ = tokio::time::timeout(EVERY, grown).await; // either will do
        }
    }

    /// Signs for all that the log holds now.
    ///
    /// # Errors
    /// If it must not be signed for, or cannot.
    pub async fn seal_log(&self) -> Result<Kept, SealError> {
        let sealed = async {
            loop {
                if let Some(kept) = self.seal_once(&mut Some(0)).await? {
                    return Ok(kept);
                }
                tokio::time::sleep(TURN_AGAIN).await;
            }
        };
        let waited = tokio::time::timeout(TURN_WITHIN, sealed).await;
        waited.unwrap_or(Err(SealError::Busy(TURN_WITHIN.as_secs())))
    }

    /// Has the log go on as another history, whose first checkpoint is signed at once: for a ledger that was restored to
    /// an earlier day on purpose, which could not but contradict what was signed before. Servers that run go on without
    /// signing until they are started anew.
    ///
    /// # Errors
    /// If another server is sealing, or the database or the key files fail: then nothing is changed.
    pub async fn begin_history(&self) -> Result<Kept, SealError> {
        let turn = async {
            loop {
                let Some(mut turn) = Turn::take(&self.pool).await? else {
                    tokio::time::sleep(TURN_AGAIN).await;
                    continue;
                };
                if turn.extend().await?.1 {
                    return Ok::<_, sqlx::Error>(turn);
                }
                turn.end().await?;
            }
        };
        let turn = tokio::time::timeout(TURN_WITHIN, turn).await;
        let mut turn = turn.map_err(|_| SealError::Busy(TURN_WITHIN.as_secs()))??;
        let history = turn.begin_history().await?;
        // With the lane held, whatever was appended meanwhile belongs to the history before.
        let (size, _) = turn.extend().await?;
        let origin = checkpoint_origin(&self.log.identity().origin, history);
        let root = tiles::root(turn.connection(), size).await?;
        let checkpoint = Checkpoint { origin: origin.clone(), size, root };
        let to = checkpoint.clone();
        let keys = self
            .signing(move |signing| {
                let keys = signing.keys(&origin, false)?;
                let last = signing.last()?;
                let _ = signing.remember(last.as_ref(), &to)?; // who was quicker will be refused
                Ok(keys)
            })
            .await?;
        let note = signed(checkpoint.text(), &keys).to_string();
        let kept = Kept { checkpoint, note, signed_at: self.clock.now() };
        checkpoints::keep(turn.connection(), &kept).await?;
        turn.end().await?;
        Ok(kept)
    }

    /// One turn at sealing, if this server gets it. `next_check` is the tile that is held against its events next: none
    /// before all were, once.
    async fn seal_once(&self, next_check: &mut Option<u64>) -> Result<Option<Kept>, SealError> {
        loop {
            let Some(mut turn) = Turn::take(&self.pool).await? else { return Ok(None) };
            let (size, all) = turn.extend().await?;
            if !all {
                turn.end().await?;
                continue;
            }
            check(&mut turn, size, next_check).await?;
            if let Some(kept) = self.sign_root(&mut turn, size).await? {
                turn.end().await?;
                return Ok(Some(kept));
            }
            // Somebody else signed in between, on another database with the same keys perhaps: look again.
        }
    }

    /// Signs the root over `size` events; none when what was signed last is not what it was a moment ago.
    async fn sign_root(&self, turn: &mut Turn, size: u64) -> Result<Option<Kept>, SealError> {
        let origin = self.checkpoint_origin();
        let newest = checkpoints::newest(turn.connection(), &origin).await?;
        let was_signed = newest.is_some();
        let name = origin.clone();
        let (keys, remembered) =
            self.signing(move |signing| Ok((signing.keys(&name, was_signed)?, signing.last()?))).await?;
        // A memory that was lost is taken up from what we signed ourselves.
        let ours = newest.clone().and_then(|kept| Checkpoint::open(&kept.note, &keys.known).ok());
        let last = remembered.clone().or(ours.map(|(checkpoint, _)| checkpoint));
        if let Some(last) = &last {
            if last.origin != origin {
                return Err(SealError::OtherHistory { found: origin, remembered: last.origin.clone() });
            }
            if last.size > size {
                return Err(SealError::Shrunk { size: last.size, has: size });
            }
            if tiles::root(turn.connection(), last.size).await? != last.root {
                return Err(SealError::Rewritten { size: last.size });
            }
        }
        if let Some(newest) = newest.filter(|newest| newest.checkpoint.size == size && remembered.is_some()) {
            return Ok(Some(newest));
        }
        let root = tiles::root(turn.connection(), size).await?;
        let checkpoint = Checkpoint { origin, size, root };
        let to = checkpoint.clone();
        if !self.signing(move |signing| signing.remember(remembered.as_ref(), &to)).await? {
            return Ok(None);
        }
        let note = signed(checkpoint.text(), &keys).to_string();
        let kept = Kept { checkpoint, note, signed_at: self.clock.now() };
        checkpoints::keep(turn.connection(), &kept).await?;
        Ok(Some(kept))
    }

    /// Which history the event at a position belongs to.
    async fn history_at(&self, position: Position) -> Result<HistoryId, sqlx::Error> {
        crate::log::verify::history_of(&self.pool, position).await
    }

    /// Files are waited for where nobody else waits.
    async fn signing<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Signing) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, SealError> {
        let signing = self.vault.signing().clone();
        let done = tokio::task::spawn_blocking(move || act(&signing)).await;
        Ok(done.map_err(|error| SealError::Interrupted(error.to_string()))??)
    }
}

fn signed(text: String, keys: &SigningKeys) -> Note {
    Note { signatures: keys.signers.iter().map(|signer| signer.sign(&text, 0)).collect(), text }
}

/// Holds some of the tiles against the events they were made from; before the first signing, all.
async fn check(turn: &mut Turn, size: u64, next: &mut Option<u64>) -> Result<(), SealError> {
    let full = size / WIDTH;
    let (from, to, step) = match *next {
        None => (0, full, TILES_CHECKED_AT_ONCE),
        Some(next) if next >= full => (0, full.min(TILES_CHECKED), TILES_CHECKED),
        Some(next) => (next, full.min(next + TILES_CHECKED), TILES_CHECKED),
    };
    let mut at = from;
    while at < to {
        let end = to.min(at + step);
        if let Some(tile) = rewritten(turn.connection(), at, end).await? {
            return Err(SealError::Differs { first: tile * WIDTH + 1, last: (tile + 1) * WIDTH });
        }
        at = end;
    }
    *next = Some(to);
    Ok(())
}
