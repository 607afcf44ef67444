//! Exports: all of a person's, handed out so that it can be read, checked and taken elsewhere; and for an auditor, a stretch
//! of the whole log without words. Everything is as of one checkpoint.
//!
//! It is made a unit at a time ([`crate::archive::work`]). Killed anywhere, it goes on behind the last whole unit when it is
//! asked for again in the same directory. An account that is closed meanwhile is not handed out any more: then what was made
//! is taken away.

mod conversations;
mod events;
mod handout;
mod readme;
mod veil;

use std::path::{Path, PathBuf};
use std::{fs, io};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub use self::handout::{Asked, ExportRow, Exports, Fetched};
use self::veil::Veil;
use super::{Actor, CONVERSATION, SealError, Service, Trouble, USAGE};
use crate::archive::line::StreamHead;
use crate::archive::manifest::{Counts, FORMAT, Manifest, Of, Withheld, signed_text};
use crate::archive::name;
use crate::archive::pack::{Counted, Pack};
use crate::archive::work::{Unit, Work};
use crate::event::{AccountId, OwnerId, Position, StreamId};
use crate::ledger::account::Forgetting;
use crate::log::tree::checkpoints::{self, Kept};
use crate::view::conversation::Key;
use crate::view::usage::{Dimension, Span};

/// Streams in one read.
const STREAMS: usize = 5_000;
/// How often a view is waited for that comes no nearer.
const WAITS_MAX: u32 = 15;

/// Why nothing was handed out, or not all.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the account is being forgotten, or was: nothing of it is handed out any more")]
    Closed,
    #[error("another export was begun in {}: finish that one with the same options, or remove the directory", .0.display())]
    Another(PathBuf),
    #[error("a conversation expired that was whole when the archive was begun; ask for it again")]
    Expired,
    #[error("no checkpoint of {0} events was signed; leave it out, or name one that was")]
    NoCheckpoint(u64),
    #[error("the log has {head} events, and a range lies between 1 and {head}")]
    Range { head: u64 },
    #[error("the archive cannot be written")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<sqlx::Error> for ExportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Trouble(error.into())
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub of: Of,
    /// As of the checkpoint of so many events, which must have been signed; none is as of now.
    pub size: Option<u64>,
    /// Personal data in the words stands behind placeholders.
    pub masked: bool,
}

/// An archive that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub events: u64,
    pub conversations: u64,
    pub messages: u64,
    /// How many events the log had.
    pub size: u64,
    pub bytes: u64,
    /// Of the archive: hex.
    pub sha256: String,
}

/// What was begun: kept before anything else, so that whoever goes on makes the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    of: Of,
    masked: bool,
    size: u64,
    note: String,
    signed_at: DateTime<Utc>,
}

/// What a unit came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CameTo {
    counts: Counts,
    next: Stage,
}

/// What is to be made next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Stage {
    Account,
    Events { after: Position, file: u32 },
    Streams,
    Conversations { after: Option<Key>, number: u32 },
    Pack,
}

impl Service {
    /// Makes an archive in `work`, and packs it to the file `to`. `told` hears how far it is, of how much, in events and
    /// messages.
    ///
    /// # Errors
    /// If it cannot be made; then it goes on when it is asked for again.
    pub async fn export(
        &self,
        wanted: Wanted,
        work: &Work,
        to: PathBuf,
        mut told: impl FnMut(u64, u64) + Send,
    ) -> Result<Exported, ExportError> {
        let plan = match self.plan(wanted, work).await {
            // Nothing was begun, so nothing is left behind.
            Err(error @ (ExportError::NoCheckpoint(_) | ExportError::Range { .. })) => {
                work.remove()?;
                return Err(error);
            }
            plan => plan?,
        };
        let service = self.reading_once();
        let making = Making { plan, service: &service, work };
        match making.make(&mut told).await {
            Err(error @ (ExportError::Closed | ExportError::Expired)) => {
                work.remove()?;
                Err(error)
            }
            Err(error) => Err(error),
            Ok(counts) => making.pack(counts, to).await,
        }
    }

