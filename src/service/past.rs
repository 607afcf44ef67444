//! What conversations were: told by their timelines, which are kept in memory for those whose past is looked at.
//!
//! A timeline answers as the view does, to which everything else goes: the present, lists, and conversations whose timeline is
//! not read yet. So the view is its check, too: one answer in [`SAMPLE`] is asked of both (in a debug build, all), and where they
//! differ the view is believed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::{Actor, CONVERSATION, Service, Trouble};
use crate::clock::Clock;
use crate::event::{ConversationId, OwnerId, Position, Version};
use crate::projection::left_out;
use crate::view::Seen;
use crate::view::timeline::Timeline;

/// Bytes of all that is kept.
const BYTES_MAX: u64 = 64 << 20;
/// What one takes before it is read.
const SLOT_BYTES: u32 = 1_024;
const IDLE_MAX: Duration = Duration::from_mins(10);
/// Versions of one conversation, at most.
const VERSIONS_MAX: i32 = 50_000;
/// Events that a reader waits for; of a conversation of more, the rest is read while the view answers, from the second look on.
const AT_ONCE: usize = 64;
/// Who asks several things within this looks once. (In a debug build it is over sooner, so that timelines are read and checked.)
const ONE_LOOK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3 } else { 50 });
/// Events in one read of the rest.
const PAGE: usize = 1_000;
/// One answer of so many is asked of the view, too.
const SAMPLE: u64 = if cfg!(debug_assertions) { 1 } else { 1_000 };

type Key = (OwnerId, ConversationId);

#[derive(Clone)]
pub(super) struct Past {
    slots: Cache<Key, Slot>,
    answers: Arc<AtomicU64>,
}

/// The timeline of a conversation, to be.
#[derive(Clone)]
struct Slot {
    kept: Arc<RwLock<Kept>>,
    /// Held by whoever reads on.
    reading: Arc<Mutex<()>>,
    weight: u32,
}

struct Kept {
    /// None once it was given up: it differed from the view, is too long, or holds what the view or this program does not read.
    timeline: Option<Timeline>,
    /// Everything of it up to here is known.
    to: Position,
    /// What was taken away by then is known.
    erased: Position,
    /// When somebody first looked.
    looked_at: Option<Instant>,
}

impl Past {
    pub(super) fn new() -> Self {
        let slots = Cache::builder()
            .weigher(|_: &Key, slot: &Slot| slot.weight)
            .max_capacity(BYTES_MAX)
            .time_to_idle(IDLE_MAX)
            .build();
        Self { slots, answers: Arc::default() }
    }

    fn slot(&self, key: Key) -> Slot {
        self.slots.get_with(key, || Slot {
            kept: Arc::new(RwLock::new(Kept {
                timeline: Some(Timeline::new(key.1)),
                to: Position::default(),
                erased: Position::default(),
                looked_at: None,
            })),
            reading: Arc::default(),
            weight: SLOT_BYTES,
        })
    }
}

impl Slot {
    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody looked some time before; if not, this was the first look.
    fn looks_again(&self) -> bool {
        let first = self.read().looked_at;
        match first {
            Some(first) => first.elapsed() >= ONE_LOOK,
            None => self.write().looked_at.replace(Clock::instant()).is_some(),
        }
    }

    /// What `told` says of the timeline, if that tells anything; the error is that it does not know all up to `at` yet.
    fn tell<T>(&self, at: Position, erased: Position, told: &impl Fn(&Timeline) -> T) -> Result<Option<T>, Unknown> {
        let kept = self.read();
        let Some(timeline) = &kept.timeline else { return Ok(None) };
        if kept.to < at || kept.erased < erased {
            return Err(Unknown);
        }
        Ok(timeline.is_whole().then(|| told(timeline)))
    }
}

struct Unknown;

impl Service {
    /// What a conversation was at `at`: what `told` says of its timeline, or what the view `shows` where that is not read yet.
    pub(super) async fn was<T: PartialEq>(
        &self,
        actor: Actor,
        id: ConversationId,
        at: Position,
        told: impl Fn(&Timeline) -> T,
        shows: impl Future<Output = Result<Seen<T>, sqlx::Error>>,
    ) -> Result<Seen<T>, Trouble> {
        let owner = actor.owner();
        if at == Position::LATEST {
            return Ok(shows.await?);
        }
        let erased = self.reached_lately().await?.erased;
        let Some(rows) = self.told(owner, id, at, erased, &told).await? else { return Ok(shows.await?) };
        if !self.is_sampled(at) {
            return Ok(Seen { erased, rows });
        }
        let shown = shows.await?;
        if rows != shown.rows {
            // What another server let expire a moment ago, the view does not show any more: this is no difference.
            let erased = self.reached_now().await?.erased;
            if self.told(owner, id, at, erased, &told).await?.is_some_and(|rows| rows != shown.rows) {
                self.give_up(owner, id);
            }
        }
        Ok(shown)
    }

