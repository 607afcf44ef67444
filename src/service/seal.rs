//! Where words are sealed on their way into the log. The vault knows no log, and the log no key.

use chrono::{DateTime, Utc};

use crate::event::{Event, EventId, LedgerId, OwnerId};
use crate::ledger::Happened;
use crate::log::NewEvent;
use crate::random;
use crate::vault::{About, SubjectKey};

/// `happened` with its words sealed under `key`.
pub(super) fn seal(ledger: LedgerId, owner: OwnerId, key: &SubjectKey, happened: &Happened) -> NewEvent {
    let Happened { occurred_at, event } = happened;
    let id = match event {
        Event::MessageAppended(appended) => EventId::from(appended.id),
        Event::SnapshotTaken(taken) => taken.id,
        Event::ExportRequested(requested) => requested.id,
        _ => EventId(random::id()),
    };
    seal_as(ledger, owner, key, id, *occurred_at, event, Vec::new())
}

/// The same, of an event that has an id already, and some parts of which may be `gone`.
pub(super) fn seal_as(
    ledger: LedgerId,
    owner: OwnerId,
    key: &SubjectKey,
    id: EventId,
    occurred_at: DateTime<Utc>,
    event: &Event,
    gone: Vec<u8>,
) -> NewEvent {
    let (kind, kind_version) = (event.kind(), event.version());
    let words = event
        .words()
        .into_iter()
        .map(|words| key.seal(&About { ledger, owner, event: id, kind, kind_version, part: words.part }, &words.plain));
    NewEvent {
        id,
        kind,
        kind_version: i16::try_from(kind_version).unwrap_or(i16::MAX),
        occurred_at: crate::clock::micros(occurred_at),
        place: event.place(),
        body: event.facts(),
        words: words.collect(),
        gone,
    }
}
