//! An event-sourced conversation ledger. (The map and the invariants are completed as the layers land.)

pub mod account;
pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod event;
pub mod format;
pub mod ledger;
pub mod log;
pub mod projection;
pub mod random;
pub mod service;
pub mod vault;
pub mod view;
