//! What opens one sealed part alone: derived from the key that sealed it, or, when that was given up, kept for this part.
//!
//! It is kept covered: by the key of a later generation, one pad a part. `Poly1305` tells when it is not the right one.

use std::collections::HashMap;
use std::fmt;

use sqlx::PgPool;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::error::failed;
use super::seal::{About, OpenError, associated};
use super::{SubjectKey, TRIES, Vault, VaultError, cipher, encoding};
use crate::event::{Piece, Position, Private, Sealed};

/// What opens one sealed part, and nothing else: also handed out with an export, so that whoever checks it can open the very
/// bytes that the log is hashed over, without the subject's key.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Opening(pub [u8; 32]);

impl Opening {
    /// Opens what [`SubjectKey::seal`] made of the same `about`.
    ///
    /// # Errors
    /// If a bit of it differs from what was sealed, it opens another part, or what was sealed does not read as words.
    pub fn open(&self, about: &About<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if sealed.part != about.part {
            return Err(about.forged(sealed));
        }
        let mut buffer = Zeroizing::new(sealed.ciphertext.clone());
        cipher::decrypt_by(&self.0, &sealed.nonce, &associated(about, sealed.subject, sealed.generation), &mut buffer)
            .map_err(|_| about.forged(sealed))?;
        encoding::decode(buffer).map_err(|source| OpenError::Undecodable {
            event: about.event,
            part: about.part,
            source,
        })
    }

    /// As it is kept, or as it was: covered by a pad, or bare of it.
    fn padded(&self, pad: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|at| self.0[at] ^ pad[at]))
    }
}

/// Shows nothing of it.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

/// A row of the table.
type Row = (i64, i16, i32, Vec<u8>);

impl Vault {
    /// What opens each of these parts, in their order. Where there is nothing any more, it is forgotten.
    ///
    /// # Errors
    /// If a key does not open, or the database fails.
    pub async fn openings(&self, pieces: &[Piece]) -> Result<Vec<Private<Opening>>, VaultError> {
        let ids: Vec<_> = pieces.iter().map(|piece| (piece.subject, piece.generation)).collect();
        let keys = self.keys(&ids).await?;
        let opening = |piece: &Piece| match keys.get(&(piece.subject, piece.generation)) {
            Some(Private::Known(key)) => Private::Known(key.opening(&piece.nonce)),
            _ => Private::Forgotten,
        };
        let mut openings: Vec<_> = pieces.iter().map(opening).collect();
        let lost = (0..pieces.len()).filter(|&at| openings[at].is_forgotten());
        let mut lost: HashMap<_, _> = lost.map(|at| ((pieces[at].position, pieces[at].part), (at, 0))).collect();
        for _ in 0..TRIES {
            if lost.is_empty() {
                return Ok(openings);
            }
            let rows = kept(&self.pool, lost.keys()).await.map_err(failed("reading what opens words"))?;
            let mut again = HashMap::new();
            let row = |(position, part, generation, covered): &Row| {
                let named = (Position(*position), u8::try_from(*part).unwrap_or(u8::MAX));
                let at = lost.get(&named).copied()?;
                Some((named, at, generation.cast_unsigned(), <[u8; 32]>::try_from(&covered[..]).ok()?))
            };
            let rows: Vec<_> = rows.iter().filter_map(row).collect();
            let ids: Vec<_> =
                rows.iter().map(|(_, (at, _), generation, _)| (pieces[*at].subject, *generation)).collect();
            let keys = self.keys(&ids).await?;
            for (named, (at, before), generation, covered) in rows {
                match keys.get(&(pieces[at].subject, generation)) {
                    Some(Private::Known(key)) => {
                        let bare = Opening(covered).padded(&key.pad(&pieces[at].nonce));
                        openings[at] = Private::Known(bare);
                    }
                    // That key was given up since the row was read, or long ago.
                    _ if generation != before => drop(again.insert(named, (at, generation))),
                    _ => {}
                }
            }
            lost = again;
        }
        Err(VaultError::Restless { doing: "reading what opens words" })
    }

    /// Keeps what opens these parts, covered by `key`. Those of which nothing is left to open them stay as they are.
    ///
    /// # Errors
    /// If a key does not open, or the database fails.
    pub async fn cover(&self, key: &SubjectKey, pieces: &[Piece]) -> Result<(), VaultError> {
        let (mut positions, mut parts, mut covered) = (Vec::new(), Vec::new(), Vec::new());
        for (piece, opening) in pieces.iter().zip(self.openings(pieces).await?) {
            let Private::Known(opening) = opening else { continue };
            positions.push(piece.position.0);
            parts.push(i16::from(piece.part));
            covered.push(opening.padded(&key.pad(&piece.nonce)).0);
        }
        let put = sqlx::query(include_str!("sql/cover.sql"))
            .bind(key.generation().cast_signed())
            .bind(positions)
            .bind(parts)
            .bind(covered);
        put.execute(&self.pool).await.map(drop).map_err(failed("keeping what opens words"))
    }
}

async fn kept(pool: &PgPool, named: impl Iterator<Item = &(Position, u8)>) -> Result<Vec<Row>, sqlx::Error> {
    let (positions, parts): (Vec<i64>, Vec<i16>) = named.map(|&(position, part)| (position.0, i16::from(part))).unzip();
    sqlx::query_as(include_str!("sql/openings.sql")).bind(positions).bind(parts).fetch_all(pool).await
}
