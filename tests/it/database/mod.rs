//! Getting to Postgres.

mod embedded;
mod migrate;
mod pool;
