//! How many connections each viewer keeps open: sockets and event streams, together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Viewer;

pub(super) const SEATS_MAX: usize = 16;

pub(super) struct Seats<V>(Arc<Mutex<HashMap<V, usize>>>);

/// One connection's place among its viewer's; given back when dropped.
pub(super) struct Seat<V: Viewer> {
    viewer: V,
    seats: Seats<V>,
}

impl<V: Viewer> Seats<V> {
    /// A place for one more connection, unless the viewer has them all.
    pub fn take(&self, viewer: &V) -> Option<Seat<V>> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.entry(viewer.clone()).or_default();
        if *taken >= SEATS_MAX {
            return None;
        }
        *taken += 1;
        Some(Seat { viewer: viewer.clone(), seats: Self(self.0.clone()) })
    }
}

impl<V> Default for Seats<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V: Viewer> Drop for Seat<V> {
    fn drop(&mut self) {
        let mut seats = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.viewer) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.viewer);
            }
        }
    }
}
