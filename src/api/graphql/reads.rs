//! Who else read what is the asker's, and why.

use async_graphql::{Context, Enum, Object, Result};
use chrono::{DateTime, Utc};

use super::asker::{Asker, trouble};
use super::conversation::{self, Conversation};
use super::cursor::Cursor;
use super::event::mark;
use super::page::{bounded, connection};
use super::scalar::BigInt;
use crate::event::{self, Event, Position};
use crate::service::Opened;

#[derive(Clone)]
pub struct AccountRead(Opened);

/// Who reads what is another's.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Whoever runs the ledger.
    Operator,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "event::Reading")]
pub enum Reading {
    /// One conversation.
    Conversation,
    /// All there is, taken along.
    Export,
    /// What a search found.
    Search,
}

connection!(AccountReadConnection, AccountReadEdge, AccountRead);

/// Somebody else read what is the asker's. It was recorded before it was shown to them.
#[Object]
impl AccountRead {
    /// Of the event that says so.
    async fn position(&self) -> BigInt {
        self.0.recorded.position.into()
    }

    async fn at(&self) -> DateTime<Utc> {
        self.0.recorded.recorded_at
    }

    async fn by(&self) -> Reader {
        Reader::Operator
    }

    async fn what(&self) -> Option<Reading> {
        self.said().map(|read| read.what.into())
    }

    /// The conversation that was read, when it was one.
    async fn conversation(&self, context: &Context<'_>) -> Result<Option<Conversation>> {
        match self.said().and_then(|read| read.conversation) {
            Some(id) => conversation::one(&Asker::of(context), id, Position::LATEST).await,
            None => Ok(None),
        }
    }

    /// Null when none was given.
    async fn reason(&self) -> Option<String> {
        self.said()?.reason.clone().known().flatten()
    }
}

impl AccountRead {
    const fn said(&self) -> Option<&event::AccountRead> {
        if let Event::AccountRead(read) = &self.0.event { Some(read) } else { None }
    }
}

/// A page of them after a cursor, the newest first.
pub async fn page(
    asker: &Asker<'_>,
    first: Option<i32>,
    after: Option<Cursor>,
    counted: bool,
) -> Result<AccountReadConnection> {
    let first = bounded("first", first.unwrap_or(50))?;
    let before = after.map(|cursor| asker.take(&cursor)).transpose()?.map(|mark| mark.position);
    let page = asker.service.reads(asker.actor, before, first, counted).await.map_err(|error| trouble(&error))?;
    let items = page.rows.into_iter().map(|opened| (asker.give(&mark(opened.recorded.position)), AccountRead(opened)));
    Ok(AccountReadConnection::new(items.collect(), (page.has_next, page.has_previous), page.total))
}
