//! Checking the whole log: density, versions, every digest, and the root that others can hold against it.
//!
//! It finds what was changed by someone who did not compute the hashes again. Someone who did is found out only by a
//! root kept elsewhere: tamper-evident relative to what others hold, never tamper-proof.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::{PgPool, Row as _};

use super::digest::{self, Hash};
use super::forget::Erasures;
use super::{Identity, Recorded, expiry, read};
use crate::event::{HistoryId, OwnerId, Position, Sealed, StreamId, Version};
use crate::proof::merkle::Tree;

/// Events in one piece of work.
const PIECE: i64 = 2_000;
/// Leaves in one read.
const LEAVES: i64 = 50_000;

/// What a verification found.
#[derive(Debug, Clone)]
pub struct Report {
    pub identity: Identity,
    /// How many events hold: all of them, or those before the first wrong one.
    pub size: u64,
    /// RFC 6962 root over the events that hold.
    pub root: Hash,
    /// The root at the size that was asked for, if the log reaches it.
    pub root_at: Option<Hash>,
    pub wrong: Option<Wrong>,
}

/// The first thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {what}")]
pub struct Wrong {
    pub position: Position,
    pub what: String,
}

/// Checks the log up to its head, on `workers` connections, and tells `progress` how far it is and how far it goes.
///
/// # Errors
/// If the database does not answer. What is wrong with the log itself is in the report.
pub async fn verify(
    pool: &PgPool,
    at: Option<u64>,
    workers: usize,
    progress: impl FnMut(u64, u64),
) -> Result<Report, sqlx::Error> {
    verify_since(pool, Position(0), at, workers, progress).await
}

