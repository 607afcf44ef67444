//! Epochs: each wraps the keys of all subjects for a while, and is then retired.
//!
//! A row that is deleted or overwritten stays in the heap, in the write-ahead log, on standbys and in backups. So what
//! kills a subject's key everywhere is that the key around it dies: whoever lives on is wrapped by a new epoch, and then
//! the old epoch's file is destroyed. It can be cut short anywhere and done by several at once: each step finds out what is
//! left, and no step gives up what is not safe in a later epoch.

use sqlx::PgPool;
use tokio::task::spawn_blocking;

use super::error::failed;
use super::{Keyring, KeyringError, TRIES, Vault, VaultError, subject};

/// Keys that are wrapped anew in one statement.
const PAGE: i64 = 1_000;

/// What became of epochs that were retired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The epochs whose keys were destroyed now.
    pub epochs: Vec<u32>,
    /// The one that wraps from now on.
    pub current: u32,
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
}

impl Vault {
    /// Retires the epoch that wraps now, and all before it.
    ///
    /// # Errors
    /// As [`Vault::retire_through`].
    pub async fn retire(&self) -> Result<Retired, VaultError> {
        self.refresh().await?;
        self.retire_through(self.keyring().newest().0).await
    }

    /// Retires all epochs up to `through`: wraps the keys of whoever lives on by a later one, and destroys theirs. From then
    /// on no copy of a row of `vault.subject_key` from before opens by any key file. Begun and cut short, it is ended by
    /// the next.
    ///
    /// # Errors
    /// If a key does not open, a file cannot be written, or the database fails: then no epoch is destroyed that still wraps.
    pub async fn retire_through(&self, through: u32) -> Result<Retired, VaultError> {
        let store = self.store.clone();
        spawn_blocking(move || Keyring::begin_epoch(&store, through)).await??;
        self.refresh().await?;
        close(&self.pool, through).await.map_err(failed("closing epochs"))?;
        let rewrapped = self.rewrap(through).await?;
        let store = self.store.clone();
        let epochs = spawn_blocking(move || Keyring::destroy_epochs(&store, through)).await??;
        retired(&self.pool, through).await.map_err(failed("recording that epochs are retired"))?;
        self.refresh().await?;
        Ok(Retired { epochs, current: self.keyring().newest().0, rewrapped })
    }

    /// The newest epoch that is due to be retired, for it began `age_s` seconds ago or its end was begun.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn due_epoch(&self, age_s: f64) -> Result<Option<u32>, VaultError> {
        let due: Option<i32> = sqlx::query_scalar(include_str!("sql/due_epoch.sql"))
            .bind(age_s)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("looking for epochs that are due"))?;
        Ok(due.map(i32::cast_unsigned))
    }

    /// Until nothing is wrapped by an epoch up to `through`. They are closed: nothing is added.
    async fn rewrap(&self, through: u32) -> Result<u64, VaultError> {
        const DOING: &str = "wrapping keys anew";
        let (mut rewrapped, mut vain) = (0, 0);
        while vain < TRIES {
            let rows = subject::wrapped_in(&self.pool, through, PAGE).await.map_err(failed(DOING))?;
            if rows.is_empty() {
                return Ok(rewrapped);
            }
            match subject::rewrap(&self.pool, self.ledger, &self.keyring(), &rows).await {
                // Another process closed our newest epoch, or moved these very keys, perhaps to destroy their epoch.
                Ok(0) => vain += 1,
                Err(VaultError::Keyring(KeyringError::Missing { .. })) if vain + 1 < TRIES => vain += 1,
                Ok(moved) => {
                    (rewrapped, vain) = (rewrapped + moved, 0);
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.refresh().await?;
        }
        Err(VaultError::Restless { doing: DOING })
    }
}

pub(super) async fn begin(pool: &PgPool, epoch: u32) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/begin_epoch.sql")).bind(epoch.cast_signed()).execute(pool).await.map(drop)
}

async fn close(pool: &PgPool, through: u32) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/close_epochs.sql")).bind(through.cast_signed()).execute(pool).await.map(drop)
}

async fn retired(pool: &PgPool, through: u32) -> Result<(), sqlx::Error> {
    sqlx::query(include_str!("sql/retire_epochs.sql")).bind(through.cast_signed()).execute(pool).await.map(drop)
}
