//! Checking what is left of conversations that expired. Their leaves cannot be computed again; they are bound by what the
//! event says that took the rest away: it is whole, and its digest covers all that is left before it.

use futures::TryStreamExt as _;
use sqlx::{PgConnection, PgPool, Row as _};

use super::verify::Wrong;
use super::{digest, read};
use crate::event::Position;

/// The first wrong thing among the expiries behind `since`, or an event that is reduced and that none covers.
pub(super) async fn wrong(pool: &PgPool, since: Position) -> Result<Option<Wrong>, sqlx::Error> {
    // One moment, for money may go meanwhile.
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let found = look(&mut transaction, since).await;
    transaction.rollback().await?;
    found
}

async fn look(connection: &mut PgConnection, since: Position) -> Result<Option<Wrong>, sqlx::Error> {
    let stray: Option<i64> =
        sqlx::query_scalar(include_str!("sql/stray_reduced.sql")).fetch_optional(&mut *connection).await?;
    if let Some(position) = stray {
        let what = "its facts are gone, and the log does not say that they went".into();
        return Ok(Some(Wrong { position: Position(position), what }));
    }
    let expiries = sqlx::query(include_str!("sql/expiries.sql")).bind(since.0).fetch_all(&mut *connection).await?;
    for expiry in &expiries {
        let position = Position(expiry.try_get("position")?);
        let version: i32 = expiry.try_get("version")?;
        let mut left = Vec::new();
        let mut rows = sqlx::query(include_str!("sql/read_stream.sql"))
            .bind(expiry.try_get::<uuid::Uuid, _>("owner_id")?)
            .bind(expiry.try_get::<uuid::Uuid, _>("stream_id")?)
            .bind(0_i32)
            .bind(i64::from(version) - 1)
            .fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            left.push(digest::event(&read::recorded(&row)?.fact));
        }
        if expiry.try_get::<Option<String>, _>("left")? != Some(hex::encode(digest::left(&left))) {
            let what = "what is left of the conversation that expired here is not what was left: its hash differs";
            return Ok(Some(Wrong { position, what: what.into() }));
        }
    }
    Ok(None)
}
