//! Sweeping words out of the projections that hold them in the clear.
//!
//! A projection whose schema has a function `forget(owner, positions)` lets go of some of its rows and puts the others into
//! new files: a row that is deleted leaves its bytes behind. Of any other nobody can tell which rows came of whose words, so
//! it goes whole, and folds again from the log, where the words are not any more.
//!
//! When facts go, so do the views of facts that are not built in: these fold again without what is gone.
//!
//! Folds and rebuilds go on meanwhile. What was opened before words went is not folded after that (see
//! [`Range`](super::Range)); and a sweep holds the row of progress, so that no fold is half-way.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::postgres::types::Oid;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::BUILT_IN;
use super::status::{is_missing, qualified};
use super::strand::strands_of;
use super::table::{drop_schema, enter};
use crate::event::{OwnerId, Position};

/// How often a projection that others hold, rename or drop is tried again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// A schema that holds words.
#[derive(sqlx::FromRow)]
struct Opened {
    #[sqlx(rename = "oid")]
    id: Oid,
    #[sqlx(rename = "nspname")]
    schema: String,
    #[sqlx(rename = "knows")]
    forgets: bool,
}

/// How many rows there are of an owner in each projection that holds words, as far as its tables say whose they are.
pub async fn count(owner: OwnerId, pool: &PgPool) -> Result<Vec<(String, u64)>, sqlx::Error> {
    let mut counts = Vec::new();
    for Opened { schema, .. } in opened(false, pool).await? {
        let tables: Vec<String> =
            sqlx::query_scalar(include_str!("sql/owned.sql")).bind(&schema).fetch_all(pool).await?;
        let mut rows = 0;
        for table in tables {
            let counting = format!("SELECT count(*) FROM {table} WHERE owner_id = $1");
            let counted: i64 = sqlx::query_scalar(AssertSqlSafe(counting)).bind(owner.0).fetch_one(pool).await?;
            rows += counted.unsigned_abs();
        }
        counts.push((schema, rows));
    }
    Ok(counts)
}

/// Sweeps what `owner` said out of every projection: all of it, or what was said at `positions`; and `facts`, if some went.
pub async fn sweep(
    owner: OwnerId,
    positions: Option<&[Position]>,
    facts: bool,
    pool: &PgPool,
) -> Result<(), sqlx::Error> {
    let positions: Option<Vec<i64>> = positions.map(|positions| positions.iter().map(|position| position.0).collect());
    // By what they are and not by their names: a rebuild may put one in the place of another meanwhile.
    let (mut swept, mut tries) = (HashSet::new(), 0);
    loop {
        let left: Vec<Opened> =
            opened(facts, pool).await?.into_iter().filter(|opened| !swept.contains(&opened.id.0)).collect();
        if left.is_empty() {
            return Ok(());
        }
        for opened in left {
            match opened.sweep(owner, positions.as_deref(), pool).await {
                Ok(true) => drop(swept.insert(opened.id.0)),
                Ok(false) => {}
                Err(error) if tries < TRIES && (is_missing(&error) || passes(&error)) => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Opened {
    /// Whether it was swept; if not, it has another name by now.
    async fn sweep(&self, owner: OwnerId, positions: Option<&[i64]>, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        enter(&self.schema, &mut transaction).await?;
        hold(&self.schema, &mut transaction).await?;
        if let Some(projection) = self.schema.strip_suffix("_next") {
            for strand in strands_of(projection, &mut *transaction).await? {
                hold(&strand, &mut transaction).await?;
            }
        }
        let named: Option<Oid> =
            sqlx::query_scalar(include_str!("sql/named.sql")).bind(&self.schema).fetch_one(&mut *transaction).await?;
        if named != Some(self.id) {
            return transaction.rollback().await.map(|()| false);
        }
        if self.forgets {
            let forget = sqlx::query(include_str!("../../projections/search/forget.sql"));
            forget.bind(owner.0).bind(positions).execute(&mut *transaction).await?;
        } else {
            drop_schema(&self.schema, &mut transaction).await?;
        }
        transaction.commit().await.map(|()| true)
    }
}

/// Lets no fold go on in `schema` until the transaction ends. There may be no row: then nothing is folded there.
async fn hold(schema: &str, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let hold = qualified(schema, include_str!("sql/hold.sql"));
    sqlx::query(AssertSqlSafe(hold)).fetch_optional(connection).await.map(drop)
}

async fn opened(facts: bool, pool: &PgPool) -> Result<Vec<Opened>, sqlx::Error> {
    let built_in: Vec<&str> = BUILT_IN.iter().map(|projection| &*projection.name).collect();
    sqlx::query_as(include_str!("sql/opened.sql")).bind(facts).bind(built_in).fetch_all(pool).await
}

/// Somebody else was in the way: a lock that was not given in time, a deadlock, a change of what we had seen.
fn passes(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
    code == "55P03" || code.starts_with("40")
}
