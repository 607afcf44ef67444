//! The use cases on a real Postgres: racing, watching, importing, how views go on, and who sees what.

mod import;
mod isolation;
mod memory;
mod opened;
mod progress;
mod racing;
mod scan;
mod travel;
mod watch;
