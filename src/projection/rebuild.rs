//! A view made anew beside the live one, which goes on being read and folded, and then put in its place by renaming.
//!
//! The rows of `x` are made in the schema `x_next`, in large ranges that each commit with their progress: if this is
//! killed, the next rebuild goes on where it was. With several cores it goes in several strands (`strand`). What was live is kept as `x_old`, until the next rebuild or until it is
//! dropped. A fold has no side effects, so nothing but rows is made again.

use std::num::NonZeroU32;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::projector::LOOK;
use super::skip::Skips;
use super::status::{Standing, is_missing, qualified, standing_in};
use super::strand::{APART, drop_strands, strands_of};
use super::table::{Indexes, Sees, drop_schema, enter, exists, rename};
use super::{Difference, FoldError, Folded, Opener, Projection, Range, Strand, rows};
use crate::clock::Clock;
use crate::event::Position;

/// Events in one transaction.
const RANGE_EVENTS_MAX: i64 = 5_000;
/// Events that may be left for the last transaction, which holds the live fold up.
const REST_EVENTS_MAX: i64 = 1_000;

/// One rebuild of one projection.
pub struct Rebuild<'a> {
    pub projection: &'a Projection,
    pub pool: &'a PgPool,
    /// Opens words for an opened projection.
    pub opener: &'a dyn Opener,
    /// Events a second at most, to leave the rest of the machine to others.
    pub throttle: Option<NonZeroU32>,
    /// In how many strands it folds a projection whose streams do not depend on each other: as many as there are cores to be
    /// used.
    pub strands: usize,
    /// Ends it between two ranges; what is made stays for the next one.
    pub stop: CancellationToken,
}

/// A strand that is being folded, on a connection of its own: there its statements are planned once.
pub(super) struct Course {
    strand: Strand,
    path: String,
    pub connection: PoolConnection<Postgres>,
    /// Events in the next transaction at most.
    range: i64,
}

/// What became of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Where the new rows stand.
    pub position: Position,
    /// Whether the live rows were made by another version of the folder: then they may well differ.
    pub outdated: bool,
    /// How the live rows differ from the new ones; none when there was nothing to compare with.
    pub differences: Option<Vec<Difference>>,
}

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error("rebuilding `{projection}` was stopped at event {position}; the next rebuild goes on from there")]
    Stopped { projection: String, position: Position },
    #[error("the strands in which `{projection}` was being rebuilt were dropped; rebuild it again: that begins anew")]
    Torn { projection: String },
    #[error("another rebuild of `{projection}` was faster: its rows are in place")]
    Overtaken { projection: String },
    #[error(
        "`{projection}` has no former rows: they are kept by a rebuild, until the next one or until they are dropped"
    )]
    NothingOld { projection: String },
    #[error("`{projection}` cannot be rebuilt now")]
    Database { projection: String, source: sqlx::Error },
}