    /// Whether somebody looked at what a conversation went through before: a timeline is not read for a single look.
    pub(super) fn looks_again(&self, owner: OwnerId, id: ConversationId) -> bool {
        self.past.slot((owner, id)).looks_again()
    }

    /// Whether a conversation's timeline knows what it was at `at`.
    pub(super) fn is_told(&self, owner: OwnerId, id: ConversationId, at: Position) -> bool {
        self.past.slots.get(&(owner, id)).is_some_and(|slot| {
            let kept = slot.read();
            kept.to >= at && kept.timeline.is_some()
        })
    }

    async fn told<T>(
        &self,
        owner: OwnerId,
        id: ConversationId,
        at: Position,
        erased: Position,
        told: &impl Fn(&Timeline) -> T,
    ) -> Result<Option<T>, Trouble> {
        let slot = self.past.slot((owner, id));
        if let Ok(rows) = slot.tell(at, erased, told) {
            return Ok(rows);
        }
        self.read_on(owner, id, &slot, at, erased).await?;
        Ok(slot.tell(at, erased, told).ok().flatten())
    }

    /// The position of a version, when that is at hand: it never changes.
    pub(super) fn position_of(&self, owner: OwnerId, id: ConversationId, version: Version) -> Option<Position> {
        let slot = self.past.slots.get(&(owner, id))?;
        slot.read().timeline.as_ref()?.position(version)
    }

    /// Whether an answer of a timeline is to be held against the view's: that has come to `at`, and it is this one's turn.
    fn is_sampled(&self, at: Position) -> bool {
        self.past.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE)
            && self.view_position(CONVERSATION) >= at
    }

    /// A timeline did not say what the view says: it is not asked again.
    fn give_up(&self, owner: OwnerId, id: ConversationId) {
        tracing::error!(conversation = %id, "what it was by its timeline is not what its view shows; the view is believed");
        metrics::counter!("timelines_given_up_total").increment(1);
        debug_assert!(false, "the timeline of {id} and its view differ");
        self.past.slot((owner, id)).write().timeline = None;
    }

    /// Reads a conversation on until its timeline knows all up to `at`. Of one that is long, the rest is read by itself.
    async fn read_on(
        &self,
        owner: OwnerId,
        id: ConversationId,
        slot: &Slot,
        at: Position,
        erased: Position,
    ) -> Result<(), Trouble> {
        let Ok(reading) = Arc::clone(&slot.reading).try_lock_owned() else { return Ok(()) };
        // A long one is not read to its end for a single look.
        let again = slot.looks_again();
        if !again && slot.read().timeline.as_ref().is_some_and(|timeline| timeline.version().0 > 0) {
            return Ok(());
        }
        // Looked at before it is read: what is read then is all that there was.
        let known = self.recent.head().max(*self.log.tail().head().borrow());
        let head = if at > known { self.log.head().await? } else { known };
        let ended = self.read_page(owner, id, slot, AT_ONCE, head, erased).await?;
        if ended || !again {
            return Ok(());
        }
        let (service, slot) = (self.clone(), slot.clone());
        tokio::spawn(async move {
            let _reading = reading;
            loop {
                match service.read_page(owner, id, &slot, PAGE, head, erased).await {
                    Ok(false) => {}
                    Ok(true) => break,
                    Err(error) => {
                        tracing::debug!(conversation = %id, "its timeline is not read to its end: {error}");
                        break;
                    }
                }
            }
        });
        Ok(())
    }

    /// Takes in the next page of a conversation; says whether that was the last.
    async fn read_page(
        &self,
        owner: OwnerId,
        id: ConversationId,
        slot: &Slot,
        limit: usize,
        head: Position,
        erased: Position,
    ) -> Result<bool, Trouble> {
        let Some(version) = slot.read().timeline.as_ref().map(Timeline::version) else { return Ok(true) };
        let events = self.log.read_stream(owner, id.into(), version, limit).await?;
        // What the view was told to leave out is not told of by a timeline either: the view is asked.
        let left_out = if events.is_empty() { BTreeSet::new() } else { left_out(CONVERSATION, &self.pool).await? };
        let left_out = events.iter().any(|recorded| left_out.contains(&recorded.position));
        let whole = events.len() < limit;
        let mut kept = slot.write();
        let Some(timeline) = &mut kept.timeline else { return Ok(true) };
        let taken = events.iter().try_for_each(|recorded| timeline.take(recorded));
        // What this program cannot read, or not all of, the view still shows.
        let given_up = left_out || taken.is_err() || timeline.version().0 > VERSIONS_MAX;
        let weight = SLOT_BYTES.saturating_add(u32::try_from(timeline.weight()).unwrap_or(u32::MAX));
        if given_up {
            kept.timeline = None;
        } else if whole {
            (kept.to, kept.erased) = (kept.to.max(head), kept.erased.max(erased));
        }
        drop(kept);
        if weight != slot.weight {
            self.past.slots.insert((owner, id), Slot { weight, ..slot.clone() });
        }
        Ok(whole || given_up)
    }
}
