//! A rebuild on several cores: the log falls apart into strands by stream, and each is folded by itself.
//!
//! A strand of `x_next` is a schema of its own, `x_strand_0` and so on, which stands before it in the search path. It holds
//! its own progress, and narrower views in place of `event` and of those through which the fold reads events; rows go to
//! the tables of `x_next`, which all strands share. So a strand is claimed, folded and counted as a projection is, and what
//! is killed goes on strand by strand. While there are strands `x_next` itself stands nowhere ([`APART`]), so that nobody
//! folds on behind them.

use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use super::Rebuild;
use super::rebuild::{RebuildError, hold};
use super::skip::Skips;
use super::status::{is_missing, standing_in};
use super::table::{begin_progress, create_progress, drop_schema, enter};
use crate::event::{Position, StreamId};

/// Where a schema stands that is being folded in strands.
pub(super) const APART: Position = Position(-1);

/// Which streams are folded: of those whose id ends with a byte that leaves `nth` when it is divided by `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strand {
    nth: u8,
    of: u8,
}

impl Strand {
    /// All streams.
    pub const WHOLE: Self = Self { nth: 0, of: 1 };

    pub fn holds(self, stream: StreamId) -> bool {
        stream.0.as_bytes()[15] % self.of == self.nth
    }

    /// How many strands the log is in.
    pub(super) const fn of(self) -> u8 {
        self.of
    }

    /// The same in SQL, of a stream's id in `column`.
    fn condition(self, column: &str) -> String {
        format!("get_byte(uuid_send({column}), 15) % {} = {}", self.of, self.nth)
    }
}

