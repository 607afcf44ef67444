//! Where words are sealed on their way into the log and opened on their way out: the one meeting of log and vault.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Service, Trouble};
use crate::event::{Event, EventId, LedgerId, OwnerId, Position, Private, Sealed, SubjectId};
use crate::ledger::Happened;
use crate::log::{NewEvent, Recorded};
use crate::random;
use crate::vault::{About, SubjectKey};

/// An event as the log holds it, and what it says: words that could be opened are known.
#[derive(Debug, Clone)]
pub struct Opened {
    pub recorded: Recorded,
    pub event: Event,
    /// Whether what it says is gone; what was said beside it (part 1 and on) may have gone on its own.
    pub forgotten: bool,
}

/// `happened` with its words sealed under `key`.
pub(super) fn seal(ledger: LedgerId, owner: OwnerId, key: &SubjectKey, happened: &Happened) -> NewEvent {
    let Happened { occurred_at, event } = happened;
    let id = match event {
        Event::MessageAppended(appended) => EventId::from(appended.id),
        _ => EventId(random::id()),
    };
    let (kind, kind_version) = (event.kind(), event.version());
    let words = event
        .words()
        .into_iter()
        .map(|words| key.seal(&About { ledger, owner, event: id, kind, kind_version, part: words.part }, &words.plain));
    NewEvent {
        id,
        kind,
        kind_version: i16::try_from(kind_version).unwrap_or(i16::MAX),
        occurred_at: crate::clock::micros(*occurred_at),
        place: event.place(),
        body: event.facts(),
        words: words.collect(),
    }
}

impl Service {
    /// Reads the words of `events` and opens what has not been forgotten.
    pub(super) async fn open(&self, events: Vec<Recorded>) -> Result<Vec<Opened>, Trouble> {
        let with_words: Vec<Position> =
            events.iter().filter(|event| !event.fact.words_digest.is_empty()).map(|event| event.position).collect();
        let mut words: HashMap<Position, Vec<Sealed>> = HashMap::new();
        if !with_words.is_empty() {
            for (position, sealed) in self.log.read_words(&with_words).await? {
                words.entry(position).or_default().push(sealed);
            }
        }
        let with_words = events.into_iter().map(|event| {
            let sealed = words.remove(&event.position).unwrap_or_default();
            (event, sealed)
        });
        self.open_sealed(with_words.collect()).await
    }

    /// Opens events whose sealed words were read already.
    pub(super) async fn open_sealed(&self, events: Vec<(Recorded, Vec<Sealed>)>) -> Result<Vec<Opened>, Trouble> {
        let keys = self.keys(events.iter().flat_map(|(_, sealed)| sealed)).await?;
        let ledger = self.log.identity().ledger;
        events.into_iter().map(|(recorded, sealed)| opened(ledger, &keys, recorded, &sealed)).collect()
    }

    async fn keys(&self, sealed: impl Iterator<Item = &Sealed>) -> Result<Keys, Trouble> {
        let mut wanted: Vec<(SubjectId, u32)> = sealed.map(|sealed| (sealed.subject, sealed.generation)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(self.vault.keys(&wanted).await?)
    }
}

type Keys = HashMap<(SubjectId, u32), Private<Arc<SubjectKey>>>;

fn opened(ledger: LedgerId, keys: &Keys, recorded: Recorded, sealed: &[Sealed]) -> Result<Opened, Trouble> {
    let mut event = recorded.event()?;
    let (kind, kind_version) =
        (recorded.fact.kind.as_str(), u16::try_from(recorded.fact.kind_version).unwrap_or_default());
    let mut forgotten = false;
    for (part, _) in crate::log::digest::words_parts(&recorded.fact.words_digest) {
        let about = About { ledger, owner: recorded.fact.owner, event: recorded.fact.id, kind, kind_version, part };
        let sealed = sealed.iter().find(|sealed| sealed.part == part);
        let key = sealed.and_then(|sealed| Some((sealed, keys.get(&(sealed.subject, sealed.generation))?)));
        if let Some((sealed, Private::Known(key))) = key {
            event.open(part, Private::Known(&key.open(&about, sealed)?))?;
        } else {
            forgotten |= part == 0;
            event.open(part, Private::Forgotten)?;
        }
    }
    Ok(Opened { recorded, event, forgotten })
}
