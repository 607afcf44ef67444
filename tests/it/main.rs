//! The integration tests: one binary, a module per subject.

mod cli;
mod database;
mod golden;
mod graphql;
mod history;
mod log;
mod plans;
mod projection;
mod rebuild;
mod rules;
mod search;
mod service;
mod support;
mod tidy;
mod torture;
mod transport;
mod vault;
mod view;
