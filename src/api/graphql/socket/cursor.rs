//! How a subscription tells its socket where it is.

use std::sync::{Arc, Mutex, PoisonError};

/// The cursor of the item that a subscription yields: where to resume after it.
///
/// A subscription's stream takes it from its context (sockets put it there) and sets it with each item, in its last
/// step, so that it and the item leave together. The item then carries it as `extensions.cursor`, whatever was
/// selected.
#[derive(Clone, Default)]
pub struct LastCursor(Arc<Mutex<Option<String>>>);

impl LastCursor {
    pub fn set(&self, cursor: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cursor);
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
