//! The integration tests: one binary, a module per subject.

mod cli;
mod database;
mod golden;
mod history;
mod projection;
mod rules;
mod support;
mod tidy;
mod transport;
mod vault;
mod view;
