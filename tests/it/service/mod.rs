//! The use cases on a real Postgres: racing, watching, importing, and who sees what.

mod import;
mod isolation;
mod opened;
mod racing;
mod scan;
mod watch;
