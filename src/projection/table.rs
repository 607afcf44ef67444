//! The tables of a projection: made in the schema of its name, or in another one, and entered for a transaction.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool, Postgres, Transaction};

use super::check::VIEW_ROLE;
use super::{FoldError, Projection};

impl Projection {
    /// Makes the tables if they are not there. Servers that start together make them once.
    ///
    /// # Errors
    /// If the database refuses, most often because the role may not CREATE in it; or if it is not built in and does more
    /// than fold.
    pub async fn create(&self, pool: &PgPool) -> Result<(), FoldError> {
        self.create_in(&self.name, Indexes::Now, pool).await
    }

    /// As [`create`](Self::create), in whatever schema.
    pub(super) async fn create_in(&self, schema: &str, indexes: Indexes, pool: &PgPool) -> Result<(), FoldError> {
        if self.own {
            self.check(pool).await?;
        }
        let database = |source| self.database(source);
        let mut transaction = pool.begin().await.map_err(database)?;
        sqlx::query(include_str!("sql/lock.sql")).bind(schema).execute(&mut *transaction).await.map_err(database)?;
        if !exists(schema, &mut transaction).await.map_err(database)? {
            self.make_tables(schema, &mut transaction).await?;
            if matches!(indexes, Indexes::Now) {
                self.make_indexes(schema, &mut transaction).await?;
            }
        }
        enter(schema, &mut transaction).await.map_err(database)?;
        begin_progress(self, &mut transaction).await.map_err(database)?;
        transaction.commit().await.map_err(database)
    }

    pub(super) async fn make_tables(&self, schema: &str, connection: &mut PgConnection) -> Result<(), FoldError> {
        let database = |source| self.database(source);
        let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(database)?;
        if self.own {
            let grant = format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {VIEW_ROLE}");
            sqlx::query(AssertSqlSafe(grant)).execute(&mut *connection).await.map_err(database)?;
        }
        enter(schema, connection).await.map_err(database)?;
        self.run("schema.sql", &self.schema, connection).await?;
        create_progress(connection).await.map_err(database)?;
        self.keep_private(schema, connection).await.map_err(database)
    }

    /// Makes the indexes that the fold does without.
    pub(super) async fn make_indexes(&self, schema: &str, connection: &mut PgConnection) -> Result<(), FoldError> {
        self.run("index.sql", &self.index, connection).await?;
        self.keep_private(schema, connection).await.map_err(|source| self.database(source))
    }

    /// Runs the statements of a file, as whoever may.
    async fn run(&self, file: &str, text: &str, connection: &mut PgConnection) -> Result<(), FoldError> {
        let database = |source| self.database(source);
        if !self.own {
            return sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.map(drop).map_err(database);
        }
        take_view_role(connection).await.map_err(database)?;
        let ran = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
        ran.map_err(|source| self.unfit(file, source.to_string()))?;
        leave_view_role(connection).await.map_err(database)
    }

    /// Keeps what an opened projection holds in its own files, whatever its folder says of that.
    pub(super) async fn keep_private(&self, schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.opened {
            return Ok(());
        }
        let orders: Vec<String> =
            sqlx::query_scalar(include_str!("sql/private.sql")).bind(schema).fetch_all(&mut *connection).await?;
        for order in orders {
            sqlx::query(AssertSqlSafe(order)).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// Makes the table of progress in the schema that was entered.
pub(super) async fn create_progress(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(include_str!("sql/create_progress.sql")).execute(connection).await.map(drop)
}

/// The row of progress in the schema that was entered, at the log's beginning, unless there is one.
pub(super) async fn begin_progress(projection: &Projection, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let insert = sqlx::query(include_str!("sql/insert_progress.sql"));
    insert.bind(projection.fingerprint().as_slice()).bind(&*projection.apply).execute(connection).await.map(drop)
}

/// Until it is left, the session may do what the fold of a projection that is not built in may.
pub(super) async fn take_view_role(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/view_role_on.sql")).execute(connection).await.map(drop)
}

pub(super) async fn leave_view_role(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/view_role_off.sql")).execute(connection).await.map(drop)
}

/// When the indexes that only readers need are made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Indexes {
    Now,
    /// Once the rows are there: faster than row by row.
    Later,
}

/// Whether a schema holds the tables of a projection.
pub(super) async fn exists(schema: &str, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(include_str!("sql/exists.sql")).bind(schema).fetch_one(connection).await
}

/// From here to the transaction's end, unqualified tables are those of `schema`.
pub(super) async fn enter(schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/settings.sql")).bind(schema).execute(connection).await.map(drop)
}

/// A transaction that has entered `schema`, in one question: folds are small and many.
pub(super) async fn begin<'c>(
    schema: &str,
    sees: Sees,
    connection: &'c mut PgConnection,
) -> Result<Transaction<'c, Postgres>, sqlx::Error> {
    let begin = match sees {
        Sees::OneMoment => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Sees::OthersRows => "BEGIN",
    };
    let settings = include_str!("sql/settings.sql").replace("$1", &format!("'{schema}'"));
    connection.begin_with(AssertSqlSafe(format!("{begin};\n{settings}"))).await
}

/// What a fold sees of what others commit meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sees {
    /// Nothing: what it counts of the log is what it folds.
    OneMoment,
    /// A row that it would add, too. To be used for old events alone, which were counted before.
    OthersRows,
}

/// `statement` as it is asked within `schema`. sqlx keeps what it prepared by its text, and Postgres plans that anew whenever
/// it is asked by another search path than before, so each schema has a text of its own.
pub(super) fn asked_in(schema: &str, statement: &str) -> String {
    format!("/* {schema} */ {statement}")
}

pub(super) async fn drop_schema(schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).execute(connection).await.map(drop)
}

pub(super) async fn rename(schema: &str, name: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(format!("ALTER SCHEMA {schema} RENAME TO {name}"))).execute(connection).await.map(drop)
}
