//! The integration tests: one binary, a module per subject.

mod anew;
mod as_of;
mod audit;
mod cli;
mod database;
mod golden;
mod graphql;
mod history;
mod log;
mod own;
mod plans;
mod projection;
mod rebuild;
mod replay;
mod rules;
mod search;
mod service;
mod support;
mod tidy;
mod torture;
mod transport;
mod travel;
mod usage;
mod vault;
mod view;
mod why;
