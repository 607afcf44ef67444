//! Whether two schemas hold the same rows, and which they do not share.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// Rows of a table that are told when it differs.
const EXAMPLES_MAX: usize = 10;

/// A table whose rows are not the same on both sides. Without any rows to tell, only one side has the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub table: String,
    /// Some rows that only the live table has, and some that only the new one has.
    pub only_live: Vec<String>,
    pub only_new: Vec<String>,
}

/// How the tables of two schemas differ; of those that both have, only `suspects` are looked at, if they are given.
pub(super) async fn differences(
    live: &str,
    new: &str,
    suspects: Option<&[String]>,
    connection: &mut PgConnection,
) -> Result<Vec<Difference>, sqlx::Error> {
    let (lives, news) = (statements(live, new, connection).await?, statements(new, live, connection).await?);
    let without_twin = |ones: &[Statements], others: &[Statements]| -> Vec<Difference> {
        let alone = ones.iter().filter(|one| others.iter().all(|other| other.table != one.table));
        let rows = Vec::new;
        alone.map(|one| Difference { table: one.table.clone(), only_live: rows(), only_new: rows() }).collect()
    };
    let mut differences = [without_twin(&lives, &news), without_twin(&news, &lives)].concat();
    for Statements { table, list: only_live, .. } in lives {
        let Some(new) = news.iter().find(|new| new.table == table) else { continue };
        if suspects.is_some_and(|suspects| !suspects.contains(&table)) {
            continue;
        }
        let (only_live, only_new) = (first(&only_live, connection).await?, first(&new.list, connection).await?);
        if !only_live.is_empty() || !only_new.is_empty() {
            differences.push(Difference { table, only_live, only_new });
        }
    }
    Ok(differences)
}

/// Each table of a schema, and what its rows amount to.
pub(super) async fn hashes(schema: &str, connection: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let mut hashes = Vec::new();
    for Statements { table, hash, .. } in statements(schema, schema, connection).await? {
        let hash = sqlx::query_scalar(AssertSqlSafe(hash)).fetch_one(&mut *connection).await?;
        hashes.push((table, hash));
    }
    Ok(hashes)
}

struct Statements {
    table: String,
    hash: String,
    list: String,
}

async fn statements(schema: &str, other: &str, connection: &mut PgConnection) -> Result<Vec<Statements>, sqlx::Error> {
    let rows = sqlx::query(include_str!("sql/rows.sql")).bind(schema).bind(other).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok(Statements { table: row.try_get(0)?, hash: row.try_get(1)?, list: row.try_get(2)? }))
        .collect()
}

async fn first(list: &str, connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(format!("{list} LIMIT {EXAMPLES_MAX}"))).fetch_all(connection).await
}
