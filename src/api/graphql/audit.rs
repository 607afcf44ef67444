//! Who did what to what.

use async_graphql::{ID, InputObject, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::account::Account;
use super::asker::{Asker, problem, trouble};
use super::cursor::{At, Cursor, Mark, NoCursor};
use super::event::stream_id;
use super::id::Name;
use super::page::{bounded, connection};
use super::scalar::{BigInt, Date};
use crate::service::AUDIT;
use crate::view::audit::{EntryFilter, EntryRow, Key};

/// What one actor did to one conversation or account on one day, of one kind.
#[derive(SimpleObject, Clone)]
pub struct AuditEntry {
    pub actor: Account,
    /// What happened: a past fact, such as `message.appended`.
    pub kind: String,
    /// The conversation or account that it happened to.
    pub stream_id: ID,
    /// In UTC, by when it was recorded.
    pub day: Date,
    /// How many events these are.
    pub count: BigInt,
    pub first_position: BigInt,
    pub last_position: BigInt,
    /// When the first of them was recorded.
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

connection!(AuditConnection, AuditEdge, AuditEntry);

/// Which entries are asked for: those that meet all of it.
#[derive(InputObject, Default)]
pub struct AuditFilter {
    /// Of any of these kinds.
    pub kinds: Option<Vec<String>>,
    /// Of this conversation or account.
    pub stream: Option<ID>,
    /// Of this day or later.
    pub from: Option<Date>,
    /// Of a day before this one.
    pub to: Option<Date>,
}

/// A page of entries after a cursor, the newest first.
pub async fn page(
    asker: &Asker<'_>,
    filter: AuditFilter,
    first: Option<i32>,
    after: Option<Cursor>,
    counted: bool,
) -> Result<AuditConnection> {
    let first = bounded("first", first.unwrap_or(50))?;
    let after = after.map(|cursor| key(&asker.take(&cursor)?)).transpose()?;
    let Some(filter) = filter.resolve(asker)? else {
        return Ok(AuditConnection::new(Vec::new(), (false, false), Some(0)));
    };
    let position = asker.service.view_position(AUDIT);
    let read = asker.service.audit(asker.actor, &filter, after, first, counted).await;
    let page = read.map_err(|error| trouble(&error))?;
    let item = |row: EntryRow| {
        let Key { day, first } = row.key();
        (asker.give(&Mark::new(position, At::Entry { day, first })), AuditEntry::of(asker, row))
    };
    let items = page.rows.into_iter().map(item).collect();
    Ok(AuditConnection::new(items, (page.has_next, page.has_previous), page.total))
}

fn key(mark: &Mark) -> Result<Key> {
    match mark.at {
        At::Entry { day, first } => Ok(Key { day, first }),
        _ => Err(problem(NoCursor::OtherConnection)),
    }
}

impl AuditFilter {
    /// The filter in the view's words; none when it is of someone else, of whom nothing is there.
    fn resolve(self, asker: &Asker<'_>) -> Result<Option<EntryFilter>> {
        let stream = match self.stream {
            None => None,
            Some(id) => {
                let (owner, stream) = Name::stream(&id).map_err(problem)?;
                if !asker.may_see(owner) {
                    return Ok(None);
                }
                Some(stream)
            }
        };
        let day = |date: Option<Date>| date.map(|date| date.0);
        let kinds = self.kinds.unwrap_or_default();
        Ok(Some(EntryFilter { stream, kinds, from: day(self.from), to: day(self.to) }))
    }
}

impl AuditEntry {
    fn of(asker: &Asker<'_>, row: EntryRow) -> Self {
        Self {
            actor: Account(row.actor),
            kind: row.kind,
            stream_id: stream_id(asker.actor.owner(), row.stream),
            day: Date(row.day),
            count: BigInt(i64::try_from(row.events).unwrap_or(i64::MAX)),
            first_position: row.first.into(),
            last_position: row.last.into(),
            first_at: row.first_at,
            last_at: row.last_at,
        }
    }
}
