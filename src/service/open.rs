//! Where words are opened on their way out of the log: for whoever may read them, and for folds that need them.

use std::collections::HashMap;
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, TryFutureExt as _, TryStreamExt as _, stream};

use super::{Service, Trouble};
use crate::event::{Event, LedgerId, Piece, Position, Private, Sealed};
use crate::log::{Log, Recorded};
use crate::projection::{Opener, Said, Strand, Unopened};
use crate::vault::{About, Opening, Vault};

/// Events in one read of a scan.
const PAGE: i64 = 500;
/// Pages that are read and opened beside one another, on cores of their own: the database reads one while another is
/// opened.
const ABREAST: usize = 3;

/// An event as the log holds it, and what it says: words that could be opened are known.
#[derive(Debug, Clone)]
pub struct Opened {
    pub recorded: Recorded,
    pub event: Event,
    /// Whether what it says is gone; what was said beside it (part 1 and on) may have gone on its own.
    pub forgotten: bool,
    /// Bytes of what was opened of it.
    pub length: usize,
}

/// The log and the keys to it. Cheap to clone.
#[derive(Clone)]
pub struct Words {
    log: Log,
    vault: Vault,
    /// The newest event that took words away and that the keys in memory were let go of for.
    erased: Arc<AtomicI64>,
}

impl Words {
    pub fn new(log: Log, vault: Vault) -> Self {
        Self { log, vault, erased: Arc::default() }
    }

    /// The newest event that took words away. What is opened from here on is opened behind it: by no key that was read
    /// before.
    async fn behind_erased(&self) -> Result<Position, sqlx::Error> {
        let erased = self.log.erased().await?;
        if self.erased.load(Ordering::SeqCst) < erased.0 {
            self.vault.forget_all_cached().await;
            self.erased.fetch_max(erased.0, Ordering::SeqCst);
        }
        Ok(erased)
    }

    /// Reads the words of `events` and opens what has not been forgotten. What expired is not there for anybody.
    pub(super) async fn open(&self, events: Vec<Recorded>) -> Result<Vec<Opened>, Trouble> {
        let with_words: Vec<Position> =
            events.iter().filter(|event| !event.fact.words_digest.is_empty()).map(|event| event.position).collect();
        let mut words: HashMap<Position, Vec<Sealed>> = HashMap::new();
        if !with_words.is_empty() {
            for (position, sealed) in self.log.read_words(&with_words).await? {
                words.entry(position).or_default().push(sealed);
            }
        }
        let whole = events.into_iter().filter(|event| event.reduced.is_none());
        let with_words = whole.map(|event| {
            let sealed = words.remove(&event.position).unwrap_or_default();
            (event, sealed)
        });
        self.open_sealed(with_words.collect()).await
    }

    /// Opens events whose sealed words were read already.
    pub(super) async fn open_sealed(&self, events: Vec<(Recorded, Vec<Sealed>)>) -> Result<Vec<Opened>, Trouble> {
        let pieces = events.iter().flat_map(|(event, sealed)| sealed.iter().map(|one| Piece::of(event.position, one)));
        let openings = self.openings(pieces.collect()).await?;
        let ledger = self.log.identity().ledger;
        events.into_iter().map(|(recorded, sealed)| opened(ledger, &openings, recorded, &sealed)).collect()
    }

    /// What opens these, of those that anything opens.
    pub(super) async fn openings(&self, pieces: Vec<Piece>) -> Result<Openings, Trouble> {
        let openings = self.vault.openings(&pieces).await?;
        let known = pieces.iter().zip(openings).filter_map(|(piece, opening)| {
            Some(((piece.position, piece.part), opening.known()?)) //
        });
        Ok(known.collect())
    }

    /// All events after `after`, whoever owns them, page by page up to the head. It ends after an error. No request of
    /// anybody's reaches it.
    pub fn scan(&self, after: Position) -> impl Stream<Item = Result<Vec<Opened>, Trouble>> + Send + use<> {
        let log = self.log.clone();
        let stretches = stream::try_unfold((after, after), move |(after, head)| {
            let log = log.clone();
            async move {
                let head = if after < head { head } else { log.head().await? };
                Ok(stretch(after, head).map(|stretch| (stretch, (stretch.1, head))))
            }
        });
        self.clone().open_all(Strand::WHOLE, stretches)
    }