impl Rebuild<'_> {
    /// Makes the rows anew, compares, and puts them in place. `told` hears how far it is, and how far it must go.
    pub async fn replace(&self, told: impl FnMut(Position, Position) + Send) -> Result<Rebuilt, RebuildError> {
        self.make(told, true).await
    }

    /// Makes the rows anew, compares, and drops them again.
    pub async fn compare(&self, told: impl FnMut(Position, Position) + Send) -> Result<Rebuilt, RebuildError> {
        self.make(told, false).await
    }

    async fn make(&self, mut told: impl FnMut(Position, Position) + Send, keep: bool) -> Result<Rebuilt, RebuildError> {
        self.begin().await?;
        let skips = Skips::of(self.projection, self.pool).await.map_err(|source| self.database(source))?;
        loop {
            self.catch_up(&skips, &mut told).await?;
            self.index().await?;
            if let Some(rebuilt) = self.finish(&skips, keep).await? {
                return Ok(rebuilt);
            }
        }
    }

    /// The new schema: that of a rebuild that was killed, if it was of the same folder.
    async fn begin(&self) -> Result<(), RebuildError> {
        let (next, database) = (self.next(), |source| self.database(source));
        match standing_in(&next, self.pool).await {
            Ok(standing) => {
                if self.goes_on_from(&standing).await.map_err(database)? {
                    return Ok(());
                }
                let dropped = async {
                    let mut transaction = self.pool.begin().await?;
                    drop_schema(&next, &mut transaction).await?;
                    drop_strands(&self.projection.name, &mut transaction).await?;
                    transaction.commit().await
                };
                dropped.await.map_err(database)?;
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(database(error)),
        }
        Ok(self.projection.create_in(&next, Indexes::Later, self.pool).await?)
    }

    /// Whether what stands so is of this folder, and all there.
    async fn goes_on_from(&self, standing: &Standing) -> Result<bool, sqlx::Error> {
        let whole = standing.position != APART || !strands_of(&self.projection.name, self.pool).await?.is_empty();
        Ok(whole && standing.fingerprint == self.projection.fingerprint())
    }

    /// Folds until little is left.
    async fn catch_up(
        &self,
        skips: &Skips,
        told: &mut (impl FnMut(Position, Position) + Send),
    ) -> Result<(), RebuildError> {
        let next = self.next();
        let course = self.course(Strand::WHOLE, next.clone()).await;
        let mut course = course.map_err(|source| self.database(source))?;
        loop {
            let standing = standing_in(&next, &mut *course.connection).await.map_err(|source| self.database(source))?;
            let (position, head) = (standing.position, standing.head);
            if position == APART {
                self.fold_strands(skips, told).await?;
                continue;
            }
            told(position, head);
            let rest = head.0 - position.0;
            // However short the log is: what is rarely done is rarely right.
            let whole = position == Position(0) && rest > 0;
            if self.falls_apart() && (whole || rest > REST_EVENTS_MAX) {
                self.part(position).await?;
            } else if rest <= REST_EVENTS_MAX {
                return Ok(());
            } else {
                self.step(&mut course, position, head, skips).await?;
            }
        }
    }

    /// Events in one transaction: no more than a second's worth, else a throttle would only put pauses between bursts.
    pub(super) fn most(&self, strand: Strand) -> i64 {
        let most = RANGE_EVENTS_MAX * i64::from(strand.of());
        self.throttle.map_or(most, |throttle| most.min(throttle.get().into()))
    }

    /// Begins to fold a strand into the schema at the head of `path`.
    pub(super) async fn course(&self, strand: Strand, path: String) -> Result<Course, sqlx::Error> {
        let connection = self.pool.acquire().await?;
        Ok(Course { strand, path, connection, range: self.most(strand) })
    }

    /// Folds what follows `position`, and nothing behind `end`.
    pub(super) async fn step(
        &self,
        course: &mut Course,
        position: Position,
        end: Position,
        skips: &Skips,
    ) -> Result<(), RebuildError> {
        if self.stop.is_cancelled() {
            return Err(RebuildError::Stopped { projection: self.name(), position });
        }
        let (last, skipped) = skips.cut(position, Position(end.0.min(position.0 + course.range)));
        let rest =
            self.throttle.map(|throttle| Instant::from_std(Clock::instant()) + pause(last.0 - position.0, throttle));
        match self.fold(course, position, last, skipped).await {
            Ok(Folded::Done) => course.range = (course.range * 2).min(self.most(course.strand)),
            Ok(Folded::Gone) => {}
            Ok(Folded::Elsewhere) => sleep(LOOK).await,
            // Which event it is that does not fold is found by halving.
            Err(error) if error.is_poison() && last.0 - position.0 > 1 => course.range = (last.0 - position.0) / 2,
            Err(error) => return Err(error.into()),
        }
        if let Some(rest) = rest {
            tokio::select! { () = self.stop.cancelled() => {}, () = sleep_until(rest) => {} }
        }
        Ok(())
    }

    /// Sees to it that all of (`after`, `end`] is there, and known.
    pub(super) async fn count(
        &self,
        course: &mut Course,
        mut after: Position,
        end: Position,
        skips: &Skips,
    ) -> Result<(), RebuildError> {
        while after < end {
            if self.stop.is_cancelled() {
                return Err(RebuildError::Stopped { projection: self.name(), position: after });
            }
            let (last, skipped) = skips.cut(after, Position(end.0.min(after.0 + course.range)));
            let range = if skipped { Range::skipped(last) } else { Range::of_facts(after, last) };
            match self.projection.count(&mut course.connection, &range).await {
                Ok(()) => (after, course.range) = (last, (course.range * 2).min(self.most(course.strand))),
                Err(error) if error.is_poison() && last.0 - after.0 > 1 => course.range = (last.0 - after.0) / 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn range(&self, strand: Strand, after: Position, last: Position, skipped: bool) -> Result<Range, FoldError> {
        if skipped {
            return Ok(Range::skipped(last));
        }
        self.projection.range_of(strand, self.opener, after, last).await
    }

    async fn fold(
        &self,
        course: &mut Course,
        after: Position,
        last: Position,
        skipped: bool,
    ) -> Result<Folded, FoldError> {
        let range = self.range(course.strand, after, last, skipped).await?;
        // Words that several strands add are one another's conflicts.
        let sees = if course.strand == Strand::WHOLE { Sees::OneMoment } else { Sees::OthersRows };
        self.projection.fold_in(&course.path, sees, &mut course.connection, &range).await
    }

    /// The indexes that the fold did without. They are there already when a former rebuild was killed behind them.
    async fn index(&self) -> Result<(), RebuildError> {
        let (next, database) = (self.next(), |source| self.database(source));
        let mut transaction = self.pool.begin().await.map_err(database)?;
        enter(&next, &mut transaction).await.map_err(database)?;
        match self.projection.make_indexes(&next, &mut transaction).await {
            Err(FoldError::Database { source, .. }) if is_there_already(&source) => transaction.rollback().await,
            Err(error) => return Err(error.into()),
            Ok(()) => transaction.commit().await,
        }
        .map_err(database)
    }

    /// Holds the live rows where they are, brings the new ones there, compares, and lets one of both go: one transaction.
    ///
    /// None when that is to be tried again: another rebuild parted them meanwhile, because much was appended, or words went.
    async fn finish(&self, skips: &Skips, keep: bool) -> Result<Option<Rebuilt>, RebuildError> {
        let (live, next) = (&*self.projection.name, self.next());
        let database = |source| self.database(source);
        let outdated = match standing_in(live, self.pool).await {
            Ok(standing) => standing.fingerprint != self.projection.fingerprint(),
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(database(error)),
        };
        let suspects = self.suspects(skips).await.map_err(database)?;
        let mut transaction = self.pool.begin().await.map_err(database)?;
        enter(&next, &mut transaction).await.map_err(database)?;
        let held = if exists(live, &mut transaction).await.map_err(database)? {
            Some(hold(live, &mut transaction).await.map_err(database)?)
        } else {
            None
        };
        let mut position = match hold(&next, &mut transaction).await {
            Err(error) if is_missing(&error) => return Err(RebuildError::Overtaken { projection: self.name() }),
            position => position.map_err(database)?,
        };
        if position == APART {
            return Ok(None);
        }
        // Without live rows to come up to, all of the log is what is missing.
        let target = match held {
            Some(held) => held,
            None => standing_in(&next, self.pool).await.map_err(database)?.head,
        };
        while position < target {
            let (last, skipped) = skips.cut(position, target);
            let range = self.range(Strand::WHOLE, position, last, skipped).await?;
            match self.projection.fold_within(&next, Sees::OneMoment, &mut transaction, &range).await? {
                Folded::Done => position = last,
                // The next try reads it again.
                Folded::Gone => return Ok(None),
                Folded::Elsewhere => return Err(RebuildError::Overtaken { projection: self.name() }),
            }
        }
        let differences = match held {
            Some(held) if held == position => {
                Some(rows::differences(live, &next, suspects.as_deref(), &mut transaction).await.map_err(database)?)
            }
            _ => None,
        };
        self.settle(keep, held.is_some(), &mut transaction).await.map_err(database)?;
        transaction.commit().await.map_err(database)?;
        Ok(Some(Rebuilt { position, outdated, differences }))
    }

    /// Tables whose rows are not alike, looked at while the live fold goes on. Both sides must stand at one position for
    /// that; where they do not come to, all tables are suspect.
    async fn suspects(&self, skips: &Skips) -> Result<Option<Vec<String>>, sqlx::Error> {
        let (live, next) = (&*self.projection.name, self.next());
        let mut snapshot = self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        if !exists(live, &mut snapshot).await? {
            return snapshot.rollback().await.map(|()| None);
        }
        let at = position(live, &mut snapshot).await?;
        let lives = rows::hashes(live, &mut snapshot).await?;
        snapshot.rollback().await?;
        let mut course = self.course(Strand::WHOLE, next.clone()).await?;
        let mut stands = standing_in(&next, &mut *course.connection).await?.position;
        while stands != APART && stands < at {
            let (last, skipped) = skips.cut(stands, at);
            if !matches!(self.fold(&mut course, stands, last, skipped).await, Ok(Folded::Done)) {
                break;
            }
            stands = last;
        }
        if stands != at {
            return Ok(None);
        }
        let news = rows::hashes(&next, &mut course.connection).await?;
        Ok(Some(lives.into_iter().filter(|table| !news.contains(table)).map(|(table, _)| table).collect()))
    }

    async fn settle(&self, keep: bool, was: bool, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (live, next, old) = (&*self.projection.name, self.next(), self.old());
        drop_strands(live, connection).await?;
        if !keep {
            return drop_schema(&next, connection).await;
        }
        if was {
            drop_schema(&old, connection).await?;
            rename(live, &old, connection).await?;
        }
        rename(&next, live, connection).await
    }

    /// Puts the former rows in place again, and keeps the present ones as the former. They go on being folded by the fold
    /// that made them.
    pub async fn roll_back(&self) -> Result<(), RebuildError> {
        let (live, old, between) = (&*self.projection.name, self.old(), format!("{}_between", self.projection.name));
        let swap = async {
            let mut transaction = self.pool.begin().await?;
            enter(live, &mut transaction).await?;
            if !exists(&old, &mut transaction).await? {
                return transaction.rollback().await.map(|()| false);
            }
            if exists(live, &mut transaction).await? {
                hold(live, &mut transaction).await?;
                rename(live, &between, &mut transaction).await?;
                rename(&old, live, &mut transaction).await?;
                rename(&between, &old, &mut transaction).await?;
            } else {
                rename(&old, live, &mut transaction).await?;
            }
            transaction.commit().await.map(|()| true)
        };
        if swap.await.map_err(|source| self.database(source))? {
            Ok(())
        } else {
            Err(RebuildError::NothingOld { projection: self.name() })
        }
    }

    /// Drops the former rows, and says whether there were any.
    pub async fn drop_old(&self) -> Result<bool, RebuildError> {
        let dropped = async {
            let mut connection = self.pool.acquire().await?;
            let there = exists(&self.old(), &mut connection).await?;
            drop_schema(&self.old(), &mut connection).await.map(|()| there)
        };
        dropped.await.map_err(|source| self.database(source))
    }

    pub(super) fn next(&self) -> String {
        format!("{}_next", self.projection.name)
    }

    fn old(&self) -> String {
        format!("{}_old", self.projection.name)
    }

    fn name(&self) -> String {
        self.projection.name.to_string()
    }

    pub(super) fn database(&self, source: sqlx::Error) -> RebuildError {
        RebuildError::Database { projection: self.name(), source }
    }
}

/// How long so many events may take.
fn pause(events: i64, throttle: NonZeroU32) -> Duration {
    Duration::from_secs(u64::try_from(events).unwrap_or_default()) / throttle.get()
}

pub(super) async fn hold(schema: &str, connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let statement = qualified(schema, include_str!("sql/hold.sql"));
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(connection).await.map(Position)
}

async fn position(schema: &str, connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let statement = format!("SELECT position FROM {schema}.progress");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(connection).await.map(Position)
}

fn is_there_already(error: &sqlx::Error) -> bool {
    const DUPLICATE_TABLE: &str = "42P07";
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(DUPLICATE_TABLE)
}
