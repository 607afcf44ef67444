//! How far each projection has come. Read from the database alone, so any command can tell, whoever folds.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool, Row as _};

use super::Projection;
use crate::event::Position;

/// How long an event may wait for its fold before a projection counts as catching up.
const LIVE_LAG_MS_MAX: i64 = 2_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub name: String,
    pub state: State,
    /// All events up to here are folded.
    pub position: Position,
    /// The newest event of the log.
    pub head: Position,
    pub lag_events: i64,
    /// How long the first event that is not folded has waited.
    pub lag_ms: i64,
    /// Why it stands still, when it failed.
    pub error: Option<String>,
    /// Of the folder that this program has; not of the rows, when they are outdated.
    pub fingerprint: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Live,
    CatchingUp,
    /// It stands at `position` and is tried again, ever more rarely.
    Failed,
    /// Its rows were made by another version of its folder, and go on being folded by that one.
    Outdated,
}

/// The status of each of `projections`.
///
/// # Errors
/// If the database does not answer.
pub async fn status(projections: &[Projection], pool: &PgPool) -> Result<Vec<Status>, sqlx::Error> {
    let mut all = Vec::with_capacity(projections.len());
    for projection in projections {
        all.push(status_of(projection, pool).await?);
    }
    Ok(all)
}

/// Where one projection stands. One that was never made stands before the first event.
pub(super) async fn status_of(projection: &Projection, pool: &PgPool) -> Result<Status, sqlx::Error> {
    let fingerprint = projection.fingerprint();
    let standing = match projection.standing(pool).await {
        Err(error) if is_missing(&error) => {
            let row = sqlx::query(include_str!("sql/absent.sql")).fetch_one(pool).await?;
            Standing {
                position: Position(0),
                head: Position(row.try_get("head")?),
                lag_ms: row.try_get("lag_ms")?,
                error: None,
                fingerprint: fingerprint.into(),
            }
        }
        standing => standing?,
    };
    let Standing { position, head, lag_ms, error, fingerprint: rows } = standing;
    let state = if error.is_some() {
        State::Failed
    } else if rows != fingerprint {
        State::Outdated
    } else if lag_ms > LIVE_LAG_MS_MAX {
        State::CatchingUp
    } else {
        State::Live
    };
    let lag_events = (head.0 - position.0).max(0);
    let name = projection.name.to_string();
    Ok(Status { name, state, position, head, lag_events, lag_ms, error, fingerprint })
}

impl Projection {
    pub(super) async fn standing(&self, pool: &PgPool) -> Result<Standing, sqlx::Error> {
        standing_in(&self.name, pool).await
    }
}

/// Where the rows in `schema` stand.
pub(super) async fn standing_in(schema: &str, executor: impl PgExecutor<'_>) -> Result<Standing, sqlx::Error> {
    let statement = qualified(schema, include_str!("sql/standing.sql"));
    sqlx::query(AssertSqlSafe(statement)).fetch_one(executor).await.and_then(|row| Standing::read(&row))
}

/// `statement` for use where no search path is set.
pub(super) fn qualified(schema: &str, statement: &str) -> String {
    statement.replace(" progress", &format!(" {schema}.progress"))
}

pub(super) struct Standing {
    pub position: Position,
    pub head: Position,
    pub lag_ms: i64,
    error: Option<String>,
    pub fingerprint: Vec<u8>,
}

impl Standing {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: Position(row.try_get("position")?),
            head: Position(row.try_get("head")?),
            lag_ms: row.try_get::<i64, _>("lag_ms")?.max(0),
            error: row.try_get("error")?,
            fingerprint: row.try_get("fingerprint")?,
        })
    }
}

const UNDEFINED_TABLE: &str = "42P01";
const INVALID_SCHEMA_NAME: &str = "3F000";

/// Whether the projection was never made, or was dropped, or was emptied by a crash.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(error, sqlx::Error::RowNotFound) || matches!(code.as_deref(), Some(UNDEFINED_TABLE | INVALID_SCHEMA_NAME))
}