/// The same, but of the events up to `since` only the leaves are read: they hash to the root, and whether they are still
/// those of their events is not looked at again.
///
/// # Errors
/// If the database does not answer. What is wrong with the log itself is in the report.
pub async fn verify_since(
    pool: &PgPool,
    since: Position,
    at: Option<u64>,
    workers: usize,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, sqlx::Error> {
    let identity = read::identity(pool).await?;
    let histories = histories(pool).await?;
    let head = read::head(pool).await?;
    let mut check = Check { tree: Tree::default(), versions: HashMap::new(), newest: None, root_at: None, at };
    if at == Some(0) {
        check.root_at = Some(check.tree.root());
    }
    let since = since.min(head);
    if let Some(wrong) = check.pass_over(pool, since).await? {
        let (size, root) = (check.tree.size(), check.tree.root());
        return Ok(Report { identity, size, root, root_at: check.root_at, wrong: Some(wrong) });
    }
    let starts = (since.0..head.0).step_by(usize::try_from(PIECE).unwrap_or(1));
    let mut pieces = stream::iter(starts)
        .map(|after| {
            let (pool, origin, histories) = (pool.clone(), identity.origin.clone(), histories.clone());
            tokio::spawn(async move { piece(&pool, &origin, &histories, after, head.0.min(after + PIECE)).await })
        })
        .buffered(workers.max(1));
    let mut wrong = None;
    while let Some(piece) = pieces.try_next().await.map_err(|_| sqlx::Error::WorkerCrashed)? {
        wrong = check.take(piece?);
        progress(check.tree.size(), u64::try_from(head.0).unwrap_or_default());
        if wrong.is_some() {
            break;
        }
    }
    drop(pieces);
    if wrong.is_none() {
        wrong = stray_words(pool, head).await?;
    }
    if wrong.is_none() {
        wrong = expiry::wrong(pool, since).await?;
    }
    Ok(Report { identity, size: check.tree.size(), root: check.tree.root(), root_at: check.root_at, wrong })
}

/// What must be checked in order.
struct Check {
    tree: Tree,
    versions: HashMap<(OwnerId, StreamId), Version>,
    newest: Option<DateTime<Utc>>,
    at: Option<u64>,
    root_at: Option<Hash>,
}

/// An event whose own digests were computed again, in parallel with others.
struct Checked {
    position: Position,
    stream: (OwnerId, StreamId),
    version: Version,
    recorded_at: DateTime<Utc>,
    leaf: Hash,
    wrong: Option<String>,
}

impl Check {
    /// Takes the leaves up to `since` for what they say.
    async fn pass_over(&mut self, pool: &PgPool, since: Position) -> Result<Option<Wrong>, sqlx::Error> {
        let mut after = 0;
        while after < since.0 {
            let to = since.0.min(after + LEAVES);
            let rows = sqlx::query(include_str!("sql/leaves.sql")).bind(after).bind(to).fetch_all(pool).await?;
            for row in &rows {
                after += 1;
                if row.try_get::<i64, _>("position")? != after {
                    return Ok(Some(Wrong { position: Position(after), what: "the event is missing".into() }));
                }
                self.push(<Hash>::try_from(row.try_get::<&[u8], _>("leaf")?).unwrap_or_default());
            }
            if after != to {
                return Ok(Some(Wrong { position: Position(after + 1), what: "the event is missing".into() }));
            }
        }
        if since.0 > 0 {
            for row in sqlx::query(include_str!("sql/versions_at.sql")).bind(since.0).fetch_all(pool).await? {
                let stream = (OwnerId(row.try_get("owner_id")?), StreamId(row.try_get("stream_id")?));
                self.versions.insert(stream, Version(row.try_get("version")?));
            }
            let last = read::range(pool, Position(since.0 - 1), 1).await?;
            self.newest = last.first().map(|event| event.recorded_at);
        }
        Ok(None)
    }

    fn push(&mut self, leaf: Hash) {
        self.tree.push(leaf);
        if self.at == Some(self.tree.size()) {
            self.root_at = Some(self.tree.root());
        }
    }

    fn take(&mut self, piece: Piece) -> Option<Wrong> {
        let mut expected = piece.after;
        for event in piece.events {
            expected = expected.next();
            if event.position != expected {
                return Some(Wrong { position: expected, what: "the event is missing".into() });
            }
            if let Some(what) = event.wrong.or_else(|| self.in_order(event.stream, event.version, event.recorded_at)) {
                return Some(Wrong { position: event.position, what });
            }
            self.push(event.leaf);
        }
        (expected != piece.to).then(|| Wrong { position: expected.next(), what: "the event is missing".into() })
    }

    fn in_order(&mut self, stream: (OwnerId, StreamId), version: Version, at: DateTime<Utc>) -> Option<String> {
        let newest = self.versions.entry(stream).or_default();
        if version != newest.next() {
            return Some(format!("stream {} should go on with version {}, and has {version}", stream.1, newest.next()));
        }
        *newest = version;
        if self.newest.is_some_and(|newest| at < newest) {
            return Some("it was recorded before the event that precedes it".into());
        }
        self.newest = Some(at);
        None
    }
}

/// A part of words and whose it says that it is, if it reads as such.
type OwnedWords = (OwnerId, Result<Sealed, sqlx::Error>);

struct Piece {
    after: Position,
    to: Position,
    events: Vec<Checked>,
}

async fn piece(
    pool: &PgPool,
    origin: &str,
    histories: &[(Position, HistoryId)],
    after: i64,
    to: i64,
) -> Result<Piece, sqlx::Error> {
    let rows = sqlx::query(include_str!("sql/read_range_to.sql")).bind(after).bind(to).fetch_all(pool).await?;
    let sealed = sqlx::query(include_str!("sql/read_words_range.sql")).bind(after).bind(to).fetch_all(pool).await?;
    let mut words: HashMap<i64, Vec<OwnedWords>> = HashMap::new();
    for row in &sealed {
        let owner = OwnerId(row.try_get("owner_id")?);
        words.entry(row.try_get("position")?).or_default().push((owner, read::sealed(row).map(|(_, sealed)| sealed)));
    }
    let mut read = Vec::with_capacity(rows.len());
    for row in &rows {
        let position = Position(row.try_get("position")?);
        read.push((position, read::recorded(row), words.remove(&position.0).unwrap_or_default()));
    }
    let lacking = read.iter().filter_map(|(_, event, words)| {
        let fact = &event.as_ref().ok()?.fact;
        (digest::words_parts(&fact.words_digest).count() != words.len()).then_some(fact.owner)
    });
    let erasures = Erasures::read(lacking.collect(), pool).await?;
    let events = read.into_iter().map(|(position, event, words)| match event {
        Ok(event) => check(&event, origin, history_at(histories, position), words, &erasures),
        Err(error) => unreadable(position, &error),
    });
    let events = events.collect();
    Ok(Piece { after: Position(after), to: Position(to), events })
}

fn check(event: &Recorded, origin: &str, history: HistoryId, words: Vec<OwnedWords>, erasures: &Erasures) -> Checked {
    let fact = &event.fact;
    let stream = (fact.owner, fact.stream);
    let computed = digest::event(fact);
    let leaf = digest::leaf(
        origin,
        history,
        event.position,
        (fact.owner, fact.stream, event.version),
        event.recorded_at,
        &computed,
    );
    let wrong = wrong_words(event, words, erasures).or_else(|| {
        // Of an event that is reduced, the leaf counts as it is; see `expiry`.
        if leaf != event.leaf && event.reduced.is_none() {
            Some(format!(
                "the event (`{}`, id {}) is not the one that was written: its hash differs",
                fact.kind, fact.id
            ))
        } else if !digest::admissible(&fact.body) {
            Some("its facts hold what facts may not".into())
        } else {
            None
        }
    });
    let (position, version, recorded_at) = (event.position, event.version, event.recorded_at);
    Checked { position, stream, version, recorded_at, leaf: event.leaf, wrong }
}

fn wrong_words(event: &Recorded, words: Vec<OwnedWords>, erasures: &Erasures) -> Option<String> {
    let mut expected: Vec<(u8, &[u8])> = digest::words_parts(&event.fact.words_digest).collect();
    for (owner, sealed) in words {
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => return Some(format!("its words do not read as such: {error}")),
        };
        let Some(at) = expected.iter().position(|(part, _)| *part == sealed.part) else {
            return Some(format!("it has words (part {}) that it was not written with", sealed.part));
        };
        let (part, digest) = expected.swap_remove(at);
        if digest::words(&sealed) != *digest || owner != event.fact.owner {
            return Some(format!("its words (part {part}) are not those that were written: their hash differs"));
        }
    }
    let missing = expected.iter().find(|(_, digest)| **digest != digest::GONE).filter(|_| !erasures.cover(event));
    missing.map(|(part, _)| format!("its words (part {part}) are missing, and the log does not say that they went"))
}

