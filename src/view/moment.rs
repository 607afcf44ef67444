//! Moments: where the log stood at a time.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::event::Position;

/// The last position that was recorded by `time`; 0 when nothing was.
pub async fn recorded_by(pool: &PgPool, time: DateTime<Utc>) -> Result<Position, sqlx::Error> {
    let position = sqlx::query_scalar(include_str!("sql/moment.sql")).bind(time).fetch_one(pool).await?;
    Ok(Position(position))
}
