//! The task of one projection: it folds what the log has grown by, and tries again what failed.
//!
//! It owns its connection and ends only between two folds; no request, which anybody may drop, ever holds a fold's
//! transaction. Only a fold that was given up for lost is dropped half-way.
//!
//! Where several processes fold one view, the first to claim a range folds it, and who came too late follows: it leaves the view
//! to the other one for as long as that goes on. Nobody is elected, and nothing is to be given back by who dies.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::skip::Skips;
use super::status::{is_missing, qualified};
use super::{FoldError, Folded, Opener, Projection, Range};
use crate::clock::Clock;
use crate::database::{silence, within};
use crate::event::Position;

/// Events in one transaction at most. A live fold takes what is there, which is few.
const RANGE_EVENTS_MAX: i64 = 10_000;
/// How soon a fold follows the one before that began, when it would be of few events and nobody waits for them: each takes the
/// database about a millisecond, whatever is in it.
const GATHER: Duration = Duration::from_millis(10);
const FEW: i64 = 64;
/// How long a projector that follows another one leaves that alone, unless somebody waits here: what the other one folds is
/// neither read nor opened by this one.
const HEAD_START: Duration = Duration::from_millis(50);
/// How soon one that was late looks what came of it, the first time and at most; and at most while somebody waits. No sooner
/// than its own try took, which may have been a long one.
const LATE_MIN: Duration = Duration::from_millis(2);
const LATE_MAX: Duration = Duration::from_millis(250);
const AWAITED_MAX: Duration = Duration::from_millis(4);
/// How often a projection looks for events that nothing told it of.
const PATROL: Duration = Duration::from_millis(500);
/// How often somebody who waits looks where a projection stands: another server may have appended, or folded.
pub(super) const LOOK: Duration = Duration::from_millis(25);
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long the database may take before the connection counts as cut, between these two: four times what the last fold
/// took on the way to the head, doubled by each failure. No fixed limit would do: a fold may take minutes, and after a
/// cut nobody wants to wait for minutes. The upper one is longer than Postgres lets a fold last (`sql/settings.sql`).
/// TCP's own signs of life would tell sooner, but sqlx has no way to ask for them.
const PATIENCE_MIN: Duration = Duration::from_secs(15);
const PATIENCE_MAX: Duration = Duration::from_mins(5);

/// The outside of a projection's task.
pub(super) struct Running {
    pub projection: Projection,
    /// Whether it is known where it stands: its tables are there, and no connection was lost since it was looked.
    known: watch::Sender<bool>,
    pub progress: watch::Receiver<Position>,
    pub failure: watch::Receiver<Option<Arc<FoldError>>>,
    look: Arc<Notify>,
    /// What somebody waited for, or waits.
    wanted: watch::Sender<Position>,
    behind_since: watch::Receiver<Option<Instant>>,
    pub task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(
        pool: &PgPool,
        projection: Projection,
        head: &watch::Receiver<Position>,
        opener: &Arc<dyn Opener>,
        stop: &CancellationToken,
    ) -> Self {
        let known = watch::Sender::new(false);
        let (progress, progress_seen) = watch::channel(Position(0));
        let (failure, failure_seen) = watch::channel(None);
        let look = Arc::new(Notify::new());
        let wanted = watch::Sender::new(Position(0));
        let (behind_since, behind_since_seen) = watch::channel(None);
        let projector = Projector {
            pool: pool.clone(),
            connection: None,
            projection: projection.clone(),
            opener: Arc::clone(opener),
            head: head.clone(),
            look: Arc::clone(&look),
            wanted: wanted.subscribe(),
            began: Instant::from_std(Clock::instant()),
            behind_since,
            stop: stop.clone(),
            follows: false,
            known: known.clone(),
            progress,
            failure,
            range_events: RANGE_EVENTS_MAX,
            patience: PATIENCE_MIN,
            skips: Skips::default(),
        };
        let task = tokio::spawn(projector.run());
        let (progress, failure, behind_since) = (progress_seen, failure_seen, behind_since_seen);
        Self { projection, known, progress, failure, look, wanted, behind_since, task }
    }

