//! Opened keys that are at hand: few, and not for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use super::SubjectKey;
use crate::event::SubjectId;

const KEYS_MAX: u64 = 10_000;

/// How long a key may outlive its destruction by another server.
const TIME_TO_LIVE: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(super) struct KeyCache {
    keys: Cache<(SubjectId, u32), Arc<SubjectKey>>,
    /// The generation of each subject's newest key.
    newest: Cache<SubjectId, u32>,
    /// How often keys were forgotten: moves before they go.
    forgotten: Arc<AtomicU64>,
}

/// Taken before a key is read from the table: tells whether any was forgotten since.
#[derive(Clone, Copy)]
pub(super) struct Fence(u64);

impl KeyCache {
    pub(super) fn new() -> Self {
        Self {
            keys: Cache::builder().max_capacity(KEYS_MAX).time_to_live(TIME_TO_LIVE).build(),
            newest: Cache::builder().max_capacity(KEYS_MAX).time_to_live(TIME_TO_LIVE).build(),
            forgotten: Arc::new(AtomicU64::new(0)),
        }
    }

    pub(super) async fn get(&self, id: (SubjectId, u32)) -> Option<Arc<SubjectKey>> {
        self.keys.get(&id).await
    }

    pub(super) async fn newest(&self, subject: SubjectId) -> Option<Arc<SubjectKey>> {
        self.get((subject, self.newest.get(&subject).await?)).await
    }

    pub(super) fn fence(&self) -> Fence {
        Fence(self.forgotten())
    }

    /// How often keys were let go of.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Keeps a key that was read behind `fence`.
    pub(super) async fn keep(&self, fence: Fence, key: &Arc<SubjectKey>) {
        let (subject, generation) = (key.subject(), key.generation());
        self.keys.insert((subject, generation), Arc::clone(key)).await;
        // Looked at after the insert, not before: a key that was read before its subject was forgotten and kept
        // afterwards would else stay. Whoever forgets now comes after the insert, and removes it.
        if self.forgotten() != fence.0 {
            self.keys.invalidate(&(subject, generation)).await;
        }
    }

    /// Keeps the subject's newest key, and that it is.
    pub(super) async fn keep_newest(&self, fence: Fence, key: &Arc<SubjectKey>) {
        self.newest.insert(key.subject(), key.generation()).await;
        self.keep(fence, key).await;
    }

    /// Lets go of all keys.
    pub(super) async fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.newest.invalidate_all();
        self.keys.invalidate_all();
        self.sweep().await;
    }

    /// Lets go of all keys of the subject.
    pub(super) async fn forget(&self, subject: SubjectId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.newest.invalidate(&subject).await;
        for (id, _) in &self.keys {
            if id.0 == subject {
                self.keys.invalidate(id.as_ref()).await;
            }
        }
        self.sweep().await;
    }

    /// Removed entries, and those whose time is over, are dropped, and so wiped, by the cache's chores: now rather than with
    /// some later use.
    pub(super) async fn sweep(&self) {
        self.keys.run_pending_tasks().await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use zeroize::Zeroizing;

    use super::*;

    fn key(subject: u128, generation: u32) -> Arc<SubjectKey> {
        Arc::new(SubjectKey::new(SubjectId(Uuid::from_u128(subject)), generation, &Zeroizing::new([1; 32])))
    }

    #[tokio::test]
    async fn forgetting_lets_go_of_every_generation_of_one_subject() {
        let cache = KeyCache::new();
        let (old, new, other) = (key(1, 1), key(1, 2), key(2, 1));
        cache.keep(cache.fence(), &old).await;
        cache.keep_newest(cache.fence(), &new).await;
        cache.keep_newest(cache.fence(), &other).await;
        assert_eq!(cache.newest(new.subject()).await.map(|key| key.generation()), Some(2));

        cache.forget(old.subject()).await;
        assert!(cache.newest(old.subject()).await.is_none());
        assert!(cache.get((old.subject(), 1)).await.is_none());
        assert!(cache.newest(other.subject()).await.is_some());
        assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 1), "wiped with their last holder");
    }

    #[tokio::test]
    async fn a_key_that_was_read_before_it_was_forgotten_is_not_kept_after() {
        let cache = KeyCache::new();
        let (key, fence) = (key(1, 1), cache.fence());
        cache.forget(key.subject()).await;
        cache.keep_newest(fence, &key).await;
        assert!(cache.newest(key.subject()).await.is_none());
    }
}
