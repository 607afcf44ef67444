//! Keys and sealing: what turns words into bytes that only their subject's key opens, and forgets a person by
//! destroying that key.
//!
//! ```text
//! root          a file or the environment                        keyring
//!  ├─ epoch-N   files beside it, sealed by the root              keyring
//!  │   └─ subject key   vault.subject_key, wrapped by an epoch   subject
//!  │       └─ words     sealed one part at a time                seal
//!  ├─ lookup    a file, sealed by the root; the rest is derived  keyring
//!  └─ signing   a file, sealed by the root: signs checkpoints    signing
//! ```
//!
//! No key ever lies in the clear in the database, and none outside memory but the root. All formats are final: what was
//! sealed once opens for ever, until its key is destroyed.

mod cache;
mod cipher;
mod encoding;
mod error;
mod files;
mod keyring;
mod root;
mod seal;
mod signing;
mod subject;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgPool;

pub use encoding::{PLAIN_MAX, Undecodable};
pub use error::{KeyringError, VaultError};
pub use keyring::Keyring;
pub use root::{KeyStore, Root};
pub use seal::{About, OpenError, SubjectKey, normalise};
pub use signing::{Signing, SigningKeys};

use crate::event::{LedgerId, Private, SubjectId};
use cache::KeyCache;
use error::failed;

/// The subjects' keys of one ledger. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    pool: PgPool,
    ledger: LedgerId,
    keyring: Arc<Keyring>,
    signing: Signing,
    cache: KeyCache,
}

/// A subject's key, as `subject_key.created` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedKey {
    pub generation: u32,
    /// Hex; see [`crate::event::SubjectKeyCreated`].
    pub commitment: String,
}

impl Vault {
    /// Opens the key files in `store` for the keys in the database. When there are neither, it is the first start, and
    /// the files are made. Reads files in place: for a start, not for a request.
    ///
    /// # Errors
    /// If a key file is missing that the database needs, does not open, or may be read by others ([`KeyringError`]
    /// names it and says what to do); or the database fails.
    pub async fn open(pool: PgPool, ledger: LedgerId, store: &KeyStore) -> Result<Self, VaultError> {
        let epochs = subject::epochs(&pool).await.map_err(failed("reading which epochs are in use"))?;
        let keyring = Keyring::open(store, epochs.is_empty())?;
        for (epoch, needed) in epochs {
            if needed {
                keyring.epoch(epoch)?;
            }
        }
        Ok(Self {
            pool,
            ledger,
            keyring: Arc::new(keyring),
            signing: Signing::new(store.clone()),
            cache: KeyCache::new(),
        })
    }

    /// Makes the subject's first key, or tells of the one there is: all who race, and all who come again, are told of
    /// the same. A key that was destroyed is told of and not made again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create(&self, subject: SubjectId) -> Result<CreatedKey, VaultError> {
        subject::create(&self.pool, self.ledger, &self.keyring, subject).await.map_err(failed("making a subject's key"))
    }

    /// Whether any key was ever made in this database: then the key files must be there already.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_used(pool: &PgPool) -> Result<bool, VaultError> {
        let epochs = subject::epochs(pool).await.map_err(failed("reading which epochs are in use"))?;
        Ok(!epochs.is_empty())
    }

    /// The subject's newest key: the one to seal with.
    ///
    /// # Errors
    /// If the subject has no key yet, it does not open, or the database fails.
    pub async fn current(&self, subject: SubjectId) -> Result<Private<Arc<SubjectKey>>, VaultError> {
        if let Some(key) = self.cache.newest(subject).await {
            return Ok(Private::Known(key));
        }
        let fence = self.cache.fence();
        let row = subject::newest(&self.pool, subject).await.map_err(failed("reading a subject's newest key"))?;
        let row = row.ok_or(VaultError::NoKey { subject })?;
        let key = row.open(self.ledger, &self.keyring)?.map(Arc::new);
        if let Private::Known(key) = &key {
            self.cache.keep_newest(fence, key).await;
        }
        Ok(key)
    }

    /// One of the subject's keys: the one to open with. A generation that is not there is forgotten.
    ///
    /// # Errors
    /// If the key does not open, or the database fails.
    pub async fn key(&self, subject: SubjectId, generation: u32) -> Result<Private<Arc<SubjectKey>>, VaultError> {
        let id = (subject, generation);
        Ok(self.keys(&[id]).await?.remove(&id).unwrap_or_default())
    }

    /// The keys of a page of words, each asked for as often as it comes, in at most one query. Every key that was asked
    /// for is in the answer.
    ///
    /// # Errors
    /// If a key does not open, or the database fails.
    pub async fn keys(
        &self,
        ids: &[(SubjectId, u32)],
    ) -> Result<HashMap<(SubjectId, u32), Private<Arc<SubjectKey>>>, VaultError> {
        let mut keys = HashMap::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for &id in ids {
            if keys.contains_key(&id) {
                continue;
            }
            let key = self.cache.get(id).await;
            if key.is_none() {
                unknown.push(id);
            }
            keys.insert(id, key.map_or(Private::Forgotten, Private::Known));
        }
        if unknown.is_empty() {
            return Ok(keys);
        }
        let fence = self.cache.fence();
        for row in subject::named(&self.pool, &unknown).await.map_err(failed("reading subjects' keys"))? {
            let key = row.open(self.ledger, &self.keyring)?.map(Arc::new);
            if let Private::Known(key) = &key {
                self.cache.keep(fence, key).await;
            }
            keys.insert(row.id(), key);
        }
        Ok(keys)
    }

    /// Destroys all keys of the subject, and says how many there were: from now on its words are forgotten. Other
    /// servers may hold a key for another minute. Copies of the wrapped keys in dead rows, write-ahead log and backups
    /// die when their epoch is retired, not before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn destroy(&self, subject: SubjectId) -> Result<u64, VaultError> {
        let destroyed =
            subject::destroy(&self.pool, subject).await.map_err(failed("destroying the keys of a subject"))?;
        self.forget_cached(subject).await;
        Ok(destroyed)
    }

    /// Lets go of the subject's keys in memory. Who already holds one keeps it until it is done.
    pub async fn forget_cached(&self, subject: SubjectId) {
        self.cache.forget(subject).await;
    }

    /// The keys that checkpoints are signed with, and the memory of what was signed.
    pub const fn signing(&self) -> &Signing {
        &self.signing
    }

    /// A key for one use in the whole ledger, such as finding accounts or authenticating cursors. The context is a
    /// constant that no other use has: "convoledger account email v1".
    #[must_use]
    pub fn derive(&self, context: &str) -> [u8; 32] {
        self.keyring.derive(context)
    }
}
