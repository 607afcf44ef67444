//! An event-sourced conversation ledger. (The map and the invariants are completed as the layers land.)

pub mod api;
pub mod clock;
pub mod event;
pub mod ledger;
pub mod log;
pub mod random;
