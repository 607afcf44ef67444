//! Silence: a way to the database that was cut without a word. TCP tells nobody for a quarter of an hour, and sqlx sets
//! it no other limit. So whoever no caller waits for, and who would wait for ever, waits here.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::timeout;

/// What `asked` comes to; after `time`, what a broken connection comes to. Whatever was asked may have been done.
///
/// `asked` is dropped then. A pooled connection in it goes back to its pool, which closes one that stays silent.
pub fn within<T, E: From<sqlx::Error>>(
    time: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // No `async fn`, which would hold `asked` twice: as what it was given and as what it waits for.
    timeout(time, asked).map(move |answered| answered.unwrap_or_else(|_| Err(silence(time).into())))
}

/// The error of whoever heard nothing for that long.
pub fn silence(time: Duration) -> sqlx::Error {
    let heard = format!("the database was silent for {} s", time.as_secs());
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, heard))
}
