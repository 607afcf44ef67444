//! Reading the tree: roots, proofs and tiles of any size that has been sealed, a tile at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sqlx::{PgConnection, Row as _};

use crate::log::read::damaged;
use crate::proof::Hash;
use crate::proof::merkle::{self, Span};
use crate::proof::tile::{Tile, WIDTH, fold};

/// The root over the first `size` events.
pub async fn root(connection: &mut PgConnection, size: u64) -> Result<Hash, sqlx::Error> {
    Ok(hashes(connection, &[Span::whole(size)], size).await?.remove(0))
}

/// The inclusion proof of the event at `index`, from 0, in the tree of `size` events; none where it has no such event.
pub async fn inclusion(connection: &mut PgConnection, index: u64, size: u64) -> Result<Option<Vec<Hash>>, sqlx::Error> {
    match merkle::inclusion(index, size) {
        Some(spans) => hashes(connection, &spans, size).await.map(Some),
        None => Ok(None),
    }
}

/// The same for several events, whose proofs share most of the tiles; in their order.
pub async fn inclusions(
    connection: &mut PgConnection,
    indexes: &[u64],
    size: u64,
) -> Result<Option<Vec<Vec<Hash>>>, sqlx::Error> {
    let mut read = HashMap::new();
    let mut paths = Vec::with_capacity(indexes.len());
    for &index in indexes {
        let Some(spans) = merkle::inclusion(index, size) else { return Ok(None) };
        paths.push(hashes_by(connection, &spans, size, &mut read).await?);
    }
    Ok(Some(paths))
}

/// The consistency proof between the trees of the first `old` and the first `size` events; none where `old` is larger.
pub async fn consistency(connection: &mut PgConnection, old: u64, size: u64) -> Result<Option<Vec<Hash>>, sqlx::Error> {
    match merkle::consistency(old, size) {
        Some(spans) => hashes(connection, &spans, size).await.map(Some),
        None => Ok(None),
    }
}

/// The hashes of a tile, as many as it is wide; fewer where the tree does not reach so far.
pub async fn tile(connection: &mut PgConnection, tile: Tile) -> Result<Vec<Hash>, sqlx::Error> {
    let index = signed(tile.index);
    if tile.width == WIDTH {
        let full: Option<Vec<u8>> = sqlx::query_scalar(include_str!("../sql/tile.sql"))
            .bind(level(tile.level))
            .bind(index)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(full) = full {
            return split(&full);
        }
    }
    let (from, to) = (tile.index * WIDTH, tile.index * WIDTH + tile.width);
    match tile.level.checked_sub(1) {
        None => leaves(connection, from, to).await,
        Some(below) => roots(connection, below, from, to).await,
    }
}

/// The leaves of the events with indexes `from` to below `to`. Those there are: they may end early, but skip none.
pub(super) async fn leaves(connection: &mut PgConnection, from: u64, to: u64) -> Result<Vec<Hash>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/leaves.sql"))
        .bind(signed(from))
        .bind(signed(to))
        .fetch_all(connection)
        .await?;
    neighbours(&rows, signed(from) + 1)
}

/// The roots of the full tiles `from` to below `to` of a level.
pub(super) async fn roots(
    connection: &mut PgConnection,
    of: u32,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, sqlx::Error> {
    let rows = sqlx::query(include_str!("../sql/tile_roots.sql"))
        .bind(level(of))
        .bind(signed(from))
        .bind(signed(to))
        .fetch_all(connection)
        .await?;
    neighbours(&rows, signed(from))
}

/// The root of each span, from the tiles of a tree of `size` events, each read once.
async fn hashes(connection: &mut PgConnection, spans: &[Span], size: u64) -> Result<Vec<Hash>, sqlx::Error> {
    hashes_by(connection, spans, size, &mut HashMap::new()).await
}

async fn hashes_by(
    connection: &mut PgConnection,
    spans: &[Span],
    size: u64,
    read: &mut HashMap<Tile, Vec<Hash>>,
) -> Result<Vec<Hash>, sqlx::Error> {
    let mut found = Vec::with_capacity(spans.len());
    for span in spans {
        let mut nodes = Vec::new();
        for node in span.nodes() {
            let (at, range) = Tile::of(node, size);
            let hashes = match read.entry(at) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(unread) => unread.insert(tile(connection, at).await?),
            };
            let hashes = hashes.get(range);
            let hashes = hashes.ok_or_else(|| damaged(&format!("{} is not there, or not whole", at.path())))?;
            nodes.push(fold(hashes));
        }
        found.push(merkle::root(&nodes));
    }
    Ok(found)
}

/// Hashes out of rows of a number and a hash, whose numbers must follow one another from `first` on.
fn neighbours(rows: &[sqlx::postgres::PgRow], first: i64) -> Result<Vec<Hash>, sqlx::Error> {
    let mut hashes = Vec::with_capacity(rows.len());
    for (expected, row) in (first..).zip(rows) {
        let (number, hash): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        if number != expected {
            return Err(damaged(&format!("{expected} is missing: after it comes {number}")));
        }
        hashes.push(hash.try_into().map_err(|_| damaged("a hash is not 32 bytes"))?);
    }
    Ok(hashes)
}

fn split(hashes: &[u8]) -> Result<Vec<Hash>, sqlx::Error> {
    let (hashes, rest) = hashes.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.to_vec()) } else { Err(damaged("a tile is not a row of hashes")) }
}

/// A level as its column has it.
pub(super) fn level(level: u32) -> i16 {
    i16::try_from(level).unwrap_or(i16::MAX)
}

/// A size or index as its column has it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
