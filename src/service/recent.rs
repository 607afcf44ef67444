//! What was read and opened lately: whoever reads on in a conversation does not have its words read and opened anew.
//!
//! An event never changes, but its words may go. So what was opened is kept together with how far words had gone by then, and
//! counts as not there for whoever knows of more. Words are kept for a minute, as the keys that open them are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use super::{Opened, Service, Trouble};
use crate::event::{BranchNumber, ConversationId, Depth, OwnerId, Position};
use crate::log::Reach;
use crate::log::digest::words_parts;
use crate::view::Slice;
use crate::view::event::{self as events, EventRow, Extent};

/// Bytes of all that is kept.
pub(super) const BYTES_MAX: u64 = 64 << 20;
/// What an event takes beside its words, some bytes more or less.
const FACTS_BYTES: usize = 2_048;
const PAGES_MAX: u64 = 10_000;
const TIME_TO_LIVE: Duration = Duration::from_mins(1);
/// How long what other servers appended and took away may go unknown to reads from memory, which ask for nothing else.
const LATELY: Duration = Duration::from_millis(20);

/// A page of a branch.
pub(super) type PageKey = (OwnerId, ConversationId, BranchNumber, Slice<Depth>);

#[derive(Clone)]
pub(super) struct Recent {
    kept: Cache<Position, Kept>,
    /// Pages that were read lately: most of what is on them is at hand.
    pages: Cache<PageKey, ()>,
    /// As far as this process knows.
    gone: Arc<Mutex<Gone>>,
    /// When the database was last asked how far the log has come, and what it said.
    looked: Arc<Mutex<Option<(Instant, Reach)>>>,
}

#[derive(Clone)]
struct Kept {
    gone: Gone,
    extent: Extent,
    opened: Arc<Opened>,
}

/// How far words had gone when something was read, or not quite as far: the newest event that had taken some away, and how
/// often this process had let go of keys.
#[derive(Clone, Copy, Default)]
pub(super) struct Gone {
    by: Position,
    keys: u64,
}

impl Gone {
    /// Whether nothing is known here to have gone that was there then.
    fn covers(self, then: Self) -> bool {
        self.by >= then.by && self.keys >= then.keys
    }
}

impl Recent {
    pub(super) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &Position, kept: &Kept| u32::try_from(FACTS_BYTES + kept.opened.length).unwrap_or(u32::MAX);
        let kept = Cache::builder().weigher(weigh).max_capacity(bytes_max).time_to_live(TIME_TO_LIVE).build();
        let pages = Cache::builder().max_capacity(PAGES_MAX).time_to_live(TIME_TO_LIVE).build();
        Self { kept, pages, gone: Arc::default(), looked: Arc::default() }
    }

    /// Whether this page was read lately; from now on it was.
    pub(super) fn was_read(&self, page: PageKey) -> bool {
        !self.pages.entry(page).or_insert(()).is_fresh()
    }

    /// The event at `position`, if it is the owner's and was opened that far, and nothing of it is known to have gone.
    fn get(&self, owner: OwnerId, position: Position, extent: Extent, gone: Gone) -> Option<Arc<Opened>> {
        let kept = self.kept.get(&position)?;
        let whole = kept.extent == Extent::Whole || extent == Extent::Content;
        (whole && kept.gone.covers(gone) && kept.opened.recorded.fact.owner == owner).then_some(kept.opened)
    }

    fn keep(&self, opened: Opened, extent: Extent, gone: Gone) -> Arc<Opened> {
        let opened = Arc::new(opened);
        let position = opened.recorded.position;
        let content_is_all = words_parts(&opened.recorded.fact.words_digest).all(|(part, _)| part == 0);
        let extent = if content_is_all { Extent::Whole } else { extent };
        self.kept.insert(position, Kept { gone, extent, opened: Arc::clone(&opened) });
        // Looked at after the insert, not before: whoever learns now that words went comes after it, and removes it.
        if !gone.covers(*self.gone()) {
            self.kept.invalidate(&position);
        }
        opened
    }

    /// Words have gone as far as this: what was opened before is let go of.
    fn behind(&self, gone: Gone) {
        let mut known = self.gone();
        if !known.covers(gone) {
            *known = Gone { by: known.by.max(gone.by), keys: known.keys.max(gone.keys) };
            drop(known);
            self.forget_all();
        }
    }

    /// Lets go of everything.
    pub(super) fn forget_all(&self) {
        self.kept.invalidate_all();
        self.pages.invalidate_all();
        self.sweep();
    }

    /// Drops what is not to be kept any longer: now rather than with some later use.
    pub(super) fn sweep(&self) {
        self.kept.run_pending_tasks();
    }

    fn gone(&self) -> MutexGuard<'_, Gone> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the log is known to have come.
    pub(super) fn head(&self) -> Position {
        self.looked().map_or(Position::default(), |(_, reach)| reach.head)
    }

    fn looked(&self) -> MutexGuard<'_, Option<(Instant, Reach)>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// The same, but that it keeps nothing of what it reads: for who reads all there is, and that once.
    pub(super) fn reading_once(&self) -> Self {
        let mut service = self.clone();
        Arc::make_mut(&mut service.0).recent = Recent::new(0);
        service
    }

    /// How far the log has come, by what others did until a moment ago; of what takes words away, also by all that this server
    /// did.
    pub(super) async fn reached_lately(&self) -> Result<Reach, Trouble> {
        let known = *self.recent.looked();
        match known.filter(|(when, _)| when.elapsed() < LATELY) {
            Some((_, Reach { head, erased })) => Ok(Reach { head, erased: erased.max(self.log.erased_here()) }),
            None => self.reached_now().await,
        }
    }

    /// How far the log has come.
    pub(super) async fn reached_now(&self) -> Result<Reach, Trouble> {
        let when = Instant::now();
        let reach = self.log.reach().await?;
        *self.recent.looked() = Some((when, reach));
        Ok(reach)
    }

    /// How far words have gone for whoever saw that `erased` was the newest event that took some away. To be asked before any key
    /// is.
    pub(super) fn gone(&self, erased: Position) -> Gone {
        let gone = Gone { by: erased, keys: self.vault.forgotten() };
        self.recent.behind(gone);
        gone
    }

    /// The owner's events at these positions as they stand behind `erased`, in this order. What is not there, or has expired, is
    /// left out.
    pub(super) async fn recall(
        &self,
        owner: OwnerId,
        positions: &[Position],
        extent: Extent,
        erased: Position,
    ) -> Result<Vec<Arc<Opened>>, Trouble> {
        let gone = self.gone(erased);
        let mut found: Vec<_> =
            positions.iter().map(|position| self.recent.get(owner, *position, extent, gone)).collect();
        let missing: Vec<_> =
            positions.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(position, _)| *position).collect();
        if !missing.is_empty() {
            let rows = events::by_positions(&self.pool, owner, &missing, extent).await?;
            let opened = self.remember(rows, extent, gone).await?.into_iter();
            let opened: HashMap<_, _> = opened.map(|opened| (opened.recorded.position, opened)).collect();
            for (position, found) in positions.iter().zip(&mut found) {
                *found = found.take().or_else(|| opened.get(position).cloned());
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Opens what was read and keeps it.
    pub(super) async fn remember(
        &self,
        rows: Vec<EventRow>,
        extent: Extent,
        gone: Gone,
    ) -> Result<Vec<Arc<Opened>>, Trouble> {
        let opened = self.open_rows(rows).await?;
        Ok(opened.into_iter().map(|opened| self.recent.keep(opened, extent, gone)).collect())
    }
}