    /// Where it stands, if that is known.
    pub(super) fn stands(&self) -> Option<Position> {
        self.known.borrow().then(|| *self.progress.borrow())
    }

    /// It may not stand where it was known to: nobody reads by that before it was looked.
    pub(super) fn doubt(&self) {
        self.known.send_replace(false);
        self.look.notify_one();
    }

    /// How long ago the eldest was appended that is not folded yet, more or less.
    pub(super) fn lag(&self) -> Duration {
        self.behind_since.borrow().map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) async fn reached(&self, wanted: Position) {
        let (mut known, mut progress) = (self.known.subscribe(), self.progress.clone());
        self.wanted.send_if_modified(|most| {
            let more = wanted > *most;
            *most = wanted.max(*most);
            more
        });
        // It has a sender here: it does not end.
        let _ = known.wait_for(|known| *known).await;
        while *progress.borrow_and_update() < wanted {
            let moved = timeout(LOOK, progress.changed()).await;
            match moved {
                Ok(Ok(())) => {}
                // The task has ended: nothing moves any more, and the caller's patience decides.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => self.look.notify_one(),
            }
        }
    }
}

/// The inside of a projection's task.
struct Projector {
    pool: PgPool,
    /// What the last fold was made by. It is kept while there is something to fold: what a pool does around every loan is two
    /// more round trips, and a session that has folded this view before knows its tables and has its plans.
    connection: Option<PoolConnection<Postgres>>,
    projection: Projection,
    opener: Arc<dyn Opener>,
    head: watch::Receiver<Position>,
    look: Arc<Notify>,
    wanted: watch::Receiver<Position>,
    /// When the last fold began.
    began: Instant,
    /// Since when there is something that is not folded, as far as it knows.
    behind_since: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
    /// Whether another process was there first when it last tried.
    follows: bool,
    known: watch::Sender<bool>,
    progress: watch::Sender<Position>,
    failure: watch::Sender<Option<Arc<FoldError>>>,
    /// Halved by a failure, until it is the one event that is to blame; doubled by a success.
    range_events: i64,
    /// See [`PATIENCE_MIN`].
    patience: Duration,
    /// What it leaves out, as far as it was told: it asks again whenever it stands still.
    skips: Skips,
}

/// Where a projection and the log stood when it was looked.
#[derive(Clone, Copy)]
struct Stand {
    position: Position,
    head: Position,
    at: Instant,
}

impl Projector {
    async fn run(mut self) {
        let mut retry = RETRY_MIN;
        let mut told = None;
        self.ask_for_skips().await;
        while !self.stop.is_cancelled() {
            if told.is_none() && self.failure.borrow().is_some() {
                self.ask_for_skips().await;
            }
            match self.advance(told).await {
                Ok(()) => {
                    (retry, self.patience) = (RETRY_MIN, PATIENCE_MIN);
                    self.recovered();
                    told = self.woken().await;
                }
                Err(error) => {
                    self.patience = (self.patience * 2).min(PATIENCE_MAX);
                    if !error.is_poison() {
                        // A database that crashed lost what was folded last. One that answers is looked at at once: who
                        // reads need not wait for the next try.
                        self.known.send_replace(false);
                        let _ = self.in_time(self.look()).await;
                    }
                    self.failed(error).await;
                    tokio::select! { () = self.stop.cancelled() => {}, () = sleep(retry) => {} }
                    retry = (retry * 2).min(RETRY_MAX);
                    told = None;
                }
            }
        }
    }

