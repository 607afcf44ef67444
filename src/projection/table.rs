//! The tables of a projection: made in the schema of its name, or in another one, and entered for a transaction.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::Projection;

impl Projection {
    /// Makes the tables if they are not there. Servers that start together make them once.
    ///
    /// # Errors
    /// If the database refuses; most often because the role may not CREATE in it.
    pub async fn create(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.create_in(&self.name, Indexes::Now, pool).await
    }

    /// As [`create`](Self::create), in whatever schema.
    pub(super) async fn create_in(&self, schema: &str, indexes: Indexes, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut transaction = pool.begin().await?;
        sqlx::query(include_str!("sql/lock.sql")).bind(schema).execute(&mut *transaction).await?;
        if !exists(schema, &mut transaction).await? {
            let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            sqlx::query(AssertSqlSafe(create)).execute(&mut *transaction).await?;
            enter(schema, &mut transaction).await?;
            sqlx::raw_sql(AssertSqlSafe(&*self.schema)).execute(&mut *transaction).await?;
            sqlx::raw_sql(include_str!("sql/create_progress.sql")).execute(&mut *transaction).await?;
            if matches!(indexes, Indexes::Now) {
                self.index_in(schema, &mut transaction).await?;
            } else {
                self.keep_private(schema, &mut transaction).await?;
            }
        }
        enter(schema, &mut transaction).await?;
        sqlx::query(include_str!("sql/insert_progress.sql"))
            .bind(self.fingerprint().as_slice())
            .bind(&*self.apply)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Makes the indexes that the fold did without.
    pub(super) async fn index_in(&self, schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(&*self.index)).execute(&mut *connection).await?;
        self.keep_private(schema, connection).await
    }

    /// Keeps what an opened projection holds in its own files, whatever its folder says of that.
    async fn keep_private(&self, schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
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

pub(super) async fn drop_schema(schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).execute(connection).await.map(drop)
}

pub(super) async fn rename(schema: &str, name: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(format!("ALTER SCHEMA {schema} RENAME TO {name}"))).execute(connection).await.map(drop)
}
