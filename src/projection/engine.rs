//! Keeps projections folded as the log grows: one task each, so that one that stands still holds up no other.
//!
//! Any number of servers may run this over one database: progress moves by compare and set, so no event is folded twice,
//! whoever comes first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::projector::Running;
use super::renew::renew;
use super::status::status_of;
use super::{FoldError, Opener, Projection, State, Status};
use crate::event::Position;

/// How far a view may be behind, in time, before whoever appends is held back for it: by a part of what it is behind more, and
/// never for longer than the greatest pause. A view that is further behind still is being made anew, or stands still.
const LAG_FREE: Duration = Duration::from_millis(60);
const LAG_WAITED_FOR: Duration = Duration::from_secs(5);
const HELD_BACK_PART: u32 = 12;
const HELD_BACK_MAX: Duration = Duration::from_millis(20);

/// The running projections of this process.
pub struct Engine {
    pool: PgPool,
    opener: Arc<dyn Opener>,
    running: Vec<Running>,
    renewal: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// What was asked for is not folded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the view has come to event {position} and not yet to {wanted}; try again")]
pub struct Behind {
    pub position: Position,
    pub wanted: Position,
}

impl Engine {
    /// Starts a task for each projection, which makes its tables if need be. `head` says that the log has grown; it is a
    /// hint, and need not tell all.
    /// Opened projections are given what `opener` opens.
    pub fn start(
        pool: PgPool,
        projections: &[Projection],
        head: &watch::Receiver<Position>,
        opener: &Arc<dyn Opener>,
    ) -> Self {
        let stop = CancellationToken::new();
        let run = |projection: &Projection| Running::start(&pool, projection.clone(), head, opener, &stop);
        let running = projections.iter().map(run).collect();
        Self { pool, opener: Arc::clone(opener), running, renewal: Mutex::new(None), stop }
    }

    /// Makes views whose folder changed anew, beside the live ones, until it is done or stopped. Does so once.
    pub fn renew_outdated(&self) {
        let projections = self.running.iter().map(|running| running.projection.clone()).collect();
        let Ok(mut renewal) = self.renewal.lock() else { return };
        renewal.get_or_insert_with(|| {
            tokio::spawn(renew(self.pool.clone(), projections, Arc::clone(&self.opener), self.stop.clone()))
        });
    }

    /// How far the projection of this name has come, as it moves.
    pub fn progress(&self, name: &str) -> Option<watch::Receiver<Position>> {
        self.running(name).map(|running| running.progress.clone())
    }

    /// Waits until the projection of this name is there and has folded `wanted`, whichever server folds it.
    ///
    /// # Errors
    /// How far it has come when `timeout` is over.
    pub async fn wait(&self, name: &str, wanted: Position, timeout: Duration) -> Result<(), Behind> {
        let Some(running) = self.running(name) else { return Err(Behind { position: Position(0), wanted }) };
        let reached = running.reached(wanted);
        let behind = |_| Behind { position: running.stands().unwrap_or_default(), wanted };
        tokio::time::timeout(timeout, reached).await.map_err(behind)
    }

    /// Looks whether the projection of this name stands where it is known to: a crash of the database takes what was folded
    /// last. If it does not, nobody who waits reads from it before that is folded again.
    pub async fn doubt(&self, name: &str) -> Result<(), sqlx::Error> {
        let Some(running) = self.running(name) else { return Ok(()) };
        let known = *running.progress.borrow();
        if running.projection.standing(&self.pool).await?.position < known {
            running.doubt();
        }
        Ok(())
    }

    /// Waits until every projection has folded all that the log holds now.
    ///
    /// # Errors
    /// If the database does not answer, or a projection fails.
    pub async fn fold_until_caught_up(&self) -> Result<(), Arc<FoldError>> {
        for running in &self.running {
            let head = sqlx::query_scalar(include_str!("sql/head.sql")).fetch_one(&self.pool).await;
            let head = head.map_err(|source| Arc::new(running.projection.database(source)))?;
            let mut failure = running.failure.clone();
            tokio::select! {
                () = running.reached(Position(head)) => {}
                error = failed(&mut failure) => return Err(error),
            }
        }
        Ok(())
    }

    pub async fn status(&self) -> Result<Vec<Status>, sqlx::Error> {
        let mut all = Vec::with_capacity(self.running.len());
        for running in &self.running {
            let mut status = status_of(&running.projection, &self.pool).await?;
            // What keeps a projection from the database cannot be told through the database.
            if let (None, Some(error)) = (&status.error, running.failure.borrow().as_deref()) {
                status.error = Some(error.to_string());
                status.state = State::Failed;
            }
            all.push(status);
        }
        Ok(all)
    }

    /// How long who appends now is to be held back, lest appends outrun the views for good: as a rule not at all.
    pub fn held_back(&self) -> Duration {
        let lags = self.running.iter().map(Running::lag).filter(|lag| *lag < LAG_WAITED_FOR);
        let longest = lags.max().unwrap_or_default();
        (longest.saturating_sub(LAG_FREE) / HELD_BACK_PART).min(HELD_BACK_MAX)
    }

    /// Ends every task behind the fold that it is in.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Ok(Some(renewal)) = self.renewal.into_inner()
            && let Err(error) = renewal.await
        {
            tracing::error!(%error, "making views anew ended badly");
        }
        for running in self.running {
            if let Err(error) = running.task.await {
                tracing::error!(projection = %running.projection.name, %error, "the projection's task ended badly");
            }
        }
    }

    fn running(&self, name: &str) -> Option<&Running> {
        self.running.iter().find(|running| running.projection.name == name)
    }
}

async fn failed(failure: &mut watch::Receiver<Option<Arc<FoldError>>>) -> Arc<FoldError> {
    match failure.wait_for(Option::is_some).await.map(|error| error.clone()) {
        Ok(Some(error)) => error,
        // The task has ended without a failure: there is none to wait for.
        _ => std::future::pending().await,
    }
}