    /// Waits for a reason to go on. The new head, when it was told; none, when it must look for itself.
    async fn woken(&mut self) -> Option<Position> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = self.look.notified() => None,
            () = sleep(PATROL) => {
                self.connection = None;
                None
            }
            Ok(()) = self.head.changed() => {
                self.gather().await;
                Some(*self.head.borrow_and_update())
            }
        }
    }

    /// Lets a few events become more, unless somebody waits for them.
    async fn gather(&self) {
        let (at, head) = (*self.progress.borrow(), *self.head.borrow());
        if head.0 - at.0 < FEW && !self.follows {
            let mut wanted = self.wanted.clone();
            tokio::select! {
                () = self.stop.cancelled() => {}
                _ = wanted.wait_for(|wanted| *wanted > at) => {}
                () = sleep_until(self.began + GATHER) => {}
            }
        }
    }

    /// Folds until there is nothing left, or until it is told to stop.
    async fn advance(&mut self, told: Option<Position>) -> Result<(), FoldError> {
        let stood = *self.progress.borrow();
        let (known, awaited) = (*self.known.borrow(), *self.wanted.borrow() > stood);
        let mut stand = match told {
            _ if self.follows && !awaited => self.follow(stood, None).await?,
            Some(head) if known && !self.follows => {
                Stand { position: stood, head, at: Instant::from_std(Clock::instant()) }
            }
            _ => self.in_time(self.look()).await?,
        };
        if stand.position < stand.head && self.behind_since.borrow().is_none() {
            self.behind_since.send_replace(Some(stand.at));
        }
        while stand.position < stand.head && !self.stop.is_cancelled() {
            let Stand { position, head, .. } = stand;
            let (last, skipped) = self.skips.cut(position, Position(head.0.min(position.0 + self.range_events)));
            let began = Clock::instant();
            self.began = Instant::from_std(began);
            let folded = timeout(self.patience, self.fold(position, last, skipped)).await;
            match folded.unwrap_or_else(|_| Err(self.silent())) {
                Ok(Folded::Done) => {
                    let took = began.elapsed();
                    metrics::histogram!("projection_fold_seconds", "projection" => self.name())
                        .record(took.as_secs_f64());
                    self.patience = (took * 4).clamp(PATIENCE_MIN, PATIENCE_MAX);
                    self.range_events = (self.range_events * 2).min(RANGE_EVENTS_MAX);
                    self.follows = false;
                    stand.position = last;
                    self.publish(last, head);
                }
                Ok(Folded::Elsewhere) => {
                    self.follows = true;
                    stand = self.follow(position, Some(began.elapsed())).await?;
                }
                Ok(Folded::Gone) => {}
                Err(error) if error.is_poison() && last.0 - position.0 > 1 => {
                    self.range_events = (last.0 - position.0) / 2;
                }
                Err(error) => return Err(error),
            }
        }
        let more = *self.head.borrow() > stand.position;
        self.behind_since.send_replace(more.then_some(stand.at));
        Ok(())
    }

    /// Leaves it to another process to go on from `stood`, until nothing is left, or it stands still, or somebody waits here who
    /// may be served sooner. Who was just late is told how long the try took.
    async fn follow(&self, mut stood: Position, late: Option<Duration>) -> Result<Stand, FoldError> {
        let (mut pause, mut longest) = late.map_or((HEAD_START, HEAD_START), |took| (took.max(LATE_MIN), LATE_MAX));
        let awaited_longest = late.unwrap_or_default().max(AWAITED_MAX);
        let mut wanted = self.wanted.clone();
        let mut before: Option<Stand> = None;
        loop {
            let awaited = *wanted.borrow() > stood;
            if awaited {
                longest = longest.min(awaited_longest);
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause.min(longest)) => {}
                _ = wanted.wait_for(|wanted| *wanted > stood), if !awaited => {}
            }
            let stand = self.in_time(self.look()).await?;
            // What is left now came after that look.
            if let Some(before) = before.filter(|before| before.head <= stand.position) {
                self.behind_since.send_replace(Some(before.at));
            }
            let (moved, awaited) = (stand.position > stood, *wanted.borrow() > stand.position);
            if stand.position >= stand.head
                || self.stop.is_cancelled()
                || if moved { awaited } else { pause >= longest }
            {
                return Ok(stand);
            }
            (pause, longest) = if moved { (HEAD_START, HEAD_START) } else { ((pause * 2).min(longest), longest) };
            (stood, before) = (stand.position, Some(stand));
        }
    }

    /// What it does not learn now it learns when it next stands still.
    async fn ask_for_skips(&mut self) {
        if let Ok(skips) = within(PATIENCE_MIN, Skips::of(&self.projection, &self.pool)).await {
            self.skips = skips;
        }
    }

    /// Dropped half-way, or failed, it keeps no connection: the pool sees to what comes back to it.
    async fn fold(&mut self, after: Position, last: Position, skipped: bool) -> Result<Folded, FoldError> {
        let range =
            if skipped { Range::skipped(last) } else { self.projection.range(&*self.opener, after, last).await? };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await.map_err(|source| self.projection.database(source))?,
        };
        let folded = self.projection.fold_by(&mut connection, &range).await?;
        self.connection = Some(connection);
        Ok(folded)
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, FoldError>>) -> Result<T, FoldError> {
        timeout(self.patience, asked).await.unwrap_or_else(|_| Err(self.silent()))
    }

    fn silent(&self) -> FoldError {
        self.projection.database(silence(self.patience))
    }

    /// Where the projection and the log stand. Makes the projection when it is not there, or not any more.
    async fn look(&self) -> Result<Stand, FoldError> {
        let at = Instant::from_std(Clock::instant());
        let standing = match self.projection.standing(&self.pool).await {
            Err(error) if is_missing(&error) => {
                self.projection.create(&self.pool).await?;
                self.projection.standing(&self.pool).await
            }
            standing => standing,
        };
        let standing = standing.map_err(|source| self.projection.database(source))?;
        self.publish(standing.position, standing.head);
        #[allow(clippy::cast_precision_loss)] // a gauge
        metrics::gauge!("projection_lag_ms", "projection" => self.name()).set(standing.lag_ms as f64);
        Ok(Stand { position: standing.position, head: standing.head, at })
    }

    /// What its metrics are labelled with.
    fn name(&self) -> String {
        self.projection.name.to_string()
    }

    fn publish(&self, position: Position, head: Position) {
        let name = self.name();
        #[allow(clippy::cast_precision_loss)] // gauges
        {
            metrics::gauge!("projection_position", "projection" => name.clone()).set(position.0 as f64);
            metrics::gauge!("projection_lag_events", "projection" => name.clone())
                .set((head.0 - position.0).max(0) as f64);
        }
        self.progress.send_if_modified(|published| std::mem::replace(published, position) != position);
        self.known.send_if_modified(|known| !std::mem::replace(known, true));
    }

    fn recovered(&self) {
        if self.failure.send_replace(None).is_some() {
            tracing::info!(projection = %self.projection.name, "the projection goes on");
        }
    }

    /// Tells that the projection stands still, and why: once, and in its progress row for whoever asks there.
    async fn failed(&self, error: FoldError) {
        // One that stands still is waited for by nobody.
        self.behind_since.send_replace(None);
        let text = error.to_string();
        let new = self.failure.borrow().as_ref().is_none_or(|known| known.to_string() != text);
        if new {
            tracing::error!(projection = %self.projection.name, error = text, "the projection stands still");
        }
        if error.is_poison() {
            let statement = qualified(&self.projection.name, include_str!("sql/fail.sql"));
            let position = self.progress.borrow().0;
            let stored = sqlx::query(AssertSqlSafe(statement)).bind(position).bind(&text).execute(&self.pool);
            if let Err(error) = within(PATIENCE_MIN, stored).await {
                tracing::warn!(projection = %self.projection.name, %error, "why it stands still cannot be recorded");
            }
        }
        self.failure.send_replace(Some(Arc::new(error)));
    }
}
