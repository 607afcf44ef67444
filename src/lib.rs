//! An event-sourced ledger of LLM conversations: an append-only log in Postgres that proves itself, and views folded
//! from it.
//!
//! # The map
//!
//! From the ground up. A module uses those of lower layers and no neighbour; `tests/it/tidy.rs` checks it.
//!
//! ```text
//! cli                           commands
//! api                           the edge: parse, authorise, render
//! service                       use cases: load, decide, seal, append, wait, read
//! projection  view  archive     rows out of the log  |  typed reads of those rows  |  what is handed out, and checked offline
//! ledger  vault  log  account   pure rules  |  keys and sealing  |  Postgres, sealed bytes only  |  who may call
//! database  format  mask  proof a Postgres  |  foreign exports, read into one shape  |  personal data  |  what a stranger checks
//! event  clock  random  config  the vocabulary; the only readers of time, chance and environment
//! ```
//!
//! An act travels down once and up once: [`api`] parses it, [`service`] loads the state and has [`ledger`] decide, seals
//! the words with [`vault`], appends to [`log`]; [`projection`] folds the log into rows, [`view`] reads them, and
//! [`service`] opens the words of what it shows.
//!
//! # What is absent
//!
//! - `ledger` never awaits, and `event` and `ledger` do no I/O.
//! - `log` never sees plaintext, and nothing but `service` appends to it.
//! - No SQL stands outside a `.sql` file, and none in a handler.
//! - No projection reads another, and none has side effects.
//! - Words have no `Serialize`: see [`event::Private`].

pub mod account;
pub mod api;
pub mod archive;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod event;
pub mod format;
pub mod ledger;
pub mod log;
pub mod mask;
pub mod projection;
pub mod proof;
pub mod random;
pub mod service;
pub mod vault;
pub mod view;
