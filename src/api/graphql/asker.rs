//! Who asks, and what a resolver answers from.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Error, ErrorExtensions as _, Result};

use super::answer::{RETRY_AFTER, code};
use super::cursor::{Cursor, Cursors, Mark, NoCursor};
use super::id::NoId;
use super::loader::Loader;
use crate::event::OwnerId;
use crate::log::AppendError;
use crate::service::{Actor, Service, Trouble};

/// The head that this process knows of may be a moment old; a cursor further ahead of it is another ledger's.
const AHEAD_MAX: i64 = 1_000_000;

/// What every resolver needs, taken from its context.
pub struct Asker<'c> {
    pub service: &'c Service,
    pub actor: Actor,
    pub loader: &'c DataLoader<Loader>,
    cursors: &'c Cursors,
}

impl<'c> Asker<'c> {
    pub fn of(context: &Context<'c>) -> Self {
        Self {
            service: context.data_unchecked(),
            actor: *context.data_unchecked(),
            loader: context.data_unchecked(),
            cursors: context.data_unchecked(),
        }
    }

    pub fn give(&self, mark: &Mark) -> Cursor {
        self.cursors.give(mark)
    }

    pub fn take(&self, cursor: &Cursor) -> Result<Mark> {
        let mark = self.cursors.take(cursor).map_err(problem)?;
        let head = *self.service.log().tail().head().borrow();
        if mark.position.0 > head.0 + AHEAD_MAX { Err(problem(NoCursor::AheadOfLog)) } else { Ok(mark) }
    }

    /// Whether what `owner` has is the asker's to see. What is not is as if it were not there.
    pub fn may_see(&self, owner: OwnerId) -> bool {
        self.actor.owner() == owner
    }
}

/// An error that the caller can do something about.
pub fn bad_input(message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code::BAD_USER_INPUT))
}

/// An id or a cursor that is none.
pub trait Problem: std::fmt::Display {}
impl Problem for NoId {}
impl Problem for NoCursor {}

/// Whether a view that is read is not there: it was dropped, and is made again within a second.
fn is_being_made(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("42P01" | "3F000"))
}

#[allow(clippy::needless_pass_by_value)] // it is what map_err hands over
pub fn problem(problem: impl Problem) -> Error {
    bad_input(problem.to_string())
}

/// What went wrong, as a client is told: to come back, or that it is our fault.
pub fn trouble(trouble: &Trouble) -> Error {
    let retry_after = match trouble {
        Trouble::Busy { retry_after_s } | Trouble::Append(AppendError::Full { retry_after_s }) => *retry_after_s,
        Trouble::Behind(_)
        | Trouble::Append(AppendError::Closed | AppendError::Outdated | AppendError::Unknown { .. })
        | Trouble::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed) => 1,
        Trouble::Database(error) if is_cut_off(error) || is_being_made(error) => 1,
        Trouble::Append(error @ AppendError::TooLarge { .. }) => return bad_input(error.to_string()),
        Trouble::Time(_) | Trouble::Moment(_) => return bad_input(trouble.to_string()),
        trouble => return Error::new(chain(trouble)),
    };
    Error::new(trouble.to_string()).extend_with(|_, extensions| {
        extensions.set("code", code::UNAVAILABLE);
        extensions.set(RETRY_AFTER, Duration::from_secs(retry_after).as_secs());
    })
}

/// Whether Postgres, or a pooler in its place, says that it is going, or is not there: classes 08 and 57P of SQLSTATE.
fn is_cut_off(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
}

#[allow(clippy::needless_pass_by_value)] // it is what map_err hands over
pub fn shared(error: Arc<Trouble>) -> Error {
    trouble(&error)
}

/// An error and its causes: they go to the server's log, never to the client.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
