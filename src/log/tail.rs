//! Following the log as it grows. One reader a process follows the dense log and hands what it reads to everyone who
//! listens. What wakes it is only a hint (this process's own appends, LISTEN, a timer): what it reads is the truth, and
//! it checks that nothing was skipped.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Mutex, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bell::{Bell, raise};
use super::read::Page;
use super::{Log, Recorded, read};
use crate::database::within;
use crate::event::{OwnerId, Position};

/// How long the tail sleeps when nothing wakes it.
const PATROL: Duration = Duration::from_millis(500);
/// Events in one read.
const PAGE: usize = 500;
/// Events in the first read of one who catches up, which doubles from there to [`PAGE`]. Whoever comes back missed little
/// as a rule, and may leave again before it has seen much.
const PAGE_MIN: usize = 32;
/// How long a read may take; then its connection counts as cut. No page takes a second.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(10);
/// Batches that a slow listener may fall behind before it must read from the log again.
const BACKLOG: usize = 256;

/// Neighbouring events, in order.
pub type Batch = Arc<Vec<Recorded>>;

#[derive(Clone)]
pub struct Tail {
    head: watch::Receiver<Position>,
    bell: Bell,
    batches: broadcast::Sender<Batch>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    stop: CancellationToken,
}

impl Tail {
    pub(super) async fn start(pool: PgPool) -> Result<Self, sqlx::Error> {
        let start = read::head(&pool).await?;
        let bell = Bell::new(start);
        let (reached, seen) = watch::channel(start);
        let (batches, _) = broadcast::channel(BACKLOG);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(until(stop.clone(), bell.clone().listen(pool.clone())));
        tasks.spawn(until(stop.clone(), bell.clone().ring_others(pool.clone())));
        tasks.spawn(until(stop.clone(), follow(pool, bell.heard(), bell.own(), reached, batches.clone())));
        Ok(Self { head: seen, bell, batches, tasks: Arc::new(Mutex::new(tasks)), stop })
    }

    pub(super) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// The newest position that this process knows of, as it grows.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        while self.tasks.lock().await.join_next().await.is_some() {}
    }
}

/// A follower of one owner's events from a position on: first from the log, then live, without a hole or a repeat.
pub struct Live {
    log: Log,
    owner: OwnerId,
    batches: broadcast::Receiver<Batch>,
    seen_to: Position,
    /// What the hub has run ahead to: up to here the log must be read.
    read_to: Position,
    /// Events in the next read.
    page: usize,
}

impl Log {
    /// Follows the events of `owner` after `after`.
    pub fn follow(&self, owner: OwnerId, after: Position) -> Live {
        // Listening begins before the first read: nothing falls between.
        let batches = self.tail.batches.subscribe();
        Live { log: self.clone(), owner, batches, seen_to: after, read_to: Position(i64::MAX), page: PAGE_MIN }
    }
}

impl Live {
    /// The next events, one at least. Waits for them. Safe to drop while it waits.
    pub async fn next(&mut self) -> Result<Vec<Recorded>, sqlx::Error> {
        loop {
            if self.seen_to < self.read_to {
                let read = self.log.read_owner(self.owner, self.seen_to, self.page);
                let page: Page = within(READ_WITHIN, read).await?;
                let whole = page.events.len() < self.page;
                self.seen_to = self.seen_to.max(page.seen_to);
                self.page = (self.page * 2).min(PAGE);
                if whole {
                    (self.read_to, self.page) = (self.seen_to, PAGE_MIN);
                }
                if !page.events.is_empty() {
                    return Ok(page.events);
                }
                continue;
            }
            let batch = match self.batches.recv().await {
                Ok(batch) => batch,
                // Too slow for the hub: nothing is lost, the log has it.
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.read_to = Position(i64::MAX);
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return Err(sqlx::Error::PoolClosed),
            };
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else { continue };
            if last.position <= self.seen_to {
                continue;
            }
            if first.position > self.seen_to.next() {
                // The hub read nothing while nobody listened: the log has that, and this batch too.
                self.read_to = last.position;
                continue;
            }
            let new = |event: &&Recorded| event.fact.owner == self.owner && event.position > self.seen_to;
            let events: Vec<Recorded> = batch.iter().filter(new).cloned().collect();
            self.seen_to = last.position;
            self.read_to = self.read_to.min(last.position);
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Up to where everything of this owner was handed out.
    pub const fn seen_to(&self) -> Position {
        self.seen_to
    }
}

/// Reads and hints alone: wherever they are dropped, nothing is half done.
async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! { () = stop.cancelled() => {}, () = task => {} }
}

/// Reads on whenever the log is heard to have grown, and at every patrol.
async fn follow(
    pool: PgPool,
    mut heard: watch::Receiver<Position>,
    own: watch::Receiver<Position>,
    reached: watch::Sender<Position>,
    batches: broadcast::Sender<Batch>,
) {
    let mut at = *reached.borrow();
    loop {
        let _ = timeout(PATROL, heard.changed()).await; // told or not, it looks
        // Nobody listens, and what was appended here is known to be there: on patrol, and when others rang, the log is asked.
        let own = *own.borrow();
        if own > at && batches.receiver_count() == 0 {
            at = own;
            reach(&reached, at);
            continue;
        }
        loop {
            let before = at;
            match within(READ_WITHIN, advance(&pool, at, &batches)).await {
                Ok(to) => at = to,
                Err(error) => {
                    tracing::warn!(%error, position = at.0, "the tail cannot read on; it tries again");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    break;
                }
            }
            if at == before {
                break;
            }
            reach(&reached, at);
        }
    }
}

/// Reads what follows `at` once and hands it out; with nobody listening it only looks how far the log reaches.
async fn advance(pool: &PgPool, at: Position, batches: &broadcast::Sender<Batch>) -> Result<Position, sqlx::Error> {
    if batches.receiver_count() == 0 {
        return Ok(read::head(pool).await?.max(at));
    }
    let events = read::range(pool, at, PAGE).await?;
    let Some(last) = events.last().map(|event| event.position) else { return Ok(at) };
    let _ = batches.send(Arc::new(events));
    Ok(last)
}

fn reach(reached: &watch::Sender<Position>, position: Position) {
    metrics::gauge!("log_head").set(position_gauge(position));
    raise(reached, position);
}

#[allow(clippy::cast_precision_loss)] // a gauge is a float, and positions stay far below 2^53
fn position_gauge(position: Position) -> f64 {
    position.0 as f64
}