fn unreadable(position: Position, error: &sqlx::Error) -> Checked {
    Checked {
        position,
        stream: Default::default(),
        version: Version(0),
        recorded_at: DateTime::UNIX_EPOCH,
        leaf: [0; 32],
        wrong: Some(format!("it does not read as an event: {error}")),
    }
}

/// Words that belong to no event.
async fn stray_words(pool: &PgPool, head: Position) -> Result<Option<Wrong>, sqlx::Error> {
    let stray: Option<i64> =
        sqlx::query_scalar(include_str!("sql/stray_words.sql")).bind(head.0).fetch_optional(pool).await?;
    Ok(stray
        .map(|position| Wrong { position: Position(position), what: "there are words, and no event has them".into() }))
}

/// The histories of a log and the positions behind which they begin, in order.
pub async fn histories(pool: &PgPool) -> Result<Vec<(Position, HistoryId)>, sqlx::Error> {
    let rows = sqlx::query(include_str!("sql/histories.sql")).fetch_all(pool).await?;
    rows.iter().map(|row| Ok((Position(row.try_get("since")?), HistoryId(row.try_get("id")?)))).collect()
}

/// Which history the event at a position belongs to.
pub async fn history_of(pool: &PgPool, position: Position) -> Result<HistoryId, sqlx::Error> {
    Ok(history_at(&histories(pool).await?, position))
}

/// The same, of histories that were read.
pub fn history_at(histories: &[(Position, HistoryId)], position: Position) -> HistoryId {
    histories.iter().rev().find(|(since, _)| *since < position).map(|(_, id)| *id).unwrap_or_default()
}