impl Rebuild<'_> {
    /// Whether the projection can be folded in strands, and this is to be.
    pub(super) fn falls_apart(&self) -> bool {
        self.strands > 1 && !self.projection.streams.is_empty()
    }

    /// Parts what stands at `position` into strands, unless somebody was faster.
    pub(super) async fn part(&self, position: Position) -> Result<(), RebuildError> {
        let next = self.next();
        let parted = async {
            let mut transaction = self.pool.begin().await?;
            enter(&next, &mut transaction).await?;
            if hold(&next, &mut transaction).await? != position {
                return transaction.rollback().await;
            }
            // Of a rebuild whose rows are gone.
            drop_strands(&self.projection.name, &mut transaction).await?;
            let of = u8::try_from(self.strands).unwrap_or(u8::MAX);
            for nth in 0..of {
                self.make_strand(Strand { nth, of }, position, &mut transaction).await?;
            }
            move_to(&next, APART, &mut transaction).await?;
            transaction.commit().await
        };
        parted.await.map_err(|source| self.database(source))
    }

    /// Makes a strand that stands at `position`.
    async fn make_strand(
        &self,
        strand: Strand,
        position: Position,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let (next, schema) = (self.next(), strand_schema(&self.projection.name, strand.nth));
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&mut *connection).await?;
        enter(&schema, connection).await?;
        create_progress(connection).await?;
        self.projection.keep_private(&schema, connection).await?;
        begin_progress(self.projection, connection).await?;
        move_to(&schema, position, connection).await?;
        for (view, column) in self.projection.streams {
            let (whole, condition) = (if *view == "event" { "fold" } else { &next }, strand.condition(column));
            let narrow = format!("CREATE VIEW {schema}.{view} AS SELECT * FROM {whole}.{view} WHERE {condition}");
            sqlx::query(AssertSqlSafe(narrow)).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Folds all strands up to the log's head, side by side, and puts them together. `told` hears how far they are on average.
    pub(super) async fn fold_strands(
        &self,
        skips: &Skips,
        told: &mut (impl FnMut(Position, Position) + Send),
    ) -> Result<(), RebuildError> {
        let schemas = strands_of(&self.projection.name, self.pool).await.map_err(|source| self.database(source))?;
        let of = u8::try_from(schemas.len()).unwrap_or(u8::MAX);
        if schemas.is_empty() {
            let whole = standing_in(&self.next(), self.pool).await.map_err(|source| self.database(source))?;
            let projection = self.projection.name.to_string();
            return if whole.position == APART { Err(RebuildError::Torn { projection }) } else { Ok(()) };
        }
        let mut standings = Vec::with_capacity(schemas.len());
        for schema in &schemas {
            match standing_in(schema, self.pool).await {
                Ok(standing) => standings.push(standing),
                // Somebody else put them together meanwhile.
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => return Err(self.database(error)),
            }
        }
        let Some(end) = standings.iter().map(|standing| standing.head.max(standing.position)).max() else {
            return Ok(());
        };
        let start = standings.iter().map(|standing| standing.position).min().unwrap_or(end);
        let reached = Mutex::new((standings.iter().map(|standing| standing.position).collect::<Vec<_>>(), told));
        let tell = |strand: Strand, position| {
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            let (reached, told) = &mut *reached;
            reached[usize::from(strand.nth)] = position;
            told(Position(reached.iter().map(|position| position.0).sum::<i64>() / i64::from(of)), end);
        };
        try_join_all((0..of).map(|nth| self.fold_strand(Strand { nth, of }, (start, end), skips, &tell))).await?;
        match self.join(&schemas).await {
            Err(error) if is_missing(&error) => Ok(()),
            joined => joined.map_err(|source| self.database(source)),
        }
    }

    /// Folds a strand up to `end`, unless somebody else comes there first. Before, it counts its share of all from `start`, so
    /// that the strands are put together only over a log without a hole.
    async fn fold_strand(
        &self,
        strand: Strand,
        (start, end): (Position, Position),
        skips: &Skips,
        tell: &(impl Fn(Strand, Position) + Sync),
    ) -> Result<(), RebuildError> {
        let schema = strand_schema(&self.projection.name, strand.nth);
        let course = self.course(strand, format!("{schema}, {}", self.next())).await;
        let mut course = course.map_err(|source| self.database(source))?;
        let share = |nth: u8| Position(start.0 + (end.0 - start.0) * i64::from(nth) / i64::from(strand.of));
        self.count(&mut course, share(strand.nth), share(strand.nth + 1), skips).await?;
        loop {
            let position = match standing_in(&schema, &mut *course.connection).await {
                Ok(standing) => standing.position,
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => return Err(self.database(error)),
            };
            tell(strand, position);
            if position >= end {
                return Ok(());
            }
            self.step(&mut course, position, end, skips).await?;
        }
    }

    /// Puts the strands together, if all stand at one position.
    async fn join(&self, schemas: &[String]) -> Result<(), sqlx::Error> {
        let next = self.next();
        let mut transaction = self.pool.begin().await?;
        enter(&next, &mut transaction).await?;
        // First the whole and then its strands: as a sweep holds them.
        if hold(&next, &mut transaction).await? != APART {
            return transaction.rollback().await;
        }
        let mut stands = Vec::with_capacity(schemas.len());
        for schema in schemas {
            stands.push(hold(schema, &mut transaction).await?);
        }
        stands.dedup();
        let [position] = stands[..] else { return transaction.rollback().await };
        drop_strands(&self.projection.name, &mut transaction).await?;
        move_to(&next, position, &mut transaction).await?;
        transaction.commit().await
    }
}

/// The schemas of a projection's strands, in order.
pub(super) async fn strands_of(projection: &str, executor: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/strands.sql")).bind(projection).fetch_all(executor).await
}

pub(super) async fn drop_strands(projection: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for strand in strands_of(projection, &mut *connection).await? {
        drop_schema(&strand, connection).await?;
    }
    Ok(())
}

async fn move_to(schema: &str, position: Position, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let statement = format!("UPDATE {schema}.progress SET position = $1");
    sqlx::query(AssertSqlSafe(statement)).bind(position.0).execute(connection).await.map(drop)
}

fn strand_schema(projection: &str, nth: u8) -> String {
    format!("{projection}_strand_{nth}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn each_stream_is_of_one_strand(id in any::<u128>(), of in 1_u8..) {
            let stream = StreamId(Uuid::from_u128(id));
            prop_assert_eq!((0..of).filter(|&nth| Strand { nth, of }.holds(stream)).count(), 1);
            prop_assert!(Strand::WHOLE.holds(stream));
        }
    }
}
