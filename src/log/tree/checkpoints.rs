//! The checkpoints that were signed, with what witnesses added to them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, Row as _};

use super::tiles::signed;
use crate::log::read::damaged;
use crate::proof::checkpoint::Checkpoint;

/// A checkpoint that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub checkpoint: Checkpoint,
    /// The signed note, cosignatures included.
    pub note: String,
    pub signed_at: DateTime<Utc>,
}

/// Keeps a checkpoint.
pub async fn keep(executor: impl PgExecutor<'_>, kept: &Kept) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/put_checkpoint.sql"))
        .bind(&kept.checkpoint.origin)
        .bind(signed(kept.checkpoint.size))
        .bind(kept.checkpoint.root.to_vec())
        .bind(&kept.note)
        .bind(kept.signed_at)
        .execute(executor)
        .await?;
    Ok(())
}

/// The newest checkpoint of a log.
pub async fn newest(executor: impl PgExecutor<'_>, origin: &str) -> Result<Option<Kept>, sqlx::Error> {
    find(executor, origin, i64::MAX, 0).await
}

/// The checkpoint of a log of exactly this size, if one was signed.
pub async fn of_size(executor: impl PgExecutor<'_>, origin: &str, size: u64) -> Result<Option<Kept>, sqlx::Error> {
    find(executor, origin, signed(size), signed(size)).await
}

async fn find(executor: impl PgExecutor<'_>, origin: &str, most: i64, least: i64) -> Result<Option<Kept>, sqlx::Error> {
    let row = sqlx::query(include_str!("../sql/checkpoint.sql"))
        .bind(origin)
        .bind(most)
        .bind(least)
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let root: &[u8] = row.try_get("root")?;
    let checkpoint = Checkpoint {
        origin: origin.to_owned(),
        size: u64::try_from(row.try_get::<i64, _>("size")?).unwrap_or_default(),
        root: root.try_into().map_err(|_| damaged("a root is not 32 bytes"))?,
    };
    let mut note: String = row.try_get("note")?;
    for line in row.try_get::<Vec<String>, _>("cosignatures")? {
        note.push_str(&line);
        note.push('\n');
    }
    Ok(Some(Kept { checkpoint, note, signed_at: row.try_get("signed_at")? }))
}

/// The checkpoints around a stretch of events: the last one before the first of them, and the first one that has them all, each
/// with its size and as it was signed. Once the latter is there, both stay what they are.
pub async fn around(
    connection: &mut PgConnection,
    origin: &str,
    (first, last): (u64, u64),
) -> Result<(Option<(u64, String)>, Option<(u64, String)>), sqlx::Error> {
    let after: Option<(i64, String)> = sqlx::query_as(include_str!("../sql/checkpoint_from.sql"))
        .bind(origin)
        .bind(signed(last))
        .fetch_optional(&mut *connection)
        .await?;
    let before: Option<(i64, String)> = sqlx::query_as(include_str!("../sql/checkpoint_to.sql"))
        .bind(origin)
        .bind(signed(first) - 1)
        .fetch_optional(&mut *connection)
        .await?;
    let sized = |(size, note): (i64, String)| (size.unsigned_abs(), note);
    Ok((before.map(sized), after.map(sized)))
}

/// Keeps a witness's cosignature of a checkpoint.
pub async fn cosign(
    executor: impl PgExecutor<'_>,
    of: &Checkpoint,
    witness: &str,
    line: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("../sql/put_cosignature.sql"))
        .bind(&of.origin)
        .bind(signed(of.size))
        .bind(witness)
        .bind(line)
        .execute(executor)
        .await?;
    Ok(())
}

/// The size of the newest checkpoint that a witness cosigned; 0 if none.
pub async fn cosigned(executor: impl PgExecutor<'_>, origin: &str, witness: &str) -> Result<u64, sqlx::Error> {
    let size: i64 =
        sqlx::query_scalar(include_str!("../sql/cosigned.sql")).bind(origin).bind(witness).fetch_one(executor).await?;
    Ok(u64::try_from(size).unwrap_or_default())
}
