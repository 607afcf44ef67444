//! As of when something is read: another moment than now.

use async_graphql::{OneofObject, Result};
use chrono::{DateTime, Utc};

use super::asker::{Asker, problem, trouble};
use super::cursor::{Cursor, NoCursor};
use super::page::Window;
use super::scalar::BigInt;
use crate::event::{ConversationId, Position, Version};
use crate::service;

/// The answer is what the log amounts to up to the moment, whatever happened since.
#[derive(OneofObject, Clone, Copy)]
pub enum AsOf {
    /// A version of the conversation that is read, or that what is read belongs to. Everything else is read as of the
    /// position of that event.
    Version(i32),
    Position(BigInt),
    /// When it was recorded: what this ledger held then.
    Time(DateTime<Utc>),
    /// When it happened, in the conversation's own time, which an imported one keeps: up to the first of its events that
    /// happened later.
    OccurredAt(DateTime<Utc>),
}

/// Across conversations a version means nothing, and their own times do not order the log.
#[derive(OneofObject, Clone, Copy)]
pub enum AsOfMoment {
    Position(BigInt),
    /// When it was recorded: what this ledger held then.
    Time(DateTime<Utc>),
}

impl From<AsOf> for service::AsOf {
    fn from(as_of: AsOf) -> Self {
        match as_of {
            AsOf::Version(version) => Self::Version(Version(version)),
            AsOf::Position(position) => Self::Position(Position(position.0)),
            AsOf::Time(time) => Self::Recorded(time),
            AsOf::OccurredAt(time) => Self::Occurred(time),
        }
    }
}

impl From<AsOfMoment> for service::AsOf {
    fn from(as_of: AsOfMoment) -> Self {
        match as_of {
            AsOfMoment::Position(position) => Self::Position(Position(position.0)),
            AsOfMoment::Time(time) => Self::Recorded(time),
        }
    }
}

/// The position that `as_of` means; without one, [`Position::LATEST`].
pub async fn moment(
    asker: &Asker<'_>,
    conversation: Option<ConversationId>,
    as_of: Option<impl Into<service::AsOf>>,
) -> Result<Position> {
    let Some(as_of) = as_of else { return Ok(Position::LATEST) };
    let moment = asker.service.moment(asker.actor, conversation, as_of.into()).await;
    moment.map_err(|error| trouble(&error))
}

/// The moment of a page: that of its cursors, which keep theirs, or else `asked`. What is read from `view` then shows it.
pub async fn of_page(asker: &Asker<'_>, view: &str, window: &Window, asked: Position) -> Result<Position> {
    let mut moment = asked;
    for cursor in window.after.iter().chain(&window.before) {
        moment = kept(asker, cursor, moment)?;
    }
    if moment != Position::LATEST {
        asker.service.caught_up(asker.actor, view, Some(moment)).await.map_err(|error| trouble(&error))?;
    }
    Ok(moment)
}

/// The moment that a cursor keeps, if it does not contradict `asked`.
fn kept(asker: &Asker<'_>, cursor: &Cursor, asked: Position) -> Result<Position> {
    match asker.take(cursor)?.as_of {
        None => Ok(asked),
        Some(kept) if asked == Position::LATEST || asked == kept => Ok(kept),
        Some(_) => Err(problem(NoCursor::OtherMoment)),
    }
}
