//! What each account was told that is in the log: its next read must not miss it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use moka::sync::Cache;

use crate::event::{AccountId, Position};

/// Accounts that are remembered.
const ACCOUNTS_MAX: u64 = 100_000;

/// The last position acknowledged to each account by this server.
#[derive(Clone)]
pub(super) struct Acknowledged {
    /// A cache is slow to write, and fast to look into.
    to: Cache<AccountId, Arc<AtomicI64>>,
}

impl Acknowledged {
    pub(super) fn new() -> Self {
        Self { to: Cache::new(ACCOUNTS_MAX) }
    }

    pub(super) fn note(&self, account: AccountId, position: Position) {
        self.to.get_with(account, Arc::default).fetch_max(position.0, Ordering::SeqCst);
    }

    /// What the next read of `account` must see, which asks for `at_least` itself.
    pub(super) fn wanted(&self, account: AccountId, at_least: Option<Position>) -> Position {
        let last = self.to.get(&account).map(|last| Position(last.load(Ordering::SeqCst)));
        last.max(at_least).unwrap_or_default()
    }
}
