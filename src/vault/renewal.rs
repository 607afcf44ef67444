//! Renewing a subject's key: after some of its words went, the key that sealed them is given up, so that no copy of them
//! from before opens once its epoch is retired.
//!
//! What is left is not sealed anew, for the log is hashed over its bytes. Instead what opens each part of it is kept, covered
//! by the new key ([`opening`](super::opening)). Each step may be done again and by several at once.
//!
//! ```text
//! begun      the next key is made; nothing sealed under an older one goes in any more
//! covered    what opens each part that older keys sealed is kept under it
//! given up   the older keys are destroyed
//! told       their epochs are retired, and the log says so
//! ```

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::error::failed;
use super::{CreatedKey, TRIES, Vault, VaultError, subject};
use crate::event::{Position, Private, SubjectId};

/// Keys of a subject that are gone for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    pub subject: SubjectId,
    /// The newest of them.
    pub generation: u32,
    /// The last epoch that wrapped one.
    pub epoch: u32,
    /// Words that went by then are opened by no key that is left.
    pub through: Position,
}

impl Vault {
    /// The subjects whose key is to be renewed, for words of theirs went since it was made.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn renewals_due(&self) -> Result<Vec<SubjectId>, VaultError> {
        let due: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/renewals_due.sql"))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("looking for keys to renew"))?;
        Ok(due.into_iter().map(SubjectId).collect())
    }

    /// Makes the subject's next key, or tells of the one that a renewal made before it was cut short. None when there is
    /// nothing to renew: the subject has no key, or is being forgotten.
    ///
    /// # Errors
    /// If a key does not open, or the database fails.
    pub async fn begin_renewal(&self, subject: SubjectId) -> Result<Option<CreatedKey>, VaultError> {
        const DOING: &str = "making a subject's next key";
        for _ in 0..TRIES {
            let rows = subject::all(&self.pool, subject).await.map_err(failed(DOING))?;
            let mut living = rows.iter().rev().filter(|row| row.is_whole());
            let Some(newest) = living.next() else { return Ok(None) };
            if living.next().is_some() {
                return Ok(Some(newest.created()));
            }
            let Some(key) = self.opened(newest).await? else { continue };
            let Private::Known(key) = key else { return Ok(None) };
            match subject::make_next(&self.pool, self.ledger, &self.keyring(), &key).await.map_err(failed(DOING))? {
                None => return Ok(None),
                Some(made) => {
                    self.forget_cached(subject).await;
                    if !made {
                        self.refresh().await?;
                    }
                }
            }
        }
        Err(VaultError::Restless { doing: DOING })
    }

    /// Destroys every key of the subject before `next`, now that what opens all that they sealed is kept.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn give_up(&self, subject: SubjectId, next: u32) -> Result<(), VaultError> {
        sqlx::query(include_str!("sql/give_up.sql"))
            .bind(subject.0)
            .bind(next.cast_signed())
            .execute(&self.pool)
            .await
            .map_err(failed("giving keys up"))?;
        self.forget_cached(subject).await;
        Ok(())
    }

    /// When keys that are to be renewed are at the latest, if epochs get `age_s` seconds old.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn renewed_by(&self, age_s: f64) -> Result<Option<DateTime<Utc>>, VaultError> {
        sqlx::query_scalar(include_str!("sql/renewed_by.sql"))
            .bind(age_s)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("looking how old epochs are"))
    }

    /// Keys that are given up, whose epochs are retired, and of which nobody said so with [`Vault::told`].
    ///
    /// # Errors
    /// If the database fails.
    pub async fn untold(&self) -> Result<Vec<GivenUp>, VaultError> {
        let rows: Vec<(Uuid, i32, i32, i64)> = sqlx::query_as(include_str!("sql/untold.sql"))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("looking for keys that were given up"))?;
        let given_up = |(subject, generation, epoch, through): (Uuid, i32, i32, i64)| GivenUp {
            subject: SubjectId(subject),
            generation: generation.cast_unsigned(),
            epoch: epoch.cast_unsigned(),
            through: Position(through),
        };
        Ok(rows.into_iter().map(given_up).collect())
    }

    /// The log says that they are gone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn told(&self, gone: &GivenUp) -> Result<(), VaultError> {
        sqlx::query(include_str!("sql/told.sql"))
            .bind(gone.subject.0)
            .bind(gone.generation.cast_signed())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("keeping that keys are gone"))
    }
}