    async fn plan(&self, wanted: Wanted, work: &Work) -> Result<Plan, ExportError> {
        if let Some(plan) = work.planned::<Plan>()? {
            let same = (plan.of, plan.masked) == (wanted.of, wanted.masked);
            let same = same && wanted.size.is_none_or(|size| size == plan.size);
            return if same { Ok(plan) } else { Err(ExportError::Another(work.directory().to_owned())) };
        }
        let Kept { checkpoint, note, signed_at } = match wanted.size {
            None => self.seal_log().await?,
            Some(size) => {
                let kept = checkpoints::of_size(&self.pool, &self.checkpoint_origin(), size).await?;
                kept.ok_or(ExportError::NoCheckpoint(size))?
            }
        };
        if let Of::Range { from, to } = wanted.of
            && (from.0 < 1 || from > to || u64::try_from(to.0).is_ok_and(|to| to > checkpoint.size))
        {
            return Err(ExportError::Range { head: checkpoint.size });
        }
        let Wanted { of, masked, .. } = wanted;
        Ok(work.plan(|| Plan { of, masked, size: checkpoint.size, note, signed_at })?)
    }
}

/// An archive that is being made.
struct Making<'a> {
    service: &'a Service,
    work: &'a Work,
    plan: Plan,
}

/// How far it is.
struct Told<'t> {
    done: u64,
    total: u64,
    told: &'t mut (dyn FnMut(u64, u64) + Send),
}

impl Told<'_> {
    fn add(&mut self, more: u64) {
        self.done += more;
        (self.told)(self.done.min(self.total), self.total);
    }
}

