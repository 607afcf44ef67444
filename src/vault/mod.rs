//! Keys and sealing: what turns words into bytes that only their subject's key opens, and forgets a person by
//! destroying that key.
//!
//! ```text
//! root          a file or the environment                        keyring
//!  ├─ epoch-N   files beside it, sealed by the root              keyring
//!  │   └─ subject key   vault.subject_key, wrapped by an epoch   subject
//!  │       ├─ words     sealed one part at a time                seal
//!  │       └─ openings  vault.opening: of parts that keys sealed opening
//!  │                    which were given up for this one         renewal
//!  ├─ lookup    a file, sealed by the root; the rest is derived  keyring
//!  └─ signing   a file, sealed by the root: signs checkpoints    signing
//! ```
//!
//! No key ever lies in the clear in the database, and none outside memory but the root. All formats are final: what was
//! sealed once opens for ever, until its key is destroyed. A subject's key is given up for the next when some of its words
//! went; the keys of tokens and digests go on under the next, for facts are compared by them.

mod cache;
mod cipher;
mod encoding;
mod epoch;
mod error;
pub mod file;
mod files;
mod keyring;
mod opening;
mod renewal;
mod root;
mod seal;
mod signing;
mod subject;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::PgPool;
use tokio::task::spawn_blocking;

pub use encoding::{PLAIN_MAX, Undecodable};
pub use epoch::Retired;
pub use error::{KeyringError, VaultError};
pub use keyring::Keyring;
pub use opening::Opening;
pub use renewal::GivenUp;
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
    store: KeyStore,
    /// As it was read last: other processes begin and retire epochs, too.
    keyring: Arc<RwLock<Arc<Keyring>>>,
    signing: Signing,
    cache: KeyCache,
}

/// How often something is tried anew because key files changed amid it.
const TRIES: usize = 8;

/// What is kept of a key, also when it was destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HadKey {
    pub generation: u32,
    /// Hex.
    pub commitment: String,
    /// The epoch that wrapped it last.
    pub epoch: u32,
    pub destroyed: bool,
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
        epoch::begin(&pool, keyring.newest().0).await.map_err(failed("recording the epoch"))?;
        let keyring = Arc::new(RwLock::new(Arc::new(keyring)));
        Ok(Self {
            pool,
            ledger,
            store: store.clone(),
            keyring,
            signing: Signing::new(store.clone()),
            cache: KeyCache::new(),
        })
    }

    /// Reads the key files again: what other processes made is there, and what they destroyed is let go of.
    ///
    /// # Errors
    /// As [`Keyring::open`], or if the database fails.
    pub async fn refresh(&self) -> Result<(), VaultError> {
        let store = self.store.clone();
        let keyring = spawn_blocking(move || Keyring::open(&store, false)).await??;
        // Whoever made the newest may have died before saying so.
        epoch::begin(&self.pool, keyring.newest().0).await.map_err(failed("recording the epoch"))?;
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
        Ok(())
    }

    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the subject's first key, or tells of the one there is: all who race, and all who come again, are told of
    /// the same. A key that was destroyed is told of and not made again.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create(&self, subject: SubjectId) -> Result<CreatedKey, VaultError> {
        const DOING: &str = "making a subject's key";
        for _ in 0..TRIES {
            let made = subject::create(&self.pool, self.ledger, &self.keyring(), subject).await;
            match made.map_err(failed(DOING))? {
                Some(created) => return Ok(created),
                None => self.refresh().await?,
            }
        }
        Err(VaultError::Restless { doing: DOING })
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
        const DOING: &str = "reading a subject's newest key";
        if let Some(key) = self.cache.newest(subject).await {
            return Ok(Private::Known(key));
        }
        for _ in 0..TRIES {
            let fence = self.cache.fence();
            let row = subject::newest(&self.pool, subject).await.map_err(failed(DOING))?;
            let row = row.ok_or(VaultError::NoKey { subject })?;
            let Some(key) = self.opened(&row).await? else { continue };
            if let Private::Known(key) = &key {
                self.cache.keep_newest(fence, key).await;
            }
            return Ok(key);
        }
        Err(VaultError::Restless { doing: DOING })
    }

    /// The key in a row; none when it is to be read again, for it may be in another epoch by now.
    async fn opened(&self, row: &subject::Row) -> Result<Option<Private<Arc<SubjectKey>>>, VaultError> {
        let keyring = self.keyring();
        match row.open(self.ledger, &keyring) {
            Ok(key) => Ok(Some(key.map(Arc::new))),
            Err(VaultError::Keyring(KeyringError::Missing { file })) => {
                self.refresh().await?;
                // What was read anew is no newer: it is gone, and so is this row's key if the row is still there.
                if keyring.same_epochs(&self.keyring()) && self.is_still(row).await? {
                    return Err(KeyringError::Missing { file }.into());
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn is_still(&self, row: &subject::Row) -> Result<bool, VaultError> {
        let now = subject::named(&self.pool, &[row.id()]).await.map_err(failed("reading subjects' keys"))?;
        Ok(now.first().is_some_and(|now| now.epoch() == row.epoch()))
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
        const DOING: &str = "reading subjects' keys";
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
        for _ in 0..TRIES {
            let fence = self.cache.fence();
            let mut again = Vec::new();
            for row in subject::named(&self.pool, &unknown).await.map_err(failed(DOING))? {
                let Some(key) = self.opened(&row).await? else {
                    again.push(row.id());
                    continue;
                };
                if let Private::Known(key) = &key {
                    self.cache.keep(fence, key).await;
                }
                keys.insert(row.id(), key);
            }
            if again.is_empty() {
                return Ok(keys);
            }
            unknown = again;
        }
        Err(VaultError::Restless { doing: DOING })
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

    /// How often keys were let go of in this process: what was opened by one before may be forgotten since.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.cache.forgotten()
    }

    /// The keys that checkpoints are signed with, and the memory of what was signed.
    pub const fn signing(&self) -> &Signing {
        &self.signing
    }

    /// Lets go of all keys in memory: those that are still there are read again.
    pub async fn forget_all_cached(&self) {
        self.cache.forget_all().await;
    }

    /// Wipes keys whose time in memory is over: now rather than with some later use.
    pub async fn sweep(&self) {
        self.cache.sweep().await;
    }

    /// All keys that a subject ever had, also those that were destroyed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn had(&self, subject: SubjectId) -> Result<Vec<HadKey>, VaultError> {
        subject::had(&self.pool, subject).await.map_err(failed("reading which keys a subject had"))
    }

    /// A key for one use in the whole ledger, such as finding accounts or authenticating cursors. The context is a
    /// constant that no other use has: "convoledger account email v1".
    #[must_use]
    pub fn derive(&self, context: &str) -> [u8; 32] {
        self.keyring().derive(context)
    }
}