    /// Positions have no gap: where pages lie is known before any is read, and several are at once.
    fn open_all<S>(
        self,
        strand: Strand,
        stretches: S,
    ) -> impl Stream<Item = Result<Vec<Opened>, Trouble>> + Send + use<S>
    where
        S: Stream<Item = Result<(Position, Position), Trouble>> + Send,
    {
        let opened = stretches.map_ok(move |(after, to)| {
            let words = self.clone();
            async move {
                let opened = tokio::spawn(async move { words.open_stretch(strand, after, to).await }).await;
                opened.map_err(|panic| Trouble::Internal(panic.to_string()))?
            }
        });
        opened.try_buffered(ABREAST)
    }

    /// All of the strand in `(after, to]` that did not expire.
    async fn open_stretch(&self, strand: Strand, after: Position, to: Position) -> Result<Vec<Opened>, Trouble> {
        let mut events = self.log.read_stretch(after, to).await?;
        events.retain(|(event, _)| event.reduced.is_none() && strand.holds(event.fact.stream));
        self.open_sealed(events).await
    }
}

/// The first page of `(after, last]`.
fn stretch(after: Position, last: Position) -> Option<(Position, Position)> {
    (after < last).then(|| (after, last.min(Position(after.0 + PAGE))))
}

impl Opener for Words {
    fn said(&self, strand: Strand, after: Position, last: Position) -> BoxFuture<'_, Result<Said, Unopened>> {
        let gathered = async move {
            let mut said = Said { erased: self.behind_erased().await?, ..Said::default() };
            let stretches = iter::successors(stretch(after, last), |(_, to)| stretch(*to, last));
            let mut pages = pin!(self.clone().open_all(strand, stream::iter(stretches.map(Ok))));
            while let Some(page) = pages.try_next().await? {
                for opened in page {
                    if let Some(text) = opened.event.text() {
                        said.push(opened.recorded.position, 0, &text);
                    }
                }
            }
            Ok(said)
        };
        gathered.map_err(unopened).boxed()
    }
}

impl Service {
    pub(super) async fn open(&self, events: Vec<Recorded>) -> Result<Vec<Opened>, Trouble> {
        self.words.open(events).await
    }

    /// All events after `after`, whoever owns them, page by page up to the head. It ends after an error. No request of
    /// anybody's reaches it.
    pub fn scan(&self, after: Position) -> impl Stream<Item = Result<Vec<Opened>, Trouble>> + Send + use<> {
        self.words.scan(after)
    }
}

fn unopened(trouble: Trouble) -> Unopened {
    match trouble {
        Trouble::Database(error) => Unopened::Database(error),
        Trouble::Open(_) | Trouble::Unreadable(_) => Unopened::Damaged(chain(&trouble)),
        // The vault's database, or a task that ended with its runtime: neither is the events' fault.
        trouble => Unopened::Database(sqlx::Error::Io(std::io::Error::other(chain(&trouble)))),
    }
}

/// An error and what it comes of.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

pub(super) type Openings = HashMap<(Position, u8), Opening>;

fn opened(ledger: LedgerId, openings: &Openings, recorded: Recorded, sealed: &[Sealed]) -> Result<Opened, Trouble> {
    let mut event = recorded.event()?;
    let (kind, kind_version) =
        (recorded.fact.kind.as_str(), u16::try_from(recorded.fact.kind_version).unwrap_or_default());
    let (mut forgotten, mut length) = (false, 0);
    for (part, _) in crate::log::digest::words_parts(&recorded.fact.words_digest) {
        let about = About { ledger, owner: recorded.fact.owner, event: recorded.fact.id, kind, kind_version, part };
        let sealed = sealed.iter().find(|sealed| sealed.part == part);
        let opening = sealed.and_then(|sealed| Some((sealed, openings.get(&(recorded.position, part))?)));
        if let Some((sealed, opening)) = opening {
            let plain = opening.open(&about, sealed)?;
            length += plain.len();
            event.open(part, Private::Known(&plain))?;
        } else {
            forgotten |= part == 0;
            event.open(part, Private::Forgotten)?;
        }
    }
    Ok(Opened { recorded, event, forgotten, length })
}