impl Making<'_> {
    /// Everything is as of here.
    fn at(&self) -> Position {
        Position(i64::try_from(self.plan.size).unwrap_or(i64::MAX))
    }

    const fn account(&self) -> Option<AccountId> {
        match self.plan.of {
            Of::Account { account } => Some(account),
            Of::Range { .. } => None,
        }
    }

    /// The events that are told: behind the first, up to the second.
    fn stretch(&self) -> (Position, Position) {
        match self.plan.of {
            Of::Account { .. } => (Position(0), self.at()),
            Of::Range { from, to } => (Position(from.0 - 1), to),
        }
    }

    /// Nothing is handed out of an account that is closed, and what was made is not kept.
    async fn is_open(&self) -> Result<(), ExportError> {
        match self.account() {
            Some(account) if self.service.forgetting(account).await? != Forgetting::No => Err(ExportError::Closed),
            _ => Ok(()),
        }
    }

    async fn make(&self, told: &mut (dyn FnMut(u64, u64) + Send)) -> Result<Counts, ExportError> {
        let work = self.work.clone();
        let made: Vec<CameTo> = blocking(move || work.came_to()).await?;
        let (after, to) = self.stretch();
        let events = self.service.log.count(self.account().map(OwnerId::from), after, to).await?;
        let mut counts = Counts::default();
        for unit in &made {
            counts.add(&unit.counts);
        }
        // What people read is told a second time, message by message.
        let total = if self.account().is_some() { 2 * events } else { events };
        let mut told = Told { done: counts.events + counts.messages, total, told };
        let mut number = made.len();
        let first = if self.account().is_some() { Stage::Account } else { Stage::Events { after, file: 1 } };
        let mut stage = made.into_iter().last().map_or(first, |unit| unit.next);
        let mut veil = self.veil().await?;
        while stage != Stage::Pack {
            self.is_open().await?;
            let unit = self.work.begin(number)?;
            let (unit, came_to) = self.unit(unit, stage, &mut veil, &mut told).await?;
            counts.add(&came_to.counts);
            stage = came_to.next.clone();
            veil.keep(self.work)?;
            blocking(move || unit.finish(&came_to)).await?;
            number += 1;
        }
        Ok(counts)
    }

    async fn veil(&self) -> Result<Veil, ExportError> {
        let Some(account) = self.account().filter(|_| self.plan.masked) else { return Ok(Veil::open()) };
        let legend = self.work.legend()?;
        let legend =
            if legend.is_empty() { Vec::new() } else { serde_json::from_slice(&legend).map_err(io::Error::from)? };
        Ok(Veil::drawn(self.service.detector(Actor { account }).await?, legend))
    }

    async fn unit(
        &self,
        mut unit: Unit,
        stage: Stage,
        veil: &mut Veil,
        told: &mut Told<'_>,
    ) -> Result<(Unit, CameTo), ExportError> {
        match stage {
            Stage::Account => {
                if let Some(account) = self.account() {
                    self.put_account(&mut unit, Actor { account }).await?;
                }
                let next = Stage::Events { after: self.stretch().0, file: 1 };
                Ok((unit, CameTo { counts: Counts::default(), next }))
            }
            Stage::Events { after, file } => self.put_events(unit, (after, file), veil, told).await,
            Stage::Streams => {
                let counts = self.put_streams(&mut unit).await?;
                let next = match self.account() {
                    Some(_) => Stage::Conversations { after: None, number: 1 },
                    None => Stage::Pack,
                };
                Ok((unit, CameTo { counts, next }))
            }
            Stage::Conversations { after, number } => match self.account() {
                Some(account) => self.put_conversations(unit, Actor { account }, (after, number), veil, told).await,
                None => Ok((unit, CameTo { counts: Counts::default(), next: Stage::Pack })),
            },
            Stage::Pack => Ok((unit, CameTo { counts: Counts::default(), next: Stage::Pack })),
        }
    }

    async fn put_streams(&self, unit: &mut Unit) -> Result<Counts, ExportError> {
        let mut counts = Counts::default();
        let mut behind = (OwnerId::default(), StreamId::default());
        unit.file(name::STREAMS)?;
        loop {
            let owner = self.account().map(OwnerId::from);
            let heads = self.service.log.read_heads(owner, self.stretch(), behind, STREAMS).await?;
            for head in &heads {
                let head =
                    StreamHead { owner: head.owner, stream: head.stream, from: head.from, version: head.version };
                unit.write(&line(&head)?)?;
            }
            counts.streams += heads.len() as u64;
            match heads.last() {
                Some(last) if heads.len() == STREAMS => behind = (last.owner, last.stream),
                _ => break,
            }
        }
        unit.end()?;
        Ok(counts)
    }

    /// Who it is, how this account is called into, and what it cost.
    async fn put_account(&self, unit: &mut Unit, actor: Actor) -> Result<(), ExportError> {
        let service = self.service;
        // What it cost is told by conversation, of those that there are.
        self.view_is_there(actor, USAGE).await?;
        self.view_is_there(actor, CONVERSATION).await?;
        let tokens = service.accounts.tokens(actor.account).await?;
        let tokens = tokens
            .into_iter()
            .map(|token| json!({ "name": token.name, "createdAt": token.created_at, "revokedAt": token.revoked_at }));
        let account = json!({
            "id": actor.account,
            "email": service.email(actor).await?.known(),
            "ledger": service.log.identity().origin,
            "asOf": self.plan.signed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "tokens": tokens.collect::<Vec<_>>(),
        });
        unit.put(name::ACCOUNT, &pretty(&account)?)?;
        let all = Span { from: None, to: None, zone: chrono_tz::UTC };
        let costs = service.costs(actor, all, &[Dimension::Month, Dimension::Model], None, self.at()).await?;
        let rows = costs.map(|costs| costs.rows).unwrap_or_default().into_iter().map(|row| {
            json!({
                "month": row.keys.month, "model": row.keys.model, "tokensIn": row.sums.tokens_in,
                "tokensOut": row.sums.tokens_out, "cacheReads": row.sums.cache_reads,
                "costUsd": row.sums.cost_usd, "unknownCosts": row.sums.unpriced,
            })
        });
        unit.put(name::COSTS, &pretty(&json!({ "byMonthAndModel": rows.collect::<Vec<_>>() }))?)?;
        Ok(())
    }

    /// Waits for as long as a view comes nearer.
    async fn view_is_there(&self, actor: Actor, view: &str) -> Result<(), ExportError> {
        let mut stood = 0;
        loop {
            let before = self.service.view_position(view);
            match self.service.caught_up(actor, view, Some(self.at())).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Behind(behind)) => {
                    stood = if self.service.view_position(view) > before { 0 } else { stood + 1 };
                    if stood == WAITS_MAX {
                        return Err(Trouble::Behind(behind).into());
                    }
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    /// Packs what was made, and takes the units away.
    async fn pack(&self, counts: Counts, to: PathBuf) -> Result<Exported, ExportError> {
        let manifest = self.manifest(counts);
        let readme = readme::text(&manifest, &self.service.checkpoint_keys().await?);
        let (work, note, service) = (self.work.clone(), self.plan.note.clone(), self.service.clone());
        let (new, runtime) = (self.work.directory().join("packed"), Handle::current());
        let packed = new.clone();
        let packing = spawn_blocking(move || {
            let mut counted = Counted::new(work.cover().create(&packed)?);
            let mut pack = Pack::of(&work, &mut counted)?;
            pack.put(name::README, readme.as_bytes())?;
            pack.put(name::CHECKPOINT, note.as_bytes())?;
            pack.put(name::SCHEMA, readme::SCHEMA.as_bytes())?;
            let mut number = 0;
            while pack.unit(&work, number)? {
                number += 1;
            }
            let manifest = Manifest { sums: pack.sums()?, ..manifest };
            let text = pretty(&manifest)?;
            let signature = runtime.block_on(service.sign(signed_text(&hex::encode(Sha256::digest(&text)))))?;
            pack.finish(&text, &signature.to_string())?;
            let (bytes, sha256) = (counted.bytes, counted.sha256());
            counted.to.finish()?;
            let Counts { events, conversations, messages, .. } = manifest.counts;
            Ok::<_, ExportError>(Exported { events, conversations, messages, size: manifest.size, bytes, sha256 })
        });
        let exported = packing.await.map_err(|panic| Trouble::Internal(panic.to_string()))??;
        // Nothing stands under its name before it is known that it may.
        if let Err(closed) = self.is_open().await {
            self.work.remove()?;
            return Err(closed);
        }
        fs::rename(&new, &to)?;
        self.work.move_legend(&legend_of(&to))?;
        self.work.remove()?;
        Ok(exported)
    }

    fn manifest(&self, counts: Counts) -> Manifest {
        let identity = self.service.log.identity();
        let mut withheld = match self.plan.of {
            Of::Range { .. } => vec![("words", "an auditor's archive holds facts and proofs alone")],
            Of::Account { .. } => vec![
                ("words of others", "what others said is theirs, also where it was said of this account"),
                ("tokens", "they are named; the secrets themselves are kept nowhere"),
            ],
        };
        if self.plan.masked {
            withheld.push(("personal data in the words", "it was asked that it stand behind placeholders"));
        }
        let withheld = withheld.into_iter().map(|(what, why)| Withheld { what: what.to_owned(), why: why.to_owned() });
        Manifest {
            format: FORMAT.to_owned(),
            of: self.plan.of,
            ledger: identity.ledger,
            origin: identity.origin.clone(),
            as_of: self.plan.signed_at,
            size: self.plan.size,
            counts,
            withheld: withheld.collect(),
            sums: String::new(),
        }
    }
}

/// Where the legend of a masked archive stands: beside it, never in it.
#[must_use]
pub fn legend_of(archive: &Path) -> PathBuf {
    archive.with_extension("legend.json")
}

/// A line of JSON.
fn line(of: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(of)?;
    line.push(b'\n');
    Ok(line)
}

fn pretty(of: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(of)?;
    text.push(b'\n');
    Ok(text)
}

/// `unit` with `text` behind what it had.
async fn written(mut unit: Unit, text: Vec<u8>) -> Result<Unit, ExportError> {
    let write = move || {
        unit.write(&text)?;
        Ok(unit)
    };
    blocking(write).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, ExportError> {
    spawn_blocking(work).await.map_err(|panic| Trouble::Internal(panic.to_string()))?.map_err(Into::into)
}
