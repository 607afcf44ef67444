//! One range of the log, folded into the rows of one projection: in one transaction with its progress, or not at all.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Row as _, Transaction};

use super::Projection;
use super::status::is_missing;
use crate::event::{KINDS, Position};

/// What became of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    Done,
    /// Progress was not where the range begins: another projector was here. Read it again.
    Elsewhere,
}

#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error(
        "projection `{projection}`: events {first}–{last} should be {expected} and are {held}; the log has a hole, run \
         `convoledger verify`"
    )]
    Hole { projection: &'static str, first: Position, last: Position, expected: i64, held: i64 },
    #[error(
        "projection `{projection}`: event {position} is of a kind or version that this version of convoledger does not \
         know; run the version that wrote it, or a newer one"
    )]
    Unknown { projection: &'static str, position: Position },
    #[error("projection `{projection}`: folding events {first}–{last} failed: {source}")]
    Apply { projection: &'static str, first: Position, last: Position, source: sqlx::Error },
    #[error("projection `{projection}` cannot be folded now: {source}")]
    Database { projection: &'static str, source: sqlx::Error },
}

impl FoldError {
    /// Whether the events are to blame, so that a smaller range finds out which.
    pub(super) const fn is_poison(&self) -> bool {
        !matches!(self, Self::Database { .. })
    }
}

impl Projection {
    /// Makes the tables if they are not there. Servers that start together make them once.
    ///
    /// # Errors
    /// If the database refuses; most often because the role may not CREATE in it.
    pub async fn create(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.create_in(self.name, Indexes::Now, pool).await
    }

    /// As [`create`](Self::create), in whatever schema.
    pub(super) async fn create_in(&self, schema: &str, indexes: Indexes, pool: &PgPool) -> Result<(), sqlx::Error> {
        if exists(schema, &mut *pool.acquire().await?).await? {
            return Ok(());
        }
        let mut transaction = pool.begin().await?;
        sqlx::query(include_str!("sql/lock.sql")).bind(schema).execute(&mut *transaction).await?;
        if !exists(schema, &mut transaction).await? {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            sqlx::query(AssertSqlSafe(create)).execute(&mut *transaction).await?;
            enter(schema, &mut transaction).await?;
            sqlx::raw_sql(self.schema).execute(&mut *transaction).await?;
            if matches!(indexes, Indexes::Now) {
                sqlx::raw_sql(self.index).execute(&mut *transaction).await?;
            }
            sqlx::raw_sql(include_str!("sql/create_progress.sql")).execute(&mut *transaction).await?;
            sqlx::query(include_str!("sql/insert_progress.sql"))
                .bind(self.fingerprint().as_slice())
                .bind(self.apply)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Folds the events in (`after`, `last`], if that is where the projection stands. Rows and progress move together.
    ///
    /// Dropped half-way it leaves nothing, but `pool` must be one that rolls back whatever comes back to it.
    pub async fn fold(&self, pool: &PgPool, after: Position, last: Position) -> Result<Folded, FoldError> {
        self.fold_in(self.name, pool, after, last).await
    }

    /// As [`fold`](Self::fold), into whatever schema.
    pub(super) async fn fold_in(
        &self,
        schema: &str,
        pool: &PgPool,
        after: Position,
        last: Position,
    ) -> Result<Folded, FoldError> {
        let mut connection = pool.acquire().await.map_err(|source| self.database(source))?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        let mut transaction = connection.begin_with(begin).await.map_err(|source| self.database(source))?;
        match self.fold_within(schema, &mut transaction, after, last).await {
            Ok(Folded::Done) => match transaction.commit().await {
                Ok(()) => Ok(Folded::Done),
                Err(source) => self.judge(source, after, last),
            },
            outcome => {
                // The answer is known already; a rollback that fails only loses the connection.
                let _ = transaction.rollback().await;
                outcome
            }
        }
    }

    /// What a fold does inside of its transaction.
    pub(super) async fn fold_within(
        &self,
        schema: &str,
        transaction: &mut Transaction<'_, Postgres>,
        after: Position,
        last: Position,
    ) -> Result<Folded, FoldError> {
        enter(schema, transaction).await.map_err(|source| self.database(source))?;
        let claimed = sqlx::query(include_str!("sql/claim.sql"))
            .bind(after.0)
            .bind(last.0)
            .bind(KNOWN.as_slice())
            .bind(self.fingerprint().as_slice())
            .fetch_optional(&mut **transaction)
            .await;
        let claim = match claimed {
            Ok(None) => return Ok(Folded::Elsewhere),
            Ok(Some(row)) => Claim::read(&row).map_err(|source| self.database(source))?,
            Err(source) => return self.judge(source, after, last),
        };
        let (projection, expected) = (self.name, last.0 - after.0);
        if claim.held != expected {
            return Err(FoldError::Hole { projection, first: after.next(), last, expected, held: claim.held });
        }
        if let Some(position) = claim.unknown {
            return Err(FoldError::Unknown { projection, position });
        }
        let apply = claim.apply.unwrap_or_else(|| self.apply.to_owned());
        let apply = sqlx::query(AssertSqlSafe(apply)).bind(after.0).bind(last.0);
        match apply.execute(&mut **transaction).await {
            Ok(_) => Ok(Folded::Done),
            Err(source) => self.judge(source, after, last),
        }
    }

    /// What an error of the database says: that another projector won the row, that the events do not fold, or neither.
    fn judge(&self, source: sqlx::Error, after: Position, last: Position) -> Result<Folded, FoldError> {
        let code =
            source.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        match (&*code, code.get(..2)) {
            (_, Some("40")) => Ok(Folded::Elsewhere),
            _ if is_missing(&source) => Err(self.database(source)),
            // What was asked is at fault: data, constraints, the statement itself, a limit or the time that it ran into.
            (_, Some("21" | "22" | "23" | "2F" | "42" | "44" | "54" | "P0")) | ("57014", _) => {
                Err(FoldError::Apply { projection: self.name, first: after.next(), last, source })
            }
            _ => Err(self.database(source)),
        }
    }

    pub(super) const fn database(&self, source: sqlx::Error) -> FoldError {
        FoldError::Database { projection: self.name, source }
    }
}

/// When the indexes that only readers need are made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Indexes {
    Now,
    /// Once the rows are there: faster than row by row.
    Later,
}

/// Whether a schema holds the rows of a projection.
pub(super) async fn exists(schema: &str, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/exists.sql")).bind(schema).fetch_one(connection).await
}

/// From here to the transaction's end, unqualified tables are those of `schema`.
pub(super) async fn enter(schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/settings.sql")).bind(schema).execute(connection).await.map(drop)
}

/// Every kind and version that this program can read.
static KNOWN: LazyLock<Vec<String>> = LazyLock::new(|| {
    KINDS.iter().flat_map(|&(kind, newest)| (1..=newest).map(move |version| format!("{kind} {version}"))).collect()
});

struct Claim {
    /// Set when the rows were made by another fold than ours.
    apply: Option<String>,
    held: i64,
    unknown: Option<Position>,
}

impl Claim {
    fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            apply: row.try_get("apply")?,
            held: row.try_get("held")?,
            unknown: row.try_get::<Option<i64>, _>("unknown")?.map(Position),
        })
    }
}
