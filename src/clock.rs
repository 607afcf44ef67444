//! The one place that reads the clock. Everything else is told what time it is.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

/// A source of the current time: the machine's, or one that a test holds still.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's wall clock, cut to the microseconds that Postgres keeps.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // this is the one reader
    pub fn system() -> Self {
        Self(Arc::new(|| micros(Utc::now())))
    }

    /// A clock that always shows `at`.
    #[must_use]
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Arc::new(move || micros(at)))
    }

    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }

    /// A monotonic instant, for measuring how long something took.
    #[must_use]
    pub fn instant() -> Instant {
        Instant::now()
    }
}

/// `at` without what is finer than a microsecond: a timestamp must hash alike before and after Postgres has kept it.
#[must_use]
pub fn micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
