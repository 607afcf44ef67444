//! An event-sourced conversation ledger. (The map and the invariants are completed as the layers land.)

pub mod account;
pub mod api;
pub mod clock;
pub mod event;
pub mod format;
pub mod ledger;
pub mod log;
pub mod random;
pub mod service;
pub mod vault;
