//! Sealing: full tiles for what the log has grown by. It runs beside the lane and takes nothing of it.
//!
//! One seals at a time, by a lock that goes with its transaction: a sealer that was cut off has committed whole tiles or
//! nothing, and whoever comes next goes on behind them. Should two ever write the same tile, its key refuses the second.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::tiles::{self, level, signed};
use crate::event::HistoryId;
use crate::log::read;
use crate::proof::tile::{WIDTH, fold};

/// Full tiles of leaves that are written in one transaction: 65,536 events.
const TILES_MAX: u64 = 256;

/// A turn at sealing. No other server has one.
pub struct Turn {
    transaction: Transaction<'static, Postgres>,
}

impl Turn {
    /// Takes the turn, unless another has it.
    pub async fn take(pool: &PgPool) -> Result<Option<Self>, sqlx::Error> {
        let mut transaction = pool.begin().await?;
        let taken = sqlx::query_scalar(include_str!("../sql/sealer_lock.sql")).fetch_one(&mut *transaction).await?;
        Ok(if taken { Some(Self { transaction }) } else { None })
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Seals what the log has grown by, or a part of it: how many events the tree reaches now, and whether that is all.
    pub async fn extend(&mut self) -> Result<(u64, bool), sqlx::Error> {
        let head = u64::try_from(read::head(&mut *self.transaction).await?.0).unwrap_or_default();
        let sealed = extent(&mut self.transaction, 0).await?;
        let full = (head / WIDTH).min(sealed + TILES_MAX);
        extend(&mut self.transaction, sealed, full).await?;
        let all = full == head / WIDTH;
        Ok((if all { head } else { full * WIDTH }, all))
    }

    /// Has the log go on as another history from where it stands, and answers which. Nothing is appended until the end
    /// of the turn.
    pub async fn begin_history(&mut self) -> Result<HistoryId, sqlx::Error> {
        sqlx::query(include_str!("../sql/lane_lock.sql")).execute(&mut *self.transaction).await?;
        let history = sqlx::query_scalar(include_str!("../sql/begin_history.sql"));
        history.fetch_one(&mut *self.transaction).await.map(HistoryId)
    }

    /// Keeps what was sealed, and gives the turn away.
    pub async fn end(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

/// How many full tiles a level has.
async fn extent(connection: &mut PgConnection, of: u32) -> Result<u64, sqlx::Error> {
    let extent: i64 =
        sqlx::query_scalar(include_str!("../sql/tile_extent.sql")).bind(level(of)).fetch_one(connection).await?;
    Ok(u64::try_from(extent).unwrap_or_default())
}

/// Writes the tiles of leaves `from` to below `to`, and what gets full above them.
async fn extend(connection: &mut PgConnection, from: u64, to: u64) -> Result<(), sqlx::Error> {
    let (mut from, mut to, mut of) = (from, to, 0);
    while from < to {
        let hashes = match of {
            0 => tiles::leaves(connection, from * WIDTH, to * WIDTH).await?,
            above => tiles::roots(connection, above - 1, from * WIDTH, to * WIDTH).await?,
        };
        let (levels, mut indexes, mut data, mut roots) = (vec![level(of); hashes.len() / 256], vec![], vec![], vec![]);
        for (index, tile) in (signed(from)..).zip(hashes.chunks_exact(256)) {
            indexes.push(index);
            data.push(tile.concat());
            roots.push(fold(tile).to_vec());
        }
        if roots.len() as u64 != to - from {
            return Err(read::damaged(&format!("level {of} of the tree should reach {to} tiles")));
        }
        sqlx::query(include_str!("../sql/put_tiles.sql"))
            .bind(levels)
            .bind(indexes)
            .bind(data)
            .bind(roots)
            .execute(&mut *connection)
            .await?;
        (from, to, of) = (from / WIDTH, to / WIDTH, of + 1);
    }
    Ok(())
}

/// The first tile of leaves, of those from `from` to below `to`, that its events do not hash to any more: they were
/// rewritten, or it was.
pub async fn rewritten(connection: &mut PgConnection, from: u64, to: u64) -> Result<Option<u64>, sqlx::Error> {
    let found: Option<i64> = sqlx::query_scalar(include_str!("../sql/rewritten.sql"))
        .bind(signed(from))
        .bind(signed(to))
        .fetch_optional(connection)
        .await?;
    Ok(found.and_then(|found| u64::try_from(found).ok()))
}
